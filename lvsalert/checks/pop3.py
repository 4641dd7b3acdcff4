"""A POP3 server's greeting, and a log-in (RFC 1939)."""

from __future__ import annotations

from collections.abc import Generator

from lvsalert.checks.lines import Lines, Refused, words


def talk(user: str | None, password: str, lines: Lines) -> Generator[int, None, None]:
    """Wait for a greeting, log in where there is a user, and leave."""
    yield from _ok(lines, "greeting")
    if user is not None:
        for verb, word in ((b"USER", user), (b"PASS", password)):
            lines.stage = "no answer to the log-in"
            yield from lines.say(verb + b" " + word.encode("utf-8", "surrogateescape"))
            yield from _ok(lines, "log-in")
    # Nothing depends on what it says to that.
    yield from lines.say(b"QUIT")


def _ok(lines: Lines, what: str) -> Generator[int, None, None]:
    line = yield from lines.line()
    if not line.startswith(b"+OK"):
        raise Refused(f"{what}: {words(line)}")
