"""Hosts that are judged by what the others answer: majority, ties, and what is known before."""

from __future__ import annotations

import socket
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.checks.agreement import ALL, Judged, Known, Rule, judge, majority
from lvsalert.director.policy import Floor, Member, Rules, Want, decide, serving
from lvsalert.ipvs.table import Service
from lvsalert.model import Answer, Protocol, RealServer, Result, State, VirtualService

NOW = 1_700_000_000.0
RULE = Rule("content", 0.0, 1 << 20, is_digest=True)
PATIENT = RULE._replace(within=60.0)
FULL = "/var/lib/lvsalert/ledger.db: No space left on device"
# What each host answers: nothing comparable, one of few texts, or no answer since it has failed.
ANSWERS = st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "b", "c"])), max_size=12)


def results(*texts: str | None) -> list[Result]:
    """Return the results of web1, web2 and so on; None is one that has failed already."""
    return [
        Result(f"web{number}", State.FAILED, "dead", 0.0)
        if text is None
        else Result(f"web{number}", State.GOOD, "", 0.0, answer=Answer(text))
        for number, text in enumerate(texts, 1)
    ]


def out(judged: Judged) -> dict[str, str]:
    """Return the hosts that failed for their answers, and why."""
    return {
        each.host: each.reason
        for each in judged.results
        if each.state is State.FAILED and each.reason != "dead"
    }


@given(st.lists(st.sampled_from("abcd")))
def test_a_majority_is_more_than_half(answers: list[str]) -> None:
    """Whoever has more than half is it; a tie, and no answer at all, have none."""
    found = majority(answers)
    assert found == next((each for each in answers if 2 * answers.count(each) > len(answers)), None)


@given(ANSWERS, st.randoms())
def test_fewer_than_half_fail_and_never_on_a_tie_whatever_the_order(
    texts: list[str | None], random: object
) -> None:
    """Any number of answers, any ties, answers missing: only who differs from a majority fails."""
    given_in = results(*texts)
    judged = judge(given_in, RULE, {}, NOW)
    said = Counter(text for text in texts if text is not None)
    common = next((text for text, count in said.items() if 2 * count > sum(said.values())), None)
    wrong = {
        each.host
        for each in given_in
        if common and each.answer is not None and each.answer.text != common
    }
    assert set(out(judged)) == wrong
    assert 2 * len(wrong) < sum(said.values()) or not wrong
    assert bool(judged.unjudged) == (bool(said) and not common)
    shuffled = list(given_in)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = judge(shuffled, RULE, {}, NOW)
    assert {each.host: each.state for each in again.results} == {
        each.host: each.state for each in judged.results
    }
    assert (again.known, bool(again.unjudged)) == (judged.known, bool(judged.unjudged))


@given(ANSWERS, st.integers(0, 12), st.booleans())
def test_no_more_go_out_than_the_floor_lets(
    texts: list[str | None], number: int, is_percent: bool
) -> None:
    """--min-in goes for those that differ as for the dead."""
    web = VirtualService(Protocol.TCP, "10.0.0.3", 80, 0, socket.AF_INET)
    judged = judge(results(*texts), RULE, {}, NOW)
    servers = [RealServer(f"192.0.2.{each}", 80) for each in range(1, len(texts) + 1)]
    service = Service(web, "wlc", (), {each[:2]: each for each in servers})
    members = [
        Member(server, Want.IN if each.state is State.GOOD else Want.OUT)
        for server, each in zip(servers, judged.results)
    ]
    floor = Floor(number, is_percent)
    decision = decide(service, members, {}, Rules(floor=floor), now=NOW, connections={})
    assert len(serving(decision.service)) >= floor.of(len(servers))


@pytest.mark.parametrize(
    ("texts", "failed", "unjudged"),
    [
        (["9c1e5", "3f2a5", "9c1e5", "9c1e5"], {"web2": "3f2a… here, 9c1e… on web1 web3 web4"}, ""),
        (["9c1e5", "9c1e6", "9c1e5"], {"web2": "9c1e6… here, 9c1e5… on web1 web3"}, ""),
        (["9c1e5", "", "9c1e5"], {"web2": "none here, 9c1e… on web1 web3"}, ""),
        (["9c1e5", "3f2a5"], {}, "no answer has a majority: 9c1e… on web1, 3f2a… on web2"),
        (["9c1e5", "3f2a5", None], {}, "no answer has a majority: 9c1e… on web1, 3f2a… on web2"),
        (["a", "b", "c"], {}, "no answer has a majority: a… on web1, b… on web2, c… on web3"),
        (["a", "a", "b", "c"], {}, "has a majority: a… on web1 web2, b… on web3, c… on web4"),
        (["", "", "9c1e5"], {}, "most answers have none: none on web1 web2, 9c1e… on web3"),
        (["9c1e5"], {}, ""),
        ([None, None], {}, ""),
        ([], {}, ""),
    ],
)
def test_who_differs_is_told_with_the_others(
    texts: list[str | None], failed: dict[str, str], unjudged: str
) -> None:
    """The reason has both answers; where nothing can be told it has all of them."""
    judged = judge(results(*texts), RULE, {}, NOW)
    assert out(judged) == {host: f"content differs: {why}" for host, why in failed.items()}
    assert judged.unjudged.endswith(unjudged)
    assert bool(judged.unjudged) == bool(unjudged)


