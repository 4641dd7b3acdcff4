"""A web server's answer as it comes over the wire (RFC 9110, RFC 9112): headers, body, its end."""

from __future__ import annotations

import re
from typing import Protocol

_MAX_HEAD = 1 << 16
_CR = ord("\r")

_STATUS_LINE = re.compile(rb"HTTP/1\.\d +(\d{3})(?=[ \r\n])")
# The line's end before it, which may be \r\n, is looked at when it is found: six times as fast.
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d+)[ \t]*\r?(?:\n|$)", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]+)[ \t]*(?:;|$)")
_CHUNKED = re.compile(rb"\ntransfer-encoding:.*\bchunked[ \t]*\r?(?:\n|$)", re.IGNORECASE)
_LOCATION = re.compile(rb"\nlocation:[ \t]*([^\r\n]*)", re.IGNORECASE)
# Statuses with which a server may name another place to ask (RFC 9110, 15.4).
REDIRECTS = frozenset((301, 302, 303, 307, 308))
# Statuses whose answer has no body (RFC 9112, 6.3).
_NO_BODY = frozenset((101, 204, 304))


class Digest(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all that was taken."""


class Malformed(Exception):
    """The server's bytes are not HTTP; the message says how."""


class Body:
    """Takes the body of an answer: up to ``most`` bytes, the first ``keep`` of which are kept.

    All that is taken goes through ``digest``, where there is one. So what a body fills of the
    memory is bounded by what is looked for in it.
    """

    def __init__(self, most: int, keep: int | None = None, digest: Digest | None = None) -> None:
        self._most = most
        self._keep = most if keep is None else min(most, keep)
        self._digest = digest
        self._kept = bytearray()
        self.length = 0

    @property
    def kept(self) -> bytes:
        """Return the bytes that are kept."""
        return bytes(self._kept)

    @property
    def is_full(self) -> bool:
        """Return whether no more is taken."""
        return self.length >= self._most

    @property
    def digest(self) -> str:
        """Return the digest of what was taken, in hexadecimal; empty where none is made."""
        return "" if self._digest is None else self._digest.hexdigest()

    def take(self, data: bytes) -> None:
        """Take what came next."""
        data = data[: self._most - self.length]
        if self.length < self._keep:
            self._kept += data[: self._keep - self.length]
        self.length += len(data)
        if self._digest is not None:
            self._digest.update(data)


class Reader:
    """Takes an answer as it comes; complete at its end or when its ``body`` is full.

    ``has_body`` is false for the answer to a HEAD. ``status`` is 0 until the headers are complete,
    ``head`` is the status line and the header fields as they came. With ``follows`` a redirect ends
    with its headers, and ``location`` is the place that it names.
    """

    # Most answers come whole and leave these as they are.
    head = b""
    status = 0
    location: str | None = None
    is_complete = False
    _left: int | None = None
    _chunks: _Chunks | None = None
    _interim = 0

    def __init__(self, *, has_body: bool, body: Body, follows: bool = False) -> None:
        self._has_body = has_body
        self._follows = follows
        self._data = bytearray()
        self.body = body

    @property
    def said(self) -> bytes:
        """Return what the server said, without the body where there are headers."""
        return self.head or bytes(self._data[:_MAX_HEAD])

    @property
    def progress(self) -> str:
        """Return how far the answer came, for a reason."""
        if self.head:
            return f"the body broke off after {self.body.length} bytes"
        if self._data:
            return f"the headers broke off after {len(self._data)} bytes"
        return "nothing came"

    @property
    def ends_with_connection(self) -> bool:
        """Return whether nothing but the connection's end tells where the body does."""
        return bool(self.head) and self._left is None and self._chunks is None

    def feed(self, data: bytes) -> None:
        """Take bytes from the server, none at its end. Malformed where they are not an answer."""
        if not data:
            self._end()
        elif self.head:
            self._take_body(data)
        else:
            self._data += data
            self._take_head(len(data))

    def _end(self) -> None:
        if not self._data and not self.head:
            raise Malformed("closed without a word")
        if not self.head or self._left is not None or self._chunks is not None:
            raise Malformed(f"closed too early, {self.progress}")
        self.is_complete = True

    def _take_head(self, new: int) -> None:
        """Look whether the last ``new`` bytes complete the headers.

        Interim answers (RFC 9110, 15.2) may come before the final one.
        """
        start = max(0, len(self._data) - new - 3)
        if self._data.startswith((b"\r", b"\n")):
            # Some say an empty line first, which a client passes over.
            blank = len(self._data) - len(self._data.lstrip(b"\r\n"))
            self._interim += blank
            del self._data[:blank]
            start = 0
        while True:
            if not self._data.startswith(b"HTTP/"[: len(self._data)]):
                raise Malformed("the answer is not HTTP")
            found = _END_OF_HEAD.search(self._data, start)
            if found is None:
                break
            line = _STATUS_LINE.match(self._data)
            if line is None:
                raise Malformed("the answer has no status")
            self.status = int(line[1])
            if not 100 <= self.status < 200 or self.status == 101:
                end = found.start()
                self.head = bytes(self._data[: end - (self._data[end - 1] == _CR)])
                self._begin_body(bytes(self._data[found.end() :]))
                return
            self._interim += found.end()
            del self._data[: found.end()]
            start = 0
        if self._interim + len(self._data) > _MAX_HEAD:
            raise Malformed(f"headers of more than {_MAX_HEAD} bytes")

    def _begin_body(self, data: bytes) -> None:
        """Find where the body ends (RFC 9112, 6.3), and take what came of it with the headers."""
        if self._follows and self.status in REDIRECTS and (named := _LOCATION.findall(self.head)):
            # As one field of many lines is read (RFC 9110, 5.3).
            self.location = b", ".join(each.rstrip() for each in named).decode("latin-1")
            self.is_complete = True
            return
        if not self._has_body or self.status in _NO_BODY:
            self.is_complete = True
            return
        if _CHUNKED.search(self.head):
            self._chunks = _Chunks()
        elif found := _LENGTH.search(self.head):
            self._left = int(found[1][:19])
        self._take_body(data)

    def _take_body(self, data: bytes) -> None:
        if self._chunks is not None:
            self.body.take(self._chunks.feed(data))
            self.is_complete = self._chunks.is_complete
        elif self._left is not None:
            self.body.take(data[: self._left])
            self._left -= min(len(data), self._left)
            self.is_complete = self._left == 0
        else:
            self.body.take(data)
        if self.body.is_full:
            self.is_complete = True


class _Chunks:
    """Takes a chunked body apart as it comes (RFC 9112, 7.1)."""

    _MAX_LINE = 4096

    def __init__(self) -> None:
        self._rest = b""
        self._left = 0
        self._trailer: int | None = None
        self.is_complete = False

    def feed(self, data: bytes) -> bytes:
        """Return the content in what came. Malformed for what is no chunk."""
        data, at, content = self._rest + data, 0, []
        while not self.is_complete:
            if self._left:
                piece = data[at : at + self._left]
                content.append(piece[: max(0, self._left - 2)])
                self._left -= len(piece)
                at += len(piece)
                if self._left:
                    break
            end = data.find(b"\n", at)
            if end < 0:
                break
            self._take_line(data[at:end].strip())
            at = end + 1
        self._rest = data[at:]
        if len(self._rest) > self._MAX_LINE and not self.is_complete:
            raise Malformed("the body is not chunked as its headers say")
        return b"".join(content)

    def _take_line(self, line: bytes) -> None:
        if self._trailer is not None:
            self._trailer += len(line)
            if self._trailer > _MAX_HEAD:
                raise Malformed(f"trailers of more than {_MAX_HEAD} bytes")
            self.is_complete = not line
            return
        found = _CHUNK_SIZE.match(line)
        if found is None:
            raise Malformed("the body is not chunked as its headers say")
        size = int(found[1], 16)
        if size:
            # A chunk is followed by a line's end, counted with it.
            self._left = size + 2
        else:
            self._trailer = 0
