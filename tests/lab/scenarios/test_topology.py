"""The lab itself: a client reaches real servers through the director in every way."""

from __future__ import annotations

import pytest

from tests.lab.addresses import GATEWAY, VIP, VIP6
from tests.lab.topology import Topology

NAMES = {"real1", "real2", "real3"}


@pytest.mark.parametrize("method", ["-g", "-i"])
def test_the_client_reaches_every_real_server(lab: Topology, method: str) -> None:
    """Direct routing and tunnelling bring the client to each real server's web server."""
    lab.director1.lay(
        f"-A -t {VIP}:80 -s rr",
        *(f"-a -t {VIP}:80 -r {server.address} {method}" for server in lab.real_servers),
    )
    lab.start_web()
    _all_serve(lab, f"{VIP}:80")


def test_masquerading_maps_the_port(lab: Topology) -> None:
    """Masquerading brings the client from port 80 to the real servers' port 8080 and back."""
    _masquerade(lab)


def test_a_scenario_finds_no_old_neighbours(lab: Topology) -> None:
    """A real server that took another host for the gateway does so no more after a reset."""
    for server in lab.real_servers:
        server.ip([f"neigh replace {GATEWAY} lladdr 02:00:00:00:00:01 nud stale dev eth0"])
    lab.reset()
    _masquerade(lab)


def test_direct_routing_in_ipv6(lab: Topology) -> None:
    """Direct routing works in IPv6 too."""
    lab.director1.lay(
        f"-A -t [{VIP6}]:80 -s rr",
        *(f"-a -t [{VIP6}]:80 -r [{server.address6}]:80 -g" for server in lab.real_servers),
    )
    lab.start_web()
    _all_serve(lab, f"[{VIP6}]:80")


@pytest.mark.parametrize("method", ["-g", "-i", "-m"])
def test_udp(lab: Topology, method: str) -> None:
    """Datagrams reach the echo servers and come back."""
    lab.director1.lay(
        f"-A -u {VIP}:7 -s rr",
        *(f"-a -u {VIP}:7 -r {server.address} {method}" for server in lab.real_servers),
    )
    for server in lab.real_servers:
        server.echo.start()
    _all_serve(lab, f"{VIP}:7", udp=True)


def _all_serve(lab: Topology, place: str, *, udp: bool = False) -> None:
    """Have the client ask until every real server has answered, and nobody failed."""
    with lab.client.asking(place, udp=udp) as answers:
        begun = answers.wait_for(6)
    assert answers.servers_since(begun) == NAMES
    assert answers.failures_since(begun) == []


def _masquerade(lab: Topology) -> None:
    """Have the client reach each real server's port 8080 by the service's port 80, and back."""
    lab.director1.lay(
        f"-A -t {VIP}:80 -s rr",
        *(f"-a -t {VIP}:80 -r {server.address}:8080 -m" for server in lab.real_servers),
    )
    lab.start_web()
    _all_serve(lab, f"{VIP}:80")
