"""What the ledger keeps as text of its own: options, and entries in words of ipvsadm.

It is not JSON, since that module is a fortieth of an alert's start. What does not come from here
is a ValueError.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from lvsalert.ipvs.table import Endpoint
from lvsalert.ledger.database import FILE_NAME, CorruptError

Words = tuple[str, ...]
"""An entry of the table, or a service, in words of ipvsadm (``RealServer.words``)."""

# Most changes are the same one of many real servers.
_REMEMBERED = 1 << 10


def options_text(options: Mapping[str, str]) -> str:
    """Return options as lines, ``NAME=value``, whatever is in the value."""
    escaped = ((name, value.encode("unicode_escape").decode()) for name, value in options.items())
    return "\n".join(sorted(map("=".join, escaped)))


def options_of(text: str) -> dict[str, str]:
    """Return the options that ``options_text`` wrote."""
    pairs = (line.split("=", 1) for line in text.split("\n") if line)
    return {name: value.encode("ascii").decode("unicode_escape") for name, value in pairs}


@functools.lru_cache(_REMEMBERED)
def words_text(words: Words | None) -> str | None:
    """Return words as the database keeps them; there is no blank in any of them."""
    return None if words is None else " ".join(words)


@functools.lru_cache(_REMEMBERED)
def words_of(text: str | None) -> Words | None:
    """Return the words that ``words_text`` wrote."""
    if text is None:
        return None
    words = tuple(text.split(" "))
    is_entry = len(words) > 2 and words[1] == "-w" and words[2].isdecimal()
    if not is_entry and words[0] not in ("-A", "-E"):
        raise ValueError(text)
    return words


# Each real server has several rows.
@functools.lru_cache(1 << 16)
def endpoint_of(real: str) -> Endpoint:
    """Return the real server that ``join_endpoint`` wrote; CorruptError for anything else."""
    address, _, port = real.rpartition(":")
    try:
        return address.strip("[]"), int(port)
    except ValueError:
        raise CorruptError(f"{FILE_NAME}: {real!r} is not a real server") from None
