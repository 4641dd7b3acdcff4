"""A long time of it: servers come and go at random while mon and the resident are disturbed.

How long, in seconds of the guest, and by which seed the environment may say (CONTRIBUTING.md).
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

from tests.harness.processes import Program
from tests.harness.waiting import wait_until
from tests.lab.configuration import LVS_DIRECTOR, group

if TYPE_CHECKING:
    from tests.lab.director import HostMon
    from tests.lab.topology import Topology

HOSTS = ("192.168.0.1", "192.168.0.2", "192.168.0.3")
SERVICE = "-A -t 10.0.0.3:80 -s rr"
MOMENTS = 10
SECONDS = 120.0
# What each process of them may have, whatever it has been through.
MOST_THREADS, MOST_DESCRIPTORS = 2, 32
# The loop, the watcher, and those that wait for runs.
MOST_PROCESSES = 6
_KEEP = 'while :; do "$@"; sleep 1; done'


class Soak:
    """A director with three servers, and what is done to all of them."""

    def __init__(self, lab: Topology, folder: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._lab = lab
        self._director = lab.director1
        self._socket = folder / "resident" / "socket"
        self._socket.parent.mkdir()
        self._socket.parent.chmod(0o777)
        options = {"between": "1", "socket": str(self._socket)}
        text = group(HOSTS, options)
        self.mon: HostMon = self._director.mon(folder, text, has_resident=False)
        self.done: list[str] = []
        # How long it took, and what was done just before.
        self.settled: list[tuple[float, list[str]]] = []
        self.seen: list[dict[str, tuple[int, ...]]] = []
        capabilities = "-all,+net_admin,+net_raw"
        as_mon = ["setpriv", "--reuid=mon", "--regid=mon", "--init-groups"]
        as_mon += [f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}"]
        serve = [LVS_DIRECTOR, "serve", "--socket", str(self._socket)]
        serve += ["--mon", self.mon.place, "--trap", self.mon.trap_place]
        # Killed, it is started again, as by systemd.
        self.resident = Program([*as_mon, "/bin/sh", "-c", _KEEP, "sh", *serve], folder / "said")

    def begin(self) -> None:
        """Have servers and resident run."""
        self._lab.start_web()
        with self._director.inside():
            self.resident.start()

    def disturb(self, seconds: float) -> None:
        """Do something at random every now and then, for so long."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            (what,) = self._random.choices(
                [self._turn_a_server, self._empty, self._reset, self._restart, self._kill],
                weights=[12, 2, 2, 1, 1],
            )
            self.done.append(what.__name__.strip("_"))
            what()
            time.sleep(self._random.uniform(0, 4))

    def _turn_a_server(self) -> None:
        web = self._random.choice(self._lab.real_servers).web
        if web.runs:
            web.kill()
        else:
            web.start()

    def _empty(self) -> None:
        self._director.ipvsadm("-C")

    def _reset(self) -> None:
        self.mon.signal(signal.SIGHUP)

    def _restart(self) -> None:
        self.mon.stop()
        self.mon.start()

    def _kill(self) -> None:
        """Kill one of the resident's processes, whichever that is."""
        found = _family(self.resident.pid)[1:]
        if found:
            os.kill(self._random.choice(found), signal.SIGKILL)

    def settle(self) -> None:
        """Wait until the table is what the servers' states ask for, and all else has calmed down.

        That is to take no more than two of mon's intervals; how long it took is told.
        """
        alive = [each for each in self._lab.real_servers if each.web.runs]
        table = [SERVICE, *(f"-a -t 10.0.0.3:80 -r {each.address}:80 -g -w 5" for each in alive)]
        begun = time.monotonic()

        def story() -> str:
            return f"the table is {table}\n{self._director.table}\n{self.done}"

        wait_until(lambda: self._director.table == table, story, pause=0.1)
        self.settled.append((round(time.monotonic() - begun, 1), self.done[-3:]))
        wait_until(self._is_calm, lambda: f"nothing grows\n{self._measured()}", pause=0.5)
        self.seen.append(self._measured())

    def _measured(self) -> dict[str, tuple[int, ...]]:
        """Return processes, and the most threads and descriptors of one, of resident and mon."""
        families = {"resident": _family(self.resident.pid)[1:], "mon": _family(self.mon.pid)}
        return {
            name: (
                len(pids),
                max((_count(pid, "task") for pid in pids), default=0),
                max((_count(pid, "fd") for pid in pids), default=0),
            )
            for name, pids in families.items()
        }

    def _is_calm(self) -> bool:
        for processes, threads, descriptors in self._measured().values():
            if not (
                0 < processes <= MOST_PROCESSES
                and threads <= MOST_THREADS
                and descriptors <= MOST_DESCRIPTORS
            ):
                return False
        return True


def _family(pid: int) -> list[int]:
    """Return a process and all that it has started, directly or not."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in _family(int(child)))]


def _count(pid: int, what: str) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/{what}"))
    except OSError:
        return 0


# Each wait has a bound of its own, and the whole may be asked to last.
@pytest.mark.timeout(0)
def test_a_long_time_of_it(
    lab: Topology, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    """After each of ten storms the table is what the servers' states ask for, and nothing grows."""
    seed = int(os.environ.get("LVSALERT_SOAK_SEED") or random.SystemRandom().randrange(1 << 32))
    seconds = float(os.environ.get("LVSALERT_SOAK_SECONDS") or SECONDS)
    print(f"LVSALERT_SOAK_SEED={seed}")
    soak = Soak(lab, folder, seed)
    soak.begin()
    try:
        with soak.mon:
            soak.settle()
            for _ in range(MOMENTS):
                soak.disturb(seconds / MOMENTS)
                soak.settle()
    finally:
        soak.resident.stop()
        print(soak.resident.output)
    record_property("seed", seed)
    record_property("done", dict(Counter(soak.done)))
    record_property("settled after (s)", [took for took, _ in soak.settled])
    record_property("the longest, after", max(soak.settled[1:]))
    record_property("processes, threads, descriptors at first", soak.seen[0])
    record_property("and in the end", soak.seen[-1])
