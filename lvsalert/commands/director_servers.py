"""lvs-director status, why, drain and resume: how the director stands, and an operator's hand."""

from __future__ import annotations

import functools
import time
from collections.abc import Generator, Mapping
from typing import Any, Callable

import click

from lvsalert.commands import director_running, json_text, status_text
from lvsalert.commands.director_file import NAME
from lvsalert.commands.entry import Outcome, end_quietly
from lvsalert.commands.options import HOW, Parsed, command, number, option
from lvsalert.commands.syslog import log
from lvsalert.commands.table_options import (
    director_of,
    door_of,
    lock_option,
    lookup,
    table_options,
    user_name,
)
from lvsalert.director import drain, status
from lvsalert.director.changes import describe
from lvsalert.director.reconcile import Director
from lvsalert.director.status import Status
from lvsalert.errors import LvsalertError, UsageError
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ipvs.naming import Lookup
from lvsalert.ledger.history import duration, service_name
from lvsalert.model import join_endpoint
from lvsalert.mon.report import printable
from lvsalert.resident import watched, wire

# How often a table that is followed is read again, in seconds.
_PAUSE = 1.0

_json = option("--json", "as_json", is_flag=True, help="Print JSON, for a program.", section=HOW)
_server = click.argument("server", metavar="SERVER")
_service = option(
    "--service",
    metavar="V",
    help="Only in this virtual service: address:port or firewall mark, also after its protocol.",
)


@command("status")
@_json
@option("--watch", is_flag=True, help="Go on, and show every change until Ctrl-C.", section=HOW)
@table_options
@click.argument("file", required=False, metavar="[FILE]")
@click.pass_context
def status_command(ctx: click.Context, /, file: str | None, **given: Any) -> Outcome:
    """Show how every real server stands: state, weight, connections, since when, and why.

    Out is a real server that causes keep out of the table, missing one that should be in it. With a
    FILE (www.cf) it only says whether the file's virtual services are set up: running or stopped,
    with status 0 or 3, or unknown with status 4 where the file has a fault and never ran. Without
    one it also says what the resident process (lvs-director serve) checks between mon's checks.
    """
    if file is not None:
        done = director_running.running(file, given)
        asked = {"--json": given["as_json"], "--watch": given["watch"]}
        # heartbeat goes by the word and the status, so that neither is refused for these.
        idle = [f"{NAME}: {name} has no effect with a file\n" for name in asked if asked[name]]
        return done._replace(stderr="".join([done.stderr, *idle]))
    environ = ctx.obj.environ
    door, state_dir = door_of(given), given["state_dir"]
    if given["watch"]:
        show = _watched_object if given["as_json"] else _watched_table
        is_live = status_text.is_terminal(environ) and not given["as_json"]
        end_quietly()
        return Outcome(
            0,
            stream=_told(_watch(lambda: show(status.read(door, state_dir), environ), is_live)),
        )
    seen = status.read(door, state_dir)
    between = watched.ask(environ.get("LVSALERT_SOCKET", wire.DEFAULT_SOCKET))
    if given["as_json"]:
        about = json_text.status_object(seen) | {"watched": json_text.watched_objects(between)}
        text = json_text.document(about)
    else:
        text = _table(seen, environ) + status_text.watched_lines(between)
    return _with_lacking(text, seen.lacking)


def _table(seen: Status, environ: Mapping[str, str]) -> str:
    width = status_text.width() if status_text.is_terminal(environ) else None
    return status_text.status_table(seen, colour=status_text.wants_colour(environ), width=width)


def _watched_table(seen: Status, environ: Mapping[str, str]) -> str:
    text = _table(seen, environ)
    return text if seen.lacking is None else f"{text}{printable(str(seen.lacking))}\n"


def _watched_object(seen: Status, _environ: Mapping[str, str]) -> str:
    return json_text.line(json_text.status_object(seen))


def _watch(show: Callable[[], str], is_live: bool) -> Generator[str, None, Outcome]:
    """Yield what ``show`` returns whenever it has changed, without an end.

    What is live, on a terminal, is shown with the time and over what was shown before.
    """
    last = ""
    while True:
        text = show()
        if is_live:
            yield f"{status_text.CLEAR}{status_text.moment(time.time())}\n{text}"
        elif text != last:
            yield text
        last = text
        time.sleep(_PAUSE)


def _with_lacking(text: str, lacking: LvsalertError | None) -> Outcome:
    if lacking is None:
        return Outcome(0, text)
    return Outcome(lacking.status, text, _complaint(lacking))


def _complaint(error: LvsalertError) -> str:
    return f"{NAME}: {printable(str(error))}\n"


def _told(stream: Generator[str, None, Outcome]) -> Generator[str, None, Outcome]:
    """Yield what ``stream`` does; an error on the way is one line, as that of any command."""
    try:
        return (yield from stream)
    except LvsalertError as error:
        return Outcome(error.status, stderr=_complaint(error))


