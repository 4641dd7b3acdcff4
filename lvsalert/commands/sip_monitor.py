"""sip.monitor: asks SIP servers for their options, all hosts at once."""

from __future__ import annotations

import functools
from typing import Any

from lvsalert.checks import monitor, sip
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitor_options import (
    common_options,
    omit_good_option,
    port_option,
    timeout_option,
)
from lvsalert.commands.monitoring import limits_of, outcome_of, program
from lvsalert.commands.options import HOW, Parsed, command, option
from lvsalert.commands.via import via_of, via_options


@command("sip.monitor")
@port_option(default="5060", show_default=True)
@timeout_option()
@option(
    "--login",
    type=Parsed("address", sip.parse_login),
    metavar="USER@HOST",
    help="Whom the request is for.  [default: ldirectord@HOST]",
)
@option("--tcp", is_flag=True, help="Ask over TCP.", section=HOW)
@omit_good_option
@via_options
@common_options
def _sip_monitor(hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Ask the SIP server on each HOST for its OPTIONS, which it has to answer with 200.

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    targets = monitor.targets_of(hosts, given["port"])
    probe = functools.partial(sip.probe_tcp if given["tcp"] else sip.probe, given["login"] or "")
    limits = limits_of(given)
    run = monitor.by_sweep(targets, probe, limits, datagrams=not given["tcp"], via=via_of(given))
    return outcome_of(run, given)


run = program(_sip_monitor)
