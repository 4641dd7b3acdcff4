"""Two of the director's files under the real heartbeat, as with two ldirectords: one mon."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from tests.harness.waiting import wait_until
from tests.lab.addresses import VIP
from tests.lab.configuration import EXAMPLES, LVS_DIRECTOR
from tests.lab.managers import Heartbeat
from tests.lab.node import Node
from tests.lab.pieces import File, Pieces

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.topology import Topology

LDIRECTORD = "/etc/ha.d/resource.d/ldirectord"
WWW = """
checkinterval = 3
negotiatetimeout = 10
quiescent = no
virtual = {vip}:{port}
    real = 192.168.0.1:{port} gate
    real = 192.168.0.2:{port} gate
    service = http
    receive = "^real[0-9]"
    scheduler = rr
"""
PORTS = {"a": 80, "b": 8080}


def _pieces() -> Pieces:
    """Return heartbeat's example files, for a director that runs both files and is alone."""
    ha_d = EXAMPLES / "ha.d"
    ha_cf = re.sub(r"^initdead .*", "initdead 10", (ha_d / "ha.cf").read_text(), flags=re.MULTILINE)
    resources = " ".join(f"ldirectord::{name}" for name in PORTS)
    files = {
        "etc/ha.d/ha.cf": File(ha_cf),
        "etc/ha.d/haresources": File(f"lvs1.domain.com {resources} {VIP}\n"),
        "etc/ha.d/authkeys": File((ha_d / "authkeys").read_text(), 0o600),
    }
    for name, port in PORTS.items():
        files[f"etc/ha.d/{name}.cf"] = File(WWW.format(vip=VIP, port=port))
    return Pieces(files, Heartbeat())


def _table(name: str, *servers: int) -> list[str]:
    """Return the rules of a file's service with these real servers in."""
    port = PORTS[name]
    reals = [f"-a -t {VIP}:{port} -r 192.168.0.{each}:{port} -g -w 1" for each in servers]
    return [f"-A -t {VIP}:{port} -s rr", *reals]


def test_a_stop_of_one_file_leaves_the_checks_of_the_other(lab: Topology, folder: Path) -> None:
    """A dead server leaves the services of both files; with one file stopped, that of the other."""
    pieces, tree = _pieces(), folder / "tree"
    install = [LVS_DIRECTOR, "install", "--heartbeat", "--root", str(tree)]
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    first, second = lab.real_servers[:2]
    lab.director1.unplug()
    node = Node("lvs1", "10.0.0.11", "192.168.0.241", "2001:db8::a1", folder)
    try:
        for server in (first, second):
            server.web.start()
        node.boot(tree / "etc", pieces)
        node.join(pieces)
        # The address is the last of the resources.
        wait_until(lambda: node.has_address, node.story, pause=0.5)
        assert node.table == [*_table("a", 1, 2), *_table("b", 1, 2)]
        first.web.kill()
        node.wait_for_table(*_table("a", 2), *_table("b", 2))
        first.web.start()
        node.wait_for_table(*_table("a", 1, 2), *_table("b", 1, 2))

        node.do(LDIRECTORD, "a", "stop")
        assert node.table == _table("b", 1, 2)
        assert node.run(LDIRECTORD, "a", "status").stdout == "stopped\n"
        second.web.kill()
        node.wait_for_table(*_table("b", 1))
        assert node.run(LDIRECTORD, "b", "status").stdout == "running\n"
    except AssertionError:
        print(node.story())
        raise
    finally:
        if node.is_on:
            node.cut_power()
        lab.director1.plug_in()
