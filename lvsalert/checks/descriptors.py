"""How many sockets a run may have open, by what RLIMIT_NOFILE leaves (getrlimit(2), sysconf(3))."""

from __future__ import annotations

import os
from typing import NamedTuple

from lvsalert.checks.resolve import MAX_LOOKUPS

# Left to the rest of the program: epoll, files that are read on the way, the unforeseen.
_SPARE = 16
# A look-up holds a file or two sockets (resolver(3)).
_PER_LOOKUP = 2


class Room(NamedTuple):
    """How many hosts may be asked, and how many names looked up, at the same time."""

    hosts: int
    lookups: int


def left() -> int:
    """Return how many more descriptors this process may open, apart from a few in reserve."""
    soft = os.sysconf("SC_OPEN_MAX")
    if soft < 0:
        return 1 << 20
    return soft - len(os.listdir("/proc/self/fd")) - _SPARE


def room_for(concurrency: int, names: int, *, per_host: int = 1) -> Room:
    """Divide what is left between ``names`` to look up and up to ``concurrency`` hosts.

    ``per_host`` is how many descriptors a host takes. Each share is at least one.
    """
    free = left()
    lookups = max(1, min(names, MAX_LOOKUPS, free // (2 * _PER_LOOKUP)))
    if names:
        free -= lookups * _PER_LOOKUP
    return Room(max(1, min(concurrency, free // per_host)), lookups)
