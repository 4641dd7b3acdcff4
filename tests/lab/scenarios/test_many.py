"""Scenario 7: many real servers at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.lab.director import Director
    from tests.lab.topology import Topology

SERVICE = "-A -t 10.0.0.3:80 -s rr"
# All of it happens at once on one processor: nothing here is about time.
PATIENCE = "--lock-timeout 600 --ipvsadm-timeout 120"


def _hosts(count: int) -> list[str]:
    """Return addresses of real servers that nobody has."""
    return [f"192.168.{16 + number // 250}.{1 + number % 250}" for number in range(count)]


def _write_program(path: Path, text: str) -> None:
    """Write a shell script that everybody may run."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _configuration(folder: Path, watches: Mapping[str, Sequence[str]], options: str) -> str:
    """Return a mon.cf with a watch for each hostgroup, whose monitor finds all hosts dead."""
    (folder / "mon.d").mkdir()
    _write_program(folder / "mon.d" / "down.monitor", 'echo "$@"; exit 1')
    head = (
        f"mondir = {folder}/mon.d\n"
        "alertdir = /usr/local/lib/mon/alert.d\n"
        "serverbind = 127.0.0.1\ntrapbind = 127.0.0.1\nmaxprocs = 200\nrandstart = 1s\n\n"
    )
    groups = "".join(f"hostgroup {name} {' '.join(hosts)}\n\n" for name, hosts in watches.items())
    return (
        head
        + groups
        + "".join(
            f"watch {name}\n"
            "    service http\n"
            "        interval 1h\n"
            "        monitor down.monitor\n"
            "        period wd {Sun-Sat}\n"
            f"            alert lvs.alert -V 10.0.0.3:80 {options.replace('HOST', hosts[0])}\n\n"
            for name, hosts in watches.items()
        )
    )


def _fill(director: Director, hosts: Sequence[str]) -> None:
    """Put all hosts into the table, in one batch."""
    rules = [SERVICE, *(f"-a -t 10.0.0.3:80 -r {host} -g -w 5" for host in hosts)]
    director.ipvsadm("-R", stdin="".join(f"{rule}\n" for rule in rules))
    assert len(director.table) == len(rules)


def test_a_hundred_alerts_at_once(lab: Topology, folder: Path) -> None:
    """A hundred servers with a watch each die in one second, and each alert finds its entry."""
    director = lab.director1
    hosts = _hosts(100)
    _fill(director, hosts)
    watches = {f"www{number}": [host] for number, host in enumerate(hosts, start=1)}
    configuration = _configuration(folder, watches, f"-R HOST {PATIENCE}")
    with director.mon(folder, configuration) as mon:
        director.wait_for_table(SERVICE)
        # mon logs that it calls them; each of them logs what it did.
        wait_until(
            lambda: sum("weight 5, is out" in line for line in mon.syslog.lines) == len(hosts),
            lambda: f"a line in syslog for each of {len(hosts)} servers",
            pause=0.2,
        )
    assert not [line for line in mon.syslog.lines if "lvs.alert: " in line]


def test_five_hundred_servers_are_lost_in_one_batch(lab: Topology, folder: Path) -> None:
    """An alert that loses five hundred servers runs ipvsadm -R once, and the table is right."""
    director = lab.director1
    hosts = _hosts(500)
    _fill(director, hosts)
    calls = folder / "calls"
    calls.touch()
    calls.chmod(0o666)
    _write_program(folder / "ipvsadm", f'echo "$*" >>{calls}\nexec ipvsadm "$@"')
    configuration = _configuration(folder, {"www": hosts}, PATIENCE)
    environment = {"LVSALERT_IPVSADM": str(folder / "ipvsadm")}
    with director.mon(folder, configuration, environment) as mon:
        director.wait_for_table(SERVICE)
        wait_until(
            lambda: sum("weight 5, is out" in line for line in mon.syslog.lines) == len(hosts),
            lambda: f"a line in syslog for each of {len(hosts)} servers",
            pause=0.2,
        )
    written = [call for call in calls.read_text().splitlines() if not call.startswith(("-S", "-L"))]
    assert written == ["-R"]