def test_many_hosts_are_told_in_one_line() -> None:
    """Six of them, and how many more."""
    many = judge(results(*["a"] * 998, "b"), RULE, {}, NOW)
    assert out(many)["web999"].endswith("on web1 web2 web3 web4 web5 web6 and 992 more")
    all_differ = judge(results(*map(str, range(100, 999))), RULE, {}, NOW)
    assert all_differ.unjudged.endswith("105… on web6, and 893 more answers")


def test_a_difference_is_borne_for_so_long_and_begins_anew() -> None:
    """Until then it is a remark; who has agreed in between has its whole time again."""
    known: dict[str, Known] = {}
    for seconds, texts, failed in (
        (0, "aab", []),
        (59, "aab", []),
        (60, "aab", ["web3"]),
        (61, "aab", ["web3"]),
        (62, "aaa", []),
        (63, "aab", []),
        (64, "bba", []),
        (124, "bba", ["web3"]),
    ):
        judged = judge(results(*texts), PATIENT, known, NOW + seconds)
        assert list(out(judged)) == failed, seconds
        assert not judged.unjudged
        known = dict(judged.known)
        differ = {f"web{place + 1}" for place in range(3) if texts.count(texts[place]) == 1}
        assert known.keys() == differ
    judged = judge(results("a", "a", "b"), PATIENT, {}, NOW)
    (note,) = judged.notes
    assert note == "web3: content differs: b… here, a… on web1 web2: borne for 60 s more"


def test_a_tie_is_borne_as_long_and_then_told() -> None:
    """Half of the servers are new in the midst of each replication."""
    tie = results("a", "b", "a", "b")
    first = judge(tie, PATIENT, {}, NOW)
    assert (out(first), first.unjudged, first.known) == ({}, "", {ALL: Known(NOW)})
    assert first.notes[0].endswith(": borne for 60 s more")
    late = judge(tie, PATIENT, first.known, NOW + 60)
    assert late.unjudged.endswith("no answer has a majority: a… on web1 web3, b… on web2 web4")
    assert judge(results("a", "a", "a", "a"), PATIENT, late.known, NOW + 61).known == {}


def test_who_has_failed_is_not_let_in_by_a_tie() -> None:
    """One of two good servers dies: the third one's content is as old as before."""
    before = judge(results("a", "a", "b"), RULE, {}, NOW)
    assert list(out(before)) == ["web3"]
    one_died = judge(results("a", None, "b"), RULE, before.known, NOW + 1)
    why = "content differs, and no answer has a majority: a… on web1, b… on web3"
    assert out(one_died) == {"web3": f"it differed when there was a majority; now {why}"}
    assert one_died.unjudged == why
    # With the other one gone too its content is all that there is.
    assert out(judge(results(None, None, "b"), RULE, one_died.known, NOW + 2)) == {}
    mended = judge(results("a", None, "a"), RULE, one_died.known, NOW + 2)
    assert (out(mended), mended.unjudged, mended.known) == ({}, "", {})


def test_a_death_in_between_does_not_begin_anew() -> None:
    """What is known of a host that gives no answer stays; of one that left it goes."""
    first = judge(results("a", "a", "b"), PATIENT, {}, NOW)
    dead = judge(results("a", "a", None), PATIENT, first.known, NOW + 30)
    assert dead.known == first.known
    assert list(out(judge(results("a", "a", "b"), PATIENT, dead.known, NOW + 60))) == ["web3"]
    assert judge(results("a", "a"), PATIENT, first.known, NOW + 30).known == {}


def test_a_clock_that_was_set_back_bears_no_longer() -> None:
    """What began in the future begins now."""
    judged = judge(results("a", "a", "b"), PATIENT, {"web3": Known(NOW + 9999)}, NOW)
    assert judged.known == {"web3": Known(NOW)}


def test_where_nothing_can_be_kept_nothing_new_is_judged() -> None:
    """Since when a host differs is not known then; without a time to bear it need not be."""
    one, tie = results("a", "a", "b"), results("a", "b")
    judged = judge(one, PATIENT, {}, NOW, FULL)
    assert out(judged) == {}
    assert judged.unjudged.startswith("web3: content differs: b… here, a… on web1 web2 (since when")
    assert judged.unjudged.endswith(f"is not known: {FULL})")
    assert judge(tie, PATIENT, {}, NOW, FULL).unjudged.endswith(
        f"(since when is not known: {FULL})"
    )
    known = {"web3": Known(NOW - 60)}
    assert list(out(judge(one, PATIENT, known, NOW, FULL))) == ["web3"]
    at_once = judge(one, RULE, {}, NOW, FULL)
    assert (list(out(at_once)), at_once.notes) == (["web3"], [f"not remembered: {FULL}"])


def test_that_answers_were_cut_is_said() -> None:
    """Of what differs and of what does not."""
    cut = [each._replace(answer=Answer("a", is_cut=True)) for each in results("", "", "")]
    assert judge(cut, RULE, {}, NOW).notes == ["content was compared in the first 1048576 bytes"]
    cut[2] = cut[2]._replace(answer=Answer("b", is_cut=True))
    why = "content differs in the first 1048576 bytes: b… here, a… on web1 web2"
    assert out(judge(cut, RULE, {}, NOW)) == {"web3": why}


def test_other_answers_are_told_as_they_are() -> None:
    """A header's value is shown, cut, and in one line."""
    rule = Rule("etag", 0.0, 1 << 20, is_digest=False)
    judged = judge(results('"x"', '"x"', "\x1b" + "y" * 99), rule, {}, NOW)
    assert out(judged) == {"web3": f'etag differs: \\x1b{"y" * 59}… here, "x" on web1 web2'}
