"""Every monitor that knows it asks real servers by way of the virtual address, over TCP and UDP."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.harness import mail, services
from tests.harness.certificates import Certificate
from tests.harness.datagrams import answer_dns, answering
from tests.harness.nginx import Nginx, Site
from tests.harness.vsftpd import Vsftpd
from tests.lab.addresses import VIP, VIP6
from tests.lab.by_way import (
    DR,
    IN_INPUT,
    IN_OUTPUT,
    NAT,
    TUN,
    Answer,
    by_way,
    check,
    tell_nothing,
    without_address,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.processes import Program
    from tests.lab.director import Director
    from tests.lab.realserver import RealServer
    from tests.lab.topology import Topology

ANY = "0.0.0.0"
LOST, SILENT = "No route to host", "timed out after 2 s, no answer"
DNS = ("--query", "www.example.com")


class Asked(NamedTuple):
    """A monitor with its words, and what it says where the virtual address is missing."""

    monitor: str
    words: tuple[str, ...] = ()
    said: str = LOST


def self_signed(folder: Path, address: str) -> Certificate:
    """Return a certificate that vouches for itself, and is for the address."""
    made = Certificate(folder / "chain.pem", folder / "key.pem")
    words = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    name = ("-subj", "/CN=tests", "-addext", f"subjectAltName=IP:{address}")
    files = ("-out", str(made.chain), "-keyout", str(made.key))
    subprocess.run(["openssl", *words, *name, *files], capture_output=True, check=True)
    return made


def servers(folder: Path, address: str) -> list[Program]:
    """Return real servers of all protocols, at their own and the virtual address.

    Over UDP they have to answer with the address that was asked.
    """
    folders = [folder / name for name in ("mail", "smtp", "nntp", "telnet", "radius", "sip", "dns")]
    for each in folders:
        each.mkdir()
    certificate = self_signed(folder, address)
    (folder / "secret").write_text(f"{services.SECRET}\n")
    (folder / "password").write_text(f"{services.PASSWORD}\n")
    return [
        mail.Dovecot(folders[0], ANY, (143, 993, 110, 995), certificate),
        mail.Exim(folders[1], f"{ANY}:25", certificate),
        mail.leafnode(folders[2], f"{ANY}:119"),
        mail.Inetd(folders[3], f"{ANY}:23", ["/usr/sbin/telnetd", "-h"]),
        services.Freeradius(folders[4], f"{ANY}:1812", f"{ANY}/0"),
        services.Kamailio(folders[5], f"{VIP}:5060", f"{address}:5060"),
        services.Dnsmasq(folders[6], f"{VIP}:53", address),
        Vsftpd(folder / "ftp", f"{ANY}:21"),
        Nginx(folder / "https", Site([f"{ANY}:8443"], certificate=certificate)),
    ]


def monitors(folder: Path) -> list[Asked]:
    """Return what asks them."""
    tls = ("--tls", "--cacert", str(folder / "chain.pem"))
    log_in = ("--user", services.USER, "--password-file", str(folder / "password"))
    secret = ("--secret-file", str(folder / "secret"))
    return [
        Asked("imap.monitor"),
        Asked("pop3.monitor", ("-p", "995", *tls)),
        Asked("smtp.monitor"),
        Asked("nntp.monitor"),
        Asked("telnet.monitor"),
        Asked("ftp.monitor"),
        Asked("http.monitor", ("-p", "8443", *tls)),
        Asked("dns.monitor", (*DNS, "--tcp")),
        Asked("dns.monitor", DNS, SILENT),
        Asked("sip.monitor", (), SILENT),
        Asked("radius.monitor", (*log_in, *secret), SILENT),
    ]


def test_every_protocol(via: Topology, tmp_path: Path) -> None:
    """Each passes a server that serves clients, and fails one without the virtual address."""
    director, real = via.director1, via.real_servers[0]

    def run(asked: Asked, *words: str) -> Answer:
        seconds = 2 if asked.said == SILENT else 20
        words = (*words, *asked.words, real.address)
        return check(director, *words, monitor=asked.monitor, seconds=seconds)

    folder = real.folder / "all"
    (folder / "ftp").mkdir(parents=True)
    there = servers(folder, real.address)
    wrong = []
    try:
        with real.inside():
            for each in there:
                each.start()
        asked = monitors(folder)
        wrong += [f"well: {each}" for each in asked if run(each, "--via", VIP).status != 0]
        with without_address(real, forwards=True):
            for each in asked:
                answer, ordinary = run(each, "--via", VIP), run(each)
                if answer[:2] != (1, real.address) or each.said not in answer.said:
                    wrong.append(f"lost: {each} {answer}")
                if ordinary.status != 0:
                    wrong.append(f"ordinary: {each} {ordinary}")
    finally:
        for each in there:
            each.kill()
    assert not wrong, "\n".join(wrong)


@contextmanager
def name_servers(via: Topology, folder: Path) -> Iterator[list[Program]]:
    """Have a name server on the first two real servers."""
    there: list[Program] = []
    try:
        for real in via.real_servers[:2]:
            own = folder / real.name
            own.mkdir()
            there.append(services.Dnsmasq(own, f"{VIP}:53", VIP6, real.address, real.address6))
            with real.inside():
                there[-1].start()
        yield there
    finally:
        for each in there:
            each.kill()


def ask(director: Director, *words: str, address: str = VIP) -> Answer:
    """Ask the first two real servers for a name, over UDP and by way of the virtual address."""
    return by_way(director, *DNS, *words, address=address, monitor="dns.monitor")


def test_datagrams(via: Topology, tmp_path: Path) -> None:
    """Every way, both protocols and directors; one dead, and each trap that UDP has of its own."""
    director, (real, other, _) = via.director1, via.real_servers
    wrong: list[object] = []
    with name_servers(via, tmp_path) as there:
        for each in (director, via.director2):
            each.lay("-A -u 10.0.0.3:53 -s rr", "-a -u 10.0.0.3:53 -r 192.168.0.3:53 -g -w 0")
            ways = [(words, VIP) for words in (DR, NAT, TUN)]
            ways += [(NAT, f"{VIP}:5353"), (DR, VIP6), (NAT, VIP6)]
            answers = [(way, ask(each, *way[0], address=way[1])) for way in ways]
            wrong += [answer for answer in answers if answer[1].status != 0]
        # The kernel goes on with what it has of a port, for 300 s and whatever its mark.
        with director.inside():
            ports = Path("/proc/sys/net/ipv4/ip_local_port_range")
            before = ports.read_text()
            ports.write_text("41000 41003")
            for host in (real, other, real, other):
                answer = check(director, *DNS, "--via", VIP, host.address, monitor="dns.monitor")
                wrong += [answer] if answer.status else []
            wrong.append(tell_nothing(ask(director), "no port is free"))
            ports.write_text(before)
        director.filter_packets(*IN_INPUT, "add rule inet f i udp sport 53 drop")
        dropped = "its answer came in and was dropped here: let the firewall's INPUT take UDP from"
        for way in ((DR, VIP), (NAT, VIP), (DR, VIP6)):
            wrong.append(tell_nothing(ask(director, *way[0], address=way[1]), dropped))
        director.filter_packets()
        with without_address(real, forwards=False):
            wrong += [named(ask(each), real, SILENT) for each in (director, via.director2)]
        there[0].kill()
        refused = [ask(director, *words) for words in (DR, NAT, TUN)]
        wrong += [named(each, real, "Connection refused") for each in refused]
        # It answers as itself what it was asked as the virtual address.
        with real.inside(), answering(lambda asked, _: [answer_dns(asked)], [ANY]) as (place,):
            words = (*DNS, "-p", place.rpartition(":")[2])
            ordinary = check(director, *words, real.address, monitor="dns.monitor", seconds=20)
            by_address = check(director, *words, "--via", VIP, real.address, monitor="dns.monitor")
            wrong += [ordinary.status, named(by_address, real, SILENT)]
        # The other one would answer for it.
        director.lay("-A -u 10.0.0.3:53 -s rr", "-a -u 10.0.0.3:53 -r 192.168.0.2:53 -g -w 1")
        director.filter_packets(*IN_OUTPUT, "add rule inet f o meta mark set 0")
        wrong.append(tell_nothing(ask(director), "rule of the firewall's OUTPUT changes marks"))
        director.filter_packets()
    assert [each for each in wrong if each] == []


def named(answer: Answer, real: RealServer, said: str) -> str:
    """Return what is wrong with an answer that is to name one real server, for a reason."""
    is_right = answer[:2] == (1, real.address) and f"{real.address}: {said}" in answer.said
    return "" if is_right else f"{said}: {answer}"
