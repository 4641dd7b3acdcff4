"""smtp.monitor: asks mail servers whether they take mail, all hosts at once."""

from __future__ import annotations

import functools
from typing import Any

from lvsalert.checks import lines, monitor, smtp
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitor_options import (
    common_options,
    omit_good_option,
    port_option,
    starttls_option,
    timeout_option,
    tls_options,
)
from lvsalert.commands.monitoring import context_of, limits_of, outcome_of, program
from lvsalert.commands.options import command
from lvsalert.commands.via import via_of, via_options


@command("smtp.monitor")
@port_option("Port.  [default: 25, 465 with --tls]")
@timeout_option()
@tls_options
@starttls_option
@omit_good_option
@via_options
@common_options
def _smtp_monitor(hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Ask the mail server on each HOST for its greeting (220), and say hello.

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    context = context_of(given)
    targets = monitor.targets_of(hosts, given["port"] or (465 if given["tls"] else 25))
    if given["starttls"]:
        probe = functools.partial(lines.probe, smtp.over_tls, context, before=smtp.before_tls)
    else:
        probe = functools.partial(lines.probe, smtp.talk, context)
    return outcome_of(monitor.by_sweep(targets, probe, limits_of(given), via=via_of(given)), given)


run = program(_smtp_monitor)
