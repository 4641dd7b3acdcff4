"""smtp, imap, pop3, nntp and telnet.monitor against servers that misbehave, and the real ones."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.harness import mail, misbehaving
from tests.harness.misbehaving import Client, Misbehaving, refusing, says
from tests.harness.places import free_port, is_root, split
from tests.harness.waiting import short
from tests.monitors import asked, complaint, failed, reasons

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.harness.certificates import Authority
    from tests.harness.misbehaving import Talk
    from tests.harness.processes import Program

LOGIN = {"LVSALERT_PASSWORD": mail.PASSWORD}
WRONG = {"LVSALERT_PASSWORD": "let me in"}
LATE = f"timed out after {short()} s"
CLOSED = "no greeting: closed without a word"
RESET = "no greeting: connection reset"


def answers(greeting: bytes, *replies: bytes) -> Talk:
    """Greet, and give each line of the client the next reply; say nothing after the last."""

    def talk(client: Client) -> None:
        client.send(greeting)
        for reply in replies:
            if not client.line():
                return
            client.send(reply)
        client.hangs_up()

    return talk


class Case(NamedTuple):
    """A monitor with its options, how the server behaves, and the reason, none where it is good."""

    monitor: str
    options: tuple[str, ...]
    talk: Talk
    reason: str | None


GREETING = {
    "smtp.monitor": b"220 mail.example.com ESMTP\r\n",
    "imap.monitor": b"* OK ready\r\n",
    "pop3.monitor": b"+OK ready\r\n",
    "nntp.monitor": b"200 news.example.com ready\r\n",
}
ME = ("--user", "me")
CASES = {
    "smtp: good": Case("smtp.monitor", (), answers(GREETING["smtp.monitor"], b"250 hi\r\n"), None),
    "smtp: many lines": Case(
        "smtp.monitor",
        (),
        answers(b"220-one\r\n220 two\r\n", b"250-hi\r\n250-SIZE\r\n250 HELP\r\n"),
        None,
    ),
    "smtp: an old one": Case(
        "smtp.monitor",
        (),
        answers(GREETING["smtp.monitor"], b"500 what?\r\n", b"250 hi\r\n"),
        None,
    ),
    "smtp: not now": Case("smtp.monitor", (), says(b"421 too busy\r\n"), "greeting: 421 too busy"),
    "smtp: 554": Case("smtp.monitor", (), says(b"554 no mail\r\n"), "greeting: 554 no mail"),
    "smtp: no hello": Case(
        "smtp.monitor",
        (),
        answers(GREETING["smtp.monitor"], b"451 not now\r\n"),
        "EHLO: 451 not now",
    ),
    "smtp: silent at hello": Case(
        "smtp.monitor", (), answers(GREETING["smtp.monitor"]), f"{LATE}, no answer to EHLO"
    ),
    "smtp: another protocol": Case(
        "smtp.monitor", (), says(b"* OK ready\r\n"), "no greeting: not SMTP: * OK ready"
    ),
    "smtp: no STARTTLS": Case(
        "smtp.monitor",
        ("--starttls", "--insecure"),
        answers(GREETING["smtp.monitor"], b"250 hi\r\n", b"502 no\r\n"),
        "STARTTLS: 502 no",
    ),
    "imap: good": Case("imap.monitor", (), says(b"* ok ready\r\n"), None),
    "imap: logged in already": Case("imap.monitor", (), says(b"* PREAUTH hello\r\n"), None),
    "imap: not now": Case("imap.monitor", (), says(b"* BYE busy\r\n"), "greeting: * BYE busy"),
    "imap: log-in": Case(
        "imap.monitor",
        ME,
        answers(GREETING["imap.monitor"], b"* CAPABILITY x\r\na OK come in\r\n"),
        None,
    ),
    "imap: not you": Case(
        "imap.monitor",
        ME,
        answers(GREETING["imap.monitor"], b"a NO who are you\r\n"),
        "log-in: NO who are you",
    ),
    "imap: silent at the log-in": Case(
        "imap.monitor", ME, answers(GREETING["imap.monitor"]), f"{LATE}, no answer to the log-in"
    ),
    "pop3: good": Case("pop3.monitor", (), says(b"+OK ready\r\n"), None),
    "pop3: not now": Case("pop3.monitor", (), says(b"-ERR busy\r\n"), "greeting: -ERR busy"),
    "pop3: log-in": Case(
        "pop3.monitor", ME, answers(GREETING["pop3.monitor"], b"+OK\r\n", b"+OK\r\n"), None
    ),
    "pop3: not you": Case(
        "pop3.monitor",
        ME,
        answers(GREETING["pop3.monitor"], b"+OK\r\n", b"-ERR no\r\n"),
        "log-in: -ERR no",
    ),
    "nntp: good": Case("nntp.monitor", (), says(b"201 no posting\r\n"), None),
    "nntp: not you": Case("nntp.monitor", (), says(b"502 go away\r\n"), "greeting: 502 go away"),
    "nntp: a group": Case(
        "nntp.monitor",
        ("-g", "junk"),
        answers(GREETING["nntp.monitor"], b"200 yes\r\n", b"211 0 0 0 junk\r\n"),
        None,
    ),
    "nntp: no group": Case(
        "nntp.monitor",
        ("-g", "junk"),
        answers(GREETING["nntp.monitor"], b"500 what\r\n", b"411 no such group\r\n"),
        "GROUP: 411 no such group",
    ),
    "telnet: good": Case("telnet.monitor", (), says(b"vm Login: "), None),
    "telnet: options first": Case(
        "telnet.monitor", (), says(b"\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0\xff\xfb\x01login: "), None
    ),
    "telnet: another prompt": Case(
        "telnet.monitor", ("-l", "/assword/"), says(b"login: "), f"{LATE}, no prompt"
    ),
    "telnet: closes": Case("telnet.monitor", (), misbehaving.closes, "closed without a word"),
    **{
        f"{monitor}: {name}": Case(monitor, (), talk, reason)
        for monitor in GREETING
        for name, talk, reason in (
            ("silent", misbehaving.silent, f"{LATE}, no greeting"),
            ("closes", misbehaving.closes, CLOSED),
            ("resets", misbehaving.resets, RESET),
            (
                "endless line",
                misbehaving.endless(GREETING[monitor].rstrip(), b" and more"),
                "no greeting: a reply of more than 65536 bytes",
            ),
            ("cut", says(GREETING[monitor].rstrip()), f"{LATE}, no greeting"),
        )
    },
}


@pytest.fixture(scope="module", params=["127.0.0.1", "::1"])
def found(request: pytest.FixtureRequest) -> Iterator[dict[str, str | None]]:
    """Why each case's server failed, all servers of one monitor asked in one run."""
    told: dict[str, str | None] = {}
    with contextlib.ExitStack() as servers:
        places = {
            name: servers.enter_context(Misbehaving(case.talk, request.param)).place
            for name, case in CASES.items()
        }
        ways = {(case.monitor, case.options) for case in CASES.values()}
        for way in ways:
            mine = {
                name: places[name]
                for name, case in CASES.items()
                if (case.monitor, case.options) == way
            }
            outcome = asked(way[0], "-t", short(), *way[1], *mine.values(), environ=WRONG)
            why = reasons(outcome)
            told |= {name: why.get(place) for name, place in mine.items()}
        yield told


