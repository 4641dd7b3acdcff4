"""When servers are checked within the time from check to check: each in its turn, none at once.

Pure: numbers come in, times (of time.monotonic()) go out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# A run costs more than a few servers, so that parts are not smaller than so many, and not more.
_LEAST, _MOST = 128, 4
# Multiples of it, without what is before the point, lie as far apart as numbers can that come one
# after the other (the golden ratio).
_STEP = (math.sqrt(5) - 1) / 2
# A check that comes just in time does not come twice.
_SLACK = 1e-3


def parts_of(hosts: Sequence[str], *, are_apart: bool) -> list[Sequence[str]]:
    """Return the hosts in the parts that are checked one after the other, of the same size."""
    count = max(1, min(_MOST, len(hosts) // _LEAST)) if are_apart else 1
    return [hosts[number::count] for number in range(count)]


def turn_of(service: int, part: int, parts: int) -> float:
    """Return when a service's part has its turn, as a fraction of the time between checks.

    Services are numbered as they come; any that come one after the other are spread well.
    """
    return (service * _STEP + part / parts) % 1


def next_turn(now: float, between: float, turn: float) -> float:
    """Return when a turn comes next; it comes every ``between`` seconds, whatever was missed."""
    return (math.floor(now / between + _SLACK - turn) + 1 + turn) * between
