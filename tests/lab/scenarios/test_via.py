"""Checks by way of the virtual address: what they find that no other does, and what misleads them.

Each fault is of a real server that answers at its own address all the while. Each trap is one that
would have such a check say good of a dead server, or condemn a healthy one.
"""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple

import pytest

from tests.harness.nginx import Site
from tests.lab.addresses import GATEWAY, VIP, VIP6
from tests.lab.by_way import (
    ACCEPT_LOCAL,
    AS_MON,
    DR,
    IN_FILTER,
    IN_INPUT,
    IN_OUTPUT,
    NAT,
    SERVICE,
    TUN,
    WITH_BOTH,
    Answer,
    by_way,
    check,
    ip,
    tell_nothing,
    without_address,
)
from tests.lab.configuration import LVS_DIRECTOR
from tests.lab.realserver import BY_DIRECTOR, HostNginx
from tests.lab.topology import STATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tests.lab.director import Director
    from tests.lab.realserver import RealServer
    from tests.lab.topology import Topology


@contextmanager
def firewall(
    real: RealServer, verdict: str, what: str = f"ip daddr {VIP} tcp dport 80"
) -> Iterator[None]:
    """Have packets to the virtual address dropped or refused, or others."""
    real.filter_packets(*IN_INPUT, f"add rule inet f i {what} {verdict}")
    yield
    real.filter_packets()


@contextmanager
def filtered_by_way_back(real: RealServer) -> Iterator[None]:
    """Have what comes out of the tunnel dropped where answers would not go into it."""
    real.set_sysctls({"ipv4/conf/tunl0/rp_filter": 1})
    yield
    real.set_sysctls({"ipv4/conf/tunl0/rp_filter": 0})


@contextmanager
def other_web(real: RealServer, *sites: Site) -> Iterator[None]:
    """Have another web server in the place of the first."""
    real.web.kill()
    folder = real.folder / f"nginx-{len(list(real.folder.iterdir()))}"
    other = HostNginx(real, folder, sites)
    other.start()
    try:
        yield
    finally:
        other.kill()
        real.web.start()


def on_own_address(real: RealServer) -> AbstractContextManager[None]:
    """Have the web server listen at the server's own address only."""
    return other_web(real, Site([f"{real.address}:80"], "location / { return 200; }"))


def broken_host(real: RealServer) -> AbstractContextManager[None]:
    """Have the web server answer with an error at the virtual address."""
    good = Site([f"{real.address}:80"], "location / { return 200; }")
    return other_web(real, good, Site([f"{VIP}:80"], "location / { return 503; }"))


def other_way_back(real: RealServer) -> AbstractContextManager[None]:
    """Have masqueraded answers go to a gateway that there is not."""
    wrong = f"route replace 10.0.0.0/24 via 192.168.0.77 table {BY_DIRECTOR}"
    return ip(real, wrong, f"route replace 10.0.0.0/24 via {GATEWAY} table {BY_DIRECTOR}")


PORT = 6080
GRE, GUE = (*TUN, "--tunnel", "gre"), (*TUN, "--tunnel", f"gue:{PORT}")
SILENT, REFUSED = "timed out after 2 s, no connection", "Connection refused"


class Fault(NamedTuple):
    """What is wrong, the words of the check that finds it, and what it says, also on a standby."""

    hurt: Callable[[RealServer], AbstractContextManager[object]]
    words: tuple[str, ...]
    said: str
    on_standby: str | None = None
    address: str = VIP


