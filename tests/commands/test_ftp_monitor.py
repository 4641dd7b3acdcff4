"""ftp.monitor against the real vsftpd and against servers that misbehave."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lvsalert.mon.report import reasons_of
from tests.harness import misbehaving, vsftpd
from tests.harness.misbehaving import Client, Misbehaving, Talk, refusing, says, unanswering
from tests.harness.misbehaving import ftp as serves
from tests.harness.places import free_port, is_root, join, open_folder
from tests.harness.vsftpd import CONTENT, FILE, Vsftpd
from tests.harness.waiting import short
from tests.monitors import PASSWORD, failed, ftp, knowing, reasons

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.harness.certificates import Authority

GOOD = ""
LATE = f"timed out after {short()} s"
PLAIN: tuple[str, ...] = ()
LOGIN = ("--user", "me")


def script(answers: Mapping[bytes, bytes], greeting: bytes = b"220 ready\r\n") -> Talk:
    """Greet, and answer each command by its first word; 502 to any other, silence to `b""`."""

    def talk(client: Client) -> None:
        client.send(greeting)
        while line := client.line():
            word = line.split()[0].upper() if line.split() else b""
            client.send(answers.get(word, b"502 Not here.\r\n"))

    return talk


WELCOME = {
    b"USER": b"331 Who is it?\r\n",
    b"PASS": b"230 Come in.\r\n",
    b"TYPE": b"200 Fine.\r\n",
    b"QUIT": b"221 Bye.\r\n",
}


class Case(NamedTuple):
    """A way to behave, and what the reason begins with, asked plainly and with a log-in."""

    talk: Talk
    plain: str | tuple[str, ...]
    login: str | tuple[str, ...]


def _greets(greeting: bytes, plain: str, login: str) -> Case:
    return Case(script(WELCOME, greeting), plain, login)


def _quits(farewell: bytes, plain: str, login: str) -> Case:
    return Case(script({**WELCOME, b"QUIT": farewell}), plain, login)


CLOSED = ("no greeting: closed without a word", "no greeting: connection reset")
CASES = {
    "good": _greets(b"220 ready\r\n", GOOD, GOOD),
    "many lines": _greets(
        b"220-Welcome\r\n 220 not yet\r\n220-Really\r\n220 ready\r\n", GOOD, GOOD
    ),
    "another code inside": _greets(
        b"220-Hi\r\n530 is no end\r\n221 nor this\r\n220 ok\r\n", GOOD, GOOD
    ),
    "line feeds alone": _greets(b"220-Hi\n220 ready\n", GOOD, GOOD),
    "no words": _greets(b"220 \r\n", GOOD, GOOD),
    "invalid UTF-8": _greets(b"220 \xff\xfe\xc3\x28\r\n", GOOD, GOOD),
    "not now": _greets(b"421 Too many users.\r\n", *["greeting: 421 Too many users."] * 2),
    "not you": _greets(b"530 Not welcome.\r\n", *["greeting: 530 Not welcome."] * 2),
    "not you, at length": _greets(
        b"530-Go away.\r\n530 Now.\r\n", "greeting: 530 Now.", "greeting: 530-Go away.\\n530 Now."
    ),
    "soon": _greets(b"120 In 5 minutes.\r\n", *["greeting: 120 In 5 minutes."] * 2),
    "odd welcome": _greets(b"230 Logged in.\r\n", *["greeting: 230 Logged in."] * 2),
    "nonsense": _greets(b"hello\r\n", "no greeting: not FTP: hello", "greeting: hello"),
    "code alone": _greets(b"220\r\n", "no greeting: not FTP: 220", "greeting: 220"),
    "a line's end": _greets(b"\r\n", "no greeting: not FTP: ", "greeting: "),
    "never the last line": Case(
        says(b"220-Welcome\r\n220-and so on\r\n"), f"{LATE}, no greeting", f"greeting: {LATE}"
    ),
    "cut": Case(script({}, b"220 re"), f"{LATE}, no greeting", f"greeting: {LATE}"),
    "closes": Case(
        misbehaving.closes,
        CLOSED,
        ("greeting: closed without a word", "greeting: connection reset", "connection reset"),
    ),
    "resets": Case(
        misbehaving.resets,
        "no greeting: connection reset",
        ("greeting: connection reset", "connection reset"),
    ),
    "silent": Case(misbehaving.silent, f"{LATE}, no greeting", f"greeting: {LATE}"),
    "one byte at a time": Case(
        misbehaving.dribbles(b"220 ready\r\n"), f"{LATE}, no greeting", f"greeting: {LATE}"
    ),
    "endless greeting": Case(
        misbehaving.endless(b"220-", b"and more\r\n"),
        "no greeting: a reply of more than 65536 bytes",
        "greeting: replies of more than 65536 bytes",
    ),
    "endless line": Case(
        misbehaving.endless(b"220 ", b"and more "),
        "no greeting: a reply of more than 65536 bytes",
        "greeting: got more than 8192 bytes",
    ),
    "http": Case(
        says(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n<html>\r\n"),
        "no greeting: not FTP: HTTP/1.1 400 Bad Request",
        "greeting: HTTP/1.1 400 Bad Request",
    ),
    "ssh": Case(
        misbehaving.ssh_banner, "no greeting: not FTP: SSH-2.0-OpenSSH", "greeting: SSH-2.0-OpenSSH"
    ),
    "binary": Case(misbehaving.binary, "no greeting: not FTP: \\x00\\x01", "greeting: "),
    "no farewell": Case(
        serves(farewell=None), "no answer to QUIT: closed without a word", "log-in: 500"
    ),
    "bad farewell": _quits(b"500 What?\r\n", "after QUIT: 500 What?", "after QUIT: 500 What?"),
    "farewell with another code": _quits(b"226 Done.\r\n", *["after QUIT: 226 Done."] * 2),
    "farewell in many lines": _quits(b"221-You sent\r\n221 nothing.\r\n", GOOD, GOOD),
    "farewell cut": _quits(b"221 By", f"{LATE}, no answer to QUIT", f"after QUIT: {LATE}"),
    "silent farewell": _quits(b"", f"{LATE}, no answer to QUIT", f"after QUIT: {LATE}"),
    "nonsense for a farewell": _quits(
        b"bye\r\n", "no answer to QUIT: not FTP: bye", "after QUIT: bye"
    ),
}


class Zoo(NamedTuple):
    """Servers of all kinds: where each one is, and what was found out about them."""

    places: dict[str, str]
    verdicts: dict[tuple[str, ...], dict[str, str]]


@pytest.fixture(scope="module", params=["127.0.0.1", "::1"])
def zoo(request: pytest.FixtureRequest) -> Iterator[Zoo]:
    """All kinds of servers on one address, asked once plainly and once with a log-in."""
    address = request.param
    with contextlib.ExitStack() as servers:
        places = {
            name: servers.enter_context(Misbehaving(case.talk, address)).place
            for name, case in CASES.items()
        }
        places["refuses"] = servers.enter_context(refusing(address))
        places["never accepts"] = servers.enter_context(unanswering(address))
        verdicts = {
            way: reasons(ftp("-t", short(), *way, *places.values(), environ=PASSWORD))
            for way in (PLAIN, LOGIN)
        }
        yield Zoo(places, verdicts)


@pytest.mark.parametrize("way", [PLAIN, LOGIN], ids=["sweep", "ftplib"])
@pytest.mark.parametrize("name", CASES)
def test_misbehaving_server_gets_its_reason(zoo: Zoo, name: str, way: tuple[str, ...]) -> None:
    """Each way to behave has its verdict, in the server's own words."""
    expected = CASES[name].plain if way == PLAIN else CASES[name].login
    found = zoo.verdicts[way].get(zoo.places[name], GOOD)
    assert found.startswith(expected) if found else expected == GOOD


