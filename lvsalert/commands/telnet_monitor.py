"""telnet.monitor: waits for the prompt of telnet servers, all hosts at once."""

from __future__ import annotations

import functools
from typing import Any

from lvsalert.checks import monitor, telnet
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitor_options import (
    common_options,
    omit_good_option,
    port_option,
    timeout_option,
)
from lvsalert.commands.monitoring import limits_of, outcome_of, program
from lvsalert.commands.options import FAILING, Parsed, command, option
from lvsalert.commands.via import via_of, via_options


@command("telnet.monitor")
@port_option(default="23", show_default=True)
@timeout_option(default=10)
@option(
    "-l",
    "--login-prompt",
    type=Parsed("regex", telnet.parse_prompt),
    default="/ogin:/i",
    show_default=True,
    help="What the server has to say, a regular expression between slashes; i for any case.",
    section=FAILING,
)
@omit_good_option
@via_options
@common_options
def _telnet_monitor(hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Wait until the telnet server on each HOST asks who one is.

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    targets = monitor.targets_of(hosts, given["port"])
    probe = functools.partial(telnet.probe, given["login_prompt"])
    return outcome_of(monitor.by_sweep(targets, probe, limits_of(given), via=via_of(given)), given)


run = program(_telnet_monitor)
