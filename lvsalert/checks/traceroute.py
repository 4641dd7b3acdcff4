"""Where the way to a host ends, by icmplib's traceroute (fping.monitor's -T)."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence

from lvsalert.checks.workers import Workers
from lvsalert.model import Result

# Each route that is followed holds a thread and a raw socket.
_MAX_THREADS = 64
_MAX_HOPS = 30
# Routers that keep silent are common; so many in a row are the end of the way.
_MAX_SILENT_HOPS = 5
_HOP_SECONDS = 1.0


def trace(failed: Sequence[Result], *, deadline: float) -> list[str]:
    """Follow the way to each result's address, all at once, and return lines for the report.

    ``deadline`` is the time (time.monotonic()) at which it stops; what is not done by then says so.
    A raw socket is needed; without, the lines say that. Results without an address are left out.
    """
    hosts = {result.address: result.host for result in failed if result.address}
    routes: dict[str, list[str]] = {address: [] for address in hosts}
    unfinished = set(hosts)
    workers = Workers(
        lambda address: _follow(address, routes[address], deadline), list(hosts), _MAX_THREADS
    )
    try:
        poll = select.poll()
        poll.register(workers, select.POLLIN)
        while unfinished and (left := deadline - time.monotonic()) > 0:
            poll.poll(left * 1000)
            for answer in workers.take():
                if isinstance(answer.value, BaseException):
                    routes[answer.job].append(f"    {answer.value}")
                elif not answer.value:
                    continue
                unfinished.discard(answer.job)
    finally:
        workers.close()
    lines = []
    for address, host in hosts.items():
        lines += [f"traceroute to {host} ({address}):", *list(routes[address])]
        if address in unfinished:
            lines.append("    not finished: the run's deadline came first")
        lines.append("")
    return lines


def _follow(address: str, lines: list[str], deadline: float) -> bool:
    """Add a line to ``lines`` for each hop until the host, or until nothing answers any more.

    icmplib is asked for one hop at a time, so that what is known at the deadline can be told.
    Return False where the deadline came first.
    """
    from icmplib import (  # type: ignore[import-untyped] # icmplib carries no types
        SocketPermissionError,
        traceroute,
    )

    silent = 0
    for distance in range(1, _MAX_HOPS + 1):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        try:
            hops = traceroute(
                address,
                count=1,
                interval=0,
                timeout=min(left, _HOP_SECONDS),
                first_hop=distance,
                max_hops=distance,
            )
        except SocketPermissionError:
            lines.append("    it needs a raw socket: give mon CAP_NET_RAW")
            return True
        if not hops and left < _HOP_SECONDS:
            return False
        hop = f"{hops[0].address}  {hops[0].avg_rtt:.3f} ms" if hops else "*"
        lines.append(f"{distance:4}  {hop}")
        silent = 0 if hops else silent + 1
        if silent == _MAX_SILENT_HOPS or (hops and hops[0].address == address):
            break
    return True