FAULTS = {
    "the virtual address is missing": Fault(
        lambda real: without_address(real, forwards=False), DR, SILENT, SILENT
    ),
    "it is missing, and the server forwards": Fault(
        lambda real: without_address(real, forwards=True), DR, "No route to host", "No route to"
    ),
    "the program listens at its own address": Fault(on_own_address, DR, REFUSED),
    "the virtual host is broken": Fault(broken_host, DR, "status 503 is not accepted"),
    "a firewall drops": Fault(lambda real: firewall(real, "drop"), DR, SILENT),
    "a firewall refuses": Fault(lambda real: firewall(real, "reject"), DR, REFUSED),
    "the tunnel is down": Fault(
        lambda real: ip(real, "link set tunl0 down", "link set tunl0 up"), TUN, REFUSED, SILENT
    ),
    "the tunnel's packets are filtered": Fault(
        lambda real: firewall(real, "drop", "ip protocol ipencap"), TUN, SILENT
    ),
    "what comes out of the tunnel is filtered by its way back": Fault(
        filtered_by_way_back, TUN, SILENT
    ),
    "the tunnel over IPv6 is down": Fault(
        lambda real: ip(real, "link set ip6tnl0 down", "link set ip6tnl0 up"),
        TUN,
        SILENT,
        address=VIP6,
    ),
    "the GRE tunnel is down": Fault(
        lambda real: ip(real, "link set gre0 down", "link set gre0 up"), GRE, REFUSED
    ),
    "the port of the GUE tunnel is closed": Fault(
        lambda real: ip(real, f"fou del port {PORT}", f"fou add port {PORT} gue"), GUE, REFUSED
    ),
    "the virtual address of IPv6 is missing": Fault(
        lambda real: ip(
            real, f"address del {VIP6}/128 dev lo", f"address add {VIP6}/128 dev lo nodad"
        ),
        DR,
        SILENT,
        address=VIP6,
    ),
    "the way back is not by the director": Fault(other_way_back, NAT, SILENT),
}


@pytest.fixture(scope="module")
def tunnels(topology: Topology) -> Iterator[None]:
    """The first two real servers take every kind of tunnel."""
    subprocess.run(["modprobe", "-a", "ip_gre", "ip6_tunnel", "fou"], check=True)
    for real in topology.real_servers[:2]:
        real.ip(["link set gre0 up", "link set ip6tnl0 up", f"fou add port {PORT} gue"])
    yield
    for real in topology.real_servers[:2]:
        real.ip(["link set gre0 down", "link set ip6tnl0 down", f"fou del port {PORT}"])


@pytest.mark.usefixtures("tunnels")
def test_faults_that_the_ordinary_check_passes(via: Topology) -> None:
    """Each is found by way of the virtual address, and the server beside it is good."""
    real = via.real_servers[0]
    missed = []
    for name, fault in FAULTS.items():
        own = real.address6 if ":" in fault.address else real.address
        with fault.hurt(real):
            answers = [by_way(via.director1, *fault.words, address=fault.address)]
            if fault.on_standby is not None:
                answers.append(by_way(via.director2, *fault.words, address=fault.address))
            ordinary = check(via.director1, own)
        for answer, said in zip(answers, (fault.said, fault.on_standby)):
            if answer[:2] != (1, own) or f"HOST {own}: {said}" not in answer.said:
                missed.append(f"{name}: {answer}")
        if ordinary.status != 0:
            missed.append(f"{name}: ordinary {ordinary}")
    for words, address in dict.fromkeys((each.words, each.address) for each in FAULTS.values()):
        healed = by_way(via.director1, *words, address=address)
        if healed.status != 0:
            missed.append(f"healed {healed}")
    assert not missed, "\n".join(missed)


def _connections(director: Director) -> int:
    """Return how many connections the last real server of the service has."""
    return sum(map(int, director.ipvsadm("-Ln", "-t", f"{VIP}:80").split()[-2:]))


