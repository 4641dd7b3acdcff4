"""radius.monitor: logs in to RADIUS servers, all hosts at once."""

from __future__ import annotations

import functools
from typing import Any

import click

from lvsalert.checks import monitor
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitor_options import (
    common_options,
    login_options,
    omit_good_option,
    port_option,
    timeout_option,
)
from lvsalert.commands.monitoring import (
    limits_of,
    outcome_of,
    password_of,
    program,
    require_library,
    secret_of,
)
from lvsalert.commands.options import HOW, command, option
from lvsalert.commands.via import via_of, via_options
from lvsalert.errors import UsageError


@command("radius.monitor")
@port_option(default="1812", show_default=True)
@timeout_option()
@login_options
@option(
    "--secret-file",
    metavar="FILE",
    help="Its first line is the server's secret.  [default: LVSALERT_SECRET]",
    section=HOW,
)
@omit_good_option
@via_options
@common_options
@click.pass_context
def _radius_monitor(ctx: click.Context, /, hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Ask the RADIUS server on each HOST whether a user may log in.

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    require_library("radius.monitor")
    from lvsalert.checks import radius

    environ = ctx.obj.environ
    if given["user"] is None:
        raise UsageError("Missing option '--user': a log-in is all that can be asked for")
    login = radius.Login(
        given["user"],
        password_of(given["user"], given["password_file"], environ),
        secret_of("secret", given["secret_file"], environ, "a RADIUS server"),
    )
    targets = monitor.targets_of(hosts, given["port"])
    probe = functools.partial(radius.probe, login)
    limits = limits_of(given)
    run = monitor.by_sweep(targets, probe, limits, datagrams=True, via=via_of(given))
    return outcome_of(run, given)


run = program(_radius_monitor)
