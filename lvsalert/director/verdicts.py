"""What a source says of real servers, counted and kept in the ledger as causes.

A source is a group and service of mon. A server is in only when no source and no operator is among
its causes.
"""

from __future__ import annotations

import functools
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from lvsalert.director import damping
from lvsalert.director.damping import Damp
from lvsalert.director.policy import Member, Want
from lvsalert.ipvs.table import Endpoint
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import DAMPED, OPERATOR, Cause, LastVerdict
from lvsalert.model import RealServer

# What was heard further in the future than this (seconds) was heard before the clock was set back.
_BELIEVABLE = 5.0


class Verdict(NamedTuple):
    """What a source says of one real server, which stands as ``real`` when it is in."""

    real: RealServer
    failed: bool
    reason: str

    @property
    def endpoint(self) -> Endpoint:
        """Return the real server's address and port."""
        return self.real[:2]


class Source(NamedTuple):
    """Who says so: mon's group and service, when (epoch), and how many checks in a row count.

    ``fall`` and ``rise`` are 1 where one word is enough. ``repeats`` is whether this is a success
    after a success, which only redistribute reports; ``may_be_last`` whether it is one after a
    failure, which an upalert reports too, and then nothing more until the next failure. With
    ``damp`` a real server that it takes out too often is damped.
    """

    name: str
    time: int
    fall: int = 1
    rise: int = 1
    repeats: bool = False
    may_be_last: bool = False
    damp: Damp | None = None


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


def take_checks(
    ledger: Ledger,
    virtual: str,
    verdicts: Sequence[Verdict],
    source: Source,
    *,
    now: float,
    is_whole: bool = False,
) -> list[Member]:
    """Count what a source says, set or clear its causes, and return what is wanted of each.

    An event older than the newest of the same source changes nothing. One check counts once, though
    alert and redistribute both report it; where two events of one second contradict each other, the
    failure stands.

    With ``is_whole`` the verdicts are of the source's whole group: what it said of others is
    forgotten. What it said of them after this event stands, for the event may be of the time before
    they were members.
    """
    noted = ledger.verdicts.by(virtual, source.name)
    said = _believed(noted, now)
    news = _news(said, verdicts, source, now)
    gone = _gone(said, verdicts, source) if is_whole else ()
    for endpoint in gone:
        ledger.clear_cause(virtual, endpoint, source.name)
        del noted[endpoint]
    ledger.verdicts.put(virtual, source.name, {**noted, **news})
    blamed, by_others = _blamed(ledger.causes(virtual), source.name)
    new: dict[Endpoint, Cause] = {}
    for verdict in verdicts:
        endpoint = verdict.endpoint
        check = news.get(endpoint)
        if check is None or check.failed != verdict.failed:
            continue
        if check.failed and (endpoint in blamed or check.in_a_row >= source.fall):
            new[endpoint] = Cause(source.name, float(source.time), verdict.reason, drain=False)
        elif endpoint in blamed and not check.failed and _is_back(check, source):
            ledger.clear_cause(virtual, endpoint, source.name)
            blamed.discard(endpoint)
    ledger.set_causes(virtual, new)
    if source.damp is not None:
        for endpoint in new.keys() - blamed - by_others:
            damping.note(ledger, virtual, endpoint, source.damp, now)
    out, said = by_others.union(blamed, new), {**said, **news}
    return [_member(verdict, out, said) for verdict in verdicts]


def _news(
    said: Mapping[Endpoint, LastVerdict], verdicts: Sequence[Verdict], source: Source, now: float
) -> dict[Endpoint, LastVerdict]:
    """Return what is to be noted of each real server whose verdict is not overtaken."""
    # Most have the same behind them.
    counted = functools.lru_cache(None)(functools.partial(_counted, source, now))
    news: dict[Endpoint, LastVerdict] = {}
    for verdict in verdicts:
        endpoint = verdict.endpoint
        check = counted(news.get(endpoint) or said.get(endpoint), verdict.failed)
        if check is not None:
            news[endpoint] = check
    return news


def _gone(
    said: Mapping[Endpoint, LastVerdict], verdicts: Sequence[Verdict], source: Source
) -> list[Endpoint]:
    """Return the real servers that the source spoke of before this event, and no longer does."""
    others = said.keys() - {verdict.endpoint for verdict in verdicts}
    return [each for each in others if said[each].time <= source.time]


def _blamed(
    causes: Mapping[Endpoint, Sequence[Cause]], name: str
) -> tuple[set[Endpoint], set[Endpoint]]:
    """Return the real servers that a source keeps out, and those that others do.

    One that is damped may be as well as any.
    """
    by_it: set[Endpoint] = set()
    by_others: set[Endpoint] = set()
    for endpoint, every in causes.items():
        for cause in every:
            if cause.cause == DAMPED:
                continue
            (by_it if cause.cause == name else by_others).add(endpoint)
    return by_it, by_others


def _believed(noted: dict[Endpoint, LastVerdict], now: float) -> dict[Endpoint, LastVerdict]:
    """Return checks; what was heard before the clock was set back counts as older."""
    latest = now + _BELIEVABLE
    doubted = {each: check for each, check in noted.items() if check.heard > latest}
    return {**noted, **{each: check._replace(time=-1) for each, check in doubted.items()}}


def _counted(
    source: Source, now: float, last: LastVerdict | None, failed: bool
) -> LastVerdict | None:
    """Return what is to be noted after the check ``last``, None where that overtook this one."""
    steady, in_a_row = source.repeats, 1
    if last is not None:
        if source.time < last.time or (source.time == last.time and last.failed and not failed):
            return None
        steady = steady or last.steady
        if last.failed == failed:
            in_a_row = last.in_a_row + (last.time != source.time)
    return LastVerdict(source.time, failed, in_a_row, steady, now)


def _is_back(check: LastVerdict, source: Source) -> bool:
    """Return whether a real server that was blamed has been good often enough."""
    # Nobody would count an upalert upwards: it comes once.
    is_last = source.may_be_last and not check.steady
    return is_last or check.in_a_row >= source.rise


def _member(
    verdict: Verdict, out: Container[Endpoint], checks: Mapping[Endpoint, LastVerdict]
) -> Member:
    if verdict.endpoint in out:
        return Member(verdict.real, Want.OUT)
    # One that fails, but not often enough yet, stays where it is.
    return Member(verdict.real, Want.STAY if checks[verdict.endpoint].failed else Want.IN)


def why_changed(
    causes: Mapping[Endpoint, Sequence[Cause]], verdicts: Sequence[Verdict], good: str
) -> dict[Endpoint, str]:
    """Return why each real server is in or out.

    That is what this source says of a failure, else the causes, else ``good``.
    """
    why = dict.fromkeys((each.endpoint for each in verdicts), good)
    for endpoint, every in causes.items():
        why[endpoint] = "; ".join([each.reason for each in every])
    why.update((each.endpoint, each.reason) for each in verdicts if each.failed)
    return why


def bystanders(
    real_servers: Sequence[RealServer], known: Sequence[Endpoint], members: Sequence[Member]
) -> list[Member]:
    """Return the service's other real servers, in the table or out of it, as members that stay."""
    seen = {member.endpoint for member in members}
    others = [real for real in real_servers if (real.address, real.port) not in seen]
    seen.update((real.address, real.port) for real in others)
    others += [RealServer(*endpoint) for endpoint in known if endpoint not in seen]
    return [Member(real, Want.STAY) for real in others]
