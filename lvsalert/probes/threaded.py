"""Probes through libraries with blocking sockets of their own, each host in a thread."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from typing import Callable, NamedTuple

from lvsalert.errors import ResolveError
from lvsalert.model import Result, State, join_endpoint
from lvsalert.resolve import Address, look_up, numeric
from lvsalert.sweep import OUT_OF_TIME, Target, Verdict
from lvsalert.workers import Workers

# A thread costs more than a socket of the sweep, so there are fewer of them.
MAX_THREADS = 64


class NotConnected(Exception):
    """No connection came about, so that another address is worth a try; the message says why."""


Fetch = Callable[[Target, Address, float], Verdict]
"""Probes a target at one address in a number of seconds; raises NotConnected where it cannot."""


class _Found(NamedTuple):
    verdict: Verdict
    address: str


def probe_in_threads(
    targets: Sequence[Target],
    fetch: Fetch,
    *,
    timeout: float,
    deadline: float,
    concurrency: int,
    prefer_ipv6: bool = False,
) -> list[Result]:
    """Probe every target with ``fetch`` and return a result for each, in their order.

    ``timeout`` is the seconds for one host, whatever its library does; a thread that does not come
    back by then is given up. ``deadline`` is as in ``sweep.sweep``.
    """
    results: dict[int, Result] = {}

    def work(index: int) -> _Found:
        return _fetch_any(targets[index], fetch, timeout, prefer_ipv6)

    threads = Workers(work, range(len(targets)), min(concurrency, MAX_THREADS))
    try:
        poll = select.poll()
        poll.register(threads, select.POLLIN)
        while len(results) < len(targets) and (left := deadline - time.monotonic()) > 0:
            poll.poll(min(left, threads.next_overdue(timeout)) * 1000)
            for index, value, seconds in threads.take():
                if isinstance(value, BaseException):
                    raise value
                results[index] = _result(targets[index], value, seconds)
            for index in threads.overdue(timeout):
                late = Verdict(f"timed out after {timeout:g} s", b"")
                results[index] = _result(targets[index], _Found(late, ""), timeout)
    finally:
        threads.close()
    return [
        results.get(index) or Result(target.host, State.UNKNOWN, OUT_OF_TIME, 0.0)
        for index, target in enumerate(targets)
    ]


def _fetch_any(target: Target, fetch: Fetch, timeout: float, prefer_ipv6: bool) -> _Found:
    """Try the target's addresses one after the other until one can be connected to."""
    limit = time.monotonic() + timeout
    first = socket.AF_INET6 if prefer_ipv6 else socket.AF_INET
    try:
        addresses = numeric(target.name) or look_up(target.name)
    except ResolveError as error:
        return _Found(Verdict(str(error), b""), "")
    addresses.sort(key=lambda each: each.family != first)
    reason, tried = "", ""
    for position, address in enumerate(addresses):
        share = (limit - time.monotonic()) / (len(addresses) - position)
        if share <= 0:
            break
        tried = join_endpoint(address.text, target.port)
        try:
            return _Found(fetch(target, address, share), tried)
        except NotConnected as error:
            reason = str(error)
    return _Found(Verdict(reason or f"timed out after {timeout:g} s", b""), tried)


def _result(target: Target, found: _Found, seconds: float) -> Result:
    state = State.FAILED if found.verdict.reason else State.GOOD
    reason, said = found.verdict
    return Result(target.host, state, reason, seconds, found.address, said)
