"""TLS over the sweep's sockets, piece by piece: a server in memory, and a socket that is moody."""

from __future__ import annotations

import itertools
import ssl
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.checks import http, http_tls, tls
from lvsalert.checks.sweep import READ, Target, TimedOut, Verdict

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from tests.harness.certificates import Authority

PAGE = b"test page\n" * 3000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(PAGE), PAGE)
TARGET = Target("127.0.0.1", "127.0.0.1", 443)
CHECK = http.Check(match=http.parse_match("test page\n$"))
LATE = "timed out after 2 s"
BROKEN_OFF = (
    "closed without a word",
    "closed too early, TLS did not come up",
    "closed too early, the headers broke off after ",
    "closed too early, the body broke off after ",
)
# How many bytes the socket takes or gives at a time; where it is none, not now.
PIECES = st.lists(st.integers(0, 3000), min_size=1, max_size=20).filter(any)


class Wire:
    """A socket with a web server over TLS behind it.

    Of what the server says, ``most`` bytes come, and the byte at ``wrong`` comes otherwise.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        pieces: Sequence[int] = (1000,),
        *,
        most: int | None = None,
        wrong: int | None = None,
    ) -> None:
        """Keep how to behave."""
        self._pieces = itertools.cycle(pieces)
        self._most = most
        self._wrong = wrong
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._said = self._given = 0
        self._waiting = b""
        self._has_ended = False
        self.heard = b""

    def send(self, data: bytes) -> int:
        """Take some of the bytes, if any now."""
        size = next(self._pieces)
        if not size:
            raise BlockingIOError
        self._in.write(data[:size])
        if not self._has_ended:
            self._answer()
        return len(data[:size])

    @property
    def has_more(self) -> bool:
        """Return whether there is anything to receive, if only the end."""
        said = bytearray(self._out.read())
        if self._wrong is not None and 0 <= self._wrong - self._said < len(said):
            said[self._wrong - self._said] ^= 0x55
        self._said += len(said)
        self._waiting += said
        return bool(self._waiting) or self._has_ended or self._given == self._most

    def recv(self, _size: int) -> bytes:
        """Give some of the bytes."""
        assert self.has_more
        size = next(filter(None, self._pieces))
        if self._most is not None:
            size = min(size, self._most - self._given)
        piece, self._waiting = self._waiting[:size], self._waiting[size:]
        self._given += len(piece)
        return piece

    def _answer(self) -> None:
        try:
            while not self.heard.endswith(b"\r\n\r\n"):
                self.heard += self._tls.read(1000)
            self._tls.write(ANSWER)
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError:
            pass
        self._has_ended = True


@pytest.fixture(scope="module")
def contexts(authority: Authority) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What the server shows, and what we trust."""
    certificate = authority.valid(TARGET.name)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate.chain, certificate.key)
    return server, tls.context_of(tls.Trust(str(authority.cacert)))


def talk(trusted: ssl.SSLContext, wire: Wire, late_after: int | None = None) -> Verdict:
    """Return the verdict of the probe; its time is up after so many waits, or when none can end."""
    probe = http_tls.probe(CHECK, trusted, cast("socket.socket", wire), TARGET)
    try:
        wanted = next(probe)
        for count in itertools.count(1):
            if count == late_after or (wanted == READ and not wire.has_more):
                probe.throw(TimedOut(LATE))
            wanted = next(probe)
    except StopIteration as stop:
        return cast("Verdict", stop.value)
    raise AssertionError("it went on after its time")


@given(pieces=PIECES)
def test_pieces_make_no_difference(contexts: Any, pieces: list[int]) -> None:
    """However the bytes come and go, the page is asked for and read whole."""
    server, trusted = contexts
    wire = Wire(server, pieces)
    assert talk(trusted, wire).reason == ""
    assert wire.heard.startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")


@given(pieces=PIECES, most=st.integers(0, len(ANSWER)))
def test_half_an_answer_is_a_failure(contexts: Any, pieces: list[int], most: int) -> None:
    """A connection that ends anywhere before the answer does fails, and the reason says where."""
    server, trusted = contexts
    assert talk(trusted, Wire(server, pieces, most=most)).reason.startswith(BROKEN_OFF)


@given(pieces=PIECES, waits=st.integers(1, 30))
def test_time_is_up_at_any_wait(contexts: Any, pieces: list[int], waits: int) -> None:
    """Whatever is waited for when the time is up, that is the reason."""
    server, trusted = contexts
    reason = talk(trusted, Wire(server, pieces), late_after=waits).reason
    assert reason.startswith(f"{LATE}, ") or reason == ""


@given(wrong=st.integers(0, 3000))
def test_wrong_byte_ends_in_a_verdict(contexts: Any, wrong: int) -> None:
    """No byte out of place makes the probe fall over."""
    server, trusted = contexts
    verdict = talk(trusted, Wire(server, wrong=wrong))
    assert verdict.reason.startswith(("TLS: ", "closed ", f"{LATE}, ")) or verdict.reason == ""
