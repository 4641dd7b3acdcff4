"""external.monitor: has a program of the user's check each host, all hosts at once."""

from __future__ import annotations

import functools
import shutil
from typing import Any

from lvsalert.checks import external, monitor
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitor_options import common_options, omit_good_option, timeout_option
from lvsalert.commands.monitoring import limits_of, outcome_of, program
from lvsalert.commands.options import HOW, Parsed, command, option
from lvsalert.errors import UsageError

# What ldirectord hands on for a real server without a port.
_NO_PORT = 0


@command("external.monitor")
@option(
    "--command",
    required=True,
    metavar="PROGRAM",
    help="Called with four arguments; status 0 is good.",
)
@option("--perl", is_flag=True, help="PROGRAM is a file for perl(1).", section=HOW)
@option(
    "-V",
    "--virtual-service",
    type=Parsed("place", external.parse_virtual),
    required=True,
    metavar="ADDRESS:PORT",
    help="The virtual service, or the firewall mark, whose real servers the hosts are.",
)
@timeout_option("Seconds for one host; then PROGRAM is killed with all that it started.")
@omit_good_option
@common_options
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


run = program(_external_monitor)


def _program(path: str, *, is_perl: bool) -> list[str]:
    """Return the words that run the program; UsageError where nothing can be run."""
    words = ["perl", path] if is_perl else [path]
    found = shutil.which(words[0])
    if found is None:
        raise UsageError(f"--command: {words[0]}: is no program that can be run")
    return [found, *words[1:]]
