"""lvs.alert: takes real servers out of the IPVS table and puts them back, for mon or by hand."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

import click

from lvsalert.commands.alert_options import OF_ONE_CALL, alert_options
from lvsalert.commands.alert_round import round_of
from lvsalert.commands.alert_told import NAME, Understood, log_errors, told
from lvsalert.commands.entry import Outcome
from lvsalert.commands.options import HOW, command, invoke, option
from lvsalert.commands.table_options import (
    director_of,
    lock_option,
    lookup,
    table_options,
    user_name,
)
from lvsalert.director import alert, rounds
from lvsalert.director.request import Request
from lvsalert.errors import LvsalertError, SupersededError, UsageError
from lvsalert.ipvs.naming import virtual_service
from lvsalert.ipvs.service_flags import parse_service_flags
from lvsalert.model import Forwarding
from lvsalert.mon.alert_call import AlertCall, Event, alert_call

if TYPE_CHECKING:
    from lvsalert.commands.lvs_alert_file import Upkeep

BY_HAND = "lvs-alert"
_FLAGS = {
    "up": Event.UP,
    "ack": Event.ACK,
    "disable": Event.DISABLE,
    "trap": Event.TRAP,
    "trap_timeout": Event.TRAP_TIMEOUT,
}


def run(argv: Sequence[str], environ: Mapping[str, str], stdin: Callable[[], str]) -> Outcome:
    """Return what the alert did: a line a change, and status 0, 1 (not done) or 3 (bad usage).

    Changes and errors go to syslog(3) too, facility local0.
    """
    read_once = functools.lru_cache(1)(stdin)
    while True:
        outcome = understand(argv, environ, read_once)
        if not isinstance(outcome, Understood):
            return _as_called(finished(outcome))
        try:
            (tell,) = run_together([outcome])
        except SupersededError:
            continue
        except LvsalertError as error:
            return _as_called(told(outcome, error))
        return _as_called(tell())


def _as_called(outcome: Outcome) -> Outcome:
    """Return what is printed under the name that a person has called."""
    if os.path.basename(sys.argv[0]) != BY_HAND:
        return outcome
    stderr = re.sub(f"(?m)^{re.escape(NAME)}: ", f"{BY_HAND}: ", outcome.stderr)
    stdout = re.sub(f"^Usage: {re.escape(NAME)}", f"Usage: {BY_HAND}", outcome.stdout)
    return outcome._replace(stdout=stdout, stderr=stderr)


def understand(
    argv: Sequence[str], environ: Mapping[str, str], stdin: Callable[[], str]
) -> Outcome:
    """Return what the alert asks for, which is ``Understood``, or how it has ended already.

    That is bad usage, or a check that found all as before. ``finished`` is to hear of it.
    """
    return invoke(_lvs_alert, argv, environ, stdin)


def finished(outcome: Outcome) -> Outcome:
    """Tell syslog of an alert that has ended already, and return its outcome."""
    log_errors(outcome)
    return outcome


def run_together(alerts: Sequence[Understood]) -> list[Callable[[], Outcome]]:
    """Do what alerts of one director ask for in one step; return what tells of each.

    SupersededError where the director's file is to be read anew, and nothing was done.
    LvsalertError, as any other error, is one of the step, and nobody knows then what was done.
    """
    first = alerts[0]
    asked = [each.asked for each in alerts]
    done = alert.run(asked, first.director, dry_run=first.given["dry_run"])
    return [functools.partial(told, *each) for each in zip(alerts, done)]


def are_together(first: Understood, other: Understood) -> bool:
    """Return whether two alerts can be done in one step."""

    def about(each: Understood) -> tuple[object, ...]:
        door, *rest = each.director
        return door.program, door.timeout, *rest, each.given["dry_run"]

    return about(first) == about(other)


@command(NAME)
@alert_options
@table_options
@lock_option
@option("-n", "--dry-run", is_flag=True, help="Print commands, run none.", section=HOW)
@click.pass_context
def _lvs_alert(ctx: click.Context, /, **given: Any) -> Outcome:
    """Take real servers out of the table of a Linux Virtual Server, or put them back in (-u).

    mon calls it as alert, upalert or redistribute, and says what happened in MON_ALERTTYPE. By hand
    it takes out the real server -R, or puts it in with -u. Every option can also be given as an
    environment variable: LVSALERT_ and its long name, such as LVSALERT_VIRTUAL_SERVICE.
    """
    call = _call(given, ctx.obj.environ, ctx.obj.stdin)
    if given["quiesce"] and given["quiesce_first"] is not None:
        raise UsageError("--quiesce and --quiesce-first exclude each other")
    if call.by_hand and given["real_server"] is None:
        raise UsageError("Missing option '-R': a real server is needed where mon does not call.")
    is_tunnelled = given["forwarding"] is Forwarding.TUNNELLING or given["config"] is not None
    if given["tunnel"] is not None and not is_tunnelled:
        raise UsageError("--tunnel goes with --forwarding tun")
    if given["service_flags"] is not None and (given["scheduler"] is None or given["config"]):
        raise UsageError("--service-flags goes with --scheduler, and not with --config")
    director = director_of(given, given["journal_days"])
    round_ = round_of(call, given, ctx.obj.given)
    if round_ is not None and rounds.is_as_before(director, round_):
        return Outcome(0)
    understood = Understood(0)
    jobs, errors, understood.upkeep, is_settled = _jobs(given, ctx.obj.given)
    understood.errors = [*errors, *_strangers(given)]
    understood.round = round_ if is_settled else None
    understood.asked = alert.Asked(
        call,
        jobs,
        lookup,
        functools.partial(_any_answers, given["witnesses"]),
        user_name() if call.by_hand else "",
    )
    understood.director = director
    understood.given = given
    return understood


def _call(
    given: Mapping[str, Any], environ: Mapping[str, str], stdin: Callable[[], str]
) -> AlertCall:
    by_mon = "MON_ALERTTYPE" in environ or given["group"] or given["service"]
    return alert_call(
        environ,
        flags=[event for name, event in _FLAGS.items() if given[name]],
        group=given["group"],
        service=given["service"],
        hosts=given["hosts"],
        time=given["time"],
        stdin=stdin() if by_mon else "",
    )


def _jobs(
    given: Mapping[str, Any], options: Mapping[str, str]
) -> tuple[list[alert.Job], Sequence[LvsalertError], Upkeep | None, bool]:
    """Return what is asked for each virtual service, what cannot be, and what the file needs.

    The last is whether the options and the file say all of it.

    LvsalertError where nothing of it can be done.
    """
    # mon-config names all services that have a check in common, with blanks in between.
    text = given["virtual"]
    virtuals = (text.split() if text.isprintable() else []) or [text]
    requests, errors = _meant([_request(given, options, virtual) for virtual in virtuals])
    if given["config"] is None:
        return [alert.Job(each) for each in requests], errors, None, True
    # Not imported by runs without a file, which have no use for its reader.
    from lvsalert.commands.lvs_alert_file import with_file

    filed = with_file(given["config"], requests, given, options)
    return filed.jobs, [*errors, *filed.errors], filed.upkeep, filed.is_settled


def _strangers(given: Mapping[str, Any]) -> list[LvsalertError]:
    """Return what is wrong with a reserve: a host that is none of the group's is a slip.

    The one that was meant would serve all the time. mon marks a host that is disabled by a ``*``.
    """
    members = {host.removeprefix("*") for host in (given["hosts"] or "").split()}
    if not members or given["real_server"] is not None:
        return []
    strange = [host for host in dict.fromkeys(given["reserve"]) if host not in members]
    return [UsageError(f"--reserve: {host!r} is no host of the group") for host in strange]


def _meant(requests: Sequence[Request]) -> tuple[list[Request], list[LvsalertError]]:
    """Return the requests whose virtual service is spelled right, and what is wrong with others.

    A slip in one of several is not to keep the others from their fail-over. LvsalertError where
    all are wrong.
    """
    meant: list[Request] = []
    errors: list[LvsalertError] = []
    for each in requests:
        try:
            virtual_service(each.virtual, each.protocol, lookup, ipv6_fwmark=each.ipv6_fwmark)
            meant.append(each)
        except LvsalertError as error:
            errors.append(error)
    if not meant:
        raise errors[0]
    return meant, errors


def _request(given: Mapping[str, Any], options: Mapping[str, str], virtual: str) -> Request:
    """Return the request for a virtual service; most options are named as its fields are."""
    asked = {name: value for name, value in given.items() if name in Request._fields}
    asked["slow_start"] = given["slow_start"] or None
    if given["service_flags"] is not None:
        asked["flags"] = parse_service_flags(given["service_flags"], given["scheduler"])
    kept = {name: text for name, text in options.items() if name not in OF_ONE_CALL}
    kept["LVSALERT_VIRTUAL_SERVICE"] = asked["virtual"] = virtual
    return Request(**asked, has_witness=bool(given["witnesses"]), options=kept)


def _any_answers(witnesses: Sequence[str]) -> bool:
    from lvsalert.checks.witness import any_answers

    return any_answers(witnesses)
