"""What happens to the director's file and to its names while mon goes by it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import wait_until
from tests.lab.configuration import LVS_DIRECTOR

if TYPE_CHECKING:
    from tests.lab.director import Director, HostMon
    from tests.lab.topology import Topology

WWW = """
autoreload = yes
checkinterval = 3
negotiatetimeout = 10
quiescent = no

virtual = 10.0.0.3:80
    real = web1.example.com:80 gate 5
    real = 192.168.0.2:80 gate 5
    service = http
    request = "index.html"
    receive = "^real[0-9]"
    scheduler = rr
"""
THIRD = WWW.replace("    service", "    real = 192.168.0.3:80 gate 5\n    service")
SLIP = THIRD.replace("scheduler = rr", "schedular = rr")
WATCH = ("tcp-10.0.0.3-80", "http")
SERVICE = "-A -t 10.0.0.3:80 -s rr"
ONE, TWO, THREE = (f"-a -t 10.0.0.3:80 -r 192.168.0.{each}:80 -g -w 5" for each in (1, 2, 3))
NAME_SERVER = "10.0.0.100"
# A question to it is lost, which takes the longest.
SILENT = (
    "add table ip lab",
    "add chain ip lab names { type filter hook input priority 0; }",
    "add rule ip lab names udp dport 53 drop",
)


class Names:
    """What names mean on all hosts of the lab: the hosts file, and behind it a name server."""

    def __init__(self) -> None:
        self._files = {
            path: path.read_text() for path in map(Path, ("/etc/hosts", "/etc/resolv.conf"))
        }

    def mean(self, **addresses: str) -> None:
        """Let exactly these names below example.com have an address."""
        lines = "".join(f"{address} {name}.example.com\n" for name, address in addresses.items())
        Path("/etc/hosts").write_text(f"127.0.0.1 localhost\n{lines}")

    def restore(self) -> None:
        """Let names mean what they did before."""
        for path, text in self._files.items():
            path.write_text(text)


@pytest.fixture
def names(lab: Topology) -> Iterator[Names]:
    """What names mean; the name server behind that takes every question and says nothing."""
    names = Names()
    Path("/etc/resolv.conf").write_text(f"nameserver {NAME_SERVER}\n")
    lab.client.filter_packets(*SILENT)
    yield names
    lab.client.filter_packets()
    names.restore()


@contextmanager
def mon_for(director: Director, folder: Path, state: str = "") -> Iterator[HostMon]:
    """Have a mon with the mon.cf for the file, which its own user may write as well."""
    options = ["--state-dir", state] if state else []
    mon = director.mon(folder, "", {"LVSALERT_STATE_DIR": state} if state else {})
    mon.file.unlink()
    director.do(
        LVS_DIRECTOR, "mon-config", str(folder / "www.cf"), *options, "--output", str(mon.file)
    )
    for path in (mon.file.parent, mon.file):
        shutil.chown(path, "mon", "mon")
    with mon:
        yield mon


def test_a_name_moves_while_its_machine_dies(lab: Topology, folder: Path, names: Names) -> None:
    """The dead one leaves under the address that it has, be its name elsewhere or nowhere.

    A reload takes what the name means now; of the old address nothing stays.
    """
    director, file = lab.director1, folder / "www.cf"
    file.write_text(WWW)
    lab.start_web()
    names.mean(web1="192.168.0.1")
    director.do(LVS_DIRECTOR, "start", str(file))
    assert director.table == [SERVICE, ONE, TWO]
    with mon_for(director, folder) as mon:
        names.mean()
        lab.real_servers[0].web.kill()
        director.wait_for_table(SERVICE, TWO)
        lab.real_servers[0].web.start()
        director.wait_for_table(SERVICE, ONE, TWO)
        names.mean(web1="192.168.0.3")
        lab.real_servers[0].web.kill()
        director.wait_for_table(SERVICE, TWO)

        director.do(LVS_DIRECTOR, "reload", str(file))
        assert director.table == [SERVICE, TWO, THREE]
        mon.configure(director.do(LVS_DIRECTOR, "mon-config", str(file)))
        mon.command("reset")
        lab.real_servers[0].web.start()
        lab.real_servers[2].web.kill()
        director.wait_for_table(SERVICE, TWO)
        mon.wait_for_check(*WATCH)
        assert director.table == [SERVICE, TWO]


def test_a_director_takes_over_without_names(lab: Topology, folder: Path, names: Names) -> None:
    """It serves with the real servers whose addresses it knows, and comes back to the others."""
    old, new, file = lab.director1, lab.director2, folder / "www.cf"
    state = folder / "state"
    state.mkdir()
    shutil.chown(state, "mon", "mon")
    file.write_text(WWW)
    lab.start_web()
    names.mean()
    old.give_up_addresses()
    new.take_addresses()
    try:
        done = new.run(LVS_DIRECTOR, "start", str(file), "--state-dir", str(state))
        assert done.returncode == 1
        assert "web1.example.com" in done.stderr
        assert new.table == [SERVICE, TWO]
        with mon_for(new, folder, str(state)) as mon, lab.client.asking("10.0.0.3:80") as web:
            web.wait_for_server("real2")
            mon.wait_for_check(*WATCH)
            names.mean(web1="192.168.0.1")
            new.wait_for_table(SERVICE, ONE, TWO)
            web.wait_for_server("real1")
            # mon watches it as well.
            lab.real_servers[0].web.kill()
            new.wait_for_table(SERVICE, TWO)
    finally:
        new.give_up_addresses()
        old.take_addresses()


def test_a_slip_in_the_file_stops_no_fail_over(lab: Topology, folder: Path, names: Names) -> None:
    """With a slip in it what was accepted goes on; mended it is taken, by the table and by mon."""
    director, file = lab.director1, folder / "www.cf"
    file.write_text(WWW)
    lab.start_web()
    names.mean(web1="192.168.0.1")
    director.do(LVS_DIRECTOR, "start", str(file))
    with mon_for(director, folder) as mon:
        mon.wait_for_check(*WATCH)
        file.write_text(SLIP)
        lab.real_servers[0].web.kill()
        director.wait_for_table(SERVICE, TWO)
        for _ in range(2):
            mon.wait_for_check(*WATCH)
        said = director.run(LVS_DIRECTOR, "status", str(file)).stderr
        assert "schedular" in said
        assert len([line for line in mon.syslog.lines if "schedular" in line]) == 1

        file.write_text(THIRD)
        director.wait_for_table(SERVICE, TWO, THREE)
        wait_until(
            lambda: "192.168.0.3" in mon.command(f"list group {WATCH[0]}")[0],
            lambda: f"mon watches the third\n{mon.story}",
            pause=0.5,
        )
        assert "schedular" not in director.run(LVS_DIRECTOR, "status", str(file)).stderr
        lab.real_servers[2].web.kill()
        lab.real_servers[0].web.start()
        director.wait_for_table(SERVICE, ONE, TWO)