@command("why")
@_server
@_service
@_json
@table_options
def why_command(**given: Any) -> Outcome:
    """Say why a real server stands as it does: its causes, the checks, and its last changes.

    SERVER is an address or a name, with a port or for all ports.
    """
    asked = status.query(given["server"], given["service"], lookup)
    stories, lacking = status.why(door_of(given), given["state_dir"], asked)
    if given["as_json"]:
        return _with_lacking(json_text.document(json_text.why_object(stories, lacking)), lacking)
    return _with_lacking(status_text.why_text(stories), lacking)


@command("drain")
@_server
@_service
@option(
    "--wait",
    type=number("a number of seconds", 0),
    metavar="SECONDS",
    help="Wait at most so long for its active connections to end; status 1 if some are left.",
    section=HOW,
)
@option(
    "--for",
    "for_",
    type=Parsed("time", duration),
    metavar="TIME",
    help="Let it end by itself after 90s, 15m, 2h or 3d.  [default: at a resume]",
    section=HOW,
)
@option("--reason", default="", metavar="TEXT", help="Why, for those who look at it.", section=HOW)
@table_options
@lock_option
def drain_command(**given: Any) -> Outcome:
    """Let a real server take no new connections: weight 0, until it is resumed.

    SERVER is an address or a name, with a port or for all ports, in every virtual service. After
    the time of --for the next good check puts it back.
    """
    if not given["reason"].isprintable():
        raise UsageError(f"--reason: {given['reason']!r} holds a control character")
    until = None if given["for_"] is None else time.time() + given["for_"]
    done = _acted(functools.partial(drain.drain, until=until, reason=given["reason"]), given)
    if given["wait"] is None or not done.drained:
        return _outcome(done)
    return _outcome(done)._replace(stream=_told(_wait(done, door_of(given), given["wait"])))


@command("resume")
@_server
@_service
@table_options
@lock_option
def resume_command(**given: Any) -> Outcome:
    """Put a real server back that was drained or taken out by hand, with the weight that it had.

    What else keeps it out still does. SERVER is as for drain.
    """
    return _outcome(_acted(drain.resume, given))


@command("forget")
@click.argument("service", type=Parsed("service", service_name), metavar="SERVICE")
@table_options
@lock_option
def forget_command(service: str, **given: Any) -> Outcome:
    """Forget a virtual service that is gone for good: its causes, checks and options.

    SERVICE is address:port or a firewall mark, also after its protocol. What was changed stays in
    the history. One that stands in the table is not forgotten.
    """
    from lvsalert.director import forget

    done = forget.forget(director_of(given), service, f"operator {user_name()}")
    lines = [f"{each}: forgotten" for each in done.forgotten]
    log(NAME, "notice", [f"operator {user_name()}: {line}" for line in lines])
    errors = "".join(map(_complaint, done.troubles))
    return Outcome(int(bool(errors)), "".join(f"{line}\n" for line in lines), errors)


def _acted(
    act: Callable[[Director, status.ServerQuery, Lookup, str], drain.Outcome],
    given: Mapping[str, Any],
) -> drain.Outcome:
    query = status.query(given["server"], given["service"], lookup)
    return act(director_of(given), query, lookup, user_name())


def _outcome(done: drain.Outcome) -> Outcome:
    """Return what to print of what was done, and tell syslog of it."""
    changes = [printable(describe(change, done.who)) for change in done.changes]
    log(NAME, "notice", changes)
    remarks = [printable(f"{done.who}: {remark}") for remark in done.remarks]
    log(NAME, "info", remarks)
    log(NAME, "warning", [f"not remembered: {printable(str(each))}" for each in done.troubles])
    errors = [*done.errors, *done.troubles]
    return Outcome(
        max((error.status for error in errors), default=0),
        "".join(f"{line}\n" for line in (*changes, *remarks)),
        "".join(map(_complaint, errors)),
    )


def _wait(done: drain.Outcome, door: Ipvsadm, seconds: float) -> Generator[str, None, Outcome]:
    """Yield a line whenever the number of connections left has changed, until there are none."""
    deadline = time.monotonic() + seconds
    status = max((error.status for error in (*done.errors, *done.troubles)), default=0)
    said: Mapping[drain.Drained, int] = {}
    while True:
        left = drain.connections_left(door, done.drained)
        for spot, count in left.items():
            if said.get(spot) != count:
                yield f"{_spelled(spot)} has {_connections(count)} left\n"
        said = left
        if not any(left.values()):
            return Outcome(status)
        rest = deadline - time.monotonic()
        if rest <= 0:
            total = _connections(sum(left.values()))
            return Outcome(1, stderr=f"{NAME}: {total} left after {seconds:g} s\n")
        time.sleep(min(_PAUSE, rest))


def _spelled(spot: drain.Drained) -> str:
    virtual, (address, port) = spot
    return f"{virtual}: {join_endpoint(address, port)}"


def _connections(count: int) -> str:
    return "1 active connection" if count == 1 else f"{count} active connections"