@pytest.mark.usefixtures("tunnels")
def test_every_way_and_protocol(via: Topology) -> None:
    """Direct routing, masquerading with and without another port, tunnels; on both directors."""
    wrong: list[tuple[object, Answer]] = []
    for director in (via.director1, via.director2):
        # The real service's only server is another one, and takes nothing.
        director.lay(SERVICE, f"-a -t {VIP}:80 -r 192.168.0.3:80 -g -w 0")
        before = _connections(director)
        asked = [(words, VIP) for words in (DR, NAT, TUN, GRE, GUE, (*TUN, "-p", "8080"))]
        asked += [((*NAT, "-p", "8080"), f"{VIP}:80")]
        asked += [(words, VIP6) for words in (DR, NAT, TUN)]
        wrong += [(each, by_way(director, *each[0], address=each[1])) for each in asked]
        # Old ones end meanwhile.
        assert _connections(director) <= before
    director, real = via.director1, via.real_servers[0]
    wrong.append(("tcp.monitor", by_way(director, "-p", "80", monitor="tcp.monitor")))
    real.ftp.start()
    ftp = ("--via", VIP)
    masqueraded = check(director, *ftp, *NAT, real.address, monitor="ftp.monitor")
    wrong.append(("ftp.monitor", masqueraded))
    # It listens at its own address only.
    refused = check(director, *ftp, real.address, monitor="ftp.monitor")
    assert (refused.status, refused.named) == (1, real.address)
    page = Site([f"{VIP}:80"], "location /a { return 301 /b; } location /b { return 200 there; }")
    with other_web(real, page):
        for words in (
            ("--follow",),
            ("--follow", "--user", "me", "--password-file", "/etc/passwd"),
        ):
            way = ("--status", "200", "-u", "/a", "-m", "there", "--via", VIP, real.address)
            wrong.append((words, check(director, *words, *way)))
    assert [each for each in wrong if each[1].status != 0] == []


def test_content_that_only_clients_get(via: Topology) -> None:
    """Compared by way of the virtual address, it differs; at the servers' own it is the same."""
    director, (real, *others) = via.director1, via.real_servers
    for each in others:
        each.say("new")
    hosts = [each.address for each in via.real_servers]
    new = Site([f"{real.address}:80"], 'location / { return 200 "new\\n"; }')
    with other_web(real, new, Site([f"{VIP}:80"], 'location / { return 200 "old\\n"; }')):
        found = check(director, "--via", VIP, "--agree", *hosts)
        ordinary = check(director, "--agree", *hosts)
        # A host that could not be judged leaves no majority to go by.
        lost = check(director, "--via", VIP, "--agree", *hosts[:2], "192.168.0.251")
    assert (found.status, found.named) == (1, real.address)
    assert f"HOST {real.address}: content differs: " in found.said
    assert ordinary.status == 0, ordinary
    assert tell_nothing(lost, "192.168.0.251 is this director itself") == ""


def lay_another(director: Director) -> None:
    """Have a service that sends everything to the second real server."""
    director.lay(SERVICE, f"-a -t {VIP}:80 -r 192.168.0.2:80 -g -w 1")


