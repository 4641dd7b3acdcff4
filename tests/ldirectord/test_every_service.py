"""Every service that the director's file can name, checked by a start, by mon and by ldirectord.

For each a living server, a dead one, one that hangs and one that talks nonsense, with log-ins that
are refused and answers that are wrong beside: the table has the living alone, whoever looks.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lvsalert.commands.probing import probe
from lvsalert.ldirectord.file import load
from lvsalert.ldirectord.watches import watches_of
from tests.harness import mail, misbehaving, services
from tests.harness.copied import Copied
from tests.harness.misbehaving import Misbehaving, refusing
from tests.harness.mon import Mon
from tests.harness.nginx import serving
from tests.harness.places import free_port, is_root, open_folder
from tests.harness.vsftpd import FILE, Vsftpd
from tests.harness.waiting import patience, wait_until
from tests.ldirectord.test_mon_cf import configured, needs_mon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.certificates import Authority
    from tests.harness.installation import Installation
    from tests.harness.standin import StandIn

HOST, DOVECOT = "127.0.0.1", "127.0.7.1"
LDIRECTORD = Path("/usr/sbin/ldirectord")
ASK = Path(__file__).parents[1] / "data" / "www_cf" / "ldirectord.pl"
WRONG = 'passwd = "let me in"'


needs_root = pytest.mark.skipif(
    not is_root(), reason="the servers change their users, which needs root"
)


class Service(NamedTuple):
    """A service's lines in the file, and where its server lives; whether that is good enough."""

    lines: str
    place: str
    is_good: bool = True

    @property
    def is_udp(self) -> bool:
        """Tell whether it is asked over UDP."""
        return "protocol = udp" in self.lines


class Scene(NamedTuple):
    """The services, and servers that are good for none of them, by what is wrong with them."""

    services: dict[str, Service]
    bad: dict[str, str]

    def servers(self, name: str) -> dict[str, str]:
        """Return the real servers of a service, by how each is."""
        service = self.services[name]
        hung = {"hung": self.bad["hung, udp"]} if service.is_udp else {"hung": self.bad["hung"]}
        nonsense = {} if service.is_udp else {"nonsense": self.bad["nonsense"]}
        return {"living": service.place, "dead": self.bad["dead"], **hung, **nonsense}

    def alive(self, name: str) -> set[str]:
        """Return the real servers of a service that are to be in the table."""
        service = self.services[name]
        return {service.place} if service.is_good else set()

    @property
    def virtuals(self) -> dict[str, str]:
        """Return the virtual services, as the stand-in tells them."""
        return {
            name: f"{'udp ' if service.is_udp else ''}10.0.0.3:{1000 + number}"
            for number, (name, service) in enumerate(self.services.items())
        }

    def text(self) -> str:
        """Return the file."""
        # All of them are checked at once, by as many interpreters, beside their servers.
        limit = math.ceil(patience(36))
        text = f"checkinterval = {7 * limit}\n"
        text += f"checktimeout = {limit}\nnegotiatetimeout = {limit}\n"
        for name, virtual in self.virtuals.items():
            text += f"virtual = {virtual.rpartition(' ')[2]}\n"
            text += "".join(f"    real = {each} masq\n" for each in self.servers(name).values())
            text += f"    {self.services[name].lines}\n"
        return text


@pytest.fixture(scope="module")
def scene(authority: Authority) -> Iterator[Scene]:
    """All the servers, and how the file tells of each."""
    with open_folder() as root:
        yield from _serving(root, authority)


