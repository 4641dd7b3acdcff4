"""A news server's greeting, and one of its groups (RFC 3977)."""

from __future__ import annotations

from collections.abc import Generator

from lvsalert.checks.lines import Lines, Refused, words


def talk(group: str | None, lines: Lines) -> Generator[int, None, None]:
    """Wait for a greeting, enter a group where one is named, and leave."""
    greeting = yield from lines.line()
    # It may serve readers who post, readers alone, or feeds (5.1.1).
    if not greeting.startswith(b"2"):
        raise Refused(f"greeting: {words(greeting)}")
    if group is not None:
        lines.stage = "no answer to GROUP"
        # A server for feeds becomes one for readers; which it is already, others say.
        yield from lines.say(b"MODE READER")
        yield from lines.line()
        yield from lines.say(b"GROUP " + group.encode("utf-8", "surrogateescape"))
        entered = yield from lines.line()
        if not entered.startswith(b"211"):
            raise Refused(f"GROUP: {words(entered)}")
    # Nothing depends on what it says to that.
    yield from lines.say(b"QUIT")
