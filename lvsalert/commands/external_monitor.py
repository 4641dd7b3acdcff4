"""external.monitor: has a program of the user's check each host, all hosts at once."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, Callable

import click

from lvsalert import monitor
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitoring import (
    common_options,
    limits_of,
    monitor_outcome,
    omit_good_option,
    outcome_of,
)
from lvsalert.commands.options import EnvOption, Parsed, command, number
from lvsalert.errors import UsageError
from lvsalert.probes import external

# What ldirectord hands on for a real server without a port.
_NO_PORT = 0


def run(argv: Sequence[str], environ: Mapping[str, str], stdin: Callable[[], str]) -> Outcome:
    """Return mon's report on the hosts, and status 0, 1 or 3."""
    return monitor_outcome(_external_monitor, argv, environ, stdin)


@command("external.monitor")
@click.option(
    "--command",
    cls=EnvOption,
    required=True,
    metavar="PROGRAM",
    help="Called with four arguments; status 0 is good.",
)
@click.option("--perl", cls=EnvOption, is_flag=True, help="PROGRAM is a file for perl(1).")
@click.option(
    "-V",
    "--virtual-service",
    cls=EnvOption,
    type=Parsed("place", external.parse_virtual),
    required=True,
    metavar="ADDRESS:PORT",
    help="The virtual service, or the firewall mark, whose real servers the hosts are.",
)
@click.option(
    "-t",
    "--timeout",
    cls=EnvOption,
    type=number("a time-out in seconds", 0.001),
    default=30,
    show_default=True,
    help="Seconds for one host; then PROGRAM is killed with all that it started.",
)
@omit_good_option
@common_options
@click.argument("hosts", nargs=-1, metavar="HOST...")
def _external_monitor(hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Have PROGRAM check each HOST, as ldirectord's checktype=external does.

    Its arguments are virtual address, virtual port, real address and real port. A HOST is a name or
    an address with the real server's port behind it (host:port, [v6]:port); without one that is 0.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    check = external.Check(
        _program(given["command"], is_perl=given["perl"]), given["virtual_service"]
    )
    targets = monitor.targets_of(hosts, _NO_PORT)
    run = monitor.by_threads(targets, functools.partial(external.run, check), limits_of(given))
    return outcome_of(run, given)


def _program(path: str, *, is_perl: bool) -> list[str]:
    """Return the words that run the program; UsageError where nothing can be run."""
    words = ["perl", path] if is_perl else [path]
    found = shutil.which(words[0])
    if found is None:
        raise UsageError(f"--command: {words[0]}: is no program that can be run")
    return [found, *words[1:]]