def test_traps_on_the_active_director(via: Topology) -> None:
    """What keeps answers away, or sends checks elsewhere, is told and condemns nobody."""
    director, (real, *_) = via.director1, via.real_servers
    lay_another(director)
    wrong = []
    director.set_sysctls({ACCEPT_LOCAL: 0})
    lost = "accept_local is 0: as root: lvs-director install --via eth0"
    wrong += [tell_nothing(by_way(director, *words), lost) for words in (DR, TUN)]
    assert (by_way(director, *NAT).status, by_way(director, address=VIP6).status) == (0, 0)
    director.set_sysctls({ACCEPT_LOCAL: 1})
    director.ip([f"address del {VIP}/32 dev eth0", f"address add {VIP}/32 dev lo"])
    director.set_sysctls({"ipv4/conf/eth0/rp_filter": 1})
    wrong.append(tell_nothing(by_way(director), "rp_filter is 1 and the address is on lo"))
    director.set_sysctls({"ipv4/conf/eth0/rp_filter": 2})
    assert by_way(director).status == 0
    director.set_sysctls({"ipv4/conf/eth0/rp_filter": 0})
    director.ip([f"address del {VIP}/32 dev lo", f"address add {VIP}/32 dev eth0"])
    director.filter_packets(*IN_INPUT, "add rule inet f i tcp sport 80 drop")
    dropped = "its answer came in and was dropped here: let the firewall's INPUT take TCP from"
    for words, address in ((DR, VIP), (NAT, VIP), (DR, VIP6)):
        wrong.append(tell_nothing(by_way(director, *words, address=address), dropped))
    director.filter_packets()
    kept = "the check was dropped here on its way out: let the firewall's OUTPUT pass TCP from"
    for words, what in ((DR, f"ip daddr {VIP} tcp dport 80"), (TUN, "ip protocol ipencap")):
        director.filter_packets(*IN_FILTER, f"add rule inet f o {what} drop")
        wrong.append(tell_nothing(by_way(director, *words), kept))
    director.filter_packets()
    # With another's service there, a mark that leads nowhere gets the other one's answer.
    real.web.kill()
    director.filter_packets(*IN_OUTPUT, "add rule inet f o meta mark set 0")
    wrong.append(tell_nothing(by_way(director), "rule of the firewall's OUTPUT changes marks"))
    director.filter_packets()
    dead = by_way(director)
    assert (dead.status, dead.named) == (1, real.address)
    # What a silent or refused check left in the list does not lead the next one astray.
    real.web.start()
    director.ipvsadm("-C")
    assert by_way(director).status == 0
    # The kernel would ask from the virtual address.
    director.ip([f"address change {VIP6}/128 dev eth0 preferred_lft forever valid_lft forever"])
    assert by_way(director, address=VIP6).status == 0
    director.ip([f"address change {VIP6}/128 dev eth0 preferred_lft 0 valid_lft forever"])
    itself = check(director, "--via", VIP, "192.168.0.251")
    wrong.append(tell_nothing(itself, "192.168.0.251 is this director itself"))
    bare = by_way(director, by=AS_MON)
    wrong.append(tell_nothing(bare, "no CAP_NET_ADMIN to mark packets"))
    admin = ("--inh-caps", "+net_admin", "--ambient-caps", "+net_admin")
    real.unplug()
    half = by_way(director, by=(*AS_MON, *admin))
    wrong.append(tell_nothing(half, "is silent, and no CAP_NET_RAW to see what comes in"))
    # Nothing leaves for it either, where its place on the link is not known.
    director.ip(["neigh flush all"])
    cut_off = [by_way(director, *words) for words in (DR, TUN)]
    wrong += [f"{each}" for each in cut_off if each[:2] != (1, real.address)]
    real.plug_in()
    assert [each for each in wrong if each] == []


def test_trap_on_the_standby(via: Topology) -> None:
    """A backup that balances nothing sends checks to the active one, whose servers are well."""
    lay_another(via.director1)
    standby = via.director2
    standby.ipvsadm("--start-daemon", "backup", "--mcast-interface", "eth0")
    try:
        assert by_way(standby).status == 0
        standby.set_sysctls({"ipv4/vs/backup_only": 1})
        answer = by_way(standby)
    finally:
        standby.set_sysctls({"ipv4/vs/backup_only": 0})
        standby.ipvsadm("--stop-daemon", "backup")
    assert tell_nothing(answer, "as root: sysctl -w net.ipv4.vs.backup_only=0") == ""


WWW_CF = f"""\
virtual = {VIP}:80
    real = 192.168.0.1:80 gate
    real = 192.168.0.2:80 gate
    scheduler = rr
    checktype = connect
"""


def marks(director: Director) -> list[str]:
    """Return the rules of our marks in a director's table."""
    return [line for line in director.table if " -f 12807" in line]


