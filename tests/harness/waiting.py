"""Waiting for a condition, in place of sleeping for luck, and what bounds a wait on any machine.

No limit here is in seconds of some machine. Each is a multiple of a unit that the run measures for
itself: how long one start of the interpreter takes with an alert imported. The multiples are such
that only a hang reaches them, also where the machine becomes slower after the unit was measured.
"""

from __future__ import annotations

import functools
import math
import os
import statistics
import subprocess
import sys
import time
from typing import Callable, TypeVar

T = TypeVar("T")

UNIT = "LVSALERT_TESTS_UNIT"
"""The variable with the unit, in seconds, where it was measured already."""

IN_GUEST = "LVSALERT_LAB_GUEST"
"""The variable that tells that this is a guest of the lab, and which one."""

_TRIES = 5
_PATIENCE = 1500
_SHORT = 24
# In a guest a start takes so long that what else there is to wait for, such as mon's interval,
# hardly counts; and a hang there is not to take the time that all the other tests need.
_PATIENCE_IN_GUEST = 400


@functools.lru_cache(1)
def unit() -> float:
    """Return the seconds of one start of the interpreter with an alert imported: the median."""
    if os.environ.get(UNIT):
        return float(os.environ[UNIT])
    seconds = []
    for _ in range(_TRIES):
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", "import lvsalert.commands.lvs_alert"], check=True)
        seconds.append(time.monotonic() - begun)
    return statistics.median(seconds)


def patience(starts: float | None = None) -> float:
    """Return the seconds of so many starts; by default so many that only a hang takes as long."""
    if starts is None:
        starts = _PATIENCE_IN_GUEST if IN_GUEST in os.environ else _PATIENCE
    return starts * unit()


@functools.lru_cache(1)
def short() -> str:
    """Return whole seconds in which a living server answers here, however busy the machine is.

    That is the time-out for a check of servers of which some are silent.
    """
    return str(max(1, math.ceil(_SHORT * unit())))


def wait_until(
    condition: Callable[[], T],
    what: str | Callable[[], str],
    *,
    pause: float | None = None,
    limit: float | None = None,
) -> T:
    """Call `condition` until it gives something true, and return that.

    The `pause` between two calls is in seconds, by default short, and less so in a guest, where
    each call is work for the emulator. So is `limit` (None: `patience`). When that has passed, an
    AssertionError says `what` was waited for; a callable `what` is asked only then, so that it can
    tell what the world looked like in the end.
    """
    if pause is None:
        pause = 0.1 if IN_GUEST in os.environ else 0.02
    seconds = patience() if limit is None else limit
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= end:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {seconds:g} s: {told}")
        time.sleep(pause)


if __name__ == "__main__":
    sys.stdout.write(f"{unit():.4f}\n")
