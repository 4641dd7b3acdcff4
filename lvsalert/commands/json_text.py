"""How a program is shown a director and its journal: JSON, as docs/json.md tells it.

What is added to a document leaves the version as it is, what is changed or taken away does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvsalert.commands.status_text import slow_until
from lvsalert.director.status import ServerStatus, ServerStory, Status
from lvsalert.errors import LvsalertError
from lvsalert.ledger.history import local_time
from lvsalert.ledger.journal import Entry
from lvsalert.ledger.records import BY_PEOPLE, DAMPED, Stop, Unjudged
from lvsalert.ledger.text import Words, endpoint_of

if TYPE_CHECKING:
    from lvsalert.resident.watched import Watched

VERSION = 1

# How an entry says its forwarding method (ipvsadm(8)), and what is said of it here.
_FORWARDING = {"-g": "dr", "-m": "nat", "-i": "tun"}
_NUMBERS = {"-w": "weight", "-x": "upper", "-y": "lower"}


def document(value: Any) -> str:
    """Return a value as a document of several lines."""
    return json.dumps(value, indent=2) + "\n"


def line(value: Any) -> str:
    """Return a value as a document of one line."""
    return json.dumps(value) + "\n"


def status_object(status: Status) -> dict[str, Any]:
    """Return a view for a program."""
    return {
        "version": VERSION,
        "services": [
            {
                "service": _service_object(each.virtual),
                "scheduler": each.scheduler,
                "missing": each.scheduler is None and each.stopped is None,
                "stopped": _stop_object(each.stopped),
                "unjudged": _unjudged_objects(each.unjudged),
                "servers": [_standing_object(row) for row in each.servers],
            }
            for each in status.services
        ],
        "files": [
            {"file": each.path, "accepted": _iso(each.since), "fault": each.fault or None}
            for each in status.news
        ],
        "lacking": _lacking(status.lacking),
    }


def watched_objects(services: Iterable[Watched]) -> list[dict[str, Any]]:
    """Return what the resident process checks between mon's checks, for a program."""
    return [each._asdict() for each in services]


def _service_object(virtual: str) -> dict[str, Any]:
    """Return a virtual service: its name, and what tells it."""
    protocol, _, rest = virtual.partition(" ")
    found = {"name": virtual, "protocol": protocol}
    if protocol == "fwm":
        mark, _, family = rest.partition(" ")
        return {**found, "fwmark": int(mark), "ipv6": family == "-6"}
    return {**found, **_endpoint_object(rest)}


def _endpoint_object(text: str) -> dict[str, Any]:
    address, port = endpoint_of(text)
    return {"address": address, "port": port}


def _stop_object(stop: Stop | None) -> dict[str, Any] | None:
    return None if stop is None else {"since": _iso(stop.since), "by": stop.who}


def _unjudged_objects(unjudged: Mapping[str, Unjudged]) -> list[dict[str, Any]]:
    return [
        {
            **_source_object(source),
            "since": _iso(each.since),
            "checks": each.times,
            "reason": each.reason,
        }
        for source, each in unjudged.items()
    ]


def _lacking(error: LvsalertError | None) -> str | None:
    return None if error is None else str(error)


def _standing_object(each: ServerStatus) -> dict[str, Any]:
    return {
        "server": _endpoint_object(each.name),
        "state": each.state.value,
        "weight": each.weight,
        "active": each.active,
        "inactive": each.inactive,
        "since": _iso(each.since),
        "causes": [
            {
                **_source_object(cause.cause),
                "reason": cause.reason,
                "since": _iso(cause.since),
                "drain": cause.drain,
            }
            for cause in each.causes
        ],
    }


def _source_object(source: str) -> dict[str, Any]:
    """Return who says something: a check, by mon's names of it, a person, or damping."""
    if source in BY_PEOPLE or source == DAMPED:
        return {"by": source, "group": None, "service": None}
    group, _, service = source.partition("/")
    return {"by": "check", "group": group, "service": service}


def _iso(when: float | None) -> str | None:
    return None if when is None else local_time(when).isoformat(timespec="milliseconds")


def why_object(stories: Sequence[ServerStory], lacking: LvsalertError | None) -> dict[str, Any]:
    """Return the stories of a real server for a program, times in ISO 8601."""
    return {
        "version": VERSION,
        "services": [
            {
                "service": _service_object(story.virtual),
                **_standing_object(story.standing),
                "held": story.memory.held,
                "reserve": story.is_reserve,
                "quiesced_until": _iso(story.memory.quiesced_until),
                "slow_start_until": _iso(slow_until(story)),
                "checks": [
                    {
                        **_source_object(source),
                        "failed": check.failed,
                        "in_a_row": check.in_a_row,
                        "last": _iso(check.time),
                    }
                    for source, check in story.checks.items()
                ],
                "changes": [_entry_object(entry) for entry in story.changes],
                "stopped": _stop_object(story.stopped),
                "unjudged": _unjudged_objects(story.unjudged),
            }
            for story in stories
        ],
        "lacking": _lacking(lacking),
    }


def history_object(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return lines of the journal for a program."""
    return {"version": VERSION, "changes": [_entry_object(each) for each in entries]}


def _entry_object(entry: Entry) -> dict[str, Any]:
    return {
        "time": _iso(entry.time),
        "who": entry.who,
        "service": _service_object(entry.virtual),
        "server": _endpoint_object(entry.real) if entry.real else None,
        "before": _state_object(entry.words["before"], is_there=entry.before == "stands"),
        "after": _state_object(entry.words["after"], is_there=entry.after == "stands"),
        "why": entry.why,
    }


def _state_object(words: Words | None, *, is_there: bool) -> dict[str, Any] | None:
    """Return what an entry, or a service, was or is; None where there is none.

    Of a service that stands on, the journal has no words.
    """
    if words is None:
        return {} if is_there else None
    if words[0] not in _FORWARDING:
        return {"scheduler": words[words.index("-s") + 1]}
    numbers = {"weight": 0, "upper": 0, "lower": 0}
    flags: list[str] = []
    rest = iter(words[1:])
    for word in rest:
        if word in _NUMBERS:
            numbers[_NUMBERS[word]] = int(next(rest))
        else:
            flags.append(word)
    return {"forwarding": _FORWARDING[words[0]], **numbers, "flags": flags}
