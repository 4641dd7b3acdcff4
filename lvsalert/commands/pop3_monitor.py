"""pop3.monitor: asks POP3 servers for their greeting, all hosts at once."""

from __future__ import annotations

import functools
from typing import Any

import click

from lvsalert.checks import lines, monitor, pop3
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitor_options import (
    common_options,
    login_options,
    omit_good_option,
    port_option,
    timeout_option,
    tls_options,
)
from lvsalert.commands.monitoring import (
    context_of,
    limits_of,
    outcome_of,
    password_of,
    program,
)
from lvsalert.commands.options import command
from lvsalert.commands.via import via_of, via_options


@command("pop3.monitor")
@port_option("Port.  [default: 110, 995 with --tls]")
@timeout_option()
@login_options
@tls_options
@omit_good_option
@via_options
@common_options
@click.pass_context
def _pop3_monitor(ctx: click.Context, /, hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Ask the POP3 server on each HOST for its greeting, and log in with --user.

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    password = password_of(given["user"], given["password_file"], ctx.obj.environ)
    talk = functools.partial(pop3.talk, given["user"], password)
    targets = monitor.targets_of(hosts, given["port"] or (995 if given["tls"] else 110))
    probe = functools.partial(lines.probe, talk, context_of(given))
    return outcome_of(monitor.by_sweep(targets, probe, limits_of(given), via=via_of(given)), given)


run = program(_pop3_monitor)
