"""Scenario 2: the group example in every way that a packet can take to a real server."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.lab.configuration import group

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.lab.topology import Topology

ADDRESSES = ("192.168.0.1", "192.168.0.2", "192.168.0.3")
ADDRESSES6 = ("2001:db8::11", "2001:db8::12", "2001:db8::13")


@dataclass(frozen=True)
class Way:
    """How a service is reached: lvs.alert's options, and the rules that they shall lead to.

    `rule` is what `ipvsadm -Sn` says of a destination, from its address on.
    """

    options: Mapping[str, str]
    service: str
    rule: str
    asked: tuple[str, ...] = ("10.0.0.3:80",)
    addresses: tuple[str, ...] = ADDRESSES
    monitor: str = "http.monitor"
    udp: bool = False
    commands: tuple[str, ...] = field(default=())

    def table(self, *numbers: int) -> list[str]:
        """Return the table with these real servers in."""
        rules = (self.rule.replace("ADDRESS", self.addresses[number - 1]) for number in numbers)
        return [f"-A {self.service} -s rr", *(f"-a {self.service} -r {rule}" for rule in rules)]


DIRECT_ROUTING = Way({"forwarding": "dr"}, "-t 10.0.0.3:80", "ADDRESS:80 -g -w 5")
MASQUERADING = Way(
    {"forwarding": "nat", "real_port": "8080"},
    "-t 10.0.0.3:80",
    "ADDRESS:8080 -m -w 5",
    monitor="http.monitor -p 8080",
)
TUNNELLING = Way({"forwarding": "tun"}, "-t 10.0.0.3:80", "ADDRESS:80 -i -w 5 --tun-type ipip")
UDP = Way(
    {"protocol": "udp", "virtual_service": "10.0.0.3:7"},
    "-u 10.0.0.3:7",
    "ADDRESS:7 -g -w 5",
    asked=("10.0.0.3:7",),
    monitor="fping.monitor -r 1 -t 1000",
    udp=True,
)
IPV6 = Way(
    {"virtual_service": "[2001:db8::3]:80"},
    "-t [2001:db8::3]:80",
    "[ADDRESS]:80 -g -w 5",
    asked=("[2001:db8::3]:80",),
    addresses=ADDRESSES6,
)
FWMARK = Way(
    {"protocol": "fwm", "virtual_service": "7"},
    "-f 7",
    "ADDRESS:0 -g -w 5",
    asked=("10.0.0.3:80", "10.0.0.3:443"),
    commands=(
        "add table ip lab",
        "add chain ip lab marks { type filter hook prerouting priority mangle; }",
        "add rule ip lab marks ip daddr 10.0.0.3 tcp dport { 80, 443 } meta mark set 7",
    ),
)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(DIRECT_ROUTING, id="direct-routing"),
        pytest.param(MASQUERADING, id="masquerading"),
        pytest.param(TUNNELLING, id="tunnelling"),
        pytest.param(UDP, id="udp"),
        pytest.param(IPV6, id="ipv6"),
        pytest.param(FWMARK, id="fwmark"),
    ],
)
def test_a_real_server_dies_and_comes_back(lab: Topology, folder: Path, way: Way) -> None:
    """mon makes the service; real server 1 dies, no request fails once it is out; it comes back."""
    director, client = lab.director1, lab.client
    for server in lab.real_servers:
        (server.echo if way.udp else server.web).start()
    director.filter_packets(*way.commands)

    with director.mon(folder, group(way.addresses, way.options, monitor=way.monitor)):
        director.wait_for_table(*way.table(1, 2, 3))
        with client.asking(*way.asked, udp=way.udp) as answers:
            answers.wait_for_server("real1", "real2", "real3")

            if way.udp:
                lab.real_servers[0].unplug()
            else:
                lab.real_servers[0].web.kill()
            director.wait_for_table(*way.table(2, 3))
            gone = time.monotonic()
            answers.wait_for(10)
            assert answers.servers_since(gone) == {"real2", "real3"}

            if way.udp:
                lab.real_servers[0].plug_in()
            else:
                lab.real_servers[0].web.start()
            director.wait_for_table(*way.table(1, 2, 3))
            answers.wait_for_server("real1", "real2", "real3")
            assert answers.failures_since(gone) == []
