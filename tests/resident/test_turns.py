"""When servers are checked between mon's checks."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lvsalert.resident.turns import next_turn, parts_of, turn_of

COUNTS = st.integers(1, 300)
BETWEEN = st.floats(0.1, 600)
TURN = st.floats(0, 1, exclude_max=True)
NOW = st.floats(0, 1e7)


@settings(deadline=None)
@given(COUNTS, st.booleans())
def test_each_host_is_in_one_part(count: int, are_apart: bool) -> None:
    """Parts are of the same size, but for one; few hosts, and those that belong together, are one.

    A part is worth its run.
    """
    hosts = [str(number) for number in range(count * 7)]
    parts = parts_of(hosts, are_apart=are_apart)
    assert sorted(host for part in parts for host in part) == sorted(hosts)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) <= 4
    if len(parts) > 1:
        assert are_apart
        assert min(sizes) >= 128


@settings(deadline=None)
@given(st.integers(0, 10_000), COUNTS, st.sampled_from([1, 2, 4]))
def test_turns_are_spread(first: int, services: int, parts: int) -> None:
    """However many services there are: nowhere in the time are there many, nowhere none.

    As numbers that come one after the other they are those of services that came together.
    """
    turns = sorted(
        turn_of(service, part, parts)
        for service in range(first, first + services)
        for part in range(parts)
    )
    assert 0 <= turns[0] <= turns[-1] < 1
    gaps = [later - sooner for sooner, later in zip(turns, [*turns[1:], turns[0] + 1])]
    assert max(gaps) < 2.7 / services + 1e-6


@settings(deadline=None)
@given(NOW, BETWEEN, TURN)
def test_a_turn_comes_once_in_its_time(now: float, between: float, turn: float) -> None:
    """The next one is within the time from now, and those behind it come so far apart."""
    when = next_turn(now, between, turn)
    assert 0 < when - now <= between * 1.01
    for _ in range(3):
        later = next_turn(when, between, turn)
        assert abs(later - when - between) < between * 0.01
        # Whoever comes late keeps the place.
        assert abs(next_turn(when + between / 2, between, turn) - later) < between * 0.01
        when = later