@pytest.mark.parametrize("way", [PLAIN, LOGIN], ids=["sweep", "ftplib"])
def test_server_that_is_not_there_gets_its_reason(zoo: Zoo, way: tuple[str, ...]) -> None:
    """A refusal and silence are told apart."""
    found = zoo.verdicts[way]
    assert found[zoo.places["refuses"]] == "Connection refused"
    assert found[zoo.places["never accepts"]] == f"{LATE}, no connection"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({b"USER": b"230 No password needed.\r\n"}, GOOD),
        ({b"USER": b"530 Not you.\r\n"}, "log-in: 530 Not you."),
        ({b"PASS": b"530 Wrong.\r\n"}, "log-in: 530 Wrong."),
        ({b"PASS": b"202 As you like.\r\n"}, "log-in: 202 As you like."),
        ({b"PASS": b"421 Too many.\r\n"}, "log-in: 421 Too many."),
        ({b"PASS": b"332 And your account?\r\n"}, "log-in: 502 Not here."),
        ({b"PASS": b""}, f"log-in: {LATE}"),
        ({b"PASS": b"530 Wrong.\r\n", b"QUIT": b"500 What?\r\n"}, "log-in: 530 Wrong."),
        ({b"TYPE": b"504 No.\r\n"}, "/f: 504 No."),
        ({b"PASV": b"227 Nonsense.\r\n"}, "/f: 227 Nonsense."),
        ({b"PASV": b"227 (127,0,0,1,999,999)\r\n"}, "/f: "),
        ({b"PASV": b"227 (127,0,0,1,0,1)\r\n"}, "/f: Connection refused"),
        ({b"PASV": b""}, f"/f: {LATE}"),
        ({b"PASV": b"425 Not now.\r\n"}, "/f: 425 Not now."),
    ],
)
def test_step_that_goes_wrong_is_named(answers: dict[bytes, bytes], reason: str) -> None:
    """Each step of a visit can fail, in the server's words, and takes no other host along."""
    path = ("--retrieve", "/f") if reason.startswith("/f") else ()
    with (
        Misbehaving(script({**WELCOME, **answers})) as server,
        Misbehaving(script({**WELCOME, b"TYPE": b"550 Out of paper.\r\n"})) as other,
    ):
        options = ("-t", short(), *LOGIN, *path)
        found = reasons(ftp(*options, server.place, other.place, environ=PASSWORD))
    assert found.get(server.place, GOOD).startswith(reason)
    assert (server.place in found) == bool(reason)
    assert found.get(other.place, GOOD) == ("/f: 550 Out of paper." if path else GOOD)


