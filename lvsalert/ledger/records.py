"""What the ledger keeps of real servers and virtual services, as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

OPERATOR = "operator"
"""The cause that a person sets."""

MAINTENANCE = "maintenance"
"""The cause that a file in ldirectord's maintenancedir is, a person's word as well."""

DAMPED = "damped"
"""The cause that a real server which comes and goes too often has until it is to be tried again."""

BY_PEOPLE = frozenset((OPERATOR, MAINTENANCE))

DIRECTOR = "lvs-director"
"""The source whose last run for a service is that of the director: it was set up, or stopped."""


# Ten of its intervals, and not less than two minutes.
_LONG_CHECKS, _LONG_SECONDS = 10, 120.0


class Cause(NamedTuple):
    """One reason why a real server is out: who says so, since when (epoch), and why."""

    cause: str
    since: float
    reason: str
    drain: bool


class LastVerdict(NamedTuple):
    """What one source last said of one real server: when, whether it failed, how often in a row.

    ``steady`` is whether the source has been seen to report successes of a server that was well,
    which mon's redistribute does and an upalert does not. ``time`` is mon's, ``heard`` ours.
    """

    time: int
    failed: bool
    in_a_row: int
    steady: bool
    heard: float


class Flapping(NamedTuple):
    """The penalty of a real server that comes and goes, as it was at ``time`` (epoch).

    ``until`` (epoch) is when it may come back, None where it is not damped.
    """

    penalty: float
    time: float
    until: float | None


class Unjudged(NamedTuple):
    """A source that cannot tell of a service: since when (epoch), for how many checks, and why.

    ``time`` is mon's of the last of them.
    """

    since: float
    time: int
    times: int
    reason: str

    def is_long(self, now: float) -> bool:
        """Return whether it has lasted for so long that somebody has to know."""
        return self.times >= _LONG_CHECKS and now - self.since >= _LONG_SECONDS


class LastRun(NamedTuple):
    """The options of the last run of a source for a virtual service (and one real server)."""

    virtual: str
    source: str
    real: str
    time: float
    options: Mapping[str, str]


class Stop(NamedTuple):
    """Since when (epoch) a virtual service is stopped, and who stopped it."""

    since: float
    who: str


class ServerMemory(NamedTuple):
    """What is remembered of a real server between runs; times in seconds of the epoch.

    ``since`` is when the oldest cause that keeps it out began. ``by_operator`` is whether a person
    is among the causes, ``drained`` whether every cause asks for weight 0 instead of deletion.
    ``quiesced_until`` is when a quiesced entry is to be deleted. A slow start runs from
    ``slow_since`` for ``slow_for``. ``upper`` and ``lower`` are the thresholds that the entry had
    when it was taken out, ``flags`` the words of ipvsadm for its tunnel. ``held`` is whether it
    stays in though it fails.
    """

    since: float | None = None
    by_operator: bool = False
    drained: bool = False
    quiesced_until: float | None = None
    slow_since: float | None = None
    slow_for: float = 0.0
    upper: int = 0
    lower: int = 0
    held: bool = False
    flags: tuple[str, ...] = ()


NO_MEMORY = ServerMemory()
"""Of a real server of which nothing is remembered."""
