"""A web server's answer to one request (RFC 9110, RFC 9112), and the verdict on it."""

from __future__ import annotations

import re
import socket
import time
from typing import NamedTuple

from lvsalert.errors import UsageError
from lvsalert.sweep import READ, WRITE, Conversation, Target, TimedOut, Verdict

# The statuses that mon's own http.monitor takes.
DEFAULT_STATUS = "200,301,302,401"
DEFAULT_AGENT = "mon.d/http.monitor"
DEFAULT_MAX_BYTES = 1 << 20
_MAX_HEAD = 1 << 16

_STATUS_LINE = re.compile(rb"HTTP/\d+(?:\.\d+)? +(\d{3})(?!\d)")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding:.*\bchunked[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
# Statuses whose answer has no body (RFC 9112, 6.3).
_NO_BODY = frozenset((204, 304))


class Check(NamedTuple):
    """What is asked of every host and what makes its answer good.

    ``match`` is searched in headers and content, both as they came, after ``status`` was accepted.
    ``slow`` is the seconds after which an answer is a failure, None for any. ``max_bytes`` of the
    body are read, the rest is not awaited.
    """

    path: str = "/"
    method: str = "GET"
    agent: str = DEFAULT_AGENT
    host_header: str | None = None
    status: frozenset[int] = frozenset((200, 301, 302, 401))
    match: re.Pattern[bytes] | None = None
    slow: float | None = None
    max_bytes: int = DEFAULT_MAX_BYTES


class Malformed(Exception):
    """The server's bytes are not HTTP; the message says how."""


def parse_status(text: str) -> frozenset[int]:
    """Return the statuses that ``200,301-302`` names. UsageError for what names none."""
    accepted: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        bounds = [low, high if dash else low]
        if not all(
            each.isascii() and each.isdigit() and 100 <= int(each) <= 599 for each in bounds
        ):
            raise UsageError(f"{text!r} is not a list of statuses: write 200,301-302")
        if int(bounds[0]) > int(bounds[1]):
            raise UsageError(f"{text!r} is not a list of statuses: {part.strip()} runs backwards")
        accepted.update(range(int(bounds[0]), int(bounds[1]) + 1))
    return frozenset(accepted)


def parse_match(text: str) -> re.Pattern[bytes]:
    """Return the pattern, of bytes; a dot matches a line's end too. UsageError for a bad one."""
    try:
        return re.compile(text.encode("utf-8", "surrogateescape"), re.DOTALL)
    except re.error as error:
        raise UsageError(f"{text!r} is not a regular expression: {error}") from None


def parse_path(text: str) -> str:
    """Return a path as the request line takes it; UsageError where it cannot stand there."""
    if not text.startswith("/"):
        raise UsageError(f"{text!r} is not a path: it begins with /")
    if not text.isprintable() or " " in text:
        raise UsageError(f"{text!r} is not a path: it holds a blank or a control character")
    if not text.isascii():
        from urllib.parse import quote

        return quote(text, safe="".join(map(chr, range(33, 127))))
    return text


def parse_header_value(text: str) -> str:
    """Return a header's value; UsageError for one that would end the header."""
    if not text or not text.isascii() or not text.isprintable():
        raise UsageError(f"{text!r} cannot stand in a header")
    return text


def parse_host_header(text: str) -> str:
    """Return a Host field, ``name`` or ``name:port``; UsageError for what is none."""
    parse_header_value(text)
    if any(each in text for each in " /@?#"):
        raise UsageError(f"{text!r} is not a host name")
    return text


def host_header(check: Check, target: Target, default_port: int) -> str:
    """Return the Host field: ``--host-header``, or the host with its port where that is unusual."""
    if check.host_header is not None:
        return check.host_header
    name = f"[{target.name}]" if ":" in target.name else target.name
    return name if target.port == default_port else f"{name}:{target.port}"


def judge(check: Check, status: int, head: bytes, body: bytes, seconds: float) -> str:
    """Return why the answer is a failure, or an empty string where it is good.

    Every way to fetch a page ends here.
    """
    if status not in check.status:
        return f"status {status} is not accepted"
    if check.match is not None and not check.match.search(head + b"\r\n\r\n" + body):
        return f"no match for {check.match.pattern.decode('utf-8', 'backslashreplace')!r}"
    if check.slow is not None and seconds > check.slow:
        return f"answered in {seconds * 1000:.0f} ms, slower than {check.slow * 1000:.0f} ms"
    return ""


def probe(check: Check, sock: socket.socket, target: Target) -> Conversation:
    """Ask one host over plain HTTP/1.1 and return the verdict."""
    started = time.monotonic()
    reader = _Reader(check)
    request = (
        f"{check.method} {check.path} HTTP/1.1\r\nHost: {host_header(check, target, 80)}\r\n"
        f"User-Agent: {check.agent}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    ).encode("ascii", "backslashreplace")
    try:
        while request:
            try:
                request = request[sock.send(request) :]
            except BlockingIOError:
                yield WRITE
        while not reader.is_complete:
            yield READ
            reader.feed(sock.recv(65536))
    except Malformed as error:
        return Verdict(str(error), reader.head or reader.data[:_MAX_HEAD])
    except TimedOut as error:
        return Verdict(f"{error}, {reader.progress}", reader.head)
    except ConnectionResetError:
        return Verdict(f"connection reset, {reader.progress}", reader.head)
    seconds = time.monotonic() - started
    return Verdict(judge(check, reader.status, reader.head, reader.body, seconds), reader.head)


class _Reader:
    """Takes an answer as it comes; complete at its end or at ``max_bytes`` of its body."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._left: int | None = None
        self._chunks: _Chunks | None = None
        self.data = b""
        self.head = b""
        self.body = b""
        self.status = 0
        self.is_complete = False

    @property
    def progress(self) -> str:
        """Return how far the answer came, for a reason."""
        if self.head:
            return f"the body broke off after {len(self.body)} bytes"
        if self.data:
            return f"the headers broke off after {len(self.data)} bytes"
        return "nothing came"

    def feed(self, data: bytes) -> None:
        """Take bytes from the server, none at its end. Malformed where they are not an answer."""
        if not data:
            self._end()
        elif self.head:
            self._take_body(data)
        else:
            self._take_head(data)

    def _end(self) -> None:
        if not self.data and not self.head:
            raise Malformed("closed without a word")
        if not self.head or self._left is not None or self._chunks is not None:
            raise Malformed(f"closed too early, {self.progress}")
        self.is_complete = True

    def _take_head(self, data: bytes) -> None:
        self.data += data
        if not self.data.startswith(b"HTTP/"[: len(self.data)]):
            raise Malformed("the answer is not HTTP")
        found = _END_OF_HEAD.search(self.data)
        if found is None:
            if len(self.data) > _MAX_HEAD:
                raise Malformed(f"headers of more than {_MAX_HEAD} bytes")
            return
        line = _STATUS_LINE.match(self.data)
        if line is None:
            raise Malformed("the answer has no status")
        status, rest = int(line[1]), self.data[found.end() :]
        if 100 <= status < 200 and status != 101:
            # An interim answer (RFC 9110, 15.2); the final one follows.
            self.data = b""
            if rest:
                self._take_head(rest)
            return
        self.status, self.head = status, self.data[: found.start()]
        self._frame()
        if not self.is_complete:
            self._take_body(rest)

    def _frame(self) -> None:
        """Find where the body ends (RFC 9112, 6.3)."""
        if self._check.method == "HEAD" or self.status in _NO_BODY or self.status == 101:
            self.is_complete = True
        elif _CHUNKED.search(self.head):
            self._chunks = _Chunks()
        elif found := _LENGTH.search(self.head):
            self._left = int(found[1][:19])

    def _take_body(self, data: bytes) -> None:
        if self._chunks is not None:
            self.body += self._chunks.feed(data)
            self.is_complete = self._chunks.is_complete
        elif self._left is not None:
            self.body += data[: self._left]
            self._left -= min(len(data), self._left)
            self.is_complete = self._left == 0
        else:
            self.body += data
        if len(self.body) >= self._check.max_bytes:
            self.body = self.body[: self._check.max_bytes]
            self.is_complete = True


class _Chunks:
    """Takes a chunked body apart as it comes (RFC 9112, 7.1)."""

    _MAX_LINE = 4096

    def __init__(self) -> None:
        self._data = b""
        self._left = 0
        self._in_trailer = False
        self.is_complete = False

    def feed(self, data: bytes) -> bytes:
        """Return the content in what came. Malformed for what is no chunk."""
        self._data += data
        content = b""
        while not self.is_complete:
            if self._left:
                piece = self._data[: self._left]
                content += piece[: max(0, self._left - 2)]
                self._data = self._data[len(piece) :]
                self._left -= len(piece)
                if self._left:
                    break
            line, newline, rest = self._data.partition(b"\n")
            if not newline:
                if len(line) > self._MAX_LINE:
                    raise Malformed("the body is not chunked as its headers say")
                break
            self._data = rest
            self._take_line(line.strip())
        return content

    def _take_line(self, line: bytes) -> None:
        if self._in_trailer:
            self.is_complete = not line
            return
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            size = -1
        if size < 0:
            raise Malformed("the body is not chunked as its headers say")
        self._in_trailer = size == 0
        # A chunk is followed by a line's end, counted with it.
        self._left = size + 2 if size else 0