@pytest.mark.parametrize("name", CASES)
def test_what_a_server_says_decides(found: dict[str, str | None], name: str) -> None:
    """A server is good only where it has proved it, and each failure has its reason."""
    # A server that closes with something unread resets.
    wanted = {CASES[name].reason, RESET if CASES[name].reason == CLOSED else CASES[name].reason}
    assert found[name] in wanted


@pytest.mark.parametrize("monitor", [*GREETING, "telnet.monitor"])
def test_nobody_there_is_a_failure(monitor: str) -> None:
    """A port where nobody listens is told as such."""
    with refusing() as dead:
        assert reasons(asked(monitor, dead)) == {dead: "Connection refused"}


@pytest.mark.parametrize(
    ("monitor", "options", "said"),
    [
        ("smtp.monitor", ("--tls", "--starttls"), "--tls and --starttls exclude each other"),
        ("smtp.monitor", ("--insecure",), "--insecure goes with --tls or --starttls"),
        ("imap.monitor", ("--cacert", "/x"), "--cacert goes with --tls"),
        ("imap.monitor", ("--tls", "--key", "/x"), "--key goes with --cert"),
        (
            "pop3.monitor",
            ("--tls", "--insecure", "--cert", "/nowhere"),
            "--cert: '/nowhere': No such file or directory",
        ),
        (
            "pop3.monitor",
            ("--user", "me"),
            "--user needs a password: --password-file FILE or LVSALERT_PASSWORD",
        ),
        ("nntp.monitor", ("-g", "a b"), "--newsgroup: 'a b' is not a newsgroup"),
        (
            "telnet.monitor",
            ("-l", "/(/"),
            (
                "-l/--login-prompt: '/(/' is not a regular expression:"
                " missing ), unterminated subpattern at position 0"
            ),
        ),
    ],
)
def test_bad_usage_names_the_option(monitor: str, options: tuple[str, ...], said: str) -> None:
    """What cannot be understood is one line, and no verdict."""
    assert complaint(asked(monitor, *options, "127.0.0.1")) == f"{monitor}: {said}"


# The real servers


class Real(NamedTuple):
    """A real server, and how its monitor is told of it: the monitor, options, the environment."""

    server: Program
    place: str
    ways: Sequence[tuple[tuple[str, ...], dict[str, str], str | None]]
    monitor: str


