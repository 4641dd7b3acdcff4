"""How a program is shown a director and its journal: JSON, times in ISO 8601 with their offset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lvsalert.commands.status_text import slow_until
from lvsalert.director.status import ServerStatus, ServerStory, Status
from lvsalert.errors import LvsalertError
from lvsalert.ledger.history import local_time
from lvsalert.ledger.journal import Entry
from lvsalert.ledger.records import Stop, Unjudged


def document(value: Any) -> str:
    """Return a value as a document."""
    return json.dumps(value, indent=2) + "\n"


def status_object(status: Status) -> dict[str, Any]:
    """Return a view for a program."""
    return {
        "services": [
            {
                "service": each.virtual,
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


def _stop_object(stop: Stop | None) -> dict[str, Any] | None:
    return None if stop is None else {"since": _iso(stop.since), "by": stop.who}


def _unjudged_objects(unjudged: Mapping[str, Unjudged]) -> list[dict[str, Any]]:
    return [
        {
            "source": source,
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
        "server": each.name,
        "state": each.state.value,
        "weight": each.weight,
        "active": each.active,
        "inactive": each.inactive,
        "since": _iso(each.since),
        "causes": [
            {
                "cause": cause.cause,
                "reason": cause.reason,
                "since": _iso(cause.since),
                "drain": cause.drain,
            }
            for cause in each.causes
        ],
    }


def _iso(when: float | None) -> str | None:
    return None if when is None else local_time(when).isoformat(timespec="milliseconds")


def why_object(stories: Sequence[ServerStory], lacking: LvsalertError | None) -> dict[str, Any]:
    """Return the stories of a real server for a program, times in ISO 8601."""
    return {
        "services": [
            {
                "service": story.virtual,
                **_standing_object(story.standing),
                "held": story.memory.held,
                "quiesced_until": _iso(story.memory.quiesced_until),
                "slow_start_until": _iso(slow_until(story)),
                "checks": [
                    {
                        "source": source,
                        "failed": check.failed,
                        "in_a_row": check.in_a_row,
                        "last": _iso(check.time),
                    }
                    for source, check in story.checks.items()
                ],
                "changes": [entry_object(entry) for entry in story.changes],
                "stopped": _stop_object(story.stopped),
                "unjudged": _unjudged_objects(story.unjudged),
            }
            for story in stories
        ],
        "lacking": _lacking(lacking),
    }


def entry_object(entry: Entry) -> dict[str, Any]:
    """Return a line of the journal for a program: the time in ISO 8601, and what was and is."""
    return {
        "time": _iso(entry.time),
        "who": entry.who,
        "service": entry.virtual,
        "server": entry.real or None,
        "before": entry.before,
        "after": entry.after,
        "why": entry.why,
    }
