"""How a person or a program is shown a director: a table, sentences, or JSON; colour or none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lvsalert.errors import LvsalertError
from lvsalert.history import as_object, local_time
from lvsalert.ledger import OPERATOR, Cause, Check, Stop
from lvsalert.mon import printable
from lvsalert.view import ServiceView, Standing, State, Story, View

CLEAR = "\033[H\033[2J"
"""What empties a terminal (console_codes(4))."""

_HEADINGS = ("SERVICE", "SERVER", "STATE", "WEIGHT", "ACTIVE", "INACTIVE", "SINCE", "CAUSES")
_STATE_COLUMN = _HEADINGS.index("STATE")
_NUMBERS = frozenset(map(_HEADINGS.index, ("WEIGHT", "ACTIVE", "INACTIVE")))
_COLOURS = {
    State.IN: "32",
    State.SLOW_STARTING: "36",
    State.QUIESCED: "33",
    State.OUT: "31",
    State.MISSING: "35",
}


def is_terminal(environ: Mapping[str, str]) -> bool:
    """Return whether standard output is a terminal that knows more than lines."""
    return os.isatty(1) and environ.get("TERM", "dumb") != "dumb"


def wants_colour(environ: Mapping[str, str]) -> bool:
    """Return whether colour is wanted: on a terminal, unless NO_COLOR says otherwise.

    An empty NO_COLOR counts as none (no-color.org).
    """
    return is_terminal(environ) and not environ.get("NO_COLOR")


def status_table(view: View, *, colour: bool) -> str:
    """Return a view as a table, a row a real server."""
    rows = [row for service in view.services for row in _rows(service)]
    if not rows:
        return "no virtual service\n"
    texts = [_HEADINGS, *(row for row, _ in rows)]
    states = [None, *(state for _, state in rows)]
    widths = [max(map(len, column)) for column in zip(*texts)]
    lines = []
    for text, state in zip(texts, states):
        cells = [
            cell.rjust(width) if at in _NUMBERS else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(text, widths))
        ]
        if colour and state is not None:
            cells[_STATE_COLUMN] = _painted(cells[_STATE_COLUMN], state)
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def _painted(cell: str, state: State) -> str:
    word = cell.rstrip()
    return f"\033[{_COLOURS[state]}m{word}\033[0m{cell[len(word) :]}"


def _rows(service: ServiceView) -> list[tuple[tuple[str, ...], State | None]]:
    if service.stopped is not None:
        since, who = moment(service.stopped.since), printable(service.stopped.who)
        first = (service.virtual, "-", "stopped", "-", "-", "-", since, f"stopped by {who}")
        return [(first, None), *((_row(service, each), each.state) for each in service.servers)]
    if service.scheduler is None and not service.servers:
        return [((service.virtual, "-", "missing", "-", "-", "-", "-", "-"), State.MISSING)]
    if not service.servers:
        return [((service.virtual, "-", "-", "-", "-", "-", "-", "-"), None)]
    return [(_row(service, each), each.state) for each in service.servers]


def _row(service: ServiceView, each: Standing) -> tuple[str, ...]:
    numbers = (each.weight, each.active, each.inactive)
    causes = "; ".join(f"{cause.cause}: {cause.reason}" for cause in each.causes)
    return (
        service.virtual,
        each.name,
        each.state.value,
        *("-" if number is None else str(number) for number in numbers),
        "-" if each.since is None else moment(each.since),
        printable(causes) or "-",
    )


def moment(when: float) -> str:
    """Return a time (epoch) as people read it, in the local zone."""
    return local_time(when).strftime("%Y-%m-%d %H:%M:%S")


def status_object(view: View) -> dict[str, Any]:
    """Return a view for a program."""
    return {
        "services": [
            {
                "service": each.virtual,
                "scheduler": each.scheduler,
                "missing": each.scheduler is None and each.stopped is None,
                "stopped": _stop_object(each.stopped),
                "servers": [_standing_object(row) for row in each.servers],
            }
            for each in view.services
        ],
        "lacking": _lacking(view.lacking),
    }


def _stop_object(stop: Stop | None) -> dict[str, Any] | None:
    return None if stop is None else {"since": _iso(stop.since), "by": stop.who}


def _lacking(error: LvsalertError | None) -> str | None:
    return None if error is None else str(error)


def _standing_object(each: Standing) -> dict[str, Any]:
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


def why_object(stories: Sequence[Story], lacking: LvsalertError | None) -> dict[str, Any]:
    """Return the stories of a real server for a program, times in ISO 8601."""
    return {
        "services": [
            {
                "service": story.virtual,
                **_standing_object(story.standing),
                "held": story.known.held,
                "quiesced_until": _iso(story.known.quiesced_until),
                "slow_start_until": _iso(_slow_until(story)),
                "checks": [
                    {
                        "source": source,
                        "failed": check.failed,
                        "in_a_row": check.in_a_row,
                        "last": _iso(check.time),
                    }
                    for source, check in story.checks.items()
                ],
                "changes": [as_object(entry) for entry in story.changes],
                "stopped": _stop_object(story.stopped),
            }
            for story in stories
        ],
        "lacking": _lacking(lacking),
    }


def _slow_until(story: Story) -> float | None:
    since = story.known.slow_since
    return None if since is None else since + story.known.slow_for


def why_text(stories: Iterable[Story]) -> str:
    """Return the stories of a real server in sentences, a paragraph for each virtual service."""
    return "\n".join("".join(f"{line}\n" for line in _sentences(story)) for story in stories)


_STATES = {
    State.IN: "is in",
    State.SLOW_STARTING: "is starting slowly",
    State.QUIESCED: "is quiesced: it takes no new connections",
    State.OUT: "is out",
    State.MISSING: "should be in, but the table lacks it",
}


def _sentences(story: Story) -> list[str]:
    each = story.standing
    weight = "" if each.weight is None else f", weight {each.weight}"
    since = "" if each.since is None else f", since {moment(each.since)}"
    lines = [f"{each.name} of {story.virtual} {_STATES[each.state]}{weight}{since}."]
    if each.active is not None:
        lines.append(f"  It has {each.active} active and {each.inactive} inactive connections.")
    slow_until = _slow_until(story)
    if slow_until is not None:
        lines.append(f"  It is to have all of its weight at {moment(slow_until)}.")
    if story.known.quiesced_until is not None:
        until = moment(story.known.quiesced_until)
        lines.append(f"  It is deleted at {until}, or with its last active connection.")
    lines += [f"  {_cause_sentence(cause)}" for cause in each.causes]
    if story.known.held:
        lines.append("  It stays in all the same: --min-in holds it.")
    if story.stopped is not None:
        stop = printable(f"{story.stopped.who} stopped its virtual service")
        lines.append(f"  {stop} at {moment(story.stopped.since)}, and nobody has started it since.")
    elif not each.causes:
        lines.append("  Nobody says that it should be out.")
    lines += [f"  {_check_sentence(*check)}" for check in story.checks.items()]
    lines += ["  No change of it is known."] if not story.changes else ["  Its last changes:"]
    for entry in story.changes:
        said = f"{entry.who}: was {entry.before}, is {entry.after}: {entry.why}"
        lines.append(f"    {moment(entry.time)}  {printable(said)}")
    return lines


def _cause_sentence(cause: Cause) -> str:
    says = "The operator says" if cause.cause == OPERATOR else f"{cause.cause} says"
    return printable(f"{says} since {moment(cause.since)}: {cause.reason}.")


def _check_sentence(source: str, check: Check) -> str:
    verdict = "failed" if check.failed else "passed"
    times = "1 check" if check.in_a_row == 1 else f"{check.in_a_row} checks in a row"
    return printable(f"It {verdict} {times} of {source}, the last at {moment(check.time)}.")
