"""How a person is shown a director: a table, or sentences; colour or none."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lvsalert.director.accepted import News
from lvsalert.director.status import ServerStatus, ServerStory, ServiceStatus, State, Status
from lvsalert.ledger.history import local_time
from lvsalert.ledger.records import DAMPED, OPERATOR, Cause, LastVerdict, Unjudged
from lvsalert.mon.report import printable

if TYPE_CHECKING:
    from lvsalert.resident.watched import Watched

CLEAR = "\033[H\033[2J"
"""What empties a terminal (console_codes(4))."""

_HEADINGS = ("SERVICE", "SERVER", "STATE", "WEIGHT", "ACTIVE", "INACTIVE", "SINCE", "CAUSES")
# So many columns tell something of a cause.
_LEAST_ROOM = 20
_GAP = "  "
_STATE_COLUMN, _SINCE, _CAUSES = map(_HEADINGS.index, ("STATE", "SINCE", "CAUSES"))
_NUMBERS = frozenset(map(_HEADINGS.index, ("WEIGHT", "ACTIVE", "INACTIVE")))
_NOT_SERVING = frozenset((State.OUT, State.QUIESCED, State.MISSING))
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


def news_line(news: News) -> str:
    """Return what is to be known of a file that says something else than what was accepted."""
    since = moment(news.since)
    if news.fault:
        return f"{news.fault}: what was accepted at {since} goes on"
    return (
        f"{news.path}: newer than what runs, which was accepted at {since}:"
        f" lvs-director reload {news.path}"
    )


def width() -> int:
    """Return how many columns the terminal has."""
    import shutil

    return shutil.get_terminal_size().columns


def status_table(status: Status, *, colour: bool, width: int | None = None) -> str:
    """Return a view as a table, a row a real server.

    In a ``width`` of columns the causes, which come last, are cut, or where that leaves too little
    of them stand below; None is as wide as they are.
    """
    told = [row for service in status.services for row in _rows(service)]
    if not told:
        return "no virtual service\n" + "".join(
            f"{printable(news_line(each))}\n" for each in status.news
        )
    rows, states = [row for row, _ in told], [None, *(state for _, state in told)]
    room = math.inf if width is None else width - _width(rows, slice(_CAUSES))
    if room >= min(_LEAST_ROOM, max(len(row[_CAUSES]) for row in (_HEADINGS, *rows))):
        cut = [(*row[:_CAUSES], _short(row[_CAUSES], room)) for row in rows]
        lines = _lines([_HEADINGS, *cut], states, slice(None), colour=colour)
    else:
        lines = _narrow(rows, states, width or 0, colour=colour)
    lines += [line for service in status.services for line in _unjudged_lines(service)]
    lines += [printable(news_line(each)) for each in status.news]
    return "".join(f"{line}\n" for line in lines)


def _width(rows: Sequence[tuple[str, ...]], columns: slice) -> int:
    """Return how wide these columns are under their headings, with a gap behind each."""
    picked = list(zip(*(row[columns] for row in (_HEADINGS, *rows))))
    return sum(max(map(len, column)) + len(_GAP) for column in picked)


def _lines(
    texts: Sequence[tuple[str, ...]],
    states: Sequence[State | None],
    columns: slice,
    *,
    colour: bool,
) -> list[str]:
    """Return these columns of rows, each column as wide as its widest cell."""
    picked = range(len(_HEADINGS))[columns]
    widths = {at: max(len(text[at]) for text in texts) for at in picked}
    lines = []
    for text, state in zip(texts, states):
        cells = {
            at: text[at].rjust(widths[at]) if at in _NUMBERS else text[at].ljust(widths[at])
            for at in picked
        }
        if colour and state is not None:
            cells[_STATE_COLUMN] = _painted(cells[_STATE_COLUMN], state)
        lines.append(_GAP.join(cells.values()).rstrip())
    return lines


def _narrow(
    rows: Sequence[tuple[str, ...]], states: Sequence[State | None], width: int, *, colour: bool
) -> list[str]:
    """Return rows with the service above its real servers, and below each why it is out.

    Since when stands there too, where a row has no room for it.
    """
    columns = slice(1, _CAUSES)
    has_room = _width(rows, columns) <= width
    if not has_room:
        columns = slice(1, _SINCE)
    heading, *lines = _lines([_HEADINGS, *rows], states, columns, colour=colour)
    found, service = [f"{_GAP}{heading}"], None
    for row, line in zip(rows, lines):
        if row[0] != service:
            service = row[0]
            found.append(service)
        found.append(f"{_GAP}{line}")
        below = [] if has_room or row[_SINCE] == "-" else [f"since {row[_SINCE]}"]
        below += [] if row[_CAUSES] == "-" else [row[_CAUSES]]
        if below:
            found.append(f"{2 * _GAP}{_short(': '.join(below), width - 2 * len(_GAP))}")
    return found


def _short(text: str, room: float) -> str:
    """Return a text cut to so many columns."""
    return text if len(text) <= room else f"{text[: max(0, int(room) - 1)]}…"


def watched_lines(services: Iterable[Watched]) -> str:
    """Return what the resident process checks between mon's checks, a line a service."""
    lines = []
    for each in services:
        heard = "not heard yet" if each.heard is None else f"last heard {each.heard:.1f} s ago"
        failed = f", failed: {' '.join(each.failed)}" if each.failed else ""
        about = f"{each.group}/{each.service}: checked every {each.every:g} s between mon's checks"
        lines.append(printable(f"{about}, {heard}{failed}") + "\n")
    return "".join(lines)


