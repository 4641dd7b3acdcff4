"""tcp.monitor: connects to a TCP port, all hosts at once."""

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
    monitor_outcome,
    omit_good_option,
    outcome_of,
    timeout_option,
)
from lvsalert.commands.options import PORT, EnvOption, Parsed, command
from lvsalert.errors import UsageError
from lvsalert.probes import tcp
from lvsalert.probes.http import parse_match

if TYPE_CHECKING:
    from lvsalert.sweep import Probe

# No host can carry it (``parse_port``).
_NO_PORT = 0


def run(argv: Sequence[str], environ: Mapping[str, str], stdin: Callable[[], str]) -> Outcome:
    """Return mon's report on the hosts, and status 0, 1 or 3."""
    return monitor_outcome(_tcp_monitor, argv, environ, stdin)


def parse_sent(text: str) -> bytes:
    r"""Return what is sent: ``\n`` stands for the end of a line, as in ldirectord's request."""
    return text.replace(r"\n", "\n").encode("utf-8", "surrogateescape")


@command("tcp.monitor")
@click.option("-p", "--port", cls=EnvOption, type=PORT, help="Port of the hosts that carry none.")
@timeout_option
@click.option(
    "--send",
    cls=EnvOption,
    type=Parsed("text", parse_sent),
    help=r"Text to send, with \n for the end of a line, and then the end.",
)
@click.option(
    "-m",
    "--match",
    cls=EnvOption,
    type=Parsed("regex", parse_match),
    help="Regular expression to find in the answer.",
)
@click.option("--tls", cls=EnvOption, is_flag=True, help="Speak TLS, and trust any certificate.")
@omit_good_option
@common_options
@click.argument("hosts", nargs=-1, metavar="HOST...")
def _tcp_monitor(hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Connect to a TCP port of each HOST.

    A HOST is a name or an address, with a port of its own where that differs: host:port, [v6]:port.
    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    if given["tls"] and given["send"] is not None:
        raise UsageError("--send and --tls exclude each other")
    check = tcp.Check(given["send"], given["match"])
    targets = monitor.targets_of(hosts, given["port"] or _NO_PORT)
    bare = [target.host for target in targets if target.port == _NO_PORT]
    if bare:
        raise UsageError(f"{bare[0]}: has no port: give --port, or write host:port")
    run = monitor.by_sweep(targets, _probe(check, tls=given["tls"]), limits_of(given))
    return outcome_of(run, given)


def _probe(check: tcp.Check, *, tls: bool) -> Probe:
    if not tls:
        return functools.partial(tcp.probe, check)
    from lvsalert.probes.tls import any_certificate, probe

    return functools.partial(probe, check, any_certificate())
