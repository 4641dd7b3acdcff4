"""What sources and operators say of real servers, counted in an empty ledger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.director.policy import Member, Want
from lvsalert.director.verdicts import (
    Source,
    Verdict,
    bystanders,
    take_checks,
    take_operator,
)
from lvsalert.ipvs.table import Endpoint
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import OPERATOR, Cause
from lvsalert.model import RealServer

VIRTUAL = "tcp 10.0.0.3:80"
ONE: Endpoint = ("192.0.2.1", 80)
TWO: Endpoint = ("192.0.2.2", 80)
HTTP = Source("www/http", 100)


def verdict(endpoint: Endpoint, *, failed: bool, reason: str = "timed out") -> Verdict:
    """Return what a source says of a real server."""
    return Verdict(RealServer(*endpoint), failed, reason if failed else "")


def say(ledger: Ledger, source: Source, *failed: bool, now: float | None = None) -> list[Want]:
    """Let a source report one, two or more real servers; return what is wanted of each."""
    verdicts = [verdict((f"192.0.2.{n}", 80), failed=bad) for n, bad in enumerate(failed, 1)]
    heard = float(source.time) if now is None else now
    return [each.want for each in take_checks(ledger, VIRTUAL, verdicts, source, now=heard)]


def say_of_all(ledger: Ledger, source: Source, *, now: float) -> None:
    """Let a source report that the first real server fails, which is all there is of its group."""
    take_checks(ledger, VIRTUAL, [verdict(ONE, failed=True)], source, now=now, is_whole=True)


def causes(ledger: Ledger, endpoint: Endpoint = ONE) -> list[str]:
    """Return the causes of a real server."""
    return [each.cause for each in ledger.causes_of(VIRTUAL, endpoint)]


@pytest.fixture
def ledger() -> Ledger:
    """An empty ledger, in memory."""
    return Ledger.in_memory()


F, G = True, False


@pytest.mark.parametrize(
    ("fall", "rise", "story", "wants"),
    [
        (1, 1, [F, F, G, G], "out out in in"),
        (2, 1, [F, G, F, F, G], "stay in stay out in"),
        (1, 2, [F, G, F, G, G], "out out out out in"),
        (3, 3, [F, F, F, G, G, F, G, G, G], "stay stay out out out out out out in"),
        (2, 2, [G, F, F, G, F, G, G], "in stay out out out out in"),
    ],
)
def test_checks_in_a_row(
    ledger: Ledger, fall: int, rise: int, story: list[bool], wants: str
) -> None:
    """A server goes out after so many failures in a row, and comes back after so many successes."""
    found = [
        say(ledger, Source("www/http", 100 + n, fall, rise, repeats=not failed), failed)[0].value
        for n, failed in enumerate(story)
    ]
    assert " ".join(found) == wants


def test_cause_keeps_its_time_and_renews_its_reason(ledger: Ledger) -> None:
    """Since when is the first failure's, why is the last one's."""
    for when, reason in ((100, "timed out"), (110, "refused")):
        take_checks(
            ledger,
            VIRTUAL,
            [verdict(ONE, failed=True, reason=reason)],
            Source("www/http", when),
            now=when,
        )
    assert ledger.causes_of(VIRTUAL, ONE) == [Cause("www/http", 100.0, "refused", drain=False)]


@pytest.mark.parametrize("first", [F, G])
def test_one_host_under_two_names_fails_where_one_name_does(ledger: Ledger, first: bool) -> None:
    """Two hosts of a group that mean one real server are one check of it."""
    both = [verdict(ONE, failed=first), verdict(ONE, failed=not first)]
    members = take_checks(ledger, VIRTUAL, both, HTTP, now=100.0)
    assert [each.want for each in members] == [Want.OUT, Want.OUT]
    assert ledger.verdicts.of(VIRTUAL, ONE)["www/http"].in_a_row == 1


@pytest.mark.parametrize(
    ("steady", "may_be_last", "want"),
    [
        (True, True, Want.OUT),
        (True, False, Want.OUT),
        (False, True, Want.IN),
        (False, False, Want.OUT),
    ],
)
def test_only_what_may_be_the_last_word_is_not_counted(
    ledger: Ledger, steady: bool, may_be_last: bool, want: Want
) -> None:
    """An upalert of a source that has never repeated a success brings back at once."""
    if steady:
        say(ledger, Source("www/http", 90, repeats=True), G)
    say(ledger, HTTP, F)
    up = Source("www/http", 110, rise=3, repeats=not may_be_last, may_be_last=may_be_last)
    assert say(ledger, up, G) == [want]


def test_vanished_members_are_forgotten_of_that_source_alone(ledger: Ledger) -> None:
    """What other sources said of them stays."""
    for name in ("www/http", "www/ping"):
        say(ledger, Source(name, 100), F, F)
    say_of_all(ledger, Source("www/http", 110), now=110.0)
    assert causes(ledger, ONE) == ["www/http", "www/ping"]
    assert causes(ledger, TWO) == ["www/ping"]
    assert set(ledger.verdicts.of(VIRTUAL, TWO)) == {"www/ping"}


def test_what_was_said_later_is_not_forgotten(ledger: Ledger) -> None:
    """A late event does not know of members that came after it."""
    say(ledger, Source("www/http", 120), F, F)
    say_of_all(ledger, Source("www/http", 110), now=121.0)
    assert causes(ledger, TWO) == ["www/http"]


def test_clock_set_back_forgets_all_the_same(ledger: Ledger) -> None:
    """What was heard in the future is older than anything."""
    say(ledger, Source("www/http", 5000), F, F)
    say_of_all(ledger, Source("www/http", 110), now=110.0)
    assert causes(ledger, TWO) == []


def test_count_goes_on_when_the_clock_is_set_back(ledger: Ledger) -> None:
    """The third failure is the third, whenever it was."""
    for when in (5000, 5010, 100):
        wants = say(ledger, Source("www/http", when, fall=3), F)
    assert wants == [Want.OUT]


@pytest.mark.parametrize("drain", [True, False])
def test_operator(ledger: Ledger, drain: bool) -> None:
    """Down by hand is a cause of its own, up by hand clears every cause."""
    say(ledger, HTTP, F)
    member = take_operator(ledger, VIRTUAL, verdict(ONE, failed=True), now=105.0, drain=drain)
    assert member.want is Want.OUT
    assert ledger.causes_of(VIRTUAL, ONE)[1] == Cause(OPERATOR, 105.0, "timed out", drain)
    assert say(ledger, Source("www/http", 110), G) == [Want.OUT]
    member = take_operator(ledger, VIRTUAL, verdict(ONE, failed=False), now=106.0, drain=False)
    assert member.want is Want.IN
    assert causes(ledger) == []


def test_bystanders_stand_or_are_known() -> None:
    """The floor counts those in the table and those that causes keep out of it, each once."""
    members = [Member(RealServer(*ONE), Want.OUT)]
    others = bystanders(
        [RealServer(*ONE), RealServer(*TWO, weight=0)], [ONE, TWO, ("192.0.2.3", 80)], members
    )
    assert [(each.endpoint, each.want, each.real.weight) for each in others] == [
        (TWO, Want.STAY, 0),
        (("192.0.2.3", 80), Want.STAY, 1),
    ]


EVENTS = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(100, 120), st.booleans()))


@given(EVENTS)
def test_causes_are_what_the_newest_word_of_each_source_says(
    events: list[tuple[str, int, bool]],
) -> None:
    """In whatever order events arrive, the newest of each source counts, and of two the failure."""
    ledger = Ledger.in_memory()
    for name, when, failed in events:
        say(ledger, Source(name, when), failed, now=200.0)
    newest: dict[str, tuple[int, bool]] = {}
    for name, when, failed in events:
        newest[name] = max(newest.get(name, (0, False)), (when, failed))
    assert set(causes(ledger)) == {name for name, (_, failed) in newest.items() if failed}
    ledger.close()


@given(st.permutations([(100, F), (110, G), (110, F), (120, G)]))
def test_order_of_arrival_does_not_matter(order: list[tuple[int, bool]]) -> None:
    """Four alerts that overtake each other end as the last second says."""
    ledger = Ledger.in_memory()
    for when, failed in order:
        wants = say(ledger, Source("www/http", when), failed, now=200.0)
    assert wants == [Want.IN]
    ledger.close()
