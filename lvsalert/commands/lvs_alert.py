"""lvs.alert: takes real servers out of the IPVS table and puts them back, for mon or by hand."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Callable

import click

from lvsalert import alert, mon
from lvsalert.commands.entry import Outcome
from lvsalert.commands.options import EnvOption, Parsed, command, invoke, number, whole
from lvsalert.commands.place import lock_option, lookup, table_options, user_name
from lvsalert.commands.syslogging import log
from lvsalert.errors import UsageError
from lvsalert.ipvsadm import Ipvsadm
from lvsalert.model import (
    MAX_WEIGHT,
    Forwarding,
    parse_forwarding,
    parse_port,
    parse_protocol,
    parse_scheduler,
    split_endpoint,
)
from lvsalert.policy import parse_floor
from lvsalert.step import Place, describe
from lvsalert.wish import Asked

NAME = "lvs.alert"
# Options of mon's own, which say what happened and not what is wanted.
_OF_ONE_RUN = frozenset(
    f"LVSALERT_{name}"
    for name in (
        *("SERVICE", "GROUP", "HOSTS", "TIME", "ALERTEVERY", "UP", "ACK", "DISABLE", "TRAP"),
        *("TRAP_TIMEOUT", "DRY_RUN"),
    )
)
_FLAGS = {
    "up": mon.Event.UP,
    "ack": mon.Event.ACK,
    "disable": mon.Event.DISABLE,
    "trap": mon.Event.TRAP,
    "trap_timeout": mon.Event.TRAP_TIMEOUT,
}


def parse_witness(text: str) -> str:
    """Return a witness as it was written; UsageError for what is no host."""
    port = split_endpoint(text)[1]
    if port is not None:
        parse_port(port)
    return text


def run(argv: Sequence[str], environ: Mapping[str, str], stdin: Callable[[], str]) -> Outcome:
    """Return what the alert did: a line a change, and status 0, 1 (not done) or 3 (bad usage).

    Changes and errors go to syslog(3) too, facility local0.
    """
    outcome = invoke(_lvs_alert, argv, environ, stdin)
    log(NAME, "err", (line.removeprefix(f"{NAME}: ") for line in outcome.stderr.splitlines()))
    return outcome


@command(NAME)
@click.option("-s", "--service", cls=EnvOption, help="mon's service.")
@click.option("-g", "--group", cls=EnvOption, help="mon's hostgroup.")
@click.option("-h", "--hosts", cls=EnvOption, default="", help="The hosts of the group.")
@click.option(
    "-t", "--time", cls=EnvOption, type=whole("a time", 0), help="When, in seconds of the epoch."
)
@click.option("-l", "--alertevery", cls=EnvOption, help="Taken from older mon and not used.")
@click.option("-u", "--up", cls=EnvOption, is_flag=True, help="The service is up: put in.")
@click.option("-a", "--ack", cls=EnvOption, is_flag=True, help="An acknowledgement.")
@click.option("-D", "--disable", cls=EnvOption, is_flag=True, help="A disabled service.")
@click.option("-T", "--trap", cls=EnvOption, is_flag=True, help="A trap: take out.")
@click.option("-O", "--trap-timeout", cls=EnvOption, is_flag=True, help="A missing trap: take out.")
@click.option(
    "-P",
    "--protocol",
    cls=EnvOption,
    type=Parsed("protocol", parse_protocol),
    help="tcp, udp, sctp or fwm.  [default: tcp, or fwm where -V is a number]",
)
@click.option(
    "-V",
    "--virtual-service",
    cls=EnvOption,
    required=True,
    metavar="ADDRESS:PORT",
    help="The virtual service, or the firewall mark.",
)
@click.option(
    "--config",
    cls=EnvOption,
    metavar="FILE",
    help="ldirectord's file, which gives what the options below leave open.",
)
@click.option(
    "-R",
    "--real-server",
    cls=EnvOption,
    metavar="ADDRESS[:PORT]",
    help="The real server.  [default: all hosts of the group]",
)
@click.option("--real-port", cls=EnvOption, help="The real servers' port, with nat.")
@click.option(
    "-W",
    "--weight",
    cls=EnvOption,
    type=whole("a weight", 0, MAX_WEIGHT),
    default=1,
    show_default=True,
    help="Weight of a real server that is in.",
)
@click.option(
    "-F",
    "--forwarding",
    cls=EnvOption,
    type=Parsed("method", parse_forwarding),
    default=Forwarding.GATEWAYING,
    help="dr, nat or tun.  [default: dr]",
)
@click.option(
    "--u-threshold",
    cls=EnvOption,
    type=whole("a threshold", 0, 2**31 - 1),
    help="Upper connection threshold.  [default: as it stands]",
)
@click.option(
    "--l-threshold",
    cls=EnvOption,
    type=whole("a threshold", 0, 2**31 - 1),
    help="Lower connection threshold.  [default: as it stands]",
)
@click.option(
    "--scheduler",
    cls=EnvOption,
    type=Parsed("name", parse_scheduler),
    help="Create a missing virtual service with this scheduler.",
)
@click.option("--quiesce", cls=EnvOption, is_flag=True, help="Out is weight 0, not deleted.")
@click.option("--startup-in", cls=EnvOption, is_flag=True, help="A startupalert puts in.")
@click.option("--ipv6-fwmark", cls=EnvOption, is_flag=True, help="The firewall mark is of IPv6.")
@click.option(
    "--fall",
    cls=EnvOption,
    type=whole("a number of checks", 1),
    default=1,
    show_default=True,
    help="Failing checks in a row before a server goes out.",
)
@click.option(
    "--rise",
    cls=EnvOption,
    type=whole("a number of checks", 1),
    default=1,
    show_default=True,
    help="Good checks in a row before it comes back.",
)
@click.option(
    "--quiesce-first",
    cls=EnvOption,
    type=number("a number of seconds", 0),
    metavar="SECONDS",
    help="Out is weight 0 first, and deleted after that time or with its last connection.",
)
@click.option(
    "--slow-start",
    cls=EnvOption,
    type=number("a number of seconds", 0),
    metavar="SECONDS",
    help="A server that comes back climbs to its weight over that time.",
)
@click.option(
    "--min-in",
    cls=EnvOption,
    type=Parsed("number", parse_floor),
    metavar="N|P%",
    help="Checks leave at least so many real servers in.",
)
@click.option(
    "--fallback",
    cls=EnvOption,
    metavar="ADDRESS[:PORT]",
    help="Put in, with weight 1, while no real server is.",
)
@click.option(
    "--witness",
    cls=EnvOption,
    multiple=True,
    type=Parsed("host", parse_witness),
    metavar="HOST[:PORT]",
    help="One has to answer before more than one server is taken out; may be repeated.",
)
@click.option(
    "--journal-days",
    cls=EnvOption,
    type=number("a number of days", 0),
    default=90,
    show_default=True,
    help="How long the journal of changes is kept.",
)
@table_options
@lock_option
@click.option("-n", "--dry-run", cls=EnvOption, is_flag=True, help="Print commands, run none.")
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
    place = Place(
        Ipvsadm(given["ipvsadm"], given["ipvsadm_timeout"]),
        given["state_dir"],
        given["lock_timeout"],
        given["journal_days"],
    )
    outside = alert.Outside(
        lookup,
        functools.partial(_any_answers, given["witness"]),
        user_name() if call.by_hand else "",
    )
    asked = _asked(given, ctx.obj.given)
    filed = None
    if given["config"] is not None:
        # Not imported by runs without a file, which have no use for its reader.
        from lvsalert.commands.alert_file import with_file

        filed, asked = with_file(given["config"], asked, given, ctx.obj.given)
    done = alert.run(call, asked, place, outside, filed=filed, dry_run=given["dry_run"])
    return _told(done, given)


def _call(
    given: Mapping[str, Any], environ: Mapping[str, str], stdin: Callable[[], str]
) -> mon.AlertCall:
    by_mon = "MON_ALERTTYPE" in environ or given["group"] or given["service"]
    return mon.alert_call(
        environ,
        flags=[event for name, event in _FLAGS.items() if given[name]],
        group=given["group"],
        service=given["service"],
        hosts=given["hosts"],
        time=given["time"],
        stdin=stdin() if by_mon else "",
    )


def _asked(given: Mapping[str, Any], options: Mapping[str, str]) -> Asked:
    return Asked(
        virtual=given["virtual_service"],
        protocol=given["protocol"],
        real_server=given["real_server"],
        real_port=given["real_port"],
        weight=given["weight"],
        forwarding=given["forwarding"],
        upper=given["u_threshold"],
        lower=given["l_threshold"],
        scheduler=given["scheduler"],
        quiesce=given["quiesce"],
        startup_in=given["startup_in"],
        ipv6_fwmark=given["ipv6_fwmark"],
        fall=given["fall"],
        rise=given["rise"],
        quiesce_first=given["quiesce_first"],
        slow_start=given["slow_start"] or None,
        floor=given["min_in"],
        fallback=given["fallback"],
        has_witness=bool(given["witness"]),
        options={name: text for name, text in options.items() if name not in _OF_ONE_RUN},
    )


def _told(done: alert.Outcome, given: Mapping[str, Any]) -> Outcome:
    """Return what to print of a run, and tell syslog of it."""
    about = f"{done.who}: {done.virtual}"
    errors = "".join(f"{NAME}: {mon.printable(str(error))}\n" for error in done.errors)
    status = max((error.status for error in done.errors), default=0)
    changes = [describe(change, done.who) for change in done.changes]
    if given["dry_run"]:
        changes = [f"{given['ipvsadm']} {' '.join(change.words)}" for change in done.changes]
    remarks = [f"{about}: {mon.printable(done.remark)}"] if done.remark else []
    alarms = []
    if done.is_cut_off:
        alarms.append(f"{about}: no witness answers, so this director is cut off: nothing changed")
    if done.held:
        alarms.append(f"{about}: kept in by --min-in though they fail: {' '.join(done.held)}")
    if not given["dry_run"]:
        log(NAME, "notice", changes)
        log(NAME, "info", remarks)
        log(NAME, "alert", alarms)
        log(NAME, "warning", _troubles(done))
    lines = "".join(f"{line}\n" for line in (*changes, *remarks, *alarms))
    return Outcome(status, lines, errors)


def _troubles(done: alert.Outcome) -> list[str]:
    """Return what went wrong with the ledger, and what of this run it does not hold."""
    about = f"{done.who}: {done.virtual}"
    if done.is_remembered:
        return [f"{about}: {trouble}" for trouble in done.troubles]
    # Without a state directory every run would say so, and most have nothing to remember.
    named = [each.after or each.before for each in done.changes]
    places = " ".join(real.endpoint for real in named if real is not None)
    if not named:
        return []
    return [f"{about}: not remembered of {places}: {trouble}" for trouble in done.troubles]


def _any_answers(witnesses: Sequence[str]) -> bool:
    from lvsalert.witness import any_answers

    return any_answers(witnesses)
