"""The mon that runs: which file it reads, as whom, and what the programs that it starts may do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from lvsalert.mon.plugins import MON_CF

_AUTH = "/etc/mon/auth.cf"
CAP_NET_ADMIN, CAP_NET_RAW = 12, 13
"""What ipvsadm and an ICMP socket need, by their numbers (capabilities(7))."""


class RunningMon(NamedTuple):
    """A mon: its process, its user's id, the paths of its mon.cf and its auth.cf.

    ``capabilities`` are those of the programs that it starts, a bit each.
    """

    pid: int
    uid: int
    mon_cf: str
    auth: str
    capabilities: int

    def may(self, capability: int) -> bool:
        """Return whether what it starts has a capability."""
        return bool(self.capabilities >> capability & 1)


def all_running() -> list[RunningMon]:
    """Return every mon that is no child of another one, as far as this user may see them."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    found = {pid: path for pid in pids if (path := mon_cf_of(pid)) is not None}
    known = [
        _running(pid, path) for pid, path in sorted(found.items()) if parent_of(pid) not in found
    ]
    return [each for each in known if each is not None]


def mon_above(pid: int) -> tuple[int, str | None]:
    """Return the mon that a process belongs to, and the path of its mon.cf, None where it has none.

    mon has its alerts run by a copy of itself, which would act on a signal as mon does.
    """
    found, path = 0, None
    while pid > 1 and (above := mon_cf_of(pid)) is not None:
        found, path = pid, above
        pid = parent_of(pid)
    return found, path


def mon_cf_of(pid: int) -> str | None:
    """Return the path of the mon.cf that a process reads, None where it is no mon."""
    words = _words_of(pid)
    program = next((at for at, word in enumerate(words) if os.path.basename(word) == "mon"), None)
    # A script of that name starts and stops mon.
    if program is None or not os.path.basename(words[0]).startswith("perl"):
        return None
    return _option(words[program + 1 :], "-c") or MON_CF


def _option(words: Sequence[str], name: str) -> str | None:
    return words[words.index(name) + 1] if name in words[:-1] else None


def _words_of(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return [os.fsdecode(word) for word in file.read().split(b"\0")]
    except OSError:
        return []


def parent_of(pid: int) -> int:
    """Return the parent of a process (proc(5), stat), 0 where it has none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # Its name may hold anything, a parenthesis too.
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _running(pid: int, mon_cf: str) -> RunningMon | None:
    """Return a mon as proc(5), status, has it; None where it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
        uid = int(fields["Uid"].split()[1])
        # A program that root starts has all that is not out of bounds; others keep what is ambient.
        inherited = fields["CapBnd"] if uid == 0 else fields["CapAmb"]
        auth = _option(_words_of(pid), "-A") or _AUTH
        return RunningMon(pid, uid, mon_cf, auth, int(inherited, 16))
    except (OSError, KeyError, ValueError, IndexError):
        return None
