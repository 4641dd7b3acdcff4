"""lvs-director status, why, drain and resume: how the director stands, and an operator's hand."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator, Mapping
from typing import Any, Callable

import click

from lvsalert import drain, view
from lvsalert.commands import director_table, shown
from lvsalert.commands.entry import Outcome
from lvsalert.commands.options import EnvOption, command, number
from lvsalert.commands.place import lock_option, lookup, table_options, user_name
from lvsalert.commands.syslogging import log
from lvsalert.errors import LvsalertError
from lvsalert.ipvsadm import Ipvsadm
from lvsalert.model import join_endpoint
from lvsalert.mon import printable
from lvsalert.step import Place, describe
from lvsalert.view import View

_NAME = "lvs-director"
# How often a table that is followed is read again, in seconds.
_PAUSE = 1.0

_json = click.option("--json", "as_json", cls=EnvOption, is_flag=True, help="For a program.")
_server = click.argument("server", metavar="SERVER")
_service = click.option(
    "--service",
    cls=EnvOption,
    metavar="V",
    help="Only in this virtual service: address:port or firewall mark, also after its protocol.",
)


def _with_arguments(made: click.Command) -> click.Command:
    """Let options follow a command's arguments too, as people write them."""
    made.context_settings["allow_interspersed_args"] = True
    return made


def _door(given: Mapping[str, Any]) -> Ipvsadm:
    return Ipvsadm(given["ipvsadm"], given["ipvsadm_timeout"])


@command("status")
@_json
@click.option("--watch", cls=EnvOption, is_flag=True, help="Go on, and show every change.")
@table_options
@click.argument("file", required=False, metavar="[FILE]")
@click.pass_context
def status_command(ctx: click.Context, /, file: str | None, **given: Any) -> Outcome:
    """Show how every real server stands: state, weight, connections, since when, and why.

    Out is a real server that causes keep out of the table, missing one that should be in it. With a
    FILE (www.cf) it only says whether the file's virtual services are set up: running or stopped,
    with status 0 or 3.
    """
    if file is not None:
        return director_table.running(file, given)
    environ = ctx.obj.environ
    door, state_dir = _door(given), given["state_dir"]
    if given["watch"]:
        show = _watched_object if given["as_json"] else _watched_table
        clear = shown.CLEAR if shown.is_terminal(environ) and not given["as_json"] else ""
        return Outcome(
            0, stream=_told(_watch(lambda: show(view.look(door, state_dir), environ), clear))
        )
    seen = view.look(door, state_dir)
    if given["as_json"]:
        text = _json_text(shown.status_object(seen))
    else:
        text = shown.status_table(seen, colour=shown.wants_colour(environ))
    return _with_lacking(text, seen.lacking)


def _watched_table(seen: View, environ: Mapping[str, str]) -> str:
    text = shown.status_table(seen, colour=shown.wants_colour(environ))
    return text if seen.lacking is None else f"{text}{printable(str(seen.lacking))}\n"


def _watched_object(seen: View, _environ: Mapping[str, str]) -> str:
    return json.dumps(shown.status_object(seen)) + "\n"


def _watch(show: Callable[[], str], clear: str) -> Generator[str, None, Outcome]:
    """Yield what ``show`` returns whenever it has changed, after ``clear``, without an end."""
    last = ""
    while True:
        text = show()
        if text != last:
            yield clear + text
            last = text
        time.sleep(_PAUSE)


def _json_text(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def _with_lacking(text: str, lacking: LvsalertError | None) -> Outcome:
    if lacking is None:
        return Outcome(0, text)
    return Outcome(lacking.status, text, _complaint(lacking))


def _complaint(error: LvsalertError) -> str:
    return f"{_NAME}: {printable(str(error))}\n"


def _told(stream: Generator[str, None, Outcome]) -> Generator[str, None, Outcome]:
    """Yield what ``stream`` does; an error on the way is one line, as that of any command."""
    try:
        return (yield from stream)
    except LvsalertError as error:
        return Outcome(error.status, stderr=_complaint(error))


@_with_arguments
@command("why")
@_server
@_service
@_json
@table_options
def why_command(**given: Any) -> Outcome:
    """Say why a real server stands as it does: its causes, the checks, and its last changes.

    SERVER is an address or a name, with a port or for all ports.
    """
    asked = view.wanted(given["server"], given["service"], lookup)
    stories, lacking = view.why(_door(given), given["state_dir"], asked)
    if given["as_json"]:
        return _with_lacking(_json_text(shown.why_object(stories, lacking)), lacking)
    return _with_lacking(shown.why_text(stories), lacking)


@_with_arguments
@command("drain")
@_server
@_service
@click.option(
    "--wait",
    cls=EnvOption,
    type=number("a number of seconds", 0),
    metavar="SECONDS",
    help="Wait so long at most for its active connections to end; status 1 where some are left.",
)
@table_options
@lock_option
def drain_command(**given: Any) -> Outcome:
    """Let a real server take no new connections: weight 0, until it is resumed.

    SERVER is an address or a name, with a port or for all ports, in every virtual service.
    """
    done = _acted(drain.drain, given)
    if given["wait"] is None or not done.drained:
        return _outcome(done)
    return _outcome(done)._replace(stream=_told(_wait(done, _door(given), given["wait"])))


@_with_arguments
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


def _acted(
    act: Callable[[Place, view.Wanted, drain.Outside], drain.Outcome], given: Mapping[str, Any]
) -> drain.Outcome:
    asked = view.wanted(given["server"], given["service"], lookup)
    # The journal is trimmed by the alerts, which know how long it is to be kept.
    place = Place(_door(given), given["state_dir"], given["lock_timeout"], math.inf)
    return act(place, asked, drain.Outside(lookup, user_name()))


def _outcome(done: drain.Outcome) -> Outcome:
    """Return what to print of what was done, and tell syslog of it."""
    changes = [printable(describe(change, done.who)) for change in done.changes]
    log(_NAME, "notice", changes)
    remarks = [printable(f"{done.who}: {remark}") for remark in done.remarks]
    log(_NAME, "info", remarks)
    log(_NAME, "warning", [f"not remembered: {printable(str(each))}" for each in done.troubles])
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
            return Outcome(1, stderr=f"{_NAME}: {total} left after {seconds:g} s\n")
        time.sleep(min(_PAUSE, rest))


def _spelled(spot: drain.Drained) -> str:
    virtual, (address, port) = spot
    return f"{virtual}: {join_endpoint(address, port)}"


def _connections(count: int) -> str:
    return "1 active connection" if count == 1 else f"{count} active connections"
