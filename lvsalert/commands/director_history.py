"""lvs-director history, undo and sync: what was changed, the way back, and what mon says."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

from lvsalert.commands import json_text, lvs_alert
from lvsalert.commands.entry import Outcome
from lvsalert.commands.files import write_whole
from lvsalert.commands.mon_options import login_of, mon_options
from lvsalert.commands.options import HOW, WHERE, Parsed, command, option
from lvsalert.commands.syslog import log
from lvsalert.commands.table_options import (
    director_of,
    lock_option,
    lookup,
    table_options,
    user_name,
)
from lvsalert.director import sync, undo
from lvsalert.director.changes import describe
from lvsalert.errors import NotDoneError
from lvsalert.ipvs.defaults import DEFAULT_STATE_DIR
from lvsalert.ldirectord.file import load
from lvsalert.ledger import history, timeline
from lvsalert.ledger.journal import Entry
from lvsalert.ledger.records import DIRECTOR
from lvsalert.mon import client
from lvsalert.mon.report import printable

NAME = "lvs-director"
_HEADINGS = ("TIME", "WHO", "SERVICE", "SERVER", "BEFORE", "AFTER", "WHY")
# What a picture of an empty journal covers, in seconds.
_NOTHING_SECONDS = 3600.0
# What is right for the ledger that is read here is right for the alerts too.
_OWN = frozenset(("LVSALERT_IPVSADM", "LVSALERT_IPVSADM_TIMEOUT"))


def _moment(text: str) -> float:
    return history.moment(text, time.time())


_TIME = Parsed("time", _moment)


@command("history")
@option(
    "--since",
    type=_TIME,
    metavar="TIME",
    help="From when on: 90s, 15m, 2h or 3d ago, or an ISO time.  [default: all]",
)
@option(
    "--service",
    type=Parsed("service", history.service_name),
    metavar="V",
    help="Only this virtual service: address:port or a firewall mark.",
)
@option(
    "--server",
    metavar="R",
    help="Only this real server: an address or a name, with a port or for all ports.",
)
@option("--json", "as_json", is_flag=True, help="Print JSON, for a program.", section=HOW)
@option(
    "--svg",
    metavar="FILE",
    help="Draw the times out into this file; - is standard output.",
    section=HOW,
)
@option(
    "--state-dir",
    default=DEFAULT_STATE_DIR,
    show_default=True,
    metavar="FOLDER",
    help="Where causes and the journal are kept.",
    section=WHERE,
)
def history_command(
    *,
    since: float | None,
    service: str | None,
    server: str | None,
    as_json: bool,
    svg: str | None,
    state_dir: str,
) -> Outcome:
    """Show every change of the table: when, who, what was and is, and why.

    --svg also draws when each real server was out, coloured by who took it out.
    """
    servers = None if server is None else history.server_names(server, lookup)
    asked = history.Selection(0.0 if since is None else since, service, servers)
    with history.opened(state_dir) as ledger:
        entries = history.lines(ledger, asked)
        lanes = [] if svg is None else history.lanes(ledger, asked)
    if svg is not None:
        now = time.time()
        first = entries[0].time if entries else now - _NOTHING_SECONDS
        picture = timeline.svg(lanes, first if since is None else since, now)
        if svg == "-":
            return Outcome(0, picture)
        write_whole(svg, picture)
    if as_json:
        return Outcome(0, json_text.document(json_text.history_object(entries)))
    return Outcome(0, _table([_HEADINGS, *map(_cells, entries)]) if entries else "no change\n")


def _cells(entry: Entry) -> tuple[str, ...]:
    when = history.local_time(entry.time).strftime("%Y-%m-%d %H:%M:%S")
    before, after = entry.before, entry.after
    if not entry.real:
        before, after = "-", _what_became(before, after)
    words = (entry.who, entry.virtual, entry.real or "-", before, after, entry.why)
    return (when, *map(printable, words))


def _what_became(before: str, after: str) -> str:
    """Return what happened to a virtual service."""
    if before and after:
        return "changed"
    return "created" if after else "deleted"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


@command("undo")
@option(
    "--to",
    type=_TIME,
    metavar="TIME",
    help="Go back to how it was at that time: 90s, 15m, 2h or 3d ago, or an ISO time."
    "  [default: before the last change]",
)
@option("--yes", is_flag=True, help="Do it, and not only show it.", section=HOW)
@table_options
@lock_option
def undo_command(*, to: float | None, yes: bool, **given: Any) -> Outcome:
    """Show how the table gets back to what it was before the last change; with --yes do it.

    It is journalled as a change itself, so an undo can be undone. What was changed meanwhile
    without the journal is left alone. A server that is put out so stays out until an operator
    resumes it; one that is put in may be taken out again by the next check.
    """
    with history.opened(given["state_dir"]):
        # Whatever is wrong with the ledger is said before the table is looked at.
        pass
    done = undo.run(director_of(given), user_name(), to, dry_run=not yes)
    lines = [describe(change, done.who) for change in done.changes]
    if yes:
        log(NAME, "notice", [f"{line}: {done.why}" for line in lines])
        lines.append(done.why if lines else f"{done.why}: nothing to change")
    else:
        lines[:0] = [f"{given['ipvsadm']} {' '.join(change.words)}" for change in done.changes]
        rest = "nothing is done without --yes" if lines else "nothing to change"
        lines.append(f"{done.why}: {rest}")
    troubles = [*done.notes, *(f"not remembered: {each}" for each in done.troubles)]
    errors = "".join(f"{NAME}: {printable(each)}\n" for each in troubles)
    return Outcome(int(bool(troubles)), _joined(lines), errors)


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{printable(line)}\n" for line in lines)


@command("sync")
@mon_options
@option(
    "--config",
    metavar="FILE",
    help="Ask for the services of this file (www.cf) too, as mon-config has mon watch them.",
)
@table_options
@click.pass_context
def sync_command(
    ctx: click.Context, /, *, config: str | None, state_dir: str, **given: Any
) -> Outcome:
    """Ask mon once what it knows, and bring ledger and table to that.

    For after a restart, when no alert comes because mon saw no change. The services and their
    options are those of the last run of lvs.alert for each, and those of --config. What mon has
    not tested stays. A line a service tells what mon says of it, a line a change what was done.
    """
    with history.opened(state_dir) as ledger:
        runs = [run for run in ledger.runs.all() if run.source != DIRECTOR]
    if config is not None:
        runs = sync.with_file(runs, load(config, lookup))
    if not runs:
        raise NotDoneError(
            f"{state_dir}: lvs.alert has not been run by mon yet: nothing to ask for"
        )
    login = login_of(given, ctx.obj.environ)
    told = client.ask(given["mon"], login, sync.groups(runs), given["mon_timeout"])
    own = {name: text for name, text in ctx.obj.given.items() if name in _OWN}
    own["LVSALERT_STATE_DIR"] = state_dir
    return _run_all(sync.calls(runs, told, own))


def _run_all(calls: Iterable[sync.Call]) -> Outcome:
    """Run lvs.alert for each call, and return all that it says under one line a call."""
    status, stdout, stderr = 0, "", ""
    has_run = has_changed = False
    for call in calls:
        stdout += f"{call.about}: {printable(call.said)}\n"
        if call.argv is None:
            continue
        done = lvs_alert.run(call.argv, call.environ, call.stdin)
        has_run, has_changed = True, has_changed or bool(done.stdout)
        status = max(status, done.status)
        stdout += done.stdout
        stderr += done.stderr
    if has_run and not has_changed and not status:
        stdout += "nothing to change\n"
    return Outcome(status, stdout, stderr)
