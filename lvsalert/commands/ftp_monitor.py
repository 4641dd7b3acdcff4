"""ftp.monitor: asks FTP servers for their greeting, all hosts at once."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from lvsalert.checks import ftp, lines, monitor
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitor_options import (
    common_options,
    login_options,
    match_option,
    omit_good_option,
    port_option,
    starttls_option,
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
from lvsalert.commands.options import command, option
from lvsalert.commands.via import via_of, via_options
from lvsalert.errors import UsageError

if TYPE_CHECKING:
    import ssl

    from lvsalert.checks.ftp_login import Login


@command("ftp.monitor")
@port_option("Port.  [default: 21, 990 with --tls]")
@timeout_option()
@tls_options
@starttls_option
@login_options
@option("--retrieve", metavar="PATH", help="File to fetch, with --user.")
@match_option("the file")
@omit_good_option
@via_options
@common_options
@click.pass_context
def _ftp_monitor(ctx: click.Context, /, hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Ask the FTP server on each HOST for its greeting (220) and farewell (221).

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    targets = monitor.targets_of(hosts, given["port"] or (990 if given["tls"] else 21))
    limits, context = limits_of(given), context_of(given)
    login = _login(given, ctx.obj.environ, context)
    if login is None:
        if given["starttls"]:
            probe = functools.partial(lines.probe, ftp.farewell, context, before=ftp.before_tls)
        else:
            probe = functools.partial(lines.probe, ftp.talk, context)
        run = monitor.by_sweep(targets, probe, limits, via=via_of(given))
    else:
        if given["via"] is not None:
            raise UsageError(
                "--via and --user exclude each other: data has a connection of its own"
            )
        from lvsalert.checks.ftp_login import fetch

        run = monitor.by_threads(targets, functools.partial(fetch, login), limits)
    return outcome_of(run, given)


run = program(_ftp_monitor)


def _login(
    given: Mapping[str, Any], environ: Mapping[str, str], context: ssl.SSLContext | None
) -> Login | None:
    """Return how to log in, None where nobody is to."""
    if given["match"] is not None and given["retrieve"] is None:
        raise UsageError("--match goes with --retrieve")
    if given["user"] is None:
        if given["retrieve"] is not None:
            raise UsageError("--retrieve goes with --user")
        return None
    for name in ("user", "retrieve"):
        if given[name] is not None and not given[name].isprintable():
            raise UsageError(f"--{name}: {given[name]!r} holds a control character")
    password = password_of(given["user"], given["password_file"], environ)
    from lvsalert.checks.ftp_login import Login

    return Login(
        given["user"],
        password,
        given["retrieve"],
        given["match"],
        trust=context,
        implicit=given["tls"],
    )
