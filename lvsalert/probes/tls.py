"""Whether a TCP port speaks TLS, and what it says first over it (RFC 8446)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Generator
from typing import TYPE_CHECKING, Callable, TypeVar

from lvsalert.probes.tcp import Check
from lvsalert.sweep import READ, WRITE, Conversation, Target, TimedOut, Verdict

if TYPE_CHECKING:
    import _socket

_T = TypeVar("_T")

# As much is read in search of a match.
_MAX_SAID = 1 << 16
# What a server's end is, with and without a word.
_ENDS = (ssl.SSLZeroReturnError, ssl.SSLEOFError)


def any_certificate() -> ssl.SSLContext:
    """Return what trusts every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def probe(
    check: Check, context: ssl.SSLContext, sock: _socket.socket, target: Target
) -> Conversation:
    """Connect, let TLS come up, and read until the match is found or the server ends."""
    yield WRITE
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, "")
    tls = _Tls(context, sock, target)
    said, stage = b"", "TLS did not come up"
    try:
        yield from tls.come_up()
        stage = "nothing came"
        while check.match is not None and not check.match.search(said):
            if len(said) > _MAX_SAID:
                return Verdict(f"no match in {_MAX_SAID} bytes", said)
            piece = yield from tls.receive()
            if not piece:
                return Verdict("closed without a match" if said else "closed without a word", said)
            said += piece
            stage = "no match"
    except (TimedOut, ConnectionResetError, BrokenPipeError, ssl.SSLError) as error:
        return Verdict(_reason(error, stage), said)
    return Verdict("", said)


def _reason(error: Exception, stage: str) -> str:
    if isinstance(error, TimedOut):
        return f"{error}, {stage}"
    if isinstance(error, _ENDS):
        return f"closed too early, {stage}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    return f"connection reset, {stage}"


class _Tls:
    """TLS between buffers, with the socket's part of it yielded to the sweep."""

    def __init__(self, context: ssl.SSLContext, sock: _socket.socket, target: Target) -> None:
        self._sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        # An IPv6 address is no server's name, whatever its zone.
        name = None if ":" in target.name else target.name
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)

    def come_up(self) -> Generator[int, None, None]:
        """Shake hands."""
        yield from self._done(self._tls.do_handshake)

    def receive(self) -> Generator[int, None, bytes]:
        """Return what the server says next, nothing at its end."""
        try:
            return (yield from self._done(lambda: self._tls.read(65536)))
        except _ENDS:
            return b""

    def _done(self, act: Callable[[], _T]) -> Generator[int, None, _T]:
        """Carry bytes back and forth until ``act`` has what it needs."""
        while True:
            try:
                value = act()
            except ssl.SSLWantReadError:
                yield from self._send()
                yield READ
                if piece := self._sock.recv(65536):
                    self._in.write(piece)
                else:
                    self._in.write_eof()
            else:
                yield from self._send()
                return value

    def _send(self) -> Generator[int, None, None]:
        unsent = self._out.read()
        while unsent:
            try:
                unsent = unsent[self._sock.send(unsent) :]
            except BlockingIOError:
                yield WRITE
