"""The options of lvs.alert: what mon calls it with, which entry is meant, and how it changes."""

from __future__ import annotations

from typing import Any, Callable

from lvsalert.commands.options import CALLED, FAILING, HOW, Parsed, number, option, together, whole
from lvsalert.director.damping import parse_damp
from lvsalert.director.policy import parse_floor
from lvsalert.model import (
    MAX_WEIGHT,
    Forwarding,
    parse_forwarding,
    parse_port,
    parse_protocol,
    parse_scheduler,
    parse_tunnel,
    split_endpoint,
)


def parse_witness(text: str) -> str:
    """Return a witness as it was written; UsageError for what is no host."""
    port = split_endpoint(text)[1]
    if port is not None:
        parse_port(port)
    return text


# They say what happened, and not what is wanted (mon's call_alert).
_CALLED_BY_MON = (
    option("-s", "--service", help="mon's service."),
    option("-g", "--group", help="mon's hostgroup."),
    option("-h", "--hosts", default="", help="The hosts of the group."),
    option(
        "-t",
        "--time",
        type=whole("a time", 0),
        help="When it happened, in seconds of the epoch.",
    ),
    option("-l", "--alertevery", help="Older mon gives it; it is not used."),
    option("-u", "--up", is_flag=True, help="The service is up: put servers in."),
    option("-a", "--ack", is_flag=True, help="An acknowledgement: change nothing."),
    option("-D", "--disable", is_flag=True, help="The service is disabled: change nothing."),
    option("-T", "--trap", is_flag=True, help="A trap: take servers out."),
    option(
        "-O", "--trap-timeout", is_flag=True, help="A trap that did not come: take servers out."
    ),
)
# Which real server of which virtual service, and how it stands when it is in.
_WHAT = (
    option(
        "-P",
        "--protocol",
        type=Parsed("protocol", parse_protocol),
        help="tcp, udp, sctp or fwm.  [default: tcp, or fwm where -V is a number]",
    ),
    option(
        "-V",
        "--virtual-service",
        "virtual",
        required=True,
        metavar="ADDRESS:PORT",
        help="The virtual service, or the firewall mark; several in one word, with blanks.",
    ),
    option("--ipv6-fwmark", is_flag=True, help="The firewall mark is of IPv6."),
    option(
        "--config",
        metavar="FILE",
        help="ldirectord's file, which gives what the options below leave open.",
    ),
    option(
        "-R",
        "--real-server",
        metavar="ADDRESS[:PORT]",
        help="The real server.  [default: all hosts of the group]",
    ),
    option("--real-port", help="The real servers' port, with nat."),
    option(
        "-W",
        "--weight",
        type=whole("a weight", 0, MAX_WEIGHT),
        default=1,
        show_default=True,
        help="Weight of a real server that is in.",
    ),
    option(
        "-F",
        "--forwarding",
        type=Parsed("method", parse_forwarding),
        default=Forwarding.GATEWAYING,
        help="dr, nat or tun.  [default: dr]",
    ),
    option(
        "--u-threshold",
        "upper",
        type=whole("a threshold", 0, 2**31 - 1),
        help="Upper connection threshold.  [default: as it stands]",
    ),
    option(
        "--l-threshold",
        "lower",
        type=whole("a threshold", 0, 2**31 - 1),
        help="Lower connection threshold.  [default: as it stands]",
    ),
    option(
        "--tunnel",
        type=Parsed("tunnel", parse_tunnel),
        metavar="TYPE",
        help="With tun: ipip, gre[:csum] or gue:PORT[:csum|:remcsum].  [default: as it stands]",
    ),
    option(
        "--scheduler",
        type=Parsed("name", parse_scheduler),
        help="Create a missing virtual service with this scheduler.",
        section=HOW,
    ),
    option(
        "--service-flags",
        metavar="WORDS",
        help="Create it with these flags, in ipvsadm's words: -p SECONDS, -M MASK, -o, -b FLAGS and"
        " --pe NAME.  [default: those that it had]",
        section=HOW,
    ),
)
damp_option = option(
    "--damp",
    type=Parsed("often", parse_damp),
    metavar="N/MINUTES",
    help="A server that goes out more often than N times in so many minutes stays out longer.",
    section=FAILING,
)
# How real servers go out and come back.
_HOW = (
    option(
        "--quiesce",
        is_flag=True,
        help="A server that goes out gets weight 0 and is not deleted.",
        section=HOW,
    ),
    option(
        "--quiesce-first",
        type=number("a number of seconds", 0),
        metavar="SECONDS",
        help="A server that goes out gets weight 0 first, and is deleted after that time or with"
        " its last connection.",
        section=HOW,
    ),
    option(
        "--slow-start",
        type=number("a number of seconds", 0),
        metavar="SECONDS",
        help="A server that comes back climbs to its weight over that time.",
        section=HOW,
    ),
    option("--startup-in", is_flag=True, help="A startupalert puts servers in.", section=HOW),
    option(
        "--fall",
        type=whole("a number of checks", 1),
        default=1,
        show_default=True,
        help="Failing checks in a row before a server goes out.",
        section=FAILING,
    ),
    option(
        "--rise",
        type=whole("a number of checks", 1),
        default=1,
        show_default=True,
        help="Good checks in a row before it comes back.",
        section=FAILING,
    ),
    damp_option,
    option(
        "--min-in",
        "floor",
        type=Parsed("number", parse_floor),
        metavar="N|P%",
        help="Checks never leave fewer than N real servers in, or P percent of them.",
        section=FAILING,
    ),
    option(
        "--fallback",
        metavar="ADDRESS[:PORT]",
        help="A server that is in, with weight 1, while no real server is.",
        section=FAILING,
    ),
    option(
        "--reserve",
        multiple=True,
        metavar="HOST",
        help="A host of the group that serves only while fewer of the others than --min-in do,"
        " without that while none does; may be repeated.",
        section=FAILING,
    ),
    option(
        "--witness",
        "witnesses",
        multiple=True,
        type=Parsed("host", parse_witness),
        metavar="HOST[:PORT]",
        help="A host that has to answer before more than one server is taken out; may be repeated,"
        " then one is enough.",
        section=FAILING,
    ),
    option(
        "--journal-days",
        type=number("a number of days", 0),
        default=90,
        show_default=True,
        help="How long the journal of changes is kept.",
        section=HOW,
    ),
)


def alert_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of lvs.alert but for those of the table and of a dry run."""
    return together(together(*_CALLED_BY_MON, section=CALLED), *_WHAT, *_HOW)(function)


OF_ONE_CALL = frozenset(
    f"LVSALERT_{name}"
    for name in (
        *("SERVICE", "GROUP", "HOSTS", "TIME", "ALERTEVERY", "UP", "ACK", "DISABLE", "TRAP"),
        *("TRAP_TIMEOUT", "DRY_RUN"),
    )
)
"""The variables of options that the ledger does not keep."""
