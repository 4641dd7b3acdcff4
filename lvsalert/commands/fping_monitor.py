"""fping.monitor: sends echo requests to all hosts at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

from lvsalert.checks import monitor
from lvsalert.commands.entry import Outcome
from lvsalert.commands.monitor_options import common_options, omit_good_option, slow_option
from lvsalert.commands.monitoring import outcome_of, program
from lvsalert.commands.options import FAILING, HOW, command, number, option, whole
from lvsalert.model import State

if TYPE_CHECKING:
    from lvsalert.checks.sweep import Target
    from lvsalert.model import Result

# What traceroutes to the failed hosts may add to a run that has no deadline of its own.
_TRACE_SECONDS = 30.0


@command("fping.monitor")
@option("-a", "--all", is_flag=True, help="Fail only if all hosts fail.", section=FAILING)
@option(
    "-r",
    "--retries",
    type=whole("a number of retries", 0, 100),
    default=3,
    show_default=True,
    help="Further requests to a host that does not answer.",
    section=FAILING,
)
@slow_option("-s", "--slow")
@option(
    "-t",
    "--timeout",
    type=number("a number of milliseconds", 1),
    default=2000,
    show_default=True,
    metavar="MS",
    help="Milliseconds to wait for each answer.",
    section=FAILING,
)
@option(
    "-T",
    "--traceroute",
    is_flag=True,
    help="Show the route to the hosts that failed.",
    section=FAILING,
)
@option(
    "-i",
    "--interval",
    type=number("a number of milliseconds", 0),
    default=0.02,
    show_default=True,
    metavar="MS",
    help="Milliseconds between packets.",
    section=HOW,
)
@omit_good_option
@common_options
def _fping_monitor(hosts: tuple[str, ...], **given: Any) -> Outcome:
    """Send echo requests to each HOST, a name or an address.

    Every option can also be given as an environment variable: LVSALERT_ and its long name.
    """
    targets = monitor.targets_of(hosts, port=0)
    names = [target.name for target in targets]
    run = monitor.Run(_probe(targets, given), _seconds(names, given))
    return outcome_of(
        run,
        given,
        only_if_all_failed=given["all"],
        details=_traces if given["traceroute"] else None,
    )


run = program(_fping_monitor)


def _probe(
    targets: Sequence[Target], given: Mapping[str, Any]
) -> Callable[[float], Sequence[Result]]:
    def probe(deadline: float) -> Sequence[Result]:
        from lvsalert.checks.icmp import ping

        slow = given["slow"]
        return ping(
            [target.host for target in targets],
            prefer_ipv6=given["prefer_ipv6"],
            retries=given["retries"],
            wait=given["timeout"] / 1000,
            pace=given["interval"] / 1000,
            slow=None if slow is None else slow / 1000,
            deadline=deadline,
            lookup_timeout=_wait(given),
        )

    return probe


def _wait(given: Mapping[str, Any]) -> float:
    """Return for how many seconds a host's answer is awaited, all retries together."""
    tries: int = given["retries"] + 1
    return tries * float(given["timeout"]) / 1000


def _seconds(names: Sequence[str], given: Mapping[str, Any]) -> float:
    pacing = len(names) * (given["retries"] + 1) * given["interval"] / 1000
    limits = monitor.Limits(
        _wait(given) + pacing, given["deadline"], given["concurrency"], given["prefer_ipv6"]
    )
    tracing = _TRACE_SECONDS if given["traceroute"] and given["deadline"] is None else 0.0
    return limits.seconds(len(names), monitor.count_names(names), max(1, len(names))) + tracing


def _traces(results: Sequence[Result], deadline: float) -> Sequence[str]:
    from lvsalert.checks.traceroute import trace

    failed = [result for result in results if result.state is State.FAILED]
    return trace(failed, deadline=deadline)
