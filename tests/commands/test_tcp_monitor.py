"""tcp.monitor against listeners that answer, misbehave or are not there."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from tests.harness import misbehaving
from tests.harness.misbehaving import Client, Misbehaving, refusing, says, unanswering
from tests.harness.places import join, split
from tests.harness.waiting import short
from tests.monitors import complaint, failed, reasons, run, tcp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.certificates import Authority

LATE = f"timed out after {short()} s"
ADDRESSES = ("127.0.0.1", "::1")


def echo_after_the_end(client: Client) -> None:
    """Answer with what was sent, once the other side has sent all of it."""
    heard = b""
    while line := client.line():
        heard += line
    client.send(b"you said " + heard)
    client.close()


@contextlib.contextmanager
def listening() -> Iterator[str]:
    """Listen, and leave all connections to the kernel, which takes them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield join("127.0.0.1", server.getsockname()[1])


TALKS = {
    "greets": says(b"220 ready\r\n"),
    "silent": misbehaving.silent,
    "closes": misbehaving.closes,
    "endless": misbehaving.endless(b"", b"spam "),
    "binary": misbehaving.binary,
    "late": misbehaving.one_byte_at_a_time,
}


@pytest.fixture(scope="module", params=ADDRESSES)
def places(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Servers of all kinds on one address."""
    address = request.param
    with contextlib.ExitStack() as servers:
        found = {
            name: servers.enter_context(Misbehaving(talk, address)).place
            for name, talk in TALKS.items()
        }
        found["refuses"] = servers.enter_context(refusing(address))
        found["never accepts"] = servers.enter_context(unanswering(address))
        yield found


def test_a_connection_is_enough(places: dict[str, str]) -> None:
    """Whoever takes the connection is good, whatever comes then."""
    found = reasons(tcp("-t", short(), *places.values()))
    assert found == {
        places["refuses"]: "Connection refused",
        places["never accepts"]: f"{LATE}, no connection",
    }


def test_a_match_has_to_be_found(places: dict[str, str]) -> None:
    """With -m the answer decides, and each way to leave it out has its reason."""
    found = reasons(tcp("-t", short(), "-m", "^220 ", *places.values()))
    named = {name: found.get(place) for name, place in places.items()}
    assert named == {
        "greets": None,
        "silent": f"{LATE}, nothing came",
        "closes": "closed without a word",
        "endless": "no match in 65536 bytes",
        "binary": f"{LATE}, no match",
        "late": f"{LATE}, no match",
        "refuses": "Connection refused",
        "never accepts": f"{LATE}, no connection",
    }


def test_a_reset_is_no_match() -> None:
    """A server that resets the connection fails where an answer is wanted."""
    with Misbehaving(misbehaving.resets, "127.0.0.1") as server:
        (reason,) = reasons(tcp("-m", "x", server.place)).values()
    assert reason.lower().startswith("connection reset")


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("sent", ["hello", r"QUIT\nnow"])
def test_what_is_sent_and_its_end_arrive(address: str, sent: str) -> None:
    """A server that answers only after the end of all that is sent gets to answer."""
    wanted = sent.replace(r"\n", "\n")
    with Misbehaving(echo_after_the_end, address) as server:
        assert (
            failed(tcp("-t", "60", "--send", sent, "-m", f"you said {wanted}", server.place)) == []
        )
        assert failed(tcp("-t", "60", "--send", sent, "-m", "else", server.place)) == [server.place]


def greets_at_length(client: Client) -> None:
    """Greet in many records of TLS, the word that counts at the end."""
    for _ in range(20):
        client.send(b"* spam " * 200)
    client.send(b"* OK ready\r\n")
    client.hangs_up()


OVER_TLS = {
    "greets": (says(b"* OK ready\r\n"), None),
    "at length": (greets_at_length, None),
    "refuses": (says(b"* BYE busy\r\n"), f"{LATE}, no match"),
    "closes": (misbehaving.closes, "closed without a word"),
    "silent": (misbehaving.silent, f"{LATE}, nothing came"),
    "talkative": (says(b"spam " * 20000), "no match in 65536 bytes"),
    "resets": (misbehaving.resets, "connection reset, nothing came"),
}
WITHOUT_TLS = {
    "plain": (says(b"* OK ready\r\n"), "TLS: wrong version number"),
    "hangs up": (misbehaving.hears_and_closes, "closed too early, TLS did not come up"),
    "is silent": (misbehaving.silent, f"{LATE}, TLS did not come up"),
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_greeting_over_tls_has_to_be_found(authority: Authority, address: str) -> None:
    """Any certificate will do, a server without TLS will not, and each failure has its reason."""
    certificate = authority.self_signed()
    with contextlib.ExitStack() as servers:
        places, wanted = [], {}
        for kind, shown in ((OVER_TLS, certificate), (WITHOUT_TLS, None)):
            for talk, reason in kind.values():
                server = servers.enter_context(Misbehaving(talk, address, certificate=shown))
                places.append(server.place)
                wanted |= {} if reason is None else {server.place: reason}
        dead = servers.enter_context(refusing(address))
        found = reasons(tcp("-t", short(), "--tls", "-m", r"\* OK", *places, dead))
        assert found == {**wanted, dead: "Connection refused"}
        good = reasons(tcp("-t", short(), "--tls", *places))
    assert set(good) == set(places[len(OVER_TLS) :])


def test_a_port_for_the_hosts_that_carry_none() -> None:
    """-p is for hosts without a port of their own, and may be missing where all have one."""
    with listening() as place, refusing() as other:
        port = split(place)[1]
        assert failed(tcp("-p", str(port), "127.0.0.1", other)) == [other]
        assert failed(tcp(place)) == []


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (("127.0.0.1",), "tcp.monitor: 127.0.0.1: has no port: give --port, or write host:port"),
        (
            ("-p", "0", "127.0.0.1"),
            "tcp.monitor: -p/--port: '0' is not a port: 1 to 65535 or a tcp name of /etc/services",
        ),
        (
            ("-p", "80", "-m", "[", "127.0.0.1"),
            (
                "tcp.monitor: -m/--match: '[' is not a regular expression:"
                " unterminated character set at position 0"
            ),
        ),
        (
            ("-p", "80", "--tls", "--send", "x", "127.0.0.1"),
            "tcp.monitor: --send and --tls exclude each other",
        ),
        (
            ("-p", "80", "-t", "0", "127.0.0.1"),
            "tcp.monitor: -t/--timeout: '0' is not a time-out in seconds (0.001 or more)",
        ),
    ],
)
def test_bad_usage_judges_nothing(argv: tuple[str, ...], line: str) -> None:
    """What cannot be understood is told in one line after an empty summary."""
    assert complaint(tcp(*argv)) == line


def test_options_come_from_the_environment() -> None:
    """mon.cf's variables give what may have blanks in it."""
    with Misbehaving(echo_after_the_end, "127.0.0.1") as server:
        environ = {"LVSALERT_SEND": "a b", "LVSALERT_MATCH": "you said a b$"}
        assert failed(tcp(server.place, environ=environ)) == []


def test_the_plugin_reports_to_mon() -> None:
    """As a process: the summary names the failed host, with status 1 and nothing on stderr."""
    with listening() as place, refusing() as other:
        done = run("tcp.monitor", place, other)
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.startswith(f"{other}\n".encode())
