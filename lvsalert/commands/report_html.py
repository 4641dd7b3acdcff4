"""How people are shown a director in a browser: one page of HTML that needs nothing else."""

from __future__ import annotations

import html
import socket
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lvsalert.commands.status_text import moment, news_line
from lvsalert.director import status
from lvsalert.director.status import ServerStatus, ServiceStatus
from lvsalert.errors import LvsalertError
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ledger import history, timeline
from lvsalert.ledger.history import Selection
from lvsalert.ledger.journal import Entry
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.reader import ask_ledger
from lvsalert.mon.report import printable
from lvsalert.templates import filled

_DAY = 86400.0
_WEEK = 7 * _DAY
_LAST_CHANGES = 50
_HEADINGS = ("Server", "State", "Weight", "Active", "Inactive", "Since", "Why")
_NUMBERS = frozenset(("Weight", "Active", "Inactive"))


class Report(NamedTuple):
    """The page, and what could not be read for it."""

    text: str
    lacking: Sequence[LvsalertError]


def report(door: Ipvsadm, state_dir: str) -> Report:
    """Return the page of a director as it is now; what cannot be read is told on it."""
    now = time.time()
    lacking: list[LvsalertError] = []
    services: Sequence[ServiceStatus] = ()
    lines: list[str] = []
    try:
        seen = status.read(door, state_dir)
        services = seen.services
        lines = [news_line(each) for each in seen.news]
    except LvsalertError as error:
        lacking.append(error)

    def past(ledger: Ledger) -> tuple[str, str, list[Entry]]:
        day, week = (
            timeline.svg(history.lanes(ledger, Selection(now - length)), now - length, now, name)
            for length, name in ((_DAY, "day"), (_WEEK, "week"))
        )
        return day, week, ledger.journal.history(since=now - _WEEK)[-_LAST_CHANGES:]

    (day, week, entries), unread = ask_ledger(state_dir, past)
    if unread is not None:
        lacking.append(unread)
    lines += [str(each) for each in lacking]
    for service in services:
        lines += [
            f"{service.virtual}: no verdict of {source} since {moment(each.since)}: {each.reason}"
            for source, each in service.unjudged.items()
        ]
    text = filled(
        "report.html",
        host=_text(socket.gethostname()),
        now=moment(now),
        title=_title(services),
        troubles="\n".join(f'<p class="trouble">{_text(line)}</p>' for line in lines),
        buttons="\n".join(map(_button, services)),
        services="\n".join(map(_service, services)) or "<p>No virtual service.</p>",
        day=_picture(day),
        week=_picture(week),
        changes=_changes(entries),
    )
    return Report(text, lacking)


def _text(text: str) -> str:
    """Return text as HTML has it, whatever somebody wrote into it."""
    return html.escape(printable(text))


def _title(services: Sequence[ServiceStatus]) -> str:
    servers = [each for service in services for each in service.servers]
    count = len([each for each in servers if each.state is not status.State.IN])
    if not count:
        return "All real servers are in" if servers else "No real server"
    return f"{count} of {len(servers)} real servers {'is' if count == 1 else 'are'} not in"


def _button(service: ServiceStatus) -> str:
    name = _text(service.virtual)
    return f'<button type="button" data-show="={name}" aria-pressed="false">{name}</button>'


def _service(service: ServiceStatus) -> str:
    name = _text(service.virtual)
    about = "missing in the table" if service.scheduler is None else _text(service.scheduler)
    if service.stopped is not None:
        since, who = moment(service.stopped.since), _text(service.stopped.who)
        about = f"stopped by {who}, {since}"
    rows = "\n".join(_row(name, each) for each in service.servers)
    return _table(f'{name} <span class="since">{about}</span>', _HEADINGS, rows)


def _row(service: str, each: ServerStatus) -> str:
    causes = "<br>".join(_text(f"{one.cause}: {one.reason}") for one in each.causes)
    numbers = (each.weight, each.active, each.inactive)
    cells = (
        each.name,
        each.state.value,
        *("" if number is None else str(number) for number in numbers),
        "" if each.since is None else moment(each.since),
        causes,
    )
    state = each.state.value
    columns = "".join(_cells(cells, state))
    return f'<tr data-service="{service}" data-state="{state}">{columns}</tr>'


def _cells(cells: Sequence[str], state: str) -> Iterator[str]:
    for heading, cell in zip(_HEADINGS, cells):
        kind = {"State": state, "Since": "since"}.get(heading, "")
        kind = "number" if heading in _NUMBERS else kind
        name = f' data-name="{heading}"' if cell and heading in (*_NUMBERS, "Since") else ""
        yield f'<td class="{kind}"{name}>{cell}</td>'


def _changes(entries: Sequence[Entry]) -> str:
    """Return the changes of a week, the newest first."""
    rows = []
    for each in reversed(entries):
        what = f"was {each.before}, is {each.after}" if each.real else each.after or "deleted"
        cells = (moment(each.time), each.who, each.virtual, each.real, what, each.why)
        columns = "".join(f"<td>{_text(cell)}</td>" for cell in cells)
        rows.append(f'<tr data-service="{_text(each.virtual)}" data-state="change">{columns}</tr>')
    if not rows:
        return "<p>None in a week.</p>"
    headings = ("When", "Who", "Service", "Server", "What", "Why")
    return _table(f"{len(rows)} in a week", headings, "\n".join(rows))


def _table(caption: str, headings: Sequence[str], rows: str) -> str:
    head = "".join(
        f"<th{' class=number' if each in _NUMBERS else ''}>{each}</th>" for each in headings
    )
    return (
        f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _picture(svg: str) -> str:
    """Return a document of SVG as a part of a page, which has no declaration of its own."""
    return svg.partition("?>\n")[2]
