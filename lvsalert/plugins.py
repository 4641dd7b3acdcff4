"""The files that ``lvs-director install`` writes, as values, and the mark that tells its own.

Nothing here touches a file. mon's search for its plugins is told by its own source: mondir and
alertdir of mon.cf are lists parted by colons, and the first folder with an executable of the right
name wins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lvsalert.errors import UsageError
from lvsalert.tuples import NamedTuple

DEFAULT_PREFIX = "/usr/local/lib/mon"
MON_CF = "/etc/mon/mon.cf"
STATE_DIR_MODE = 0o770
_SCHEDULERS = (
    "rr",
    "wrr",
    "lc",
    "wlc",
    "lblc",
    "lblcr",
    "dh",
    "sh",
    "sed",
    "nq",
    "fo",
    "ovf",
    "mh",
)
MODULES = ("ip_vs", *(f"ip_vs_{name}" for name in _SCHEDULERS))
"""IPVS and its schedulers, as far as every kernel since 4.18 has them."""

_MONITORS = ("external.monitor", "fping.monitor", "ftp.monitor", "http.monitor", "tcp.monitor")
_ALERTS = ("lvs.alert",)
PLUGINS = {"mondir": _MONITORS, "alertdir": _ALERTS}
"""The plugins by the keyword of mon.cf that says where mon looks for them."""

_FOLDERS = {"mondir": "mon.d", "alertdir": "alert.d"}
# mon's basedir, from which a relative folder counts, and what it searches by default.
_MON_BASE = "/usr/lib/mon"
# execve(2): kernels before 5.1 cut the first line of a script here.
_SHEBANG_BYTES = 127
_MARK = re.compile(
    rb"^# Written by lvs-director install --prefix (\S+), folders made: (\d+), sha256: (\w{64})$",
    re.MULTILINE,
)


class File(NamedTuple):
    """A file to be: ``first`` stands before the mark (a script's first line), ``rest`` after it."""

    path: str
    mode: int
    first: str
    rest: str


class Mark(NamedTuple):
    """What the mark of a written file says.

    ``prefix`` is the prefix it was written for, ``made`` how many of its folders, from the
    innermost outwards, were made for it; ``intact`` whether the file is as it was written.
    """

    prefix: str
    made: int
    intact: bool


def check_prefix(prefix: str) -> str:
    """Return the prefix where mon.cf can name it; UsageError otherwise."""
    if not prefix.isprintable() or " " in prefix or ":" in prefix:
        raise UsageError(f"{prefix!r} cannot be a prefix: mon.cf takes no blank or colon in it")
    return prefix


def plugin_files(prefix: str, interpreter: str, folders: Sequence[str]) -> list[File]:
    """Return the plugins under ``prefix``.

    They run with ``interpreter`` and look for modules in its standard library, then in
    ``folders``. Nothing of the environment counts (-I), and the start spares the search for further
    folders (-S). UsageError where execve(2) could not take the interpreter's path from a script.
    """
    shebang = f"#!{interpreter} -IS\n"
    if " " in interpreter or not interpreter.isprintable():
        raise UsageError(f"{interpreter!r} cannot be a script's interpreter: it has a blank in it")
    if len(shebang.encode()) > _SHEBANG_BYTES:
        raise UsageError(
            f"{interpreter!r} cannot be a script's interpreter: its path is too long"
            f" ({_SHEBANG_BYTES} bytes with '#!' and '-IS')"
        )
    return [
        File(f"{prefix}/{_FOLDERS[keyword]}/{name}", 0o755, shebang, _script(name, folders))
        for keyword, names in PLUGINS.items()
        for name in names
    ]


def _script(name: str, folders: Sequence[str]) -> str:
    function = name.replace(".", "_")
    return (
        f'"""mon\'s {name}, with the interpreter and the packages that it was installed with."""\n'
        "import gc\nimport sys\n"
        "gc.disable()\n"
        f"sys.path += {list(folders)!a}\n"
        f"from lvsalert.commands.entry import {function}\n"
        f"{function}()\n"
    )


def system_files() -> list[File]:
    """Return the drop-in for Debian's mon.service and the list for modules-load.d(5).

    The service runs as User=mon without any capability, and may not load modules. Its state
    directory gets the owner that the unit runs as (systemd.exec(5)).
    """
    drop_in = (
        "[Service]\n"
        "AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW\n"
        "StateDirectory=lvsalert\n"
        f"StateDirectoryMode={STATE_DIR_MODE:04o}\n"
    )
    modules = "".join(f"{name}\n" for name in MODULES)
    return [
        File("/etc/systemd/system/mon.service.d/lvsalert.conf", 0o644, "", drop_in),
        File("/etc/modules-load.d/lvsalert.conf", 0o644, "", modules),
    ]


def signed(file: File, prefix: str, made: int) -> bytes:
    """Return the bytes of a file with its mark: the SHA-256 sum is of all but the sum itself."""
    import hashlib

    first, rest = file.first.encode(), file.rest.encode()
    mark = f"# Written by lvs-director install --prefix {prefix}, folders made: {made}, sha256: "
    total = hashlib.sha256(first + mark.encode() + b"\n" + rest).hexdigest()
    return first + mark.encode() + total.encode() + b"\n" + rest


def read_mark(data: bytes) -> Mark | None:
    """Return the mark of a file's bytes, or None where there is none."""
    import hashlib

    found = _MARK.search(data)
    if found is None:
        return None
    total = hashlib.sha256(data[: found.start(3)] + data[found.end(3) :]).hexdigest()
    prefix, made, written = (each.decode(errors="replace") for each in found.groups())
    return Mark(prefix, int(made), total == written)


def searched(mon_cf: str) -> dict[str, list[str]]:
    """Return the folders that mon searches, by keyword, for the text of a mon.cf."""
    given = _given(mon_cf)
    return {
        keyword: given.get(keyword, [f"{base}/{folder}" for base in (DEFAULT_PREFIX, _MON_BASE)])
        for keyword, folder in _FOLDERS.items()
    }


def search_lines(prefix: str, mon_cf: str) -> list[str]:
    """Return the two lines for mon.cf that let mon find the plugins under ``prefix`` first.

    What the text of the standing mon.cf has it search stays behind them.
    """
    given = _given(mon_cf)
    lines = []
    for keyword, folder in _FOLDERS.items():
        own = f"{prefix}/{folder}"
        rest = [each for each in given.get(keyword, [f"{_MON_BASE}/{folder}"]) if each != own]
        lines.append(f"{keyword} = {':'.join([own, *rest])}")
    return lines


def _given(mon_cf: str) -> dict[str, list[str]]:
    """Return what a mon.cf sets mondir and alertdir to, as absolute folders.

    mon means to part the list at blanks and colons, but the pattern that it uses takes the letter s
    for a blank.
    """
    found = {}
    for line in re.sub(r"\\\s*\n\s*", "", mon_cf).splitlines():
        keyword, equals, value = (part.strip() for part in line.partition("="))
        if equals and keyword in _FOLDERS:
            folders = [each.rstrip("/") for each in re.split("s*:s*", value)]
            found[keyword] = [
                each if each.startswith("/") else f"{_MON_BASE}/{each}" for each in folders
            ]
        elif line.split()[:1] == ["watch"]:
            break
    return found
