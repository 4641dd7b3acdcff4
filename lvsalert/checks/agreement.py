"""Whether all hosts of a run answer the same: those that differ from the majority have failed.

Pure: results come in with their answers, and go out judged. What has to be known from run to run
comes in and goes out too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from lvsalert.model import Result, State
from lvsalert.mon.report import printable

ALL = ""
"""Stands for all hosts in what is known: since when their answers have no majority."""

_DIGEST_LETTERS = 4
_MOST_LETTERS = 60
_MOST_HOSTS = 6


class Known(NamedTuple):
    """Since when (epoch) a host has differed, and whether it was judged to have failed for that."""

    since: float
    failed: bool = False


class Rule(NamedTuple):
    """What is compared, as reasons name it, and for how many seconds a difference is borne.

    ``most`` is how many bytes of a content are read; with ``is_digest`` answers are long and random
    texts, which are shown by their beginnings.
    """

    what: str
    within: float
    most: int
    is_digest: bool


class Judged(NamedTuple):
    """The results with those failed that differ, lines for the report, and what is known now.

    ``unjudged`` says why there is no verdict on those that are good otherwise, if there is none.
    """

    results: Sequence[Result]
    notes: Sequence[str]
    unjudged: str
    known: Mapping[str, Known]


def majority(answers: Iterable[str]) -> str | None:
    """Return the answer that more than half have given, None where there is none."""
    counted = Counter(answers)
    for answer, count in counted.most_common(1):
        if 2 * count > sum(counted.values()):
            return answer
    return None


def judge(
    results: Sequence[Result],
    rule: Rule,
    known: Mapping[str, Known],
    now: float,
    trouble: str = "",
) -> Judged:
    """Return the results of a run judged by what most hosts answer.

    Hosts that have failed already have no say. Where there is no majority nobody fails who has not
    before, and nobody is good again. ``now`` is the time (epoch). With ``trouble``, which says why
    nothing can be kept, a difference that is new and would be borne is not judged.
    """
    hosts = {each.host for each in results} | {ALL}
    known = {host: each for host, each in known.items() if host in hosts}
    answers = {
        each.host: each.answer
        for each in results
        if each.state is State.GOOD and each.answer is not None
    }
    if not answers:
        return Judged(results, (), "", known)
    is_cut = any(each.is_cut for each in answers.values())
    ballot = _Ballot(
        rule,
        {host: each.text for host, each in answers.items()},
        f" in the first {rule.most} bytes" if is_cut else "",
        now,
        trouble,
    )
    common = majority(ballot.texts.values())
    if not common:
        return _undecided(results, ballot, known)
    return _decided(results, ballot, common, known)


class _Ballot(NamedTuple):
    """What each host with a say has answered, and what ``judge`` was told beside.

    ``cut`` says that only the beginnings of answers are known, where that is so.
    """

    rule: Rule
    texts: Mapping[str, str]
    cut: str
    now: float
    trouble: str

    def shown(self, text: str) -> str:
        """Return an answer as people tell it from the others."""
        if not text:
            return "none"
        if not self.rule.is_digest:
            return printable(text[:_MOST_LETTERS]) + ("…" if len(text) > _MOST_LETTERS else "")
        letters, others = _DIGEST_LETTERS, set(self.texts.values())
        while len({each[:letters] for each in others}) < len(others):
            letters += 1
        return f"{text[:letters]}…"

    def hosts_of(self, text: str) -> str:
        """Return who gave an answer."""
        hosts = [host for host, each in self.texts.items() if each == text]
        more = len(hosts) - _MOST_HOSTS
        return " ".join(hosts[:_MOST_HOSTS]) + (f" and {more} more" if more > 0 else "")

    def shares(self) -> str:
        """Return who answered what."""
        answers = [text for text, _ in Counter(self.texts.values()).most_common()]
        more = len(answers) - _MOST_HOSTS
        told = [f"{self.shown(each)} on {self.hosts_of(each)}" for each in answers[:_MOST_HOSTS]]
        return ", ".join(told) + (f", and {more} more answers" if more > 0 else "")


def _undecided(results: Sequence[Result], ballot: _Ballot, known: dict[str, Known]) -> Judged:
    """Return the results where no answer has a majority, or most have nothing to compare."""
    rule, _, cut, now, trouble = ballot
    why = f"{rule.what} differs{cut}, and no answer has a majority: {ballot.shares()}"
    if majority(ballot.texts.values()) is not None:
        why = f"{rule.what} cannot be compared, since most answers have none: {ballot.shares()}"
    held = {host for host, each in known.items() if each.failed}
    judged = [
        _failed(each, f"it differed when there was a majority; now {why}")
        if each.host in held & ballot.texts.keys()
        else each
        for each in results
    ]
    since = min(now, known[ALL].since) if ALL in known else now
    left = rule.within - (now - since)
    is_borne = left > 0 and (ALL in known or not trouble)
    known[ALL] = Known(since)
    if is_borne:
        return Judged(judged, (f"{why}: borne for {left:.0f} s more",), "", known)
    if left > 0:
        why += f" (since when is not known: {trouble})"
    return Judged(judged, (), why, known)


def _decided(
    results: Sequence[Result], ballot: _Ballot, common: str, known: dict[str, Known]
) -> Judged:
    """Return the results where most hosts answer ``common``."""
    rule, _, cut, now, trouble = ballot
    most = f"{ballot.shown(common)} on {ballot.hosts_of(common)}"
    known.pop(ALL, None)
    judged: list[Result] = []
    notes: list[str] = []
    unjudged = ""
    for each in results:
        text = ballot.texts.get(each.host, common)
        if text == common:
            if each.host in ballot.texts:
                known.pop(each.host, None)
            judged.append(each)
            continue
        why = f"{rule.what} differs{cut}: {ballot.shown(text)} here, {most}"
        before = known.get(each.host)
        since = now if before is None else min(now, before.since)
        left = rule.within - (now - since)
        has_failed = left <= 0 or (before is not None and before.failed)
        known[each.host] = Known(since, has_failed)
        judged.append(_failed(each, why) if has_failed else each)
        if not has_failed and before is None and trouble:
            unjudged = unjudged or f"{each.host}: {why} (since when is not known: {trouble})"
        elif not has_failed:
            notes.append(f"{each.host}: {why}: borne for {left:.0f} s more")
    if trouble and known and not unjudged:
        notes.append(f"not remembered: {trouble}")
    if cut and not known:
        notes.append(f"{rule.what} was compared{cut}")
    return Judged(judged, notes, unjudged, known)


def _failed(result: Result, reason: str) -> Result:
    return result._replace(state=State.FAILED, reason=reason)
