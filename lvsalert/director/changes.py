"""A change of the table as the journal, syslog and people have it: who, what, and why."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

from lvsalert.ipvs.plan import Change
from lvsalert.ipvs.table import Endpoint, Table
from lvsalert.ledger.journal import Entry
from lvsalert.ledger.text import Words
from lvsalert.model import Forwarding, RealServer, VirtualService


class Author(NamedTuple):
    """Who changes the table, and why; ``reasons`` are by service and real server."""

    who: str
    why: str
    reasons: Mapping[VirtualService, Mapping[Endpoint, str]] = {}


def with_reason(change: Change, author: Author) -> Change:
    """Return a change of a real server with the reason that is known of that one."""
    named = change.after or change.before
    reasons = author.reasons.get(change.virtual, {})
    return change if named is None else change._replace(why=reasons.get(named[:2], ""))


def entries_of(change: Change, author: Author, now: float, actual: Table) -> list[Entry]:
    """Return a change as lines of the journal; a service that goes takes its servers with it."""
    named = change.after or change.before
    standing = actual.get(change.virtual)
    if named is not None or standing is None:
        return [_entry(change, author, now)]
    whole = _entry(change, author, now)
    stood = ("-A", *change.virtual.words(), "-s", standing.scheduler, *standing.flags)
    lost = standing.real_servers.values() if change.words[0] == "-D" else ()
    return [
        *(
            _entry(with_reason(Change(change.virtual, (), real, None), author), author, now)
            for real in lost
        ),
        whole._replace(words={**whole.words, "before": stood}),
    ]


def _entry(change: Change, author: Author, now: float) -> Entry:
    named = change.after or change.before
    real, why = "", author.why
    if named is None:
        before, after = _service_states(change)
        words: dict[str, Words | None] = {"before": None, "after": change.words if after else None}
    else:
        before, after = entry_text(change.before), entry_text(change.after)
        words = {"before": entry_words(change.before), "after": entry_words(change.after)}
        real, why = named.endpoint, change.why or why
    return Entry(0, now, author.who, why, str(change.virtual), real, before, after, words)


def _service_states(change: Change) -> tuple[str, str]:
    verb = change.words[0]
    return ("" if verb == "-A" else "stands", "" if verb == "-D" else "stands")


def entry_words(real: RealServer | None) -> Words | None:
    """Return an entry in the words of ipvsadm, None where there is none."""
    return None if real is None else _words_of(real[2:])


def entry_text(real: RealServer | None) -> str:
    """Return an entry in the words of the log: ``out``, or ``dr weight 5``."""
    return "out" if real is None else _state_of(real[2:])


_SPELLED = {
    Forwarding.GATEWAYING: "dr",
    Forwarding.MASQUERADING: "nat",
    Forwarding.TUNNELLING: "tun",
}
# An entry but for its address and port, which hundreds of changes have in common.
_Kind = tuple[Forwarding, int, int, int, tuple[str, ...]]
_REMEMBERED = 1 << 10


@functools.lru_cache(_REMEMBERED)
def _words_of(kind: _Kind) -> Words:
    return RealServer("", 0, *kind).words()


@functools.lru_cache(_REMEMBERED)
def _state_of(kind: _Kind) -> str:
    forwarding, weight, upper, lower, _ = kind
    limits = f" thresholds {upper}/{lower}" if upper or lower else ""
    return f"{_SPELLED[forwarding]} weight {weight}{limits}"


_VERBS = {"-A": "created", "-E": "changed", "-D": "deleted"}


def describe(change: Change, who: str) -> str:
    """Return a change as one line: who, the virtual service, the real server, was, is, and why."""
    named = change.after or change.before
    if named is None:
        return f"{who}: {change.virtual}: virtual service {_VERBS[change.words[0]]}"
    was, now = entry_text(change.before), entry_text(change.after)
    why = f": {change.why}" if change.why else ""
    return f"{who}: {change.virtual}: {named.endpoint} was {was}, is {now}{why}"