def _unjudged_lines(service: ServiceStatus) -> list[str]:
    return [
        printable(f"{service.virtual}: {_unjudged_words(*each)}")
        for each in service.unjudged.items()
    ]


def _unjudged_words(source: str, unjudged: Unjudged) -> str:
    since = moment(unjudged.since)
    return (
        f"{source} has had no verdict for {unjudged.times} checks, since {since}: {unjudged.reason}"
    )


def _painted(cell: str, state: State) -> str:
    word = cell.rstrip()
    return f"\033[{_COLOURS[state]}m{word}\033[0m{cell[len(word) :]}"


def _rows(service: ServiceStatus) -> list[tuple[tuple[str, ...], State | None]]:
    if service.stopped is not None:
        since, who = moment(service.stopped.since), printable(service.stopped.who)
        first = (service.virtual, "-", "stopped", "-", "-", "-", since, f"stopped by {who}")
        return [(first, None), *((_row(service, each), each.state) for each in service.servers)]
    if service.scheduler is None and not service.servers:
        return [((service.virtual, "-", "missing", "-", "-", "-", "-", "-"), State.MISSING)]
    if not service.servers:
        return [((service.virtual, "-", "-", "-", "-", "-", "-", "-"), None)]
    return [(_row(service, each), each.state) for each in service.servers]


def _row(service: ServiceStatus, each: ServerStatus) -> tuple[str, ...]:
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


def slow_until(story: ServerStory) -> float | None:
    """Return when a slow start is over (epoch), None where none is under way."""
    since = story.memory.slow_since
    return None if since is None else since + story.memory.slow_for


def why_text(stories: Iterable[ServerStory]) -> str:
    """Return the stories of a real server in sentences, a paragraph for each virtual service."""
    return "\n".join("".join(f"{line}\n" for line in _sentences(story)) for story in stories)


_STATES = {
    State.IN: "is in",
    State.SLOW_STARTING: "is starting slowly",
    State.QUIESCED: "is quiesced: it takes no new connections",
    State.OUT: "is out",
    State.MISSING: "should be in, but the table lacks it",
}


def _sentences(story: ServerStory) -> list[str]:
    each = story.standing
    weight = "" if each.weight is None else f", weight {each.weight}"
    since = "" if each.since is None else f", since {moment(each.since)}"
    lines = [f"{each.name} of {story.virtual} {_STATES[each.state]}{weight}{since}."]
    if each.active is not None:
        lines.append(f"  It has {each.active} active and {each.inactive} inactive connections.")
    full_at = slow_until(story)
    if full_at is not None:
        lines.append(f"  It is to have all of its weight at {moment(full_at)}.")
    if story.memory.quiesced_until is not None:
        until = moment(story.memory.quiesced_until)
        lines.append(f"  It is deleted at {until}, or with its last active connection.")
    lines += [f"  {_cause_sentence(cause)}" for cause in each.causes]
    if each.state in (State.IN, State.SLOW_STARTING) and _is_damped(each):
        lines.append("  It serves all the same: too few others do.")
    if story.memory.held:
        lines.append("  It stays in all the same: --min-in holds it.")
    if story.stopped is not None:
        stop = printable(f"{story.stopped.who} stopped its virtual service")
        lines.append(f"  {stop} at {moment(story.stopped.since)}, and nobody has started it since.")
    elif story.is_reserve and not each.causes:
        does = "serves only while" if each.state in _NOT_SERVING else "serves, as"
        lines.append(f"  It is a reserve, and {does} too few of the others do.")
    elif not each.causes:
        lines.append("  Nobody says that it should be out.")
    lines += [f"  {_check_sentence(*check)}" for check in story.checks.items()]
    lines += [printable(f"  {_unjudged_words(*each)}") for each in story.unjudged.items()]
    lines += ["  No change of it is known."] if not story.changes else ["  Its last changes:"]
    for entry in story.changes:
        said = f"{entry.who}: was {entry.before}, is {entry.after}: {entry.why}"
        lines.append(f"    {moment(entry.time)}  {printable(said)}")
    return lines


def _is_damped(each: ServerStatus) -> bool:
    return any(cause.cause == DAMPED for cause in each.causes)


def _cause_sentence(cause: Cause) -> str:
    if cause.cause == DAMPED:
        return printable(f"It is damped since {moment(cause.since)}: it {cause.reason}.")
    says = "The operator says" if cause.cause == OPERATOR else f"{cause.cause} says"
    return printable(f"{says} since {moment(cause.since)}: {cause.reason}.")


def _check_sentence(source: str, check: LastVerdict) -> str:
    verdict = "failed" if check.failed else "passed"
    times = "1 check" if check.in_a_row == 1 else f"{check.in_a_row} checks in a row"
    return printable(f"It {verdict} {times} of {source}, the last at {moment(check.time)}.")
