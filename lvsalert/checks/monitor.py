"""Hosts times a probe: what all monitors do from their arguments to mon's report."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Callable, NamedTuple

from lvsalert.checks.descriptors import room_for
from lvsalert.checks.resolve import MAX_LOOKUPS
from lvsalert.checks.sweep import Target
from lvsalert.errors import UsageError
from lvsalert.model import Protocol, Result, canonical_address, parse_port, split_endpoint
from lvsalert.mon.report import Report, report_of

if TYPE_CHECKING:
    from lvsalert.checks.agreement import Judged
    from lvsalert.checks.path import Via
    from lvsalert.checks.sweep import Probe
    from lvsalert.checks.threads import Fetch

# What a run takes beside the waiting: the start of the last hosts, the report.
_SLACK_SECONDS = 1.0
# By way of a virtual address each host is asked once more, where it fails, and new marks are set.
_PASSES_BY_WAY, _MARK_SECONDS = 2, 15.0


class Limits(NamedTuple):
    """How long and how wide a run may be.

    ``timeout`` is the seconds for one host, ``deadline`` those of the whole run (None: long enough
    for all rounds), ``concurrency`` how many hosts are asked at once.
    """

    timeout: float
    deadline: float | None
    concurrency: int
    prefer_ipv6: bool

    def seconds(
        self, hosts: int, names: int, concurrency: int, lookups: int = MAX_LOOKUPS
    ) -> float:
        """Return the seconds of the whole run over ``hosts``, ``names`` of which are looked up.

        Every round of hosts may take its whole time-out, and so may every round of look-ups.
        """
        if self.deadline is not None:
            return self.deadline
        rounds = math.ceil(hosts / concurrency) + math.ceil(names / lookups)
        return rounds * self.timeout + _SLACK_SECONDS


def count_names(names: Iterable[str]) -> int:
    """Return how many of the names have to be looked up, the same one once."""
    return len({name for name in names if canonical_address(name) is None})


def targets_of(hosts: Sequence[str], port: int) -> list[Target]:
    """Return what to probe, each host once. UsageError for a host that cannot be one.

    A host may carry a port of its own, which comes before ``port``. mon's summary parts hosts by
    blanks, so one with a blank in it could not be reported.
    """
    targets = []
    for host in dict.fromkeys(hosts):
        if not host or not host.isprintable() or " " in host:
            raise UsageError(f"{host!r} is not a host: it is empty or holds a blank or worse")
        if host.startswith("-"):
            raise UsageError(f"{host!r} is not a host: options come before the hosts")
        name, own_port = split_endpoint(host)
        try:
            targets.append(Target(host, name, port if own_port is None else parse_port(own_port)))
        except UsageError as error:
            raise UsageError(f"{host!r} is not a host: {error}") from None
    return targets


class Run(NamedTuple):
    """A probe of all hosts, ready to start.

    ``probe`` gets the time (time.monotonic()) by which it has to be done and returns a result for
    each host; ``seconds`` is what the whole run may take.
    """

    probe: Callable[[float], Sequence[Result]]
    seconds: float


def by_sweep(
    targets: Sequence[Target],
    probe: Probe,
    limits: Limits,
    *,
    per_host: int = 1,
    datagrams: bool = False,
    via: Via | None = None,
) -> Run:
    """Return a run of conversations on the sweep, each of which takes ``per_host`` descriptors.

    With ``datagrams`` they are led over UDP, with ``via`` by way of a virtual address.
    """
    from lvsalert.checks.sweep import sweep

    ask = functools.partial(sweep, probe=probe, datagrams=datagrams)
    protocol = Protocol.UDP if datagrams else Protocol.TCP
    return _run(ask, targets, limits, per_host, via, protocol=protocol)


def by_threads(
    targets: Sequence[Target], fetch: Fetch, limits: Limits, via: Via | None = None
) -> Run:
    """Return a run of a library's blocking calls in threads, maybe by way of a virtual address."""
    from lvsalert.checks.threads import probe_in_threads
    from lvsalert.checks.workers import MAX_THREADS

    limits = limits._replace(concurrency=min(limits.concurrency, MAX_THREADS))
    # A library opens a file of certificates beside its socket, or a second connection for data.
    return _run(functools.partial(probe_in_threads, fetch=fetch), targets, limits, 2, via)


def _run(
    ask: Callable[..., Sequence[Result]],
    targets: Sequence[Target],
    limits: Limits,
    per_host: int,
    via: Via | None,
    *,
    protocol: Protocol = Protocol.TCP,
) -> Run:
    unknown = count_names(each.name for each in targets)
    room = room_for(limits.concurrency, unknown, per_host=per_host)
    seconds = limits.seconds(len(targets), unknown, room.hosts, room.lookups)
    if via is not None:
        from lvsalert.checks.path import by_way

        ask = functools.partial(by_way, via, protocol, ask)
        if limits.deadline is None:
            seconds = _PASSES_BY_WAY * seconds + _MARK_SECONDS

    def until(deadline: float) -> Sequence[Result]:
        return ask(
            targets,
            timeout=limits.timeout,
            deadline=deadline,
            concurrency=room.hosts,
            lookups=room.lookups,
            prefer_ipv6=limits.prefer_ipv6,
        )

    return Run(until, seconds)


def report(
    run: Run,
    *,
    omit_good: bool,
    only_if_all_failed: bool = False,
    details: Callable[[Sequence[Result], float], Sequence[str]] | None = None,
    compare: Callable[[Sequence[Result]], Judged] | None = None,
    for_nagios: str | None = None,
) -> Report:
    """Run the probe and return mon's report.

    ``compare`` judges the hosts by what the others answer. ``details`` gets the results and the
    deadline, and adds lines of its own to the report. With ``for_nagios``, the monitor's name, it
    is Nagios that the report is for, without details.
    """
    started = time.time()
    deadline = time.monotonic() + run.seconds
    results = run.probe(deadline)
    judged = None if compare is None else compare(results)
    notes: Sequence[str] = ()
    if judged is not None:
        results, notes = judged.results, judged.notes
    if for_nagios is not None:
        from lvsalert.checks import nagios

        return nagios.report_of(for_nagios, results, only_if_all_failed=only_if_all_failed)
    if details is not None:
        notes = (*notes, *details(results, deadline))
    return report_of(
        results,
        started=started,
        ended=time.time(),
        omit_good=omit_good,
        only_if_all_failed=only_if_all_failed,
        notes=notes,
        unjudged="" if judged is None else judged.unjudged,
    )