def test_marks_are_nobody_elses(via: Topology, tmp_path: Path) -> None:
    """No table of ours shows one, no plan takes one, and they leave with their servers."""
    director = via.director1
    file = tmp_path / "www.cf"
    file.write_text(WWW_CF)
    director.lay("-A -f 7 -s rr")
    assert by_way(director).status == 0
    before = marks(director)
    assert len(before) == 4

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        done = director.run(LVS_DIRECTOR, *words)
        assert "12807" not in done.stdout + done.stderr
        return done

    assert command("start", str(file)).returncode == 0
    assert command("status").stdout.count("tcp 10.0.0.3:80") == 2
    assert command("drain", "192.168.0.1").returncode == 0
    assert command("undo").returncode == 0
    assert command("reload", str(file)).returncode == 0
    assert command("stop", str(file)).returncode == 0
    assert marks(director) == before
    assert set(director.table) == {"-A -f 7 -s rr", *before}
    with contextlib.closing(sqlite3.connect(STATE / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE marks SET used = used - 4000")
    assert check(director, "--via", VIP, "192.168.0.3").status == 0
    assert [line.split()[4] for line in marks(director)[1::2]] == ["192.168.0.3:0"]
    assert "-A -f 7 -s rr" in director.table
    # A real server that serves no client is not let in at all.
    with without_address(via.real_servers[0], forwards=True):
        started = command("start", "--via", str(file))
    assert (started.returncode, started.stdout.splitlines()[-1]) == (0, "1 of 2 in")


def checked(director: Director, *words: str) -> dict[str, list[str]]:
    """Return what lvs-director check says of the path as mon's user, each with what to do."""
    lines = director.run(*WITH_BOTH, LVS_DIRECTOR, "check", *words).stdout.splitlines()
    found: dict[str, list[str]] = {"ARP": [], "--via": []}
    for number, line in enumerate(lines):
        todo = f" | {lines[number + 1].strip()}" if line.startswith("failed") else ""
        name = line[8:].split()[0]
        if name in found and line[0] != " ":
            found[name].append(f"{line.split()[0]} {line[21:]}{todo}")
    return found


def test_check_finds_it_beforehand(via: Topology, tmp_path: Path) -> None:
    """A real server that answers ARP, and each reason why a check by way could tell nothing."""
    director, standby, real = via.director1, via.director2, via.real_servers[1]
    rules = (
        *(SERVICE, f"-a -t {VIP}:80 -r 192.168.0.1:80 -g -w 1"),
        *(f"-a -t {VIP}:80 -r 192.168.0.2:80 -i -w 1", f"-a -t {VIP}:80 -r 192.168.0.3:8080 -m"),
        *(f"-A -u {VIP}:53 -s rr", f"-a -u {VIP}:53 -r 192.168.0.1:53 -g -w 1"),
        f"-a -u {VIP}:53 -r 192.168.0.2:53 -g -w 0",
    )
    for each in (director, standby):
        each.lay(*rules)
    good = [f"ok {VIP}:80: 1 of 1 real servers answer by way of it"] * 3
    sent = f"ok {VIP}:53: 2 of 2 real servers are sent to over UDP by way of it"
    assert checked(director, "--via") == {
        "ARP": [f"ok no real server on a link here answers for {VIP}"],
        "--via": [*good, sent],
    }
    real.set_sysctls({"ipv4/conf/all/arp_ignore": 0})
    arguments = ("--prefix", str(tmp_path / "mon"), "--mon-user", "root")
    install = director.run(LVS_DIRECTOR, "install", *arguments, "--via", "eth0").stdout
    director.set_sysctls({ACCEPT_LOCAL: 0})
    spoilt = checked(director, "--via")
    for found in (spoilt, checked(standby)):
        assert found["ARP"][0].startswith(f"failed 192.168.0.2 answers for {VIP} | there: sysctl")
    real.set_sysctls({"ipv4/conf/all/arp_ignore": 1})
    lost = "accept_local is 0 | as root: lvs-director install --via eth0"
    assert [lost in each for each in spoilt["--via"]] == [True, True, False, True], spoilt
    director.do(*next(line for line in install.splitlines() if line.startswith("sysctl")).split())
    assert director.do("cat", f"/proc/sys/net/{ACCEPT_LOCAL}") == "1\n"
    director.filter_packets(*IN_INPUT, "add rule inet f i tcp sport {80, 8080} drop")
    dropped = checked(director, "--via")["--via"]
    director.filter_packets()
    told = "was dropped here | let the firewall's INPUT take TCP"
    assert [told in each for each in dropped] == [True, True, True, False], dropped
    director.filter_packets(*IN_OUTPUT, "add rule inet f o udp dport 53 meta mark set 0")
    unmarked = checked(director, "--via")["--via"]
    director.filter_packets()
    assert unmarked[:3] == good
    assert "rule of the firewall's OUTPUT changes marks" in unmarked[3]
    uninstall = director.run(LVS_DIRECTOR, "uninstall", *arguments[:2]).stdout
    assert "removed       4 firewall marks of checks in the kernel's table" in uninstall
    assert not marks(director)
    assert len(director.table) == len(rules)
    director.do(*next(line for line in uninstall.splitlines() if line.startswith("sysctl")).split())
    assert lost in checked(director, "--via")["--via"][0]
