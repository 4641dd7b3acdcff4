"""An IMAP server's greeting, and a log-in (RFC 9051)."""

from __future__ import annotations

import re
from collections.abc import Generator

from lvsalert.checks.lines import Lines, Refused, words

_GREETING = re.compile(rb"\* (OK|PREAUTH)\b", re.IGNORECASE)


def talk(user: str | None, password: str, lines: Lines) -> Generator[int, None, None]:
    """Wait for a greeting, log in where there is a user, and leave."""
    greeting = yield from lines.line()
    if not _GREETING.match(greeting):
        raise Refused(f"greeting: {words(greeting)}")
    if user is not None:
        lines.stage = "no answer to the log-in"
        yield from lines.say(b"a LOGIN %b %b" % (_quoted(user), _quoted(password)))
        line = yield from lines.line()
        while not line.startswith(b"a "):
            line = yield from lines.line()
        if not line.upper().startswith(b"A OK"):
            raise Refused(f"log-in: {words(line[2:])}")
    # Nothing depends on what it says to that.
    yield from lines.say(b"b LOGOUT")


def _quoted(text: str) -> bytes:
    """Return a quoted string (RFC 9051, 4.3)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'.encode("utf-8", "surrogateescape")
