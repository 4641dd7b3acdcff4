"""mysql.monitor: logs in to MySQL servers and asks for a row, all hosts at once."""

from __future__ import annotations

import functools
from typing import Any

import click

from lvsalert.checks import monitor
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitor_options import (
    common_options,
    omit_good_option,
    port_option,
    sql_options,
    timeout_option,
)
from lvsalert.commands.monitoring import limits_of, outcome_of, program, query_of, require_library
from lvsalert.commands.options import command


@command("mysql.monitor")
@port_option(default="3306", show_default=True)
@timeout_option()
@sql_options
@omit_good_option
@common_options
@click.pass_context
def _mysql_monitor(ctx: click.Context, /, hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Log in to the MySQL server on each HOST, and run a statement that has to bring a row.

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    require_library("mysql.monitor")
    from lvsalert.checks import mysql

    targets = monitor.targets_of(hosts, given["port"])
    fetch = functools.partial(mysql.fetch, query_of(given, ctx.obj.environ))
    return outcome_of(monitor.by_threads(targets, fetch, limits_of(given)), given)


run = program(_mysql_monitor)
