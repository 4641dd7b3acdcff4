"""nntp.monitor: asks news servers for their greeting, all hosts at once."""

from __future__ import annotations

import functools
from typing import Any

from lvsalert.checks import lines, monitor, nntp
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitor_options import (
    common_options,
    omit_good_option,
    port_option,
    timeout_option,
    tls_options,
)
from lvsalert.commands.monitoring import context_of, limits_of, outcome_of, program
from lvsalert.commands.options import command, option
from lvsalert.commands.via import via_of, via_options
from lvsalert.errors import UsageError


@command("nntp.monitor")
@port_option("Port.  [default: 119, 563 with --tls]")
@timeout_option()
@option("-g", "--newsgroup", metavar="NAME", help="Newsgroup that has to be there.")
@tls_options
@omit_good_option
@via_options
@common_options
def _nntp_monitor(hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Ask the news server on each HOST for its greeting, and enter a group with --newsgroup.

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    group = given["newsgroup"]
    if group is not None and (not group.isprintable() or " " in group):
        raise UsageError(f"--newsgroup: {group!r} is not a newsgroup")
    targets = monitor.targets_of(hosts, given["port"] or (563 if given["tls"] else 119))
    talk = functools.partial(nntp.talk, group)
    probe = functools.partial(lines.probe, talk, context_of(given))
    return outcome_of(monitor.by_sweep(targets, probe, limits_of(given), via=via_of(given)), given)


run = program(_nntp_monitor)
