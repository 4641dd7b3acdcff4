"""A link-local address with its zone, as every monitor takes it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.harness import misbehaving
from tests.harness.misbehaving import Misbehaving, Talk, ftp, refusing, replies, says
from tests.harness.namespace import network_namespace
from tests.harness.waiting import short
from tests.monitors import asked, reasons

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.namespace import Namespace

LINK_LOCAL = "fe80::1%lo"
SECRETS = {"LVSALERT_PASSWORD": "open sesame", "LVSALERT_SECRET": "between us"}
ME = ("--user", "me")
PAGE = replies(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")
SIP = b"SIP/2.0 200 OK\r\nCall-ID: other\r\n\r\n"


class Case(NamedTuple):
    """How a server is asked, how it behaves, and how the reason begins; none where it is good."""

    options: tuple[str, ...]
    talk: Talk
    reason: str = ""


def _smtp(client: misbehaving.Client) -> None:
    client.send(b"220 ready\r\n")
    client.line()
    client.send(b"250 hello\r\n")


LATE = f"timed out after {short()} s"
# A server of a database or a directory only has to be reached: what it says shows that it was.
NONSENSE = misbehaving.ssh_banner
CASES = {
    "http.monitor": Case((), PAGE),
    "http.monitor, through requests": Case(ME, PAGE),
    "ftp.monitor": Case((), ftp()),
    "ftp.monitor, through ftplib": Case(ME, ftp(), "log-in: 500"),
    "tcp.monitor": Case(("-m", "SSH"), NONSENSE),
    "smtp.monitor": Case((), _smtp),
    "imap.monitor": Case((), says(b"* OK ready\r\n")),
    "pop3.monitor": Case((), says(b"+OK ready\r\n")),
    "nntp.monitor": Case((), says(b"200 ready\r\n")),
    "telnet.monitor": Case(("-l", "/login/"), says(b"login: ")),
    "sip.monitor": Case(("--tcp",), NONSENSE, "not SIP: SSH-2.0"),
    "dns.monitor": Case(("-t", short(), "--tcp", "--query", "a.example"), NONSENSE, LATE),
    "ldap.monitor": Case(("-t", short()), NONSENSE, "log-in: "),
    "mysql.monitor": Case(ME, NONSENSE, "log-in: Packet sequence number wrong"),
    "pgsql.monitor": Case(ME, NONSENSE, "log-in: TLS: wrong version number"),
}


@pytest.fixture(scope="module")
def link() -> Iterator[Namespace]:
    """A network of its own, with a link-local address on its loopback."""
    with network_namespace() as namespace:
        namespace.ip("-6 address add fe80::1/64 dev lo nodad")
        yield namespace


@pytest.mark.parametrize("name", CASES)
def test_a_server_on_a_link_is_asked_over_tcp(link: Namespace, name: str) -> None:
    """The living one is reached, the dead one refuses, both told with their zone."""
    monitor, case = name.partition(",")[0], CASES[name]

    def both() -> tuple[int, str, str, dict[str, str]]:
        with Misbehaving(case.talk, LINK_LOCAL) as server, refusing(LINK_LOCAL) as dead:
            # Only what is to be late reaches its time-out, on any machine.
            options = ("-t", "60", *case.options)
            outcome = asked(monitor, *options, server.place, dead, environ=SECRETS)
            return server.connections, server.place, dead, reasons(outcome)

    connections, place, dead, found = link.run(both)
    assert place.startswith("[fe80::1%lo]:")
    assert connections >= 1
    assert found.pop(dead) == "Connection refused"
    assert found.get(place, "").startswith(case.reason)
    assert (place in found) == bool(case.reason)


@pytest.mark.parametrize(
    ("monitor", "options"),
    [("dns.monitor", ("--query", "a.example")), ("sip.monitor", ()), ("radius.monitor", ME)],
)
def test_a_server_on_a_link_is_asked_over_udp(
    link: Namespace, monitor: str, options: tuple[str, ...]
) -> None:
    """The one that hears the question and says nothing is late, the dead one refuses."""

    def both() -> tuple[bytes, dict[str, Any]]:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
            server.bind(("fe80::1", 0, 0, socket.if_nametoindex("lo")))
            place = f"[{LINK_LOCAL}]:{server.getsockname()[1]}"
            with refusing(LINK_LOCAL) as dead:
                outcome = asked(monitor, "-t", short(), *options, place, dead, environ=SECRETS)
                found = reasons(outcome)
                return server.recv(65536), {"late": found[place], "dead": found[dead]}

    heard, found = link.run(both)
    assert heard
    assert found == {"late": f"{LATE}, no answer", "dead": "Connection refused"}


def test_a_host_on_a_link_is_pinged(link: Namespace) -> None:
    """The address that is there answers, another one of the link does not."""
    found = link.run(
        lambda: reasons(
            asked("fping.monitor", "-t", f"{short()}000", "-r", "0", LINK_LOCAL, "fe80::2%lo")
        )
    )
    assert found.keys() == {"fe80::2%lo"}