@pytest.mark.parametrize(
    "answer",
    [b"229 (|||abc|)\r\n", b"229 (|||99999|)\r\n", b"229 nonsense\r\n", b"229 (|||1|)\r\n"],
)
def test_nonsense_about_the_data_connection_is_a_failure(answer: bytes) -> None:
    """Over IPv6 too, no reply is more than a reason."""
    with Misbehaving(script({**WELCOME, b"EPSV": answer}), "::1") as server:
        options = (*LOGIN, "--retrieve", "/f")
        found = reasons(ftp(*options, server.place, environ=PASSWORD))
    assert found[server.place].startswith("/f: ")


def test_log_in_goes_out_in_utf_8() -> None:
    """User, password and path are sent in UTF-8, whatever the machine's own encoding is."""
    with Misbehaving(script({**WELCOME, b"TYPE": b"550 No.\r\n"})) as server:
        options = ("--user", "größe", "--retrieve", "/päth")
        outcome = ftp(*options, server.place, environ={"LVSALERT_PASSWORD": "пароль"})
    assert failed(outcome) == [server.place]
    assert "USER größe\r\nPASS пароль\r\n" in bytes(server.heard).decode()


def test_address_that_answers_is_found() -> None:
    """A name's second address is asked where the first refuses, with a log-in too."""
    port = free_port("::1")
    with (
        Misbehaving(script(WELCOME), "::1", port=port),
        knowing({"ftp.example.com": ["127.0.0.1", "::1"]}),
    ):
        for way in (PLAIN, LOGIN):
            assert failed(ftp("-p", str(port), *way, "ftp.example.com", environ=PASSWORD)) == []


@pytest.fixture(params=["127.0.1.1", "::1"])
def real(request: pytest.FixtureRequest, folder: Path) -> Iterator[Vsftpd]:
    """A vsftpd on each family, with a file besides its own that is not for everybody."""
    server = Vsftpd(folder / "vsftpd", join(request.param, free_port(request.param)))
    (folder / "vsftpd" / "files" / "big").write_bytes(b"x" * (1 << 20) + b"the end")
    with server:
        yield server


def test_vsftpd_is_good(real: Vsftpd) -> None:
    """The real server is good, and what it said stands in the detail."""
    outcome = ftp(real.place)
    assert failed(outcome) == []
    assert "\n    220 ready\n    221 Goodbye.\n" in outcome.stdout
    assert "220 ready" not in ftp("--omit-good", real.place).stdout


def test_vsftpd_that_is_killed_is_bad(real: Vsftpd) -> None:
    """A killed server refuses, and is good again when it is back."""
    real.kill()
    assert reasons(ftp(real.place)) == {real.place: "Connection refused"}
    real.start()
    assert failed(ftp(real.place)) == []


ANONYMOUS = ("--user", "anonymous")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), GOOD),
        (("--retrieve", FILE), GOOD),
        (("--retrieve", FILE, "-m", "^test page\n$"), GOOD),
        (("--retrieve", FILE, "-m", "nothing"), "no match in testpage.txt for 'nothing'"),
        (("--retrieve", "missing"), "missing: 550 Failed to open file."),
        (("--retrieve", "big", "-m", "^x+$"), GOOD),
        (("--retrieve", "big", "-m", "the end"), "no match in big for 'the end'"),
        (("--retrieve", "/"), "/: 550 Failed to open file."),
    ],
)
def test_file_of_vsftpd_is_looked_into(real: Vsftpd, options: tuple[str, ...], reason: str) -> None:
    """A log-in alone, a file that is there, and one that holds what is looked for."""
    found = reasons(ftp(*ANONYMOUS, *options, real.place, environ=PASSWORD))
    assert found == ({real.place: reason} if reason else {})


