"""http.monitor: asks web servers for a page, all hosts at once."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

import click

from lvsalert.checks import http, monitor
from lvsalert.commands.agreement import (
    agree_options,
    check_comparison,
    compared_of,
    comparison,
)
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitor_options import (
    common_options,
    login_options,
    match_option,
    port_option,
    slow_option,
    timeout_option,
    trust_options,
)
from lvsalert.commands.monitoring import limits_of, outcome_of, password_of, program, trust_of
from lvsalert.commands.options import FAILING, HOW, Parsed, command, option, whole
from lvsalert.commands.via import via_of, via_options
from lvsalert.errors import UsageError

if TYPE_CHECKING:
    import ssl

    from lvsalert.checks.http_follow import Follow
    from lvsalert.checks.path import Via
    from lvsalert.checks.sweep import Probe, Target
    from lvsalert.checks.threads import Judge


@command("http.monitor")
@port_option("Port.  [default: 80, 443 with --tls]")
@timeout_option()
@option(
    "-u",
    "--url",
    type=Parsed("path", http.parse_path),
    default="/",
    show_default=True,
    help="Path to ask for; a whole URL, http://..., asks a proxy for it.",
)
@option(
    "-a",
    "--agent",
    type=Parsed("text", http.parse_header_value),
    default=http.DEFAULT_AGENT,
    show_default=True,
    help="User-Agent to send.",
    section=HOW,
)
@match_option("headers or content")
@option(
    "--receive",
    type=Parsed("regex", http.parse_receive),
    help="Regular expression to find in the content alone, as ldirectord does.",
    section=FAILING,
)
@option(
    "-o", "--omit-good", is_flag=True, help="Leave the good hosts out of the report.", section=HOW
)
@option("--tls", is_flag=True, help="Speak TLS and verify the certificate.", section=HOW)
@trust_options
@option(
    "--host-header",
    type=Parsed("name", http.parse_host_header),
    help="Name to ask for, and to verify with --tls.",
    section=HOW,
)
@option(
    "--status",
    type=Parsed("list", http.parse_status),
    help="Statuses that are good.  [default: 200,301,302,401; with --user 401 is not]",
    section=FAILING,
)
@option(
    "--method",
    type=click.Choice(["GET", "HEAD", "OPTIONS"]),
    default="GET",
    show_default=True,
    help="Method to ask with.",
    section=HOW,
)
@option("--follow", is_flag=True, help="Follow redirects.", section=HOW)
@login_options
@slow_option("--slow")
@option(
    "--max-bytes",
    type=whole("a number of bytes", 0),
    default=http.DEFAULT_MAX_BYTES,
    show_default=True,
    help="Bytes of content to read; the rest is not awaited.",
    section=HOW,
)
@agree_options
@via_options
@common_options
@click.pass_context
def _http_monitor(ctx: click.Context, /, hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Ask the web server on each HOST for a page.

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Its answer is good if its status is accepted, and the expression of -m is found; with --agree
    only if most of the others answer the same. Every option can also be given as an environment
    variable: LVSALERT_ and its long name.
    """
    port = given["port"]
    if port is None:
        port = 443 if given["tls"] else 80
    targets = monitor.targets_of(hosts, port)
    check = _check(given)
    run = _run(check, targets, given, ctx.obj.environ)
    compare = comparison(check, given, ctx.obj.environ)
    return outcome_of(run, given, open_to=targets, compare=compare)


run = program(_http_monitor)


def _run(
    check: http.Check,
    targets: Sequence[Target],
    given: Mapping[str, Any],
    environ: Mapping[str, str],
) -> monitor.Run:
    """Return the run: on the sweep, unless a log-in needs requests."""
    user, limits, via = given["user"], limits_of(given), via_of(given)
    may_use_tls = given["tls"] or given["follow"]
    for name in ("cacert", "insecure", "cert", "key"):
        if given[name] and not may_use_tls:
            raise UsageError(f"--{name} goes with --tls or --follow")
    if ":" in (user or ""):
        raise UsageError(f"--user: {user!r} has a colon, which ends a name (RFC 7617)")
    if (may_use_tls or user is not None) and http.is_for_proxy(check.path):
        raise UsageError("--url: a whole URL is for a proxy, without --tls, --follow and --user")
    # Read at once where it is sure to be needed, or may hold a mistake.
    trusted = _trusted(given) if given["tls"] or given["cacert"] or given["cert"] else None
    through_requests = functools.partial(_by_requests, check, given, trusted, environ)
    if user is not None:
        return monitor.by_threads(targets, through_requests(), limits, via)
    probe: Probe = functools.partial(http.probe, check)
    if given["tls"] and trusted is not None:
        from lvsalert.checks import http_tls

        probe = functools.partial(http_tls.probe, check, trusted)
    if not check.follow:
        return monitor.by_sweep(targets, probe, limits, via=via)
    return _following(targets, probe, through_requests, limits, via)


def _following(
    targets: Sequence[Target],
    probe: Probe,
    load: Callable[[], Follow],
    limits: monitor.Limits,
    via: Via | None,
) -> monitor.Run:
    """Return the run that asks on the sweep, and follows redirects through requests."""
    from lvsalert.checks.http_follow import DESCRIPTORS, Follower
    from lvsalert.checks.workers import MAX_THREADS

    follower = Follower(probe, load, limits.timeout)
    # Each host may come to need a thread, and its time does not stand still until there is one.
    limits = limits._replace(concurrency=min(limits.concurrency, MAX_THREADS))
    return monitor.by_sweep(targets, follower.probe, limits, per_host=DESCRIPTORS, via=via)


def _check(given: Mapping[str, Any]) -> http.Check:
    slow, status = given["slow"], given["status"]
    if status is None:
        # Whoever logs in wants to know when that is refused.
        status = http.DEFAULT_STATUS - ({401} if given["user"] is not None else set())
    check = http.Check(
        path=given["url"],
        method=given["method"],
        agent=given["agent"],
        host_header=given["host_header"],
        status=status,
        match=given["match"],
        receive=given["receive"],
        slow=None if slow is None else slow / 1000,
        max_bytes=given["max_bytes"],
        follow=given["follow"],
        compared=compared_of(given),
        stale=given["stale"],
    )
    check_comparison(check)
    return check


def _trusted(given: Mapping[str, Any]) -> ssl.SSLContext:
    from lvsalert.checks.tls import context_of

    return context_of(trust_of(given), "http/1.1")


def _by_requests(
    check: http.Check,
    given: Mapping[str, Any],
    trusted: ssl.SSLContext | None,
    environ: Mapping[str, str],
) -> functools.partial[Judge]:
    """Return how to ask a host through requests, and follow its redirects."""
    from lvsalert.checks.http_requests import Access, fetch

    if given["tls"] or given["follow"]:
        trusted = trusted or _trusted(given)
    password = password_of(given["user"], given["password_file"], environ)
    access = Access(trusted, tls=given["tls"], user=given["user"], password=password)
    return functools.partial(fetch, check, access)
