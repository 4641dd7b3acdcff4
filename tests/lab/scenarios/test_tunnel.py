"""Tunnels of every type on the real kernel: out and in again as they were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.configuration import LVS_DIRECTOR

if TYPE_CHECKING:
    from tests.lab.topology import Topology

ALERT = (str(Path(LVS_DIRECTOR).with_name("lvs-alert")), "-V", "10.0.0.3:80", "-F", "tun")
SERVICE = "-A -t 10.0.0.3:80 -s rr"
TUNNELS = {
    "192.168.0.1": "--tun-type gue --tun-port 6080 --tun-remcsum",
    "192.168.0.2": "--tun-type gre --tun-csum",
    "2001:db8::13": "--tun-type ipip",
}


def test_a_tunnel_comes_back_as_it_was(lab: Topology) -> None:
    """The kernel forgets it with the entry; one that is asked for takes its place."""
    director = lab.director1
    entries = {
        host: f"-a -t 10.0.0.3:80 -r {f'[{host}]' if ':' in host else host}:80 -i -w 5 {tunnel}"
        for host, tunnel in TUNNELS.items()
    }
    director.lay(SERVICE, *entries.values())
    before = director.table
    assert sorted(before) == sorted([SERVICE, *entries.values()])
    for host in TUNNELS:
        director.do(*ALERT, "-R", host)
    assert director.table == [SERVICE]
    for host in TUNNELS:
        director.do(*ALERT, "-R", host, "-W", "5", "-u")
    assert sorted(director.table) == sorted(before)
    director.do(*ALERT, "-R", "192.168.0.1", "-W", "5", "-u", "--tunnel", "gre")
    asked = entries["192.168.0.1"].replace(TUNNELS["192.168.0.1"], "--tun-type gre --tun-nocsum")
    assert asked in director.table