@pytest.mark.skipif(not is_root(), reason="a local user of vsftpd's own needs root")
def test_user_of_vsftpd_logs_in(real: Vsftpd) -> None:
    """The password comes from the environment or a file, and a wrong one is a failure."""
    login = ("--user", vsftpd.USER, "--retrieve", FILE, "-m", CONTENT)
    assert PASSWORD == {"LVSALERT_PASSWORD": vsftpd.PASSWORD}
    assert failed(ftp(*login, real.place, environ=PASSWORD)) == []
    wrong = ftp(*login, real.place, environ={"LVSALERT_PASSWORD": "wrong"})
    assert reasons(wrong) == {real.place: "log-in: 530 Login incorrect."}


TLS_CASES: list[tuple[tuple[str, ...], str]] = [
    ((), GOOD),
    (ANONYMOUS, GOOD),
    ((*ANONYMOUS, "--retrieve", FILE, "-m", "test page"), GOOD),
    ((*ANONYMOUS, "--retrieve", FILE, "-m", "no"), "no match in testpage.txt for 'no'"),
    ((*ANONYMOUS, "--retrieve", "big", "-m", "^x+$"), GOOD),
    ((*ANONYMOUS, "--retrieve", "missing"), "missing: 550 Failed to open file."),
]


@pytest.fixture(scope="module", params=["--starttls", "--tls"])
def secure(
    request: pytest.FixtureRequest, authority: Authority
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A vsftpd that talks over TLS alone, asked for it or from the start, and how to ask it."""
    certificate = authority.valid("127.0.1.1")
    with open_folder() as folder:
        implicit = {"implicit_ssl": "YES"} if request.param == "--tls" else {}
        options = {**vsftpd.over_tls(certificate), **implicit}
        place = join("127.0.1.1", free_port("127.0.1.1"))
        server = Vsftpd(folder / "vsftpd", place, options=options)
        (folder / "vsftpd" / "files" / "big").write_bytes(b"x" * (1 << 20) + b"the end")
        with server:
            yield place, (request.param, "--cacert", str(authority.cacert))


@pytest.mark.parametrize(("options", "reason"), TLS_CASES)
def test_vsftpd_over_tls(
    secure: tuple[str, tuple[str, ...]], options: tuple[str, ...], reason: str
) -> None:
    """Greeting, log-in and file come over TLS, the data on the session of the control."""
    place, tls = secure
    found = reasons(ftp(*tls, *options, place, environ=PASSWORD))
    assert found == ({place: reason} if reason else {})


@pytest.mark.parametrize("options", [(), ANONYMOUS], ids=["sweep", "ftplib"])
def test_certificate_of_vsftpd_is_verified(
    secure: tuple[str, tuple[str, ...]], options: tuple[str, ...]
) -> None:
    """An authority that is not known is a failure, and --insecure takes any."""
    place, tls = secure
    wrong = reasons(ftp(tls[0], *options, place, environ=PASSWORD))
    assert wrong == {place: "TLS: unable to get local issuer certificate"}
    assert failed(ftp(tls[0], "--insecure", *options, place, environ=PASSWORD)) == []


@pytest.mark.parametrize(
    ("way", "options", "reason"),
    [
        ("--starttls", (), "AUTH TLS: 502 Not here."),
        ("--starttls", ("--user", "me"), "AUTH TLS: 502 Not here."),
        ("--tls", (), "TLS: wrong version number"),
        ("--tls", ("--user", "me"), "TLS: wrong version number"),
    ],
)
def test_server_without_tls_is_a_failure(way: str, options: tuple[str, ...], reason: str) -> None:
    """A server that knows no TLS is not asked in the clear."""
    with Misbehaving(script(WELCOME)) as server:
        assert reasons(ftp(way, *options, server.place, environ=PASSWORD)) == {server.place: reason}
        assert b"USER" not in bytes(server.heard)
        assert b"QUIT" not in bytes(server.heard)


def test_what_a_server_says_cannot_forge_a_report() -> None:
    """Words that look like the report, control characters and length stay in their place."""
    greeting = (
        b"220-\x1b[31mred\r\nHOST 192.0.2.9: forged (0.1 s)\r\n" + b"x" * 5000 + b"\r\n220 ok\r\n"
    )
    with Misbehaving(script(WELCOME, greeting)) as server:
        outcome = ftp(server.place)
    assert failed(outcome) == []
    assert reasons_of(outcome.stdout) == {}
    assert "\x1b" not in outcome.stdout
    assert max(map(len, outcome.stdout.split("\n"))) < 2200
