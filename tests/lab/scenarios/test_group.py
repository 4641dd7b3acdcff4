"""Scenarios 3 to 5: a group through deaths in parts, mon's own deaths, and somebody's hands."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from tests.lab.configuration import group

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.topology import Topology

HOSTS = ("192.168.0.1", "192.168.0.2", "192.168.0.3")
VIP_WEB = "10.0.0.3:80"
SERVICE = "-A -t 10.0.0.3:80 -s rr"
DESTINATIONS = tuple(f"-a -t 10.0.0.3:80 -r {host}:80 -g -w 5" for host in HOSTS)
ALL = (SERVICE, *DESTINATIONS)


def test_all_die_and_come_back(lab: Topology, folder: Path) -> None:
    """Without a resident all servers die, the service stands empty; they come back together."""
    director = lab.director1
    lab.start_web()
    alone = director.mon(folder, group(HOSTS), has_resident=False)
    with alone, lab.client.asking(VIP_WEB) as web:
        director.wait_for_table(*ALL)
        for server in lab.real_servers:
            server.web.kill()
        director.wait_for_table(SERVICE)
        lab.start_web()
        director.wait_for_table(*ALL)
        back = web.wait_for_server("real1", "real2", "real3")
        assert web.failures_since(back) == []


def test_two_die_and_one_returns(lab: Topology, folder: Path) -> None:
    """A partial recovery puts in the one that recovered; no request fails meanwhile."""
    director = lab.director1
    lab.start_web()
    with director.mon(folder, group(HOSTS)), lab.client.asking(VIP_WEB) as web:
        director.wait_for_table(*ALL)
        lab.real_servers[0].web.kill()
        lab.real_servers[1].web.kill()
        director.wait_for_table(SERVICE, DESTINATIONS[2])
        gone = time.monotonic()
        web.wait_for(5)
        assert web.servers_since(gone) == {"real3"}
        lab.real_servers[1].web.start()
        director.wait_for_table(SERVICE, DESTINATIONS[1], DESTINATIONS[2])
        web.wait_for_server("real2", "real3")
        assert web.servers_since(gone) == {"real2", "real3"}
        assert web.failures_since(gone) == []


def test_mon_is_killed_while_a_server_is_out(lab: Topology, folder: Path) -> None:
    """A server that recovers while mon is dead comes back when mon does; nobody notices."""
    director = lab.director1
    lab.start_web()
    with director.mon(folder, group(HOSTS)) as mon, lab.client.asking(VIP_WEB) as web:
        director.wait_for_table(*ALL)
        lab.real_servers[0].web.kill()
        director.wait_for_table(SERVICE, *DESTINATIONS[1:])
        gone = time.monotonic()
        mon.kill()
        lab.real_servers[0].web.start()
        web.wait_for(5)
        assert director.table == [SERVICE, *DESTINATIONS[1:]]
        mon.start()
        director.wait_for_table(*ALL)
        web.wait_for_server("real1")
        assert web.failures_since(gone) == []


def test_a_reset_changes_nothing(lab: Topology, folder: Path) -> None:
    """A HUP to mon leaves the table as it is, and mon's work goes on."""
    director = lab.director1
    lab.start_web()
    with director.mon(folder, group(HOSTS)) as mon, lab.client.asking(VIP_WEB) as web:
        director.wait_for_table(*ALL)
        begun = time.monotonic()
        mon.signal(signal.SIGHUP)
        mon.syslog.wait_for("resetting, and re-reading configuration")
        mon.wait_for_check("www", "http")
        web.wait_for(5)
        assert director.table == list(ALL)
        assert web.failures_since(begun) == []
        lab.real_servers[0].web.kill()
        director.wait_for_table(SERVICE, *DESTINATIONS[1:])


def test_somebody_changes_the_table(lab: Topology, folder: Path) -> None:
    """What somebody did by hand is undone by the next check."""
    director = lab.director1
    lab.start_web()
    with director.mon(folder, group(HOSTS)) as mon, lab.client.asking(VIP_WEB) as web:
        for command in (
            "-C",
            "-D -t 10.0.0.3:80",
            "-d -t 10.0.0.3:80 -r 192.168.0.1",
            "-e -t 10.0.0.3:80 -r 192.168.0.1 -g -w 9",
        ):
            director.wait_for_table(*ALL)
            director.ipvsadm(*command.split())
            assert director.table != list(ALL), f"{command} changed nothing"
            # The check that runs while the table is changed may have read it before.
            mon.wait_for_check("www", "http")
        director.wait_for_table(*ALL)
        web.wait_for_server("real1", "real2", "real3")
