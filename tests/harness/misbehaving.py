"""Servers that misbehave, one way each, on loopback ports of their own.

A way of misbehaving is a function that gets one accepted client; `Misbehaving` runs it for each of
them in a thread. What needs no accepted client is a context manager of its own: `refusing` and
`unanswering`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Callable

from tests.harness.places import free_port, join, sockaddr
from tests.harness.waiting import short

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from tests.harness.certificates import Certificate

_LINGER_NOT = struct.pack("ii", 1, 0)


class Client:
    """One accepted connection; what the client sent is also noted in the server's `heard`."""

    def __init__(self, sock: socket.socket, heard: bytearray, over: threading.Event) -> None:
        """Take a connection; `over` is set when nobody is to wait any more."""
        self._sock = sock
        self._stream = sock.makefile("rb")
        self._heard = heard
        self._over = over

    @property
    def address(self) -> str:
        """Return which of the server's addresses the client has asked."""
        address: str = self._sock.getsockname()[0]
        return address

    def line(self) -> bytes:
        """Return the client's next line with its end, or nothing when it hung up."""
        line = self._stream.readline()
        self._heard += line
        return line

    def request(self) -> None:
        """Read an HTTP request up to the empty line that ends its headers."""
        while self.line().strip():
            pass

    def hangs_up(self) -> None:
        """Read until the client hangs up."""
        while part := self._stream.read1(65536):
            self._heard += part

    def send(self, words: bytes) -> None:
        """Send `words`, at the client's pace."""
        self._sock.sendall(words)

    def pause(self, seconds: float) -> None:
        """Let some time go by, but not the end of the server."""
        if self._over.wait(seconds):
            raise InterruptedError

    def reset(self) -> None:
        """Break the connection with a reset in place of an orderly end (socket(7), SO_LINGER)."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._stream.close()
        self._sock.close()

    def drop(self) -> None:
        """Hang up without the farewell of TLS (RFC 8446, 6.1), as many servers do.

        What the client has sent is read first: left unread it would be answered by a reset.
        """
        with contextlib.suppress(OSError):
            while socket.socket.recv(self._sock, 65536, socket.MSG_DONTWAIT):
                pass
        # A process that was forked meanwhile has the connection too, and would keep it open.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_WR)
        self._stream.close()
        self._sock.close()

    def close(self) -> None:
        """Hang up."""
        if isinstance(self._sock, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self._sock.unwrap()
        self.drop()


Talk = Callable[[Client], None]


class Misbehaving:
    """A TCP server that treats each client as `talk` does, on one port of all its addresses.

    `heard` collects what clients sent, `connections` counts them.
    """

    def __init__(
        self,
        talk: Talk,
        addresses: str | Sequence[str] = "127.0.0.1",
        *,
        port: int | None = None,
        certificate: Certificate | None = None,
        wanted: Path | None = None,
    ) -> None:
        """Keep how to behave; without `port` a free one is taken.

        With `wanted` a client has to show a certificate that the authority in this file signed.
        """
        self._talk = talk
        self.addresses = [addresses] if isinstance(addresses, str) else list(addresses)
        self.port = free_port(self.addresses[0]) if port is None else port
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate.chain, certificate.key)
        if self._tls is not None and wanted is not None:
            # In TLS 1.3 a client is up before it hears that its certificate is refused.
            self._tls.maximum_version = ssl.TLSVersion.TLSv1_2
            self._tls.verify_mode = ssl.CERT_REQUIRED
            self._tls.load_verify_locations(wanted)
        self.heard = bytearray()
        self.connections = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        # Listeners and clients, each with the thread that waits for it.
        self._open: dict[socket.socket, threading.Thread] = {}

    @property
    def place(self) -> str:
        """Where the server listens, as a monitor takes it: `address:port` or `[v6]:port`."""
        return self.places[0]

    @property
    def places(self) -> list[str]:
        """All places where it listens."""
        return [join(address, self.port) for address in self.addresses]

    def __enter__(self) -> Self:
        """Listen."""
        with contextlib.ExitStack() as failing:
            for address in self.addresses:
                place, family = sockaddr(address, self.port), _family(address)
                listener = socket.create_server(place, family=family, backlog=1024)
                failing.callback(listener.close)
                self._serve(listener, self._accept)
            failing.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up on everybody."""
        self._over.set()
        while self._open:
            with self._lock:
                threads = list(self._open.values())
                for sock in self._open:
                    with contextlib.suppress(OSError):
                        # Below TLS, which would wait for its client.
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)
            for thread in threads:
                thread.join()

    def _serve(self, sock: socket.socket, wait: Callable[[socket.socket], None]) -> None:
        """Have a thread wait for a socket, and close it in the end."""

        def run() -> None:
            try:
                wait(sock)
            except OSError:
                pass  # the client hung up, or the test is over
            finally:
                with self._lock:
                    del self._open[sock]
                sock.close()

        with self._lock:
            self._open[sock] = thread = threading.Thread(target=run, daemon=True)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._over.is_set():
            client, _ = listener.accept()
            # What is said goes out at once, before a reset that would drop it.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                client = self._tls.wrap_socket(
                    client, server_side=True, do_handshake_on_connect=False
                )
            self._serve(client, self._accepted)

    def _accepted(self, sock: socket.socket) -> None:
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        with self._lock:
            self.connections += 1
        client = Client(sock, self.heard, self._over)
        try:
            self._talk(client)
        finally:
            client.close()


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@contextmanager
def refusing(address: str = "127.0.0.1") -> Iterator[str]:
    """Give a place that refuses connections: bound, so that nobody else takes it, not listening."""
    with socket.socket(_family(address), socket.SOCK_STREAM) as holder:
        holder.bind(sockaddr(address, 0))
        yield join(address, holder.getsockname()[1])


