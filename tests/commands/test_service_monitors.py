"""dns, ldap, mysql, pgsql, radius and sip.monitor against the real servers, and bad ones."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import signal
import socket
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lvsalert.checks.threads import Reach
from tests.harness import misbehaving, services
from tests.harness.datagrams import answering
from tests.harness.misbehaving import Misbehaving, refusing
from tests.harness.places import free_port, is_root
from tests.harness.waiting import short
from tests.monitors import asked, complaint, failed, reasons

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.harness.certificates import Authority
    from tests.harness.processes import Program

RIGHT = {"LVSALERT_PASSWORD": services.PASSWORD, "LVSALERT_SECRET": services.SECRET}
WRONG = {"LVSALERT_PASSWORD": "let me in", "LVSALERT_SECRET": services.SECRET}
LATE = f"timed out after {short()} s"
ME = ("--user", services.USER)
ADMIN = ("--user", f"cn={services.USER},{services.BASE}")
HERE = ("--base", services.BASE)
WWW = ("--query", "www.example.com")
CAME = " ".join(f'"{number}{"x" * 200}"' for number in (3, 2))
LONG = ("--query", "long.example.com", "--query-type", "TXT")


class Way(NamedTuple):
    """A way to ask a server, and why that fails ("" where it does not)."""

    options: tuple[str, ...]
    reason: str = ""
    environ: Mapping[str, str] = RIGHT


def _denied(database: str) -> str:
    return f"log-in: Access denied for user 'ann'@'%' to database '{database}'"


WAYS = {
    "dns.monitor": [
        Way(WWW),
        Way((*WWW, "--tcp")),
        Way((*WWW, "--receive", "^192[.]0[.]2[.]1$")),
        Way((*WWW, "--tcp", "--receive", "192.0.2.7"), "no match for '192.0.2.7': 192.0.2.1"),
        Way(("--query", "192.0.2.1", "--receive", "^www[.]example[.]com$")),
        Way(("--query", "no.example.com"), "the answer is NXDOMAIN"),
        Way((*LONG, "--receive", "[0-3]x")),
        Way((*LONG, "--tcp", "--receive", "3x")),
        Way((*LONG, "--receive", "4x"), f"the answer is cut short: no match for '4x': {CAME}"),
        Way((*WWW, "--query-type", "AAAA"), "no AAAA record in the answer"),
        Way(("-caching_only", "-query", "www.example.com", "-tcp")),
    ],
    "sip.monitor": [Way(()), Way(("--tcp",)), Way(("--login", "me@example.com"))],
    "radius.monitor": [
        Way(ME),
        Way(ME, "log-in: refused", WRONG),
        Way(("--user", "bob"), "log-in: refused"),
        Way(ME, f"{LATE}, no answer", {**RIGHT, "LVSALERT_SECRET": "another"}),
    ],
    "ldap.monitor": [
        Way(()),
        Way(HERE),
        Way(("-basedn", services.BASE, "--receive", "^dc=example,")),
        Way((*HERE, "--receive", "nobody"), f"no match for 'nobody': {services.BASE}"),
        Way(("--base", "dc=nowhere"), "search: noSuchObject, 0 entries"),
        Way((*ADMIN, *HERE)),
        Way((*ADMIN, *HERE), "log-in: invalidCredentials", WRONG),
    ],
    "mysql.monitor": [
        Way(ME),
        Way(("--username", services.USER)),
        Way((*ME, "--database", "shop", "--request", "SELECT * FROM goods")),
        Way((*ME, "--request", "SELECT * FROM shop.goods WHERE name = 'x'"), "request: no row"),
        Way((*ME, "--database", "nowhere"), _denied("nowhere")),
        Way(
            ME,
            "log-in: Access denied for user 'ann'@'127.0.0.1' (using password: YES)",
            WRONG,
        ),
    ],
    "pgsql.monitor": [
        Way(ME),
        Way((*ME, "--request", "SELECT name FROM goods")),
        Way((*ME, "--request", "SELECT name FROM goods WHERE name = 'x'"), "request: no row"),
        Way((*ME, "--request", "SELEKT"), 'request: syntax error at or near "SELEKT"'),
        Way((*ME, "--database", "nowhere"), 'log-in: database "nowhere" does not exist'),
        Way(ME, 'log-in: password authentication failed for user "ann"', WRONG),
    ],
}
SERVERS: dict[str, Callable[[Path, str], Program]] = {
    "dns.monitor": services.Dnsmasq,
    "sip.monitor": services.Kamailio,
    "radius.monitor": services.Freeradius,
    "mysql.monitor": services.Mariadb,
    "pgsql.monitor": services.Postgresql,
}


def _server(monitor: str, folder: Path, place: str, authority: Authority) -> Program:
    if monitor == "ldap.monitor":
        over_tls = f"127.0.0.1:{free_port()}"
        certificate = authority.valid("127.0.0.1")
        return services.Slapd(folder, place, over_tls, certificate, authority.cacert)
    return SERVERS[monitor](folder, place)


@pytest.mark.skipif(not is_root(), reason="the servers change their users, which needs root")
@pytest.mark.parametrize("monitor", WAYS)
def test_the_real_server_is_judged(monitor: str, folder: Path, authority: Authority) -> None:
    """Alive it is good, with the wrong question, log-in or answer, hung and dead it is not."""
    place = f"127.0.0.1:{free_port()}"
    first = WAYS[monitor][0]

    def why(way: Way) -> str:
        outcome = asked(monitor, "-t", short(), *way.options, place, environ=way.environ)
        return reasons(outcome).get(place, "")

    with _server(monitor, folder, place, authority) as server:
        for way in WAYS[monitor]:
            assert why(way) == way.reason, way.options
        group = os.getpgid(server.pid)
        os.killpg(group, signal.SIGSTOP)
        try:
            assert why(first).startswith((LATE, "search: timed out", "log-in: t"))
        finally:
            os.killpg(group, signal.SIGCONT)
        assert why(first) == ""
    assert why(first) == "Connection refused"


@pytest.mark.skipif(not is_root(), reason="the server changes its user, which needs root")
def test_slapd_is_asked_over_tls(folder: Path, authority: Authority) -> None:
    """A certificate that is trusted is taken, any other only with --insecure."""
    place = f"127.0.0.1:{free_port()}"
    with _server("ldap.monitor", folder, place, authority) as server:
        assert isinstance(server, services.Slapd)
        secure = server.over_tls
        trusted = ("--tls", "--cacert", str(authority.cacert))
        assert reasons(asked("ldap.monitor", *trusted, secure)) == {}
        assert failed(asked("ldap.monitor", "--tls", "--insecure", secure)) == []
        unknown = reasons(asked("ldap.monitor", "--tls", secure))[secure]
        assert unknown == "TLS: self-signed certificate in certificate chain"


# Servers that misbehave


OPTIONS = {
    "dns.monitor": WWW,
    "sip.monitor": (),
    "radius.monitor": ME,
    "ldap.monitor": (),
    "mysql.monitor": ME,
    "pgsql.monitor": ME,
}
BY_DATAGRAM = ("dns.monitor", "sip.monitor", "radius.monitor")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("monitor", BY_DATAGRAM)
def test_silence_and_nonsense_are_no_answer(monitor: str, address: str) -> None:
    """Nothing, and what is no answer to the question, are waited past until the time is up."""
    with (
        answering(lambda *_: [], [address]) as (silent,),
        answering(lambda *_: [b""], [address]) as (empty,),
    ):
        found = reasons(
            asked(monitor, "-t", short(), *OPTIONS[monitor], silent, empty, environ=RIGHT)
        )
    assert found[silent] == f"{LATE}, no answer"
    assert found[empty].startswith((f"{LATE}, no answer", "not "))


@pytest.mark.parametrize("monitor", BY_DATAGRAM)
def test_nobody_there_is_told_by_the_kernel(monitor: str) -> None:
    """A port where nobody listens is refused by ICMP, which is a verdict at once."""
    place = f"127.0.0.1:{free_port()}"
    found = reasons(asked(monitor, *OPTIONS[monitor], place, environ=RIGHT))
    assert found == {place: "Connection refused"}


def test_a_lost_question_is_asked_again() -> None:
    """A server that hears only the second one is good."""
    heard: list[bytes] = []

    def second(question: bytes, _address: str) -> list[bytes]:
        heard.append(question)
        call = next(line for line in question.split(b"\r\n") if line.startswith(b"Call-ID"))
        return [b"SIP/2.0 200 OK\r\n" + call + b"\r\n\r\n"] if len(heard) > 1 else []

    with answering(second) as (place,):
        assert failed(asked("sip.monitor", "-t", "60", place)) == []
    assert len(heard) == 2
    assert heard[0] == heard[1]


def test_an_answer_to_another_question_is_passed_over() -> None:
    """What answers another call is not taken; what answers this one is."""
    stray = b"SIP/2.0 200 OK\r\nCall-ID: another\r\n\r\n"

    def both(question: bytes, _address: str) -> list[bytes]:
        call = next(line for line in question.split(b"\r\n") if line.startswith(b"Call-ID"))
        return [stray, b"SIP/2.0 503 Busy\r\n" + call + b"\r\n\r\n"]

    with answering(both) as (busy,), answering(lambda *_: [stray]) as (astray,):
        found = reasons(asked("sip.monitor", "-t", short(), busy, astray))
    assert found == {
        busy: "answer: SIP/2.0 503 Busy",
        astray: f"{LATE}, no answer to the question",
    }


@pytest.mark.parametrize("monitor", ["ldap.monitor", "mysql.monitor", "pgsql.monitor"])
def test_what_is_no_such_server_fails(monitor: str) -> None:
    """One that is silent, hangs up, resets, talks nonsense or is not there has failed, in time."""
    talks = (
        misbehaving.silent,
        misbehaving.closes,
        misbehaving.resets,
        misbehaving.says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        misbehaving.one_byte_at_a_time,
    )
    with contextlib.ExitStack() as servers:
        places = [servers.enter_context(Misbehaving(talk)).place for talk in talks]
        dead = servers.enter_context(refusing())
        options = ("-t", short(), *OPTIONS[monitor])
        found = reasons(asked(monitor, *options, *places, dead, environ=RIGHT))
    assert set(found) == {*places, dead}
    assert found[dead] == "Connection refused"
    assert LATE in found[places[0]]


def test_an_ldap_server_that_goes_in_between_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It took the first connection, and refuses that of the library."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        connect = Reach.connect

        def once(reach: Reach, port: int) -> socket.socket:
            found = connect(reach, port)
            server.close()
            return found

        monkeypatch.setattr(Reach, "connect", once)
        found = reasons(asked("ldap.monitor", place))
    assert "Connection refused" in found[place]
    gc.collect()


@pytest.mark.parametrize(
    ("monitor", "options", "said"),
    [
        ("dns.monitor", (), "Missing option '-query' / '--query'."),
        (
            "dns.monitor",
            ("--query", "a..b"),
            "'a..b' cannot be asked for: A DNS label is empty.",
        ),
        (
            "sip.monitor",
            ("--login", "a b"),
            "--login: 'a b' is not the address of a user: write user@host",
        ),
        ("radius.monitor", (), "Missing option '--user': a log-in is all that can be asked for"),
        (
            "radius.monitor",
            ME,
            "--user needs a password: --password-file FILE or LVSALERT_PASSWORD",
        ),
        ("mysql.monitor", (), "Missing option '--user' / '--username'."),
        ("ldap.monitor", ("--cacert", "/x"), "--cacert goes with --tls"),
        (
            "ldap.monitor",
            ("--receive", "("),
            (
                "--receive: '(' is not a regular expression:"
                " missing ), unterminated subpattern at position 0"
            ),
        ),
    ],
)
def test_bad_usage_names_the_option(monitor: str, options: tuple[str, ...], said: str) -> None:
    """What cannot be understood is one line, and no verdict."""
    assert complaint(asked(monitor, *options, "127.0.0.1")) == f"{monitor}: {said}"


@pytest.mark.parametrize(
    ("monitor", "module", "needed"),
    [
        (
            "dns.monitor",
            "dns",
            ("dnspython", "dns"),
        ),
        (
            "ldap.monitor",
            "ldap3",
            ("ldap3", "ldap"),
        ),
        (
            "mysql.monitor",
            "pymysql",
            ("PyMySQL", "sql"),
        ),
        (
            "pgsql.monitor",
            "pg8000",
            ("pg8000", "sql"),
        ),
        (
            "radius.monitor",
            "pyrad",
            ("pyrad", "radius"),
        ),
    ],
)
def test_a_library_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, monitor: str, module: str, needed: tuple[str, str]
) -> None:
    """Without its client library a monitor cannot tell, and says what installs it."""
    library, extra = needed
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else real(name)
    )
    outcome = asked(monitor, *OPTIONS[monitor], "127.0.0.1", environ=RIGHT)
    said = f"needs {library}, which is not installed: pip install 'lvsalert[{extra}]'"
    assert complaint(outcome) == f"{monitor}: {said}"
