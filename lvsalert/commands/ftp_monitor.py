"""ftp.monitor: asks FTP servers for their greeting, all hosts at once."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

import click

from lvsalert import monitor
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitoring import (
    common_options,
    limits_of,
    login_options,
    monitor_outcome,
    omit_good_option,
    outcome_of,
    password_of,
    timeout_option,
)
from lvsalert.commands.options import PORT, EnvOption, Parsed, command
from lvsalert.errors import UsageError
from lvsalert.probes import ftp
from lvsalert.probes.http import parse_match

if TYPE_CHECKING:
    from lvsalert.probes.ftp_login import Login


def run(argv: Sequence[str], environ: Mapping[str, str], stdin: Callable[[], str]) -> Outcome:
    """Return mon's report on the hosts, and status 0, 1 or 3."""
    return monitor_outcome(_ftp_monitor, argv, environ, stdin)


@command("ftp.monitor")
@click.option(
    "-p", "--port", cls=EnvOption, type=PORT, default="21", show_default=True, help="Port."
)
@timeout_option
@login_options
@click.option("--retrieve", cls=EnvOption, metavar="PATH", help="File to fetch, with --user.")
@click.option(
    "-m",
    "--match",
    cls=EnvOption,
    type=Parsed("regex", parse_match),
    help="Regular expression to find in the file.",
)
@omit_good_option
@common_options
@click.argument("hosts", nargs=-1, metavar="HOST...")
@click.pass_context
def _ftp_monitor(ctx: click.Context, /, hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Ask the FTP server on each HOST for its greeting (220) and farewell (221).

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    targets = monitor.targets_of(hosts, given["port"])
    limits = limits_of(given)
    login = _login(given, ctx.obj.environ)
    if login is None:
        run = monitor.by_sweep(targets, ftp.probe, limits)
    else:
        from lvsalert.probes.ftp_login import fetch

        run = monitor.by_threads(targets, functools.partial(fetch, login), limits)
    return outcome_of(run, given)


def _login(given: Mapping[str, Any], environ: Mapping[str, str]) -> Login | None:
    """Return how to log in, None where nobody is to."""
    if given["match"] is not None and given["retrieve"] is None:
        raise UsageError("--match goes with --retrieve")
    if given["user"] is None:
        if given["retrieve"] is not None:
            raise UsageError("--retrieve goes with --user")
        return None
    for option in ("user", "retrieve"):
        if given[option] is not None and not given[option].isprintable():
            raise UsageError(f"--{option}: {given[option]!r} holds a control character")
    password = password_of(given["user"], given["password_file"], environ)
    from lvsalert.probes.ftp_login import Login

    return Login(given["user"], password, given["retrieve"], given["match"])
