"""An FTP server's greeting and farewell (RFC 959)."""

from __future__ import annotations

import re
from collections.abc import Generator

from lvsalert import sockets
from lvsalert.sweep import READ, WRITE, Conversation, Target, TimedOut, Verdict

_MAX_REPLY = 1 << 16
# So many bytes of the server's words go into a reason.
_MAX_WORDS = 200

# A reply's last line: three digits and a blank. "220-" begins a reply of several lines (4.2).
_CODE = re.compile(rb"(\d{3})([ -])")


class _Broken(Exception):
    """The server's bytes are no reply; the message says how."""


def probe(sock: sockets.socket, _target: Target) -> Conversation:
    """Wait for a greeting of 220, say QUIT, and wait for a farewell of 221."""
    heard, greeted, stage = bytearray(), 0, "no greeting"
    try:
        greeted = yield from _reply(sock, heard, 0)
        if not heard.startswith(b"220"):
            return Verdict(f"greeting: {_last_line(heard[:greeted])}", bytes(heard))
        stage = "no answer to QUIT"
        try:
            sock.send(b"QUIT\r\n")
        except BlockingIOError:
            yield WRITE
            sock.send(b"QUIT\r\n")
        ended = yield from _reply(sock, heard, greeted)
    except _Broken as error:
        return Verdict(f"{stage}: {error}", bytes(heard))
    except TimedOut as error:
        return Verdict(f"{error}, {stage}", bytes(heard))
    except (ConnectionResetError, BrokenPipeError):
        return Verdict(f"{stage}: connection reset", bytes(heard))
    if not heard.startswith(b"221", greeted):
        return Verdict(f"after QUIT: {_last_line(heard[greeted:ended])}", bytes(heard))
    return Verdict("", bytes(heard))


def _reply(sock: sockets.socket, heard: bytearray, start: int) -> Generator[int, None, int]:
    """Add to ``heard`` until the reply that begins at ``start`` is whole; return where it ends."""
    while (end := _end_of_reply(heard, start)) is None:
        if len(heard) - start > _MAX_REPLY:
            raise _Broken(f"a reply of more than {_MAX_REPLY} bytes")
        yield READ
        piece = sock.recv(4096)
        if not piece:
            part = _words(heard[start:])
            raise _Broken(f"closed after {part!r}" if part else "closed without a word")
        heard += piece
    return end


def _end_of_reply(heard: bytearray, start: int) -> int | None:
    """Return where the reply that begins at ``start`` ends, None where it has not come whole.

    Raises _Broken for what is none. A reply of several lines ends with the line that repeats its
    code with a blank.
    """
    first = _CODE.match(heard, start)
    if first is None:
        line, newline, _ = heard[start : start + _MAX_WORDS].partition(b"\n")
        if len(line) >= 4 or newline:
            raise _Broken(f"not FTP: {_words(line.rstrip())}")
        return None
    if first[2] == b" ":
        return heard.find(b"\n", start) + 1 or None
    last = re.compile(rb"\n" + first[1] + rb" [^\n]*\n").search(heard, start)
    return last.end() if last else None


def _last_line(reply: bytearray) -> str:
    return _words(reply.rstrip(b"\r\n").rpartition(b"\n")[2])


def _words(line: bytearray) -> str:
    return line[:_MAX_WORDS].decode("utf-8", "backslashreplace")
