"""tcp.monitor: connects to a TCP port, all hosts at once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from lvsalert.checks import monitor, tcp
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitor_options import (
    common_options,
    match_option,
    omit_good_option,
    port_option,
    timeout_option,
)
from lvsalert.commands.monitoring import limits_of, outcome_of, program
from lvsalert.commands.options import HOW, Parsed, command, option
from lvsalert.commands.via import via_of, via_options
from lvsalert.errors import UsageError

if TYPE_CHECKING:
    from lvsalert.checks.sweep import Probe

# No host can carry it (``parse_port``).
_NO_PORT = 0


def parse_sent(text: str) -> bytes:
    r"""Return what is sent: ``\n`` stands for the end of a line, as in ldirectord's request."""
    return text.replace(r"\n", "\n").encode("utf-8", "surrogateescape")


@command("tcp.monitor")
@port_option("Port of the hosts that carry none.")
@timeout_option()
@option(
    "--send",
    type=Parsed("text", parse_sent),
    help=r"Text to send, with \n for the end of a line, and then the end.",
)
@match_option("the answer")
@option("--tls", is_flag=True, help="Speak TLS, and trust any certificate.", section=HOW)
@omit_good_option
@via_options
@common_options
def _tcp_monitor(hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Connect to a TCP port of each HOST.

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    if given["tls"] and given["send"] is not None:
        raise UsageError("--send and --tls exclude each other")
    check = tcp.Check(given["send"], given["match"])
    targets = monitor.targets_of(hosts, given["port"] or _NO_PORT)
    bare = [target.host for target in targets if target.port == _NO_PORT]
    if bare:
        raise UsageError(f"{bare[0]}: has no port: give --port, or write host:port")
    probe, limits = _probe(check, tls=given["tls"]), limits_of(given)
    run = monitor.by_sweep(targets, probe, limits, via=via_of(given))
    # Who is to say something, or to speak TLS, may have better to do than to wait for a client.
    is_plain = not (given["tls"] or given["send"] or given["match"])
    return outcome_of(run, given, open_to=targets if is_plain else ())


run = program(_tcp_monitor)


def _probe(check: tcp.Check, *, tls: bool) -> Probe:
    if not tls:
        return functools.partial(tcp.probe, check)
    from lvsalert.checks.tls import Trust, context_of, probe

    return functools.partial(probe, check, context_of(Trust(verify=False)))
