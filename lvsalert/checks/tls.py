"""TLS over the sweep's sockets (RFC 8446): a conversation led over it, and a greeting heard."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Generator
from typing import TYPE_CHECKING, Callable, NamedTuple, TypeVar

from lvsalert.checks.sweep import READ, WRITE, Conversation, Target, TimedOut, Verdict
from lvsalert.errors import UsageError

if TYPE_CHECKING:
    from lvsalert.checks.tcp import Check

_T = TypeVar("_T")

# As much is read in search of a match.
_MAX_SAID = 1 << 16
# A record of TLS holds no more (RFC 8446, 5.1), and OpenSSL hands out one at a time.
_RECORD = 1 << 14
_PIECE = 1 << 16
# What a server's end is, with and without a word.
_ENDS = (ssl.SSLZeroReturnError, ssl.SSLEOFError)
_RESETS = (ConnectionResetError, BrokenPipeError)
NOT_UP = "TLS did not come up"
# Nobody is there who could type one: an empty one is refused, where OpenSSL would ask a terminal.
_NO_PASSPHRASE = ""


class Trust(NamedTuple):
    """Which certificates are taken, and which is shown.

    ``ca_file`` holds those to trust in place of the system's, ``verify`` is whether any other is
    refused. ``cert_file`` and ``key_file`` are the certificate and the key of a client that has to
    show one; the key may lie with the certificate.
    """

    ca_file: str | None = None
    verify: bool = True
    cert_file: str | None = None
    key_file: str | None = None


def context_of(trust: Trust, *protocols: str) -> ssl.SSLContext:
    """Return what TLS comes up with; ``protocols`` are what is spoken over it (RFC 7301).

    UsageError where a file cannot be taken.
    """
    try:
        # To read the system's certificates takes longer than to ask a host.
        if trust.verify or trust.ca_file is not None:
            context = ssl.create_default_context(cafile=trust.ca_file)
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    except (OSError, ValueError) as error:
        raise _not_taken("--cacert", trust.ca_file, error) from None
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if trust.cert_file is not None:
        try:
            context.load_cert_chain(trust.cert_file, trust.key_file, _NO_PASSPHRASE)
        except (OSError, ValueError) as error:
            files = " --key ".join(filter(None, (trust.cert_file, trust.key_file)))
            raise _not_taken("--cert", files, error) from None
    if protocols:
        # A server that could speak another too is not left to guess.
        context.set_alpn_protocols(protocols)
    return context


def _not_taken(option: str, path: str | None, error: Exception) -> UsageError:
    reason = error.strerror if isinstance(error, OSError) else None
    return UsageError(f"{option}: {path!r}: {reason or error}")


def name_to_verify(name: str) -> str:
    """Return the name that a server's certificate has to be for: the host's, without a zone."""
    return name.partition("%")[0].rstrip(".")


def broken_off(error: Exception, stage: str) -> str:
    """Return the reason for an error that a conversation over TLS came to at a stage of it."""
    if isinstance(error, TimedOut):
        return f"{error}, {stage}"
    if isinstance(error, _ENDS):
        return f"closed too early, {stage}"
    if not isinstance(error, ssl.SSLError):
        return f"connection reset, {stage}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"


def over(
    talk: Callable[[Stream, Target], Conversation],
    context: ssl.SSLContext,
    name: str,
    sock: socket.socket,
    target: Target,
) -> Conversation:
    """Lead the conversation that ``talk`` makes over TLS, with a server that is to be ``name``.

    ``talk`` gets a stream in the socket's place: what it waits for is waited for under TLS.
    """
    try:
        stream = Stream(context, sock, name)
    except ValueError as error:  # a name that cannot be one (RFC 6066, 3)
        return Verdict(f"TLS: {name!r} cannot be verified: {error.__cause__ or error}", b"")
    inner = talk(stream, target)
    try:
        wanted = next(inner)
        while True:
            try:
                yield from stream.wait(wanted)
            except (TimedOut, *_RESETS) as error:
                if not stream.is_up:
                    return Verdict(broken_off(error, NOT_UP), b"")
                # However a reset shows, the conversation knows it by one name.
                wanted = inner.throw(error if isinstance(error, TimedOut) else ConnectionResetError)
            else:
                wanted = next(inner)
    except StopIteration as stop:
        verdict: Verdict = stop.value
        return verdict
    except ssl.SSLError as error:
        stream.tell()
        return Verdict(broken_off(error, NOT_UP), b"")


def probe(
    check: Check, context: ssl.SSLContext, sock: socket.socket, target: Target
) -> Conversation:
    """Connect, let TLS come up, and read until the match is found or the server ends."""
    # An IPv6 address is no server's name, whatever its zone.
    stream = Stream(context, sock, None if ":" in target.certified else target.certified)
    said, stage = b"", NOT_UP
    try:
        yield from stream.wait(WRITE)
        yield from stream.flush()
        stage = "nothing came"
        while check.match is not None and not check.match.search(said):
            if len(said) > _MAX_SAID:
                return Verdict(f"no match in {_MAX_SAID} bytes", said)
            yield from stream.wait(READ)
            piece = stream.recv(_PIECE)
            if not piece:
                return Verdict("closed without a match" if said else "closed without a word", said)
            said += piece
            stage = "no match"
    except (TimedOut, *_RESETS, ssl.SSLError) as error:
        return Verdict(broken_off(error, stage), said)
    return Verdict("", said)


class Stream:
    """What a server says over TLS, and what it is told, with the socket's part yielded.

    It stands in a socket's place: ``send`` raises BlockingIOError until TLS is up, and ``recv``
    has something to return after ``wait``. ValueError for a name that cannot be a server's.
    """

    def __init__(self, context: ssl.SSLContext, sock: socket.socket, name: str | None) -> None:
        self._sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        self._said = b""
        self.is_up = False

    def send(self, data: bytes, /) -> int:
        """Take what goes out with the next wait."""
        if not self.is_up:
            raise BlockingIOError
        return self._tls.write(data)

    def recv(self, _size: int, /) -> bytes:
        """Return what was waited for, nothing at the server's end."""
        return self._said

    def wait(self, wanted: int) -> Generator[int, None, None]:
        """Send all there is, and wait until TLS is up (WRITE) or more was said (READ).

        A server that hangs up without TLS's own farewell, as many do, ends what it says all the
        same; whether that is whole is for the conversation to see.
        """
        if not self.is_up:
            yield from self._done(self._tls.do_handshake)
            # The end of the handshake goes out together with what is said first.
            self.is_up = True
        if wanted == READ:
            try:
                self._said = yield from self._done(self._read)
            except _ENDS:
                self._said = b""

    def tell(self) -> None:
        """Send why TLS does not come up, as far as the server takes it."""
        with contextlib.suppress(OSError):
            self._sock.send(self._out.read())

    def flush(self) -> Generator[int, None, None]:
        """Send what there is."""
        unsent = self._out.read()
        while unsent:
            try:
                unsent = unsent[self._sock.send(unsent) :]
            except BlockingIOError:
                yield WRITE

    def _read(self) -> bytes:
        return self._tls.read(_RECORD)

    def _done(self, act: Callable[[], _T]) -> Generator[int, None, _T]:
        """Carry bytes back and forth until ``act`` has what it needs."""
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                yield from self.flush()
                yield READ
                if piece := self._sock.recv(_PIECE):
                    self._in.write(piece)
                else:
                    self._in.write_eof()
