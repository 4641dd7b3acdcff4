"""An FTP server's greeting and farewell (RFC 959), in the clear or over TLS (RFC 4217)."""

from __future__ import annotations

from collections.abc import Generator

from lvsalert.checks.lines import Lines, Refused


def talk(lines: Lines) -> Generator[int, None, None]:
    """Wait for a greeting of 220, say QUIT, and wait for a farewell of 221."""
    yield from _greeting(lines)
    yield from farewell(lines)


def before_tls(lines: Lines) -> Generator[int, None, None]:
    """Wait for a greeting of 220, and have TLS come up."""
    yield from _greeting(lines)
    lines.stage = "no answer to AUTH TLS"
    yield from lines.say(b"AUTH TLS")
    reply = yield from lines.reply("FTP")
    if reply.code != 234:
        raise Refused(f"AUTH TLS: {reply.words}")


def farewell(lines: Lines) -> Generator[int, None, None]:
    """Say QUIT, and wait for 221."""
    lines.stage = "no answer to QUIT"
    yield from lines.say(b"QUIT")
    reply = yield from lines.reply("FTP")
    if reply.code != 221:
        raise Refused(f"after QUIT: {reply.words}")


def _greeting(lines: Lines) -> Generator[int, None, None]:
    greeting = yield from lines.reply("FTP")
    if greeting.code != 220:
        raise Refused(f"greeting: {greeting.words}")
