"""Servers that misbehave, one way each, on loopback ports of their own.

A way of misbehaving is a coroutine that gets one accepted client; `Misbehaving` runs it for each
of them on a single thread. What needs no accepted client is a context manager of its own:
`refusing` and `unanswering`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable

from tests.harness.places import free_port, join

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from tests.harness.certificates import Certificate

_LINGER_NOT = struct.pack("ii", 1, 0)


class Client:
    """One accepted connection; what the client sent is also noted in the server's `heard`."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, heard: bytearray) -> None:
        """Wrap the two halves that asyncio gives."""
        self._reader = reader
        self._writer = writer
        self._heard = heard

    async def line(self) -> bytes:
        """Return the client's next line with its end, or nothing when it hung up."""
        line = await self._reader.readline()
        self._heard += line
        return line

    async def request(self) -> None:
        """Read an HTTP request up to the empty line that ends its headers."""
        while (await self.line()).strip():
            pass

    async def hangs_up(self) -> None:
        """Read until the client hangs up."""
        while part := await self._reader.read(65536):
            self._heard += part

    async def send(self, words: bytes) -> None:
        """Send `words`, at the client's pace."""
        self._writer.write(words)
        await self._writer.drain()

    def reset(self) -> None:
        """Break the connection with a reset in place of an orderly end (socket(7), SO_LINGER)."""
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._writer.transport.abort()

    def drop(self) -> None:
        """Hang up without the farewell of TLS (RFC 8446, 6.1), as many servers do."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Hang up; without a farewell where there is no time for one."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except (OSError, asyncio.CancelledError):
            self.drop()


Talk = Callable[[Client], Coroutine[Any, Any, None]]


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
    ) -> None:
        """Keep how to behave; without `port` a free one is taken."""
        self._talk = talk
        self.addresses = [addresses] if isinstance(addresses, str) else list(addresses)
        self.port = free_port(self.addresses[0]) if port is None else port
        self._certificate = certificate
        self.heard = bytearray()
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._clients: set[asyncio.Task[None]] = set()

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
        self._thread.start()
        self._server = self._run(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up on everybody."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> asyncio.AbstractServer:
        tls = None
        if self._certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(self._certificate.chain, self._certificate.key)
        return await asyncio.start_server(
            self._accepted, self.addresses, self.port, ssl=tls, backlog=1024
        )

    async def _accepted(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        self.connections += 1
        client = Client(reader, writer, self.heard)
        try:
            await self._talk(client)
        except (OSError, asyncio.CancelledError):
            pass  # the client hung up, or the test is over
        finally:
            await client.close()
            self._clients.discard(task)

    async def _close(self) -> None:
        self._server.close()
        clients = list(self._clients)
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@contextmanager
def refusing(address: str = "127.0.0.1") -> Iterator[str]:
    """Give a place that refuses connections: bound, so that nobody else takes it, not listening."""
    with socket.socket(_family(address), socket.SOCK_STREAM) as holder:
        holder.bind((address, 0))
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


async def silent(client: Client) -> None:
    """Accept, and say nothing for ever."""
    await client.hangs_up()


async def resets(client: Client) -> None:
    """Answer the connection with a reset."""
    client.reset()


async def resets_after_request(client: Client) -> None:
    """Read an HTTP request, and answer with a reset."""
    await client.request()
    client.reset()


async def closes(client: Client) -> None:
    """Hang up without a word."""


async def hears_and_closes(client: Client) -> None:
    """Read a line, or the greeting of TLS, and hang up.

    A greeting has a line's end in it, as the number of the extension that tells the groups (RFC
    8446, 4.2). Who hangs up with it unread resets the connection.
    """
    await client.line()


async def closes_after_request(client: Client) -> None:
    """Read the whole request, and hang up without a word."""
    await client.request()


def says(words: bytes) -> Talk:
    """Say `words` at once, whatever the client wants, and wait for it to hang up."""

    async def talk(client: Client) -> None:
        await client.send(words)
        await client.hangs_up()

    return talk


def replies(answer: bytes) -> Talk:
    """Read an HTTP request, send `answer`, hang up."""

    async def talk(client: Client) -> None:
        await client.request()
        await client.send(answer)

    return talk


def replies_and_stays(answer: bytes) -> Talk:
    """Read an HTTP request, send `answer`, and leave the connection open."""

    async def talk(client: Client) -> None:
        await client.request()
        await client.send(answer)
        await client.hangs_up()

    return talk


def dribbles(answer: bytes, seconds: float = 1.0) -> Talk:
    """Send `answer` byte by byte, one every `seconds`."""

    async def talk(client: Client) -> None:
        for number in range(len(answer)):
            await client.send(answer[number : number + 1])
            await asyncio.sleep(seconds)

    return talk


def endless(beginning: bytes, repeated: bytes) -> Talk:
    """Send `beginning`, then `repeated` as often and as fast as the client takes it."""

    async def talk(client: Client) -> None:
        await client.send(beginning)
        part = repeated * max(1, 65536 // len(repeated))
        while True:
            await client.send(part)

    return talk


OK = b"HTTP/1.1 200 OK\r\n"

endless_headers = endless(OK, b"X-More: and more\r\n")
endless_line = endless(OK + b"X-Long: ", b"and on ")
endless_body = endless(OK + b"Content-Type: text/plain\r\n\r\n", b"test page\n")
one_byte_a_second = dribbles(OK + b"\r\ntest page\n")
ssh_banner = says(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
binary = says(bytes(range(256)) * 4)
invalid_utf8 = replies(OK + b"X-Name: \xff\xfe\xc3\x28\r\n\r\ntest page \xf0\x28\x8c\n")
chunked = replies(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\ntest \r\n5\r\npage\n\r\n0\r\n\r\n")
chunked_badly = replies(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\ntest page\r\n")
truncated = replies(OK + b"Content-Length: 1000\r\n\r\ntest page\n")


def ftp(greeting: bytes = b"220 ready\r\n", farewell: bytes | None = b"221 Goodbye.\r\n") -> Talk:
    """Greet as an FTP server does (RFC 959), answer QUIT with `farewell`, or hang up if None."""

    async def talk(client: Client) -> None:
        await client.send(greeting)
        while line := await client.line():
            if line.strip().upper() == b"QUIT":
                if farewell is not None:
                    await client.send(farewell)
                return
            await client.send(b"500 Unknown command.\r\n")

    return talk


async def ftp_resets(client: Client) -> None:
    """Greet, and answer QUIT with a reset."""
    await client.send(b"220 ready\r\n")
    await client.line()
    client.reset()


ftp_421 = ftp(b"421 Too many users.\r\n")
ftp_530 = ftp(b"530 Not welcome.\r\n")
ftp_many_lines = ftp(b"220-Welcome\r\n 220 is not the end yet\r\n220-Really\r\n220 ready\r\n")
ftp_no_farewell = ftp(farewell=None)
ftp_bad_farewell = ftp(farewell=b"500 What?\r\n")