def _serving(root: Path, authority: Authority) -> Iterator[Scene]:
    def at(name: str) -> tuple[Path, str]:
        folder = root / name
        folder.mkdir()
        folder.chmod(0o755)
        return folder, f"{HOST}:{free_port()}"

    certificate = authority.valid(HOST)
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        folder, _ = at("dovecot")
        # ldirectord asks for IMAP at these ports, whatever its file says.
        ports = [143, 993, free_port(DOVECOT), free_port(DOVECOT)]
        dovecot = enter(mail.Dovecot(folder, DOVECOT, ports, authority.valid(DOVECOT)))
        folder, place = at("slapd")
        slapd = services.Slapd(
            folder, place, f"{HOST}:{free_port()}", certificate, authority.cacert
        )
        enter(slapd)
        nginx = at("nginx")
        enter(serving(*nginx))
        asleep = enter(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        asleep.bind((HOST, 0))
        yield Scene(
            {
                **_of_files(nginx[1], enter(Vsftpd(*at("vsftpd"))).place),
                **_of_mail(enter(mail.Exim(*at("exim"), certificate)).place, dovecot),
                "nntp": Service("service = nntp", enter(mail.leafnode(*at("leafnode"))).place),
                **_of_ldap(slapd),
                **_of_dns(enter(services.Dnsmasq(*at("dnsmasq"))).place),
                **_of_sql(
                    enter(services.Mariadb(*at("mariadb"))).place,
                    enter(services.Postgresql(*at("postgresql"))).place,
                ),
                **_of_radius(enter(services.Freeradius(*at("freeradius"))).place),
                **_of_sip(enter(services.Kamailio(*at("kamailio"))).place),
            },
            {
                "dead": enter(refusing("127.0.8.9")),
                "hung": enter(Misbehaving(misbehaving.silent)).place,
                "hung, udp": f"{HOST}:{asleep.getsockname()[1]}",
                "nonsense": enter(Misbehaving(misbehaving.ssh_banner)).place,
            },
        )


def _of_files(nginx: str, vsftpd: str) -> dict[str, Service]:
    return {
        "http": Service('service = http\n    receive = "page"', nginx),
        "http, wrong answer": Service('service = http\n    receive = "else"', nginx, False),
        "ftp": Service(
            f'service = ftp\n    login = "anonymous"\n    passwd = "a@b"\n'
            f'    request = "{FILE}"\n    receive = "test page"',
            vsftpd,
        ),
        "ftp, wrong answer": Service(
            f'service = ftp\n    login = "anonymous"\n    passwd = "a@b"\n'
            f'    request = "{FILE}"\n    receive = "else"',
            vsftpd,
            False,
        ),
        "simpletcp": Service(
            'service = simpletcp\n    request = "GET / HTTP/1.0\\n\\n"\n    receive = "200 OK"',
            nginx,
        ),
    }


def _of_mail(exim: str, dovecot: mail.Dovecot) -> dict[str, Service]:
    good = f'login = "{mail.USER}"\n    passwd = "{mail.PASSWORD}"'
    bad = f'login = "{mail.USER}"\n    {WRONG}'
    found = {
        "smtp": Service("service = smtp", exim),
        "submission": Service("service = submission", exim),
        "pops, without a log-in": Service("service = pops", dovecot.pop3s),
        "imap, without a log-in": Service("service = imap", dovecot.imap),
    }
    for name, place in {
        "imap": dovecot.imap,
        "imaps": dovecot.imaps,
        "pop": dovecot.pop3,
        "pops": dovecot.pop3s,
    }.items():
        found[name] = Service(f"service = {name}\n    {good}", place)
        found[f"{name}, refused"] = Service(f"service = {name}\n    {bad}", place, False)
    return found


def _of_ldap(slapd: services.Slapd) -> dict[str, Service]:
    base = f'service = ldap\n    request = "{services.BASE}"'
    admin = f'login = "cn={services.USER},{services.BASE}"'
    return {
        "ldap": Service(f'{base}\n    receive = "^dc="', slapd.place),
        "ldap, logged in": Service(
            f'{base}\n    {admin}\n    passwd = "{services.PASSWORD}"', slapd.place
        ),
        "ldap, wrong answer": Service(f'{base}\n    receive = "^ou="', slapd.place, False),
        "ldap, refused": Service(f"{base}\n    {admin}\n    {WRONG}", slapd.place, False),
        "ldaps": Service("service = ldaps", slapd.over_tls),
    }


def _of_dns(dnsmasq: str) -> dict[str, Service]:
    asked = 'service = dns\n    request = "www.example.com"'
    return {
        "dns": Service(f'{asked}\n    receive = "192.0.2.1"', dnsmasq),
        "dns, udp": Service(f'{asked}\n    receive = "192.0.2.1"\n    protocol = udp', dnsmasq),
        "dns, wrong answer": Service(f'{asked}\n    receive = "192.0.2.9"', dnsmasq, False),
        "dns, any answer": Service(asked, dnsmasq),
        "dns, no such name": Service(
            'service = dns\n    request = "x.example.com"', dnsmasq, False
        ),
    }


def _of_sql(mariadb: str, postgresql: str) -> dict[str, Service]:
    good = f'login = "{services.USER}"\n    passwd = "{services.PASSWORD}"'
    bad = f'login = "{services.USER}"\n    {WRONG}'
    found = {}
    for name, place, database in (
        ("mysql", mariadb, "shop"),
        ("pgsql", postgresql, services.USER),
    ):
        there = f'service = {name}\n    database = "{database}"'
        goods = 'request = "SELECT * FROM goods'
        found[name] = Service(f'{there}\n    {good}\n    {goods}"', place)
        found[f"{name}, no row"] = Service(
            f"{there}\n    {good}\n    {goods} WHERE name = 'x'\"", place, False
        )
        found[f"{name}, refused"] = Service(f'{there}\n    {bad}\n    {goods}"', place, False)
    return found


def _of_radius(freeradius: str) -> dict[str, Service]:
    asked = f'service = radius\n    protocol = udp\n    login = "{services.USER}"'
    good, secret = f'passwd = "{services.PASSWORD}"', f'secret = "{services.SECRET}"'
    return {
        "radius": Service(f"{asked}\n    {good}\n    {secret}", freeradius),
        "radius, refused": Service(f"{asked}\n    {WRONG}\n    {secret}", freeradius, False),
        "radius, wrong secret": Service(
            f'{asked}\n    {good}\n    secret = "another"', freeradius, False
        ),
    }


def _of_sip(kamailio: str) -> dict[str, Service]:
    asked = 'service = sip\n    login = "me@example.com"'
    return {
        "sip": Service(asked, kamailio),
        "sip, udp": Service(f"{asked}\n    protocol = udp", kamailio),
    }


def director(
    installation: Installation, standin: StandIn, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run lvs-director on the table of the stand-in."""
    return subprocess.run(
        [str(installation.bin / "lvs-director"), *words],
        env={"PATH": "/usr/bin:/bin", **standin.environment},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_mon
@needs_root
def test_the_living_are_in_and_the_bad_are_out(
    folder: Path, standin: StandIn, installation: Installation, scene: Scene
) -> None:
    """A start lets in who lives; under mon the table heals to that, and nobody living leaves."""
    file = folder / "www.cf"
    file.write_text(scene.text())
    alive = {name: scene.alive(name) for name in scene.services}

    def table() -> dict[str, set[str]]:
        return {name: set(standin.servers(at)) for name, at in scene.virtuals.items()}

    started = director(installation, standin, "start", str(file))
    assert (started.returncode, table()) == (0, alive), started.stderr
    for path in standin.state.iterdir():
        shutil.chown(path, "mon", "mon")
    with Mon(folder / "mon", configured(installation, file), standin.environment) as mon:
        found = load(str(file), lambda _names, _family: {})
        watches = [watch for service in found.services for watch in watches_of(service)]
        mon.wait_for_checks([(watch.group, watch.service) for watch in watches])
        assert table() == alive, mon.story
        standin.run("-C")
        for name, virtual in scene.virtuals.items():
            standin.wait_for(virtual, alive[name], lambda: mon.story)
        # A service with nobody alive and one that is not there look alike until then.
        asked = "status", str(file)
        wait_until(
            lambda: director(installation, standin, *asked).stdout == "running\n",
            lambda: f"all services are back\n{mon.story}",
            pause=0.2,
        )
        assert table() == alive, mon.story


_WAITS = "ldirectord waits for it, and checks nothing else meanwhile"
_SQL = [f"{name}{how}" for name in ("mysql", "pgsql") for how in ("", ", no row", ", refused")]
# Where ours and ldirectord differ about a server, and why.
DIFFERENCES = {
    ("dns, any answer", "living"): "ldirectord takes no record where none is asked for",
    **{
        ("pops, without a log-in", kind): "ldirectord looks at nothing but the log-in"
        for kind in ("dead", "hung", "nonsense")
    },
    **{(name, "hung"): _WAITS for name in ("pop", "pop, refused", *_SQL)},
    **{(name, "nonsense"): _WAITS for name in _SQL},
}


@pytest.mark.skipif(not LDIRECTORD.exists(), reason="ldirectord is not installed")
@needs_root
def test_ldirectord_says_the_same_of_the_same_servers(
    tmp_path: Path, scene: Scene, authority: Authority
) -> None:
    """ldirectord's own checks find the same servers good, but for those that are listed."""
    file = tmp_path / "www.cf"
    file.write_text(scene.text())
    names = {int(at.rpartition(":")[2]): name for name, at in scene.virtuals.items()}
    kinds = {
        (name, place): kind
        for name in scene.services
        for kind, place in scene.servers(name).items()
    }
    # A check that hangs says nothing; ldirectord lets the server in for as long.
    theirs = dict.fromkeys(((name, kind) for (name, _), kind in kinds.items()), None)
    theirs |= {
        (names[each["port"]], kinds[names[each["port"]], each["server"]]): each["state"] == "up"
        for each in _asked_ldirectord(file, authority.cacert)
    }
    found = load(str(file), lambda _names, _family: {})
    watches = [watch for service in found.services for watch in watches_of(service)]
    ours = {}
    for _, checked in itertools.chain(*probe(watches)):
        assert checked.is_told, checked.remark
        name = names[int(checked.watch.group.rpartition("-")[2])]
        for server in checked.watch.servers:
            kind = kinds[name, server.real.endpoint]
            ours[name, kind] = server.endpoint not in checked.failed
    assert theirs.keys() == ours.keys()
    assert ours == {
        (name, kind): kind == "living" and scene.services[name].is_good for name, kind in ours
    }
    assert {key for key in ours if ours[key] != theirs[key]} == DIFFERENCES.keys()


@pytest.mark.skipif(not LDIRECTORD.exists(), reason="ldirectord is not installed")
@needs_root
def test_mail_over_tls_needs_no_trust_as_with_ldirectord(tmp_path: Path, scene: Scene) -> None:
    """A certificate of an authority that the director does not know fails ldirectord's checks."""
    file = tmp_path / "www.cf"
    file.write_text(
        "".join(
            f"virtual = 10.0.0.3:{port}\n    real = {scene.services[name].place} masq\n"
            f"    {scene.services[name].lines}\n"
            for port, name in ((993, "imaps"), (995, "pops"))
        )
    )
    states = {each["port"]: each["state"] for each in _asked_ldirectord(file)}
    assert states == {993: "down", 995: "down"}
    found = load(str(file), lambda _names, _family: {})
    watches = [watch for service in found.services for watch in watches_of(service)]
    checked = itertools.chain(*probe(watches))
    assert [each.failed for _, each in checked] == [{}, {}]


def _asked_ldirectord(file: Path, trusted: Path | None = None) -> list[dict[str, Any]]:
    """Have ldirectord's own code check all; it takes no certificate of mail but trusted ones."""
    done = subprocess.run(
        ["perl", str(ASK), str(LDIRECTORD), "--check", str(math.ceil(patience(150)))],
        input=f"{file}\n",
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **({"SSL_CERT_FILE": str(trusted)} if trusted else {})},
        timeout=patience(),
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_lacks_its_library_is_named_with_its_line(tmp_path: Path) -> None:
    """Without an extra each command says which service it is for, where that is, and the cure."""
    copied = Copied(tmp_path / "venv")
    file = tmp_path / "www.cf"
    file.write_text(
        "virtual = 10.0.0.3:389\n    real = 192.0.2.1 gate\n    service = ldap\n\n"
        "virtual = 10.0.0.3:80\n    real = 192.0.2.1 gate\n    service = http\n"
    )
    done = copied.director("mon-config", str(file))
    assert done.returncode == 0
    assert done.stderr == (
        f"lvs-director: {file}:1: service = ldap: needs ldap3, which is not installed:"
        " pip install 'lvsalert[ldap]'\n"
    )
