"""What lvs.alert remembers: causes, floor, fallback, witness, slow start, drain, undo."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from tests.harness.waiting import patience, wait_until
from tests.lab.addresses import VIP
from tests.lab.configuration import LVS_DIRECTOR, group
from tests.lab.topology import STATE, Topology

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = ("192.168.0.1", "192.168.0.2", "192.168.0.3")
WEB = f"{VIP}:80"
SERVICE = "-A -t 10.0.0.3:80 -s rr"
ONE, TWO, THREE = (f"-a -t 10.0.0.3:80 -r {host}:80 -g -w 5" for host in HOSTS)
ALL = (SERVICE, ONE, TWO, THREE)
NO_ECHO = (
    "add table ip lab",
    "add chain ip lab checks { type filter hook input priority 0; }",
    "add rule ip lab checks icmp type echo-request drop",
)


def with_ping(text: str) -> str:
    """Return a mon.cf whose group is also pinged, by a service of its own."""
    found = re.search(
        r"^    service http\n.*?redistribute lvs\.alert\n", text, re.DOTALL | re.MULTILINE
    )
    assert found is not None
    ping = found[0].replace("service http", "service ping")
    ping = ping.replace("monitor http.monitor", "monitor fping.monitor -r 1 -t 1500")
    return text.replace(found[0], found[0] + ping)


def test_two_causes_keep_a_server_out(lab: Topology, folder: Path) -> None:
    """What ping and http both say is dead comes back only when both say it is well."""
    director, server = lab.director1, lab.real_servers[0]
    lab.start_web()
    with director.mon(folder, with_ping(group(HOSTS))) as mon:
        for first in ("http", "ping"):
            director.wait_for_table(*ALL)
            server.web.kill()
            server.filter_packets(*NO_ECHO)
            wait_until(
                lambda: {"www/http", "www/ping"} <= set(re.findall(r"www/\w+", _status(lab))),
                lambda: f"both causes are there\n{_status(lab)}",
                pause=2,
            )
            director.wait_for_table(SERVICE, TWO, THREE)
            if first == "http":
                server.web.start()
            else:
                server.filter_packets()
            for _ in range(2):
                mon.wait_for_check("www", first)
            assert director.table == [SERVICE, TWO, THREE]
            if first == "http":
                server.filter_packets()
            else:
                server.web.start()
        director.wait_for_table(*ALL)


def test_a_wrong_check_leaves_the_floor(lab: Topology, folder: Path) -> None:
    """A check that fails for all servers leaves so many in as --min-in asks, and syslog says so."""
    director = lab.director1
    lab.start_web()
    wrong = group(HOSTS, {"min_in": "2"}, monitor="http.monitor -m no-such-words")
    director.lay(*ALL)
    with director.mon(folder, wrong) as mon, lab.client.asking(WEB) as web:
        wait_until(lambda: len(director.table) == 3, lambda: f"{director.table}", pause=0.5)
        assert director.table[0] == SERVICE
        mon.syslog.wait_for("kept in")
        begun = web.wait_for(5)
        assert web.failures_since(begun) == []


def test_the_fallback_stands_in(lab: Topology, folder: Path) -> None:
    """With no real server left the fallback is in, with weight 1, and out with the first back."""
    director = lab.director1
    lab.start_web()
    text = group(HOSTS[:2], {"fallback": HOSTS[2]})
    with director.mon(folder, text), lab.client.asking(WEB) as web:
        director.wait_for_table(SERVICE, ONE, TWO)
        for server in lab.real_servers[:2]:
            server.web.kill()
        director.wait_for_table(SERVICE, THREE.replace("-w 5", "-w 1"))
        web.wait_for_server("real3")
        lab.real_servers[1].web.start()
        director.wait_for_table(SERVICE, TWO)


def test_a_director_that_is_cut_off_keeps_its_table(lab: Topology, folder: Path) -> None:
    """With its cable out the director asks its witness in vain, and takes nobody out."""
    director = lab.director1
    lab.start_web()
    text = group(HOSTS, {"witness": "10.0.0.100"}, monitor="http.monitor -t 2")
    with director.mon(folder, text) as mon:
        director.wait_for_table(*ALL)
        director.unplug()
        mon.syslog.wait_for("no witness answers")
        assert director.table == list(ALL)
        director.plug_in()
        mon.wait_for_check("www", "http")
        lab.real_servers[0].web.kill()
        director.wait_for_table(SERVICE, TWO, THREE)


def test_a_server_comes_back_slowly(lab: Topology, folder: Path) -> None:
    """A server that comes back starts with a tenth of its weight, and ends with all of it."""
    director, server = lab.director1, lab.real_servers[0]
    lab.start_web()
    text = group(HOSTS, {"weight": "100", "slow_start": "15"})
    with director.mon(folder, text):
        director.wait_for_table(SERVICE, *(each.replace("-w 5", "-w 100") for each in ALL[1:]))
        server.web.kill()
        director.wait_for_table(SERVICE, *(each.replace("-w 5", "-w 100") for each in ALL[2:]))
        server.web.start()
        seen = [0]

        def climbed() -> bool:
            found = re.search(r"-r 192\.168\.0\.1:80 -g -w (\d+)", "\n".join(director.table))
            weight = int(found[1]) if found else 0
            if weight != seen[-1]:
                seen.append(weight)
            return weight == 100

        wait_until(climbed, lambda: f"the weights were {seen}", pause=0.2)
        assert seen == sorted(seen)
        assert len(seen) > 3, f"it did not climb in steps: {seen}"
        assert seen[1] < 50


def test_a_drain_waits_for_its_connections(lab: Topology, folder: Path) -> None:
    """A drained server keeps its connection, `--wait` ends with that, and undo takes it back."""
    director, client = lab.director1, lab.client
    lab.start_web()
    with director.mon(folder, group(HOSTS[:1])):
        director.wait_for_table(SERVICE, ONE)
        with client.connected(WEB) as connection:
            assert connection.ask() == "real1"
            with director.inside():
                waiting = subprocess.Popen(
                    [LVS_DIRECTOR, "drain", HOSTS[0], "--wait", "200"],
                    stdout=subprocess.PIPE,
                    text=True,
                )
            director.wait_for_table(SERVICE, ONE.replace("-w 5", "-w 0"))
            assert connection.ask() == "real1"
            assert waiting.poll() is None
        said, _ = waiting.communicate(timeout=patience())
        assert waiting.returncode == 0, said
        assert director.table == [SERVICE, ONE.replace("-w 5", "-w 0")]
        director.do(LVS_DIRECTOR, "undo", "--yes")
        director.wait_for_table(SERVICE, ONE)


def test_a_broken_ledger_keeps_nobody_from_the_table(lab: Topology, folder: Path) -> None:
    """With its ledger destroyed under it, the alert goes on, begins a new one and says so."""
    director = lab.director1
    lab.start_web()
    with director.mon(folder, group(HOSTS)) as mon:
        director.wait_for_table(*ALL)

        def is_noticed() -> bool:
            # A run that has it open would mend it from its own write-ahead log.
            for part in STATE.glob("ledger.db-*"):
                part.unlink(missing_ok=True)
            (STATE / "ledger.db").write_bytes(b"no database" * 1000)
            return any(STATE.glob("ledger.db.broken-*"))

        wait_until(is_noticed, "the broken ledger is moved aside", pause=2)
        lab.real_servers[0].web.kill()
        director.wait_for_table(SERVICE, TWO, THREE)
        mon.syslog.wait_for("moved aside")
        lab.real_servers[0].web.start()
        director.wait_for_table(*ALL)


def _status(lab: Topology) -> str:
    done = lab.director1.run(LVS_DIRECTOR, "status")
    return f"{done.stdout}{done.stderr}"
