"""Many services over the same servers, as the real ldirectord has them and as lvs-director has.

Both are given the same file and make the same table of it, and of a server's death and return. What
each costs while all is well is told, and not judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

from tests.harness.waiting import wait_until
from tests.lab.configuration import LVS_DIRECTOR
from tests.lab.network import Host
from tests.lab.resident import HostResident

if TYPE_CHECKING:
    from tests.lab.director import Director
    from tests.lab.topology import Topology

PORTS = range(1001, 1069)
FILE = """
checkinterval = 2
negotiatetimeout = 60
quiescent = no
supervised = yes
""" + "".join(
    f"""
virtual = 10.0.0.3:{port}
    real = 192.168.0.1:80 masq 5
    real = 192.168.0.2:80 masq 5
    service = http
    request = "index.html"
    receive = "^real[0-9]"
    scheduler = rr
"""
    for port in PORTS
)
# So many checks are paid together, in which the work of mon's own loop is evened out.
ROUNDS = 8
# What the director asks of a real server, counted there.
COUNTED = (
    "add table ip lab",
    "add chain ip lab checks { type filter hook input priority 0; }",
    "add rule ip lab checks tcp dport 80 tcp flags syn / syn,ack counter",
)


class Purse:
    """What the programs in it, and all that they start, have spent (cgroups(7), version 2)."""

    def __init__(self, host: Host, name: str) -> None:
        root = Path("/run/cgroup")
        if not root.exists():
            root.mkdir()
            host.do("mount", "-t", "cgroup2", "cgroup2", str(root))
        self._folder = root / name
        self._folder.mkdir()

    def take(self, pid: int) -> None:
        """Have a process pay from now on."""
        (self._folder / "cgroup.procs").write_text(f"{pid}\n")

    @property
    def spent(self) -> float:
        """The seconds of CPU so far."""
        found = re.search(
            r"^usage_usec (\d+)$", (self._folder / "cpu.stat").read_text(), re.MULTILINE
        )
        assert found is not None
        return int(found[1]) / 1e6


LooksAfter = Callable[["Director", Path], AbstractContextManager[Purse]]


@contextmanager
def _ldirectord(director: Director, file: Path) -> Iterator[Purse]:
    purse = Purse(director, "ldirectord")
    with director.ldirectord(file) as ldirectord:
        purse.take(ldirectord.pid)
        yield purse


@contextmanager
def _lvs_director(director: Director, file: Path) -> Iterator[Purse]:
    purse = Purse(director, "lvs-director")
    director.do(LVS_DIRECTOR, "start", str(file))
    mon_cf = director.do(LVS_DIRECTOR, "mon-config", str(file))
    with HostResident(director, file.parent / "resident") as resident:
        purse.take(resident.pid)
        environment = {"LVSALERT_SOCKET": str(resident.path)}
        with director.mon(file.parent, mon_cf, environment, has_resident=False) as mon:
            purse.take(mon.pid)
            yield purse
    director.do(LVS_DIRECTOR, "stop", str(file))


def _table(*numbers: int) -> list[str]:
    """Return the table with these real servers in."""
    return [
        line
        for port in PORTS
        for line in (
            f"-A -t 10.0.0.3:{port} -s rr",
            *(f"-a -t 10.0.0.3:{port} -r 192.168.0.{each}:80 -m -w 5" for each in numbers),
        )
    ]


@pytest.mark.parametrize(
    "looks_after",
    [pytest.param(_ldirectord, id="ldirectord"), pytest.param(_lvs_director, id="lvs-director")],
)
def test_many_services_cost_what_they_cost(
    lab: Topology,
    folder: Path,
    looks_after: LooksAfter,
    record_property: Callable[[str, object], None],
) -> None:
    """A server that dies leaves all services, and is back in all of them when it is."""
    director = lab.director1
    first, second = lab.real_servers[:2]
    file = folder / "www.cf"
    file.write_text(FILE)
    lab.start_web()

    def checks() -> int:
        found = re.search(r"counter packets (\d+)", second.do("nft", "list", "ruleset"))
        return 0 if found is None else int(found[1])

    with looks_after(director, file) as purse:
        director.wait_for_table(*_table(1, 2))
        first.web.kill()
        director.wait_for_table(*_table(2))
        first.web.start()
        director.wait_for_table(*_table(1, 2))

        second.filter_packets(*COUNTED)
        # From one check to another, not from somewhere between two.
        wait_until(lambda: checks() >= 2, "the checks go on", pause=0.1)
        before, spent = checks(), purse.spent
        wait_until(lambda: checks() >= before + ROUNDS, "the checks go on", pause=0.1)
        rounds = checks() - before
        spent = purse.spent - spent
        record_property("CPU of a round", f"{spent / rounds:.3f} s, of {rounds}")
    director.wait_for_table()
