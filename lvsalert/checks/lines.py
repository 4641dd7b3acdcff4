"""A conversation in lines, as mail and news have it: what is said, and what was heard of it."""

from __future__ import annotations

import re
import socket
from collections.abc import Generator
from typing import TYPE_CHECKING, Callable, NamedTuple

from lvsalert.checks.sweep import READ, WRITE, Conversation, Target, TimedOut, Verdict

if TYPE_CHECKING:
    import ssl

    from lvsalert.checks.tls import Stream

# A greeting of many lines is taken, one without an end is not.
_MOST_BYTES = 1 << 16
# So many bytes of the server's words go into a reason.
_MOST_WORDS = 200
# A line of a reply: three digits, and a hyphen where more lines follow (RFC 5321, 4.2.1; RFC 959).
_CODE = re.compile(rb"(\d{3})([ -]).*", re.DOTALL)


class Refused(Exception):
    """The server is not as it should be; the message says how."""


class Reply(NamedTuple):
    """A reply by number, and the words of its last line."""

    code: int
    words: str


class Lines:
    """The lines between us and one server; ``stage`` is what is lacking as long as none comes.

    Refused where the server hangs up, or says what is no line.
    """

    def __init__(self, sock: socket.socket | Stream) -> None:
        self._sock = sock
        self._taken = 0
        self._begun = 0
        self.heard = bytearray()
        self.stage = "no greeting"

    def say(self, line: bytes) -> Generator[int, None, None]:
        """Send a line."""
        left = line + b"\r\n"
        while left:
            try:
                left = left[self._sock.send(left) :]
            except BlockingIOError:
                yield WRITE

    def line(self) -> Generator[int, None, bytes]:
        """Return the next line, without its end."""
        while (end := self.heard.find(b"\n", self._taken)) < 0:
            if len(self.heard) - self._begun > _MOST_BYTES:
                raise Refused(f"{self.stage}: a reply of more than {_MOST_BYTES} bytes")
            yield READ
            piece = self._sock.recv(4096)
            if not piece:
                part = words(self.heard[self._taken :])
                how = f"closed after {part!r}" if part else "closed without a word"
                raise Refused(f"{self.stage}: {how}")
            self.heard += piece
        line = bytes(self.heard[self._taken : end])
        self._taken = end + 1
        return line.rstrip(b"\r")

    def reply(self, what: str) -> Generator[int, None, Reply]:
        """Return the next reply by number, however many lines it has.

        ``what`` is the protocol, for a line that is none of it.
        """
        first, self._begun = None, self._taken
        while True:
            line = yield from self.line()
            code = _CODE.fullmatch(line)
            if first is None and code is None:
                raise Refused(f"{self.stage}: not {what}: {words(line)}")
            if code is not None and code[2] == b" " and first in (None, code[1]):
                return Reply(int(code[1]), words(line))
            if first is None and code is not None:
                first = code[1]


Talk = Callable[[Lines], Generator[int, None, None]]
"""What is said to a server: returns where all is well, Refused otherwise."""


def converse(talk: Talk, sock: socket.socket | Stream) -> Conversation:
    """Lead a conversation in lines, and return the verdict on it."""
    lines = Lines(sock)
    try:
        yield from talk(lines)
    except Refused as error:
        return Verdict(str(error), bytes(lines.heard))
    except TimedOut as late:
        return Verdict(f"{late}, {lines.stage}", bytes(lines.heard))
    except (ConnectionResetError, BrokenPipeError):
        return Verdict(f"{lines.stage}: connection reset", bytes(lines.heard))
    return Verdict("", bytes(lines.heard))


def words(line: bytes | bytearray) -> str:
    """Return what a server said, as far as it goes into a reason."""
    return line[:_MOST_WORDS].rstrip(b"\r\n").decode("utf-8", "backslashreplace")


def probe(
    talk: Talk,
    context: ssl.SSLContext | None,
    sock: socket.socket,
    target: Target,
    *,
    before: Talk | None = None,
) -> Conversation:
    """Lead a conversation with a host, over TLS where there is a ``context``.

    ``before`` is what is said until TLS is to come up, where it does not from the start.
    """
    if before is not None:
        verdict = yield from converse(before, sock)
        if verdict.reason:
            return verdict
    if context is None:
        return (yield from converse(talk, sock))
    # Most runs need none.
    from lvsalert.checks import tls

    def over_tls(stream: Stream, _target: Target) -> Conversation:
        return converse(talk, stream)

    name = tls.name_to_verify(target.certified)
    return (yield from tls.over(over_tls, context, name, sock, target))
