"""What a source says of real servers, counted and kept in the ledger as causes.

A source is a group and service of mon. A server is in only when no source and no operator is among
its causes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lvsalert.ledger import OPERATOR, Cause, Check, Ledger
from lvsalert.model import RealServer
from lvsalert.policy import Member, Want
from lvsalert.table import Endpoint

# An event that lies further in the future than this (seconds) is of a clock that was set back.
_BELIEVABLE = 5


class Verdict(NamedTuple):
    """What a source says of one real server, which stands as ``real`` when it is in."""

    real: RealServer
    failed: bool
    reason: str

    @property
    def endpoint(self) -> Endpoint:
        """Return the real server's address and port."""
        return self.real.address, self.real.port


class Source(NamedTuple):
    """Who says so: mon's group and service, when (epoch), and how many checks in a row count.

    ``fall`` and ``rise`` are 1 where one word is enough.
    """

    name: str
    time: int
    fall: int = 1
    rise: int = 1


def take_operator(
    ledger: Ledger, virtual: str, verdict: Verdict, *, now: float, drain: bool
) -> Member:
    """Set the operator's cause, or with a good verdict clear every cause; return what is wanted."""
    if verdict.failed:
        cause = Cause(OPERATOR, now, verdict.reason, drain)
        ledger.set_cause(virtual, verdict.endpoint, cause)
        return Member(verdict.real, Want.OUT)
    ledger.clear_cause(virtual, verdict.endpoint)
    return Member(verdict.real, Want.IN)


def take_check(
    ledger: Ledger, virtual: str, verdict: Verdict, source: Source, *, now: float
) -> Member:
    """Count what a source says, set or clear its cause, and return what is wanted.

    An event older than the newest of the same source changes nothing. One check counts once, though
    alert and redistribute both report it; where two events of one second contradict each other, the
    failure stands.
    """
    endpoint = verdict.endpoint
    last = ledger.check(virtual, endpoint, source.name)
    if last is not None and last.time > now + _BELIEVABLE:
        last = None
    if last is not None and _is_overtaken(last, verdict, source):
        return _member(ledger, virtual, verdict, last)
    check = _counted(last, verdict, source)
    ledger.set_check(virtual, endpoint, source.name, check)
    if verdict.failed and check.in_a_row >= source.fall:
        reason = Cause(source.name, float(source.time), verdict.reason, drain=False)
        ledger.set_cause(virtual, endpoint, reason)
    # Only a source that reports every success can be counted upwards: an upalert comes once.
    elif not verdict.failed and (check.in_a_row >= source.rise or not check.steady):
        ledger.clear_cause(virtual, endpoint, source.name)
    return _member(ledger, virtual, verdict, check)


def _is_overtaken(last: Check, verdict: Verdict, source: Source) -> bool:
    if source.time == last.time:
        return last.failed and not verdict.failed
    return source.time < last.time


def _counted(last: Check | None, verdict: Verdict, source: Source) -> Check:
    if last is None:
        return Check(source.time, verdict.failed, 1, steady=False)
    if last.time == source.time and last.failed == verdict.failed:
        return last
    steady = last.steady or not (verdict.failed or last.failed)
    in_a_row = last.in_a_row + 1 if last.failed == verdict.failed else 1
    return Check(source.time, verdict.failed, in_a_row, steady)


def _member(ledger: Ledger, virtual: str, verdict: Verdict, check: Check) -> Member:
    if ledger.causes_of(virtual, verdict.endpoint):
        return Member(verdict.real, Want.OUT)
    # One that fails, but not often enough yet, stays where it is.
    return Member(verdict.real, Want.STAY if check.failed else Want.IN)


def bystanders(
    real_servers: Sequence[RealServer], known: Sequence[Endpoint], members: Sequence[Member]
) -> list[Member]:
    """Return the service's other real servers, in the table or out of it, as members that stay."""
    seen = {member.endpoint for member in members}
    others = [real for real in real_servers if (real.address, real.port) not in seen]
    seen.update((real.address, real.port) for real in others)
    others += [RealServer(*endpoint) for endpoint in known if endpoint not in seen]
    return [Member(real, Want.STAY) for real in others]