@pytest.fixture
def folder_of(folder: Path) -> Path:
    """A folder for a server that changes its user."""
    if not is_root():
        pytest.skip("a server that changes its user needs root")
    return folder


def _dovecot(folder: Path, authority: Authority) -> mail.Dovecot:
    ports = [free_port() for _ in range(4)]
    return mail.Dovecot(folder, "127.0.0.1", ports, authority.valid("127.0.0.1"))


def _hung(server: Program, monitor: str, place: str) -> str:
    """Stop a server with all its processes, ask it, let it go on, and return why it failed."""
    group = os.getpgid(server.pid)
    os.killpg(group, signal.SIGSTOP)
    try:
        return reasons(asked(monitor, "-t", short(), place))[place]
    finally:
        os.killpg(group, signal.SIGCONT)


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_dovecot(folder_of: Path, authority: Authority, protocol: str) -> None:
    """Good alive, with and without TLS and a log-in; failed with a wrong password, hung, dead."""
    monitor = f"{protocol}.monitor"
    trusted = ("--tls", "--cacert", str(authority.cacert))
    with _dovecot(folder_of, authority) as server:
        place, over_tls = getattr(server, protocol), getattr(server, f"{protocol}s")
        user = ("--user", mail.USER)
        assert failed(asked(monitor, place)) == []
        assert failed(asked(monitor, *user, place, environ=LOGIN)) == []
        assert failed(asked(monitor, *trusted, *user, over_tls, environ=LOGIN)) == []
        refused = reasons(asked(monitor, *user, place, environ=WRONG))[place]
        assert refused.startswith("log-in: ")
        assert "uthentication failed" in refused
        unknown = reasons(asked(monitor, "--tls", over_tls))[over_tls]
        assert unknown == "TLS: unable to get local issuer certificate"
        assert _hung(server, monitor, place) == f"{LATE}, no greeting"
        assert failed(asked(monitor, place)) == []
    assert reasons(asked(monitor, place)) == {place: "Connection refused"}


def test_exim(folder_of: Path, authority: Authority) -> None:
    """Good alive, with and without STARTTLS; failed where the certificate is unknown, and dead."""
    place = f"127.0.0.1:{free_port()}"
    trusted = ("--starttls", "--cacert", str(authority.cacert))
    with mail.Exim(folder_of, place, authority.valid("127.0.0.1")) as server:
        assert failed(asked("smtp.monitor", place)) == []
        assert failed(asked("smtp.monitor", *trusted, place)) == []
        unknown = reasons(asked("smtp.monitor", "--starttls", place))[place]
        assert unknown == "TLS: unable to get local issuer certificate"
        assert _hung(server, "smtp.monitor", place) == f"{LATE}, no greeting"
    assert reasons(asked("smtp.monitor", place)) == {place: "Connection refused"}


def test_leafnode(folder_of: Path) -> None:
    """Good alive, failed for a group that it does not have, hung and dead."""
    place = f"127.0.0.1:{free_port()}"
    with mail.leafnode(folder_of, place) as server:
        assert failed(asked("nntp.monitor", place)) == []
        missing = reasons(asked("nntp.monitor", "-g", "no.such.group", place))[place]
        assert missing == "GROUP: 411 No such group"
        assert _hung(server, "nntp.monitor", place) == f"{LATE}, no greeting"
    assert reasons(asked("nntp.monitor", place)) == {place: "Connection refused"}


def test_telnetd(folder_of: Path) -> None:
    """Good alive, failed where its prompt is another one, hung and dead."""
    place = f"127.0.0.1:{free_port()}"
    with mail.telnetd(folder_of, place) as server:
        assert failed(asked("telnet.monitor", place)) == []
        other = reasons(asked("telnet.monitor", "-t", short(), "-l", "/assword:/", place))[place]
        assert other == f"{LATE}, no prompt"
        assert _hung(server, "telnet.monitor", place) == f"{LATE}, nothing came"
    assert reasons(asked("telnet.monitor", place)) == {place: "Connection refused"}


def test_a_client_s_certificate_is_shown(authority: Authority, tmp_path: Path) -> None:
    """A server that wants to see a certificate sees the one of --cert."""
    shown = authority.valid("client.example.com")
    with Misbehaving(
        says(GREETING["imap.monitor"]),
        certificate=authority.valid("127.0.0.1"),
        wanted=authority.cacert,
    ) as server:
        trusted = ("--tls", "--cacert", str(authority.cacert))
        mine = ("--cert", str(shown.chain), "--key", str(shown.key))
        assert failed(asked("imap.monitor", *trusted, *mine, server.place)) == []
        assert failed(asked("imap.monitor", "-t", short(), *trusted, server.place)) == [
            server.place
        ]
    assert split(server.place)[0] == "127.0.0.1"
