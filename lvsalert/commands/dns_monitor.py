"""dns.monitor: asks DNS servers a question, all hosts at once."""

from __future__ import annotations

import functools
from typing import Any

from lvsalert.checks import monitor
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitor_options import (
    common_options,
    omit_good_option,
    parse_text_match,
    port_option,
    timeout_option,
)
from lvsalert.commands.monitoring import limits_of, outcome_of, program, require_library
from lvsalert.commands.options import FAILING, HOW, Parsed, command, option
from lvsalert.commands.via import via_of, via_options


@command("dns.monitor")
@port_option(default="53", show_default=True)
@timeout_option()
@option("-query", "--query", required=True, metavar="NAME", help="What is asked for.")
@option(
    "-query_type",
    "--query-type",
    metavar="TYPE",
    help="Type of the records.  [default: A, PTR for an address]",
)
@option(
    "--receive",
    type=Parsed("regex", parse_text_match),
    help="Regular expression to find in one of the records.",
    section=FAILING,
)
@option("-tcp", "--tcp", is_flag=True, help="Ask over TCP.", section=HOW)
@option("-caching_only", "--caching-only", is_flag=True, help="Taken from the stock one, not used.")
@omit_good_option
@via_options
@common_options
def _dns_monitor(hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Ask the DNS server on each HOST for NAME, or for the name of an address.

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    require_library("dns.monitor")
    from lvsalert.checks import dns

    question = dns.question_of(given["query"], given["query_type"], given["receive"])
    targets = monitor.targets_of(hosts, given["port"])
    probe = functools.partial(dns.probe_tcp if given["tcp"] else dns.probe, question)
    limits = limits_of(given)
    run = monitor.by_sweep(targets, probe, limits, datagrams=not given["tcp"], via=via_of(given))
    return outcome_of(run, given)


run = program(_dns_monitor)
