"""A mail server's greeting, and that it takes mail (RFC 5321); STARTTLS (RFC 3207)."""

from __future__ import annotations

import os
from collections.abc import Generator

from lvsalert.checks.lines import Lines, Refused


def talk(lines: Lines) -> Generator[int, None, None]:
    """Wait for a greeting of 220, say hello, and leave."""
    yield from _greeting(lines)
    yield from _hello_and_quit(lines)


def before_tls(lines: Lines) -> Generator[int, None, None]:
    """Wait for a greeting of 220, say hello, and have TLS come up."""
    yield from _greeting(lines)
    yield from _hello(lines)
    lines.stage = "no answer to STARTTLS"
    yield from lines.say(b"STARTTLS")
    reply = yield from lines.reply("SMTP")
    if reply.code != 220:
        raise Refused(f"STARTTLS: {reply.words}")


def over_tls(lines: Lines) -> Generator[int, None, None]:
    """Say hello over TLS, before which nothing counts, and leave."""
    yield from _hello_and_quit(lines)


def _greeting(lines: Lines) -> Generator[int, None, None]:
    greeting = yield from lines.reply("SMTP")
    if greeting.code != 220:
        raise Refused(f"greeting: {greeting.words}")


def _hello_and_quit(lines: Lines) -> Generator[int, None, None]:
    yield from _hello(lines)
    # Nothing depends on what it says to that.
    yield from lines.say(b"QUIT")


def _hello(lines: Lines) -> Generator[int, None, None]:
    name = os.uname().nodename.encode("ascii", "replace") or b"localhost"
    lines.stage = "no answer to EHLO"
    yield from lines.say(b"EHLO " + name)
    reply = yield from lines.reply("SMTP")
    if reply.code >= 500:
        # An old server does not know it.
        yield from lines.say(b"HELO " + name)
        reply = yield from lines.reply("SMTP")
    if reply.code != 250:
        raise Refused(f"EHLO: {reply.words}")
