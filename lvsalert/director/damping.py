"""Damping real servers that come and go, as BGP damps routes that flap (RFC 2439).

Each time that a real server goes out adds 1 to its penalty, which falls to half of it in every
half-life. Beyond the cut-off the server is damped: it stays out, however well, until the penalty
has fallen to half of the cut-off. So each further time makes it stay out longer, up to a bound.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lvsalert.errors import UsageError
from lvsalert.ipvs.table import Endpoint
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import DAMPED, Cause, Flapping

# As many half-lives as a server that then holds still stays out at most (RFC 2439, 4.2: T-hold).
_LONGEST = 4
_MOST_TIMES, _MOST_MINUTES = 1000, 1440


class Damp(NamedTuple):
    """Beyond how many times in how many minutes; the minutes are the half-life of the penalty."""

    times: int
    minutes: int

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.times}/{self.minutes}"

    @property
    def half_life(self) -> float:
        """Return the half-life in seconds."""
        return self.minutes * 60.0

    @property
    def reuse(self) -> float:
        """Return the penalty at which a damped server may come back."""
        return self.times / 2

    @property
    def ceiling(self) -> float:
        """Return the penalty that is never passed."""
        return self.reuse * 2.0**_LONGEST


def parse_damp(text: str) -> Damp:
    """Return what ``3/10`` means: beyond three times in ten minutes. UsageError for other text."""
    times, slash, minutes = text.partition("/")
    numbers = [int(each) for each in (times, minutes) if each.isascii() and each.isdigit()]
    if slash and len(numbers) == 2 and max(map(len, (times, minutes))) < 5:
        damp = Damp(*numbers)
        if 1 <= damp.times <= _MOST_TIMES and 1 <= damp.minutes <= _MOST_MINUTES:
            return damp
    raise UsageError(
        f"{text!r} is not how often in how many minutes: write 3/10"
        f" (1 to {_MOST_TIMES}, 1 to {_MOST_MINUTES})"
    )


def penalty_at(damp: Damp, before: Flapping, now: float) -> float:
    """Return what is left of a penalty at ``now`` (epoch); a clock that was set back takes none."""
    halves = max(0.0, now - before.time) / damp.half_life
    return before.penalty * math.pow(0.5, halves)


def flapped(damp: Damp, before: Flapping | None, now: float) -> Flapping:
    """Return what is known of a real server that goes out at ``now`` (epoch) once more."""
    old = 0.0 if before is None else penalty_at(damp, before, now)
    penalty = min(damp.ceiling, old + 1)
    is_damped = before is not None and before.until is not None and before.until > now
    if penalty <= damp.times and not is_damped:
        return Flapping(penalty, now, None)
    return Flapping(penalty, now, now + damp.half_life * math.log2(penalty / damp.reuse))


def note(ledger: Ledger, virtual: str, endpoint: Endpoint, damp: Damp, now: float) -> None:
    """Write down that a real server goes out, and that it is damped where that was too often."""
    after = flapped(damp, ledger.flapping(virtual, endpoint), now)
    ledger.set_flapping(virtual, endpoint, after)
    if after.until is not None:
        end = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(after.until))
        why = f"went out too often (penalty {after.penalty:.1f} of {damp.times}), until {end}"
        ledger.set_cause(virtual, endpoint, Cause(DAMPED, now, why, drain=False))


def damped(causes: Mapping[Endpoint, Sequence[Cause]]) -> dict[Endpoint, str]:
    """Return the real servers that are damped, each with all that is said against it."""
    return {
        endpoint: "; ".join(each.reason for each in sorted(every, key=_is_damping))
        for endpoint, every in causes.items()
        if any(map(_is_damping, every))
    }


def _is_damping(cause: Cause) -> bool:
    return cause.cause == DAMPED
