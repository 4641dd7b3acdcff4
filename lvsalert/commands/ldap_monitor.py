"""ldap.monitor: looks for an entry of LDAP servers, all hosts at once."""

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
    parse_text_match,
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
    require_library,
    trust_of,
)
from lvsalert.commands.options import FAILING, Parsed, command, option


@command("ldap.monitor")
@port_option("Port.  [default: 389, 636 with --tls]", "-port")
@timeout_option()
@login_options
@option("-basedn", "--base", default="", metavar="DN", help="Entry that has to be there.")
@option(
    "--receive",
    type=Parsed("regex", parse_text_match),
    help="Regular expression to find in the entry's name.",
    section=FAILING,
)
@tls_options
@omit_good_option
@common_options
@click.pass_context
def _ldap_monitor(ctx: click.Context, /, hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Log in to the LDAP server on each HOST, anonymously without --user, and look for an entry.

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    require_library("ldap.monitor")
    from lvsalert.checks import ldap

    # Whatever is wrong with the files of certificates is said before anybody is asked.
    is_over_tls = context_of(given) is not None
    password = password_of(given["user"], given["password_file"], ctx.obj.environ)
    search = ldap.Search(given["user"], password, given["base"], given["receive"])
    targets = monitor.targets_of(hosts, given["port"] or (636 if given["tls"] else 389))
    fetch = functools.partial(ldap.fetch, search, trust_of(given) if is_over_tls else None)
    return outcome_of(monitor.by_threads(targets, fetch, limits_of(given)), given)


run = program(_ldap_monitor)