@contextmanager
def unanswering(address: str = "127.0.0.1") -> Iterator[str]:
    """Give a place where a connection is never accepted, as behind a firewall that drops.

    Linux drops a SYN when the queue of connections to be accepted is full (listen(2), tcp(7)).
    """
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket(_family(address), socket.SOCK_STREAM))
        listener.bind((address, 0))
        listener.listen(0)
        for _ in range(3):
            client = sockets.enter_context(socket.socket(_family(address), socket.SOCK_STREAM))
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield join(address, listener.getsockname()[1])


def silent(client: Client) -> None:
    """Accept, and say nothing for ever."""
    client.hangs_up()


def resets(client: Client) -> None:
    """Answer the connection with a reset."""
    client.reset()


def resets_after_request(client: Client) -> None:
    """Read an HTTP request, and answer with a reset."""
    client.request()
    client.reset()


def closes(client: Client) -> None:
    """Hang up without a word."""


def hears_and_closes(client: Client) -> None:
    """Read a line, or the greeting of TLS, and hang up.

    A greeting has a line's end in it, as the number of the extension that tells the groups (RFC
    8446, 4.2). Who hangs up with it unread resets the connection.
    """
    client.line()


def closes_after_request(client: Client) -> None:
    """Read the whole request, and hang up without a word."""
    client.request()


def says(words: bytes) -> Talk:
    """Say `words` at once, whatever the client wants, and wait for it to hang up."""

    def talk(client: Client) -> None:
        client.send(words)
        client.hangs_up()

    return talk


def replies(answer: bytes) -> Talk:
    """Read an HTTP request, send `answer`, hang up."""

    def talk(client: Client) -> None:
        client.request()
        client.send(answer)

    return talk


def replies_and_stays(answer: bytes) -> Talk:
    """Read an HTTP request, send `answer`, and leave the connection open."""

    def talk(client: Client) -> None:
        client.request()
        client.send(answer)
        client.hangs_up()

    return talk


def dribbles(answer: bytes, seconds: float | None = None) -> Talk:
    """Send `answer` byte by byte, one every `seconds`, by default two in a `short` time."""
    seconds = float(short()) / 2 if seconds is None else seconds

    def talk(client: Client) -> None:
        for number in range(len(answer)):
            client.send(answer[number : number + 1])
            client.pause(seconds)

    return talk


def endless(beginning: bytes, repeated: bytes) -> Talk:
    """Send `beginning`, then `repeated` as often and as fast as the client takes it."""

    def talk(client: Client) -> None:
        client.send(beginning)
        part = repeated * max(1, 65536 // len(repeated))
        while True:
            client.send(part)

    return talk


OK = b"HTTP/1.1 200 OK\r\n"

endless_headers = endless(OK, b"X-More: and more\r\n")
endless_line = endless(OK + b"X-Long: ", b"and on ")
endless_body = endless(OK + b"Content-Type: text/plain\r\n\r\n", b"test page\n")
one_byte_at_a_time = dribbles(OK + b"\r\ntest page\n")
ssh_banner = says(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
binary = says(bytes(range(256)) * 4)
invalid_utf8 = replies(OK + b"X-Name: \xff\xfe\xc3\x28\r\n\r\ntest page \xf0\x28\x8c\n")
chunked = replies(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\ntest \r\n5\r\npage\n\r\n0\r\n\r\n")
chunked_badly = replies(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\ntest page\r\n")
truncated = replies(OK + b"Content-Length: 1000\r\n\r\ntest page\n")


def ftp(greeting: bytes = b"220 ready\r\n", farewell: bytes | None = b"221 Goodbye.\r\n") -> Talk:
    """Greet as an FTP server does (RFC 959), answer QUIT with `farewell`, or hang up if None."""

    def talk(client: Client) -> None:
        client.send(greeting)
        while line := client.line():
            if line.strip().upper() == b"QUIT":
                if farewell is not None:
                    client.send(farewell)
                return
            client.send(b"500 Unknown command.\r\n")

    return talk


def ftp_resets(client: Client) -> None:
    """Greet, and answer QUIT with a reset."""
    client.send(b"220 ready\r\n")
    client.line()
    client.reset()


ftp_421 = ftp(b"421 Too many users.\r\n")
ftp_530 = ftp(b"530 Not welcome.\r\n")
ftp_many_lines = ftp(b"220-Welcome\r\n 220 is not the end yet\r\n220-Really\r\n220 ready\r\n")
ftp_no_farewell = ftp(farewell=None)
ftp_bad_farewell = ftp(farewell=b"500 What?\r\n")
