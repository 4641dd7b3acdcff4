"""What mon is told of checks between its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.resident.watch import Watch, failed_of

ALL = ("a", "b", "c", "d")
HOSTS = st.frozensets(st.sampled_from(ALL))


@pytest.mark.parametrize(
    ("status", "output", "failed"),
    [
        (0, "\nHOST a: ok\n", frozenset()),
        (0, "a b\n", frozenset()),
        (1, "a b\nHOST a: refused\n", frozenset({"a", "b"})),
        (1, "\nHOST a: refused\n", None),
        (3, "\nhttp.monitor: ended by SIGTERM\n", None),
        (3, "a\n", None),
        (2, "a\n", None),
        (1, "", None),
    ],
)
def test_what_a_report_says(status: int, output: str, failed: frozenset[str] | None) -> None:
    """Only a verdict of our monitors names hosts; everything else cannot tell."""
    assert failed_of(status, output) == failed


def watch(fall: int = 1, rise: int = 1) -> Watch:
    """Return a service that mon has called once, with all hosts well."""
    made = Watch(1.0, {"LVSALERT_FALL": str(fall), "LVSALERT_RISE": str(rise)})
    made.call(frozenset(), 0.0)
    return made


def test_a_change_counts_once_it_has_held() -> None:
    """So many checks in a row as lvs.alert wants of mon's own; one good one between begins anew."""
    made = watch(fall=3, rise=2)
    down, up = frozenset({"a"}), frozenset[str]()
    seen = [down, down, up, down, None, down, down, up, down, up, up]
    assert [made.check(each, ALL) for each in seen] == [
        *[False, False, False, False, False, False, True],
        *[False, False, False, True],
    ]


def test_what_mon_knows_is_not_told_to_it() -> None:
    """Its own check, made meanwhile, is the new beginning."""
    made = watch()
    assert made.check(frozenset({"a"}), ALL)
    made.call(frozenset({"a", "b"}), 5.0)
    assert not made.check(frozenset({"a", "b"}), ALL)
    made.call(None, 10.0)
    assert not made.check(frozenset({"a", "b"}), ALL)


def test_a_check_of_some_hosts_says_nothing_of_the_others() -> None:
    """What was seen of them stays, be it known to mon or not yet."""
    made = watch(fall=2)
    made.call(frozenset({"c"}), 5.0)
    assert not made.check(frozenset({"a"}), ["a", "b"])
    assert not made.check(frozenset({"d"}), ["d"])
    assert made.check(frozenset({"a"}), ["a"])
    assert made.told == frozenset({"a", "c"})
    assert made.check(frozenset({"d"}), ["c", "d"])
    assert made.told == frozenset({"a", "d"})


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "1.5", "\u00b2"])
def test_a_count_that_is_none_is_one(text: str) -> None:
    """lvs.alert complains of it; here one word is enough."""
    made = Watch(1.0, {"LVSALERT_FALL": text})
    assert made.fall == 1


def test_it_ends_when_mon_calls_no_more() -> None:
    """After three of its intervals; until there were two calls an interval is ten minutes."""
    made = watch()
    assert not made.is_over(1799)
    assert made.is_over(1801)
    made.call(frozenset(), 20.0)
    assert not made.is_over(79)
    assert made.is_over(81)
    # After a reset it calls early.
    made.call(frozenset(), 21.0)
    assert not made.is_over(80)
    assert made.is_over(82)
    made.call(frozenset(), 31.0)
    assert not made.is_over(60)
    assert made.is_over(62)


@given(st.lists(st.one_of(st.none(), HOSTS)), st.integers(1, 3), st.integers(1, 3))
def test_what_holds_is_what_mon_hears(
    checks: list[frozenset[str] | None], fall: int, rise: int
) -> None:
    """Whatever came before: after so many checks alike, mon has heard just that, and once."""
    made = watch(fall, rise)
    for each in checks:
        before = made.told
        assert made.check(each, ALL) is (made.told != before)
    last = frozenset({"a", "d"})
    for _ in range(3):
        made.check(last, ALL)
    assert made.told == last
    assert not made.check(last, ALL)
