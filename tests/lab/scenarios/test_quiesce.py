"""Scenario 6: a real server that is quiesced and not deleted."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.lab.configuration import group

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.client import Client, OpenConnection
    from tests.lab.topology import Topology

HOSTS = ("192.168.0.1", "192.168.0.2", "192.168.0.3")
VIP_WEB = "10.0.0.3:80"
SERVICE = "-A -t 10.0.0.3:80 -s rr"
FIRST = "-a -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w"
OTHERS = tuple(f"-a -t 10.0.0.3:80 -r {host}:80 -g -w 5" for host in HOSTS[1:])
# What keeps the director's checks from the web server and lets clients through.
REFUSE_THE_DIRECTOR = (
    "add table ip lab",
    "add chain ip lab checks { type filter hook input priority 0; }",
    "add rule ip lab checks ip saddr 192.168.0.251 tcp dport 80 reject with tcp reset",
)


def _connected_to(name: str, client: Client, stack: ExitStack) -> OpenConnection:
    """Open connections until one has come to the real server of that name."""
    for _ in HOSTS:
        connection = stack.enter_context(client.connected(VIP_WEB))
        if connection.ask() == name:
            return connection
    raise AssertionError(f"no connection came to {name}")


def test_an_open_connection_goes_on(lab: Topology, folder: Path) -> None:
    """A quiesced server keeps its connections and its thresholds; new ones go elsewhere."""
    director, client = lab.director1, lab.client
    lab.start_web()
    with ExitStack() as stack:
        stack.enter_context(director.mon(folder, group(HOSTS, {"quiesce": "1"})))
        director.wait_for_table(SERVICE, f"{FIRST} 5", *OTHERS)
        director.ipvsadm(
            "-e", "-t", VIP_WEB, "-r", HOSTS[0], *["-g", "-w", "5", "-x", "1000", "-y", "900"]
        )
        web = stack.enter_context(client.asking(VIP_WEB))
        connection = _connected_to("real1", client, stack)

        lab.real_servers[0].filter_packets(*REFUSE_THE_DIRECTOR)
        director.wait_for_table(SERVICE, f"{FIRST} 0", *OTHERS)
        quiesced = time.monotonic()
        web.wait_for(10)
        assert web.servers_since(quiesced) == {"real2", "real3"}
        assert connection.ask() == "real1"
        assert director.thresholds_of("192.168.0.1:80") == [("1000", "900")]

        lab.real_servers[0].filter_packets()
        director.wait_for_table(SERVICE, f"{FIRST} 5", *OTHERS)
        web.wait_for_server("real1")
        assert connection.ask() == "real1"
        assert director.thresholds_of("192.168.0.1:80") == [("1000", "900")]
        assert web.failures_since(quiesced) == []
