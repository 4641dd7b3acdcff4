"""What of a web server's answer is compared with the other servers', and how old it is."""

from __future__ import annotations

import re
from typing import NamedTuple

from lvsalert.checks.http_answer import Body
from lvsalert.errors import UsageError
from lvsalert.model import Answer

BODY = "content"
MATCH = "match"
CANARY_BYTES = 64
"""A content that is nothing but a time is not longer than that."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_EPOCH = re.compile(rb"[0-9]{9,11}(?:\.[0-9]+)?")


class Compared(NamedTuple):
    """What is compared: the content, what an expression's group caught, or a header field.

    ``field`` is the field's name in small letters, empty for the other two.
    """

    what: str
    field: str = ""


def parse_compared(text: str) -> Compared:
    """Return what ``body``, ``etag``, ``last-modified``, ``header:NAME`` or ``match`` means.

    UsageError for any other text.
    """
    kind, colon, name = text.lower().partition(":")
    if not colon and kind in ("body", MATCH):
        return Compared(BODY if kind == "body" else MATCH)
    if not colon and kind in ("etag", "last-modified"):
        return Compared(kind, kind)
    if kind != "header" or not colon:
        raise UsageError(
            f"{text!r} cannot be compared: body, etag, last-modified, header:NAME or match"
        )
    if not _TOKEN.fullmatch(name):
        raise UsageError(f"{text!r} cannot be compared: {name!r} is not the name of a header")
    return Compared(name, name)


def answer_of(compared: Compared, head: bytes, body: Body, caught: bytes | None) -> Answer:
    """Return what is compared of an answer; ``caught`` is what the expression's group caught.

    Its text is empty where there is nothing of the kind. Content is compared by its SHA-256.
    """
    if compared.field:
        return Answer(_field(head, compared.field))
    if compared.what == MATCH:
        return Answer((caught or b"").decode("latin-1"))
    return Answer(body.digest, body.is_full)


def _field(head: bytes, name: str) -> str:
    """Return a header field's value, of many lines as of one (RFC 9110, 5.3)."""
    pattern = rb"\n" + re.escape(name.encode("ascii")) + rb":[ \t]*([^\r\n]*)"
    found = re.findall(pattern, head, re.IGNORECASE)
    value = ", ".join(each.rstrip().decode("latin-1") for each in found)
    # Two weak validators, or a weak one and a strong one, are the same page (RFC 9110, 8.8.3.2).
    return value.removeprefix("W/") if name == "etag" else value


def too_old(head: bytes, body: Body, stale: float, now: float) -> str:
    """Return why an answer is no proof that its server is up to date, an empty string if it is.

    Its time is the content, where that is nothing but a time, else its Last-Modified. ``now`` is
    the time (epoch), ``stale`` the seconds that it may be old, or ahead of this clock.
    """
    when = None
    if body.length <= CANARY_BYTES:
        when = time_of(body.kept)
    if when is None:
        when = time_of(_field(head, "last-modified").encode("latin-1"))
    if when is None:
        return "there is no time in its content, and no Last-Modified"
    if now - when > stale:
        return f"its time is {now - when:.0f} s old, more than {stale:g} s"
    if when - now > stale:
        return f"its time is {when - now:.0f} s ahead of this clock, more than {stale:g} s"
    return ""


def time_of(text: bytes) -> float | None:
    """Return the time (epoch) that a text is, None where it is none.

    As ``date`` writes it with ``+%s``, ``-Is``, ``--rfc-3339=seconds`` or ``-R``, or HTTP does.
    """
    text = text.strip()
    if _EPOCH.fullmatch(text):
        return float(text)
    from datetime import datetime, timezone
    from email.utils import parsedate_to_datetime

    words = text.decode("latin-1")
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = parse(re.sub("(?<=[0-9])[Zz]$", "+00:00", words))
            if found.tzinfo is None and parse is parsedate_to_datetime:
                found = found.replace(tzinfo=timezone.utc)
            # A time without a zone may be anybody's.
            return None if found.tzinfo is None else found.timestamp()
        except (TypeError, ValueError, OverflowError):
            continue
    return None
