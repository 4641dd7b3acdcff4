"""Waiting for a condition with a deadline, in place of sleeping for luck."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    deadline: float,
    what: str | Callable[[], str],
    pause: float = 0.02,
) -> T:
    """Call `condition` until it gives something true, and return that.

    `deadline` and the `pause` between two calls are in seconds. When the deadline has passed, an
    AssertionError says `what` was waited for; a callable `what` is asked only then, so that it can
    tell what the world looked like in the end.
    """
    end = time.monotonic() + deadline
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= end:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {deadline:g} s: {told}")
        time.sleep(pause)
