"""Who is in and who is out, as a function of the table, what is known, and the rules."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.director.policy import (
    Decision,
    Floor,
    Member,
    Rules,
    Want,
    decide,
    parse_floor,
    slow_weight,
)
from lvsalert.errors import UsageError
from lvsalert.ipvs.table import Endpoint, Service
from lvsalert.ledger.records import ServerMemory
from lvsalert.model import Protocol, RealServer, VirtualService

VIRTUAL = VirtualService(Protocol.TCP, "10.0.0.3", 80, 0, socket.AF_INET)
NOW = 1000.0


def server(number: int, weight: int = 10) -> RealServer:
    """Return a real server by its number."""
    return RealServer(f"192.0.2.{number}", 80, weight=weight)


def at(number: int) -> Endpoint:
    """Return a real server's address and port."""
    return f"192.0.2.{number}", 80


def standing(weights: dict[int, int]) -> Service:
    """Return the service with real servers of these weights."""
    servers = {at(number): server(number, weight) for number, weight in weights.items()}
    return Service(VIRTUAL, "wlc", (), servers)


def decided(
    weights: dict[int, int],
    wants: dict[int, Want],
    rules: Rules,
    known: dict[int, ServerMemory] | None = None,
    connections: dict[int, int] | None = None,
) -> Decision:
    """Decide on real servers told by number; those that come in have weight 10."""
    return decide(
        standing(weights),
        [Member(server(number), want) for number, want in wants.items()],
        {at(number): each for number, each in (known or {}).items()},
        rules,
        now=NOW,
        connections={at(number): count for number, count in (connections or {}).items()},
    )


def weights_of(decision: Decision) -> dict[int, int]:
    """Return the weights that stand afterwards, by number."""
    return {
        int(address.rpartition(".")[2]): real.weight
        for (address, _), real in decision.service.real_servers.items()
    }


@pytest.mark.parametrize(
    ("text", "floor"),
    [
        ("0", Floor(0)),
        ("2", Floor(2)),
        ("999999", Floor(999999)),
        ("0%", Floor(0, is_percent=True)),
        ("50%", Floor(50, is_percent=True)),
        ("100%", Floor(100, is_percent=True)),
    ],
)
def test_floor_is_read(text: str, floor: Floor) -> None:
    """A number of real servers, or a share of them."""
    assert parse_floor(text) == floor


@pytest.mark.parametrize(
    "text", ["", "%", "-1", "101%", "1.5", "50 %", "%50", "50%%", "two", "²", "1234567", "+2"]
)
def test_floor_that_is_none_is_quoted(text: str) -> None:
    """What is neither a number nor a share is told as it was written."""
    with pytest.raises(UsageError) as caught:
        parse_floor(text)
    assert str(caught.value) == f"{text!r} is not a number of real servers: write 2 or 50%"


@pytest.mark.parametrize(
    ("floor", "size", "of"),
    [
        (Floor(2), 5, 2),
        (Floor(9), 5, 5),
        (Floor(1), 0, 0),
        (Floor(50, is_percent=True), 5, 3),
        (Floor(1, is_percent=True), 5, 1),
        (Floor(100, is_percent=True), 5, 5),
        (Floor(0, is_percent=True), 5, 0),
        (Floor(20, is_percent=True), 5, 1),
    ],
)
def test_share_is_rounded_up_and_no_floor_is_higher_than_the_group(
    floor: Floor, size: int, of: int
) -> None:
    """The floor is what is left at least, and never more than there are."""
    assert floor.of(size) == of


@pytest.mark.parametrize(
    ("weight", "done", "now"),
    [
        (0, 0.0, 0),
        (0, 0.9, 0),
        (1, 0.0, 1),
        (9, 0.0, 1),
        (100, 0.0, 10),
        (100, 0.5, 55),
        (100, -3.0, 10),
        (65535, 0.0, 6553),
    ],
)
def test_slow_weight(weight: int, done: float, now: int) -> None:
    """A tenth at first, then linear; at least 1 where the whole is more than 0."""
    assert slow_weight(weight, done) == now


@given(st.integers(0, 65535), st.lists(st.floats(0, 1, exclude_max=True), min_size=2))
def test_slow_weight_never_falls_nor_passes_the_whole(weight: int, times: list[float]) -> None:
    """As time goes on the weight grows, between nothing and all of it."""
    steps = [slow_weight(weight, each) for each in sorted(times)]
    assert steps == sorted(steps)
    assert all(min(1, weight) <= each <= weight for each in steps)


OUT, STAY, IN = Want.OUT, Want.STAY, Want.IN
FLOOR_2 = Rules(floor=Floor(2))


@pytest.mark.parametrize(
    ("weights", "wants", "rules", "known", "after", "held"),
    [
        pytest.param(
            {1: 5, 2: 10}, {1: OUT, 2: IN}, Rules(), {}, {2: 10}, [], id="one goes, one stands"
        ),
        pytest.param({1: 5}, {1: STAY}, Rules(), {}, {1: 5}, [], id="stays as it is"),
        pytest.param({}, {1: STAY, 2: OUT}, Rules(), {}, {}, [], id="stays away"),
        pytest.param({1: 5}, {1: OUT}, Rules(quiesce=True), {}, {1: 0}, [], id="quiesced"),
        pytest.param({}, {1: OUT}, Rules(quiesce=True), {}, {}, [], id="quiesce puts nobody in"),
        pytest.param(
            {1: 10, 2: 10, 3: 10},
            {1: OUT, 2: OUT, 3: OUT},
            FLOOR_2,
            {1: ServerMemory(since=1.0), 2: ServerMemory(since=2.0), 3: ServerMemory(since=3.0)},
            {2: 10, 3: 10},
            [3, 2],
            id="the last to fail stay",
        ),
        pytest.param(
            {2: 10},
            {1: OUT, 2: OUT},
            Rules(floor=Floor(1)),
            {1: ServerMemory(since=1.0), 2: ServerMemory(since=1.0)},
            {2: 10},
            [2],
            id="of two that failed at once the one that is in stays",
        ),
        pytest.param(
            {1: 10, 2: 0},
            {1: OUT, 2: STAY},
            Rules(floor=Floor(1)),
            {},
            {1: 10, 2: 0},
            [1],
            id="a quiesced one does not count",
        ),
        pytest.param(
            {1: 10, 2: 10},
            {1: OUT, 2: OUT},
            Rules(floor=Floor(1)),
            {1: ServerMemory(since=9.0, by_operator=True), 2: ServerMemory(since=1.0)},
            {2: 10},
            [2],
            id="an operator's is not held",
        ),
        pytest.param(
            {1: 10, 2: 10},
            {1: OUT, 2: IN},
            Rules(floor=Floor(1)),
            {1: ServerMemory(since=1.0)},
            {2: 10},
            [],
            id="the floor is kept without it",
        ),
        pytest.param(
            {},
            {1: OUT, 2: OUT},
            Rules(floor=Floor(1)),
            {1: ServerMemory(since=1.0), 2: ServerMemory(since=2.0)},
            {2: 10},
            [2],
            id="one that is out is put in",
        ),
        pytest.param(
            {1: 10, 8: 10},
            {1: OUT},
            Rules(floor=Floor(1)),
            {1: ServerMemory(since=1.0)},
            {1: 10, 8: 10},
            [1],
            id="strangers do not count",
        ),
        pytest.param(
            {1: 10}, {1: OUT}, Rules(fallback=server(9, 1)), {}, {9: 1}, [], id="fallback in"
        ),
        pytest.param(
            {9: 1}, {1: IN}, Rules(fallback=server(9, 1)), {}, {1: 10}, [], id="fallback out"
        ),
        pytest.param(
            {1: 10, 8: 10},
            {1: OUT},
            Rules(fallback=server(9, 1)),
            {},
            {8: 10},
            [],
            id="a stranger is in",
        ),
        pytest.param(
            {9: 7},
            {1: OUT},
            Rules(fallback=server(9, 1)),
            {},
            {9: 1},
            [],
            id="fallback at its weight",
        ),
    ],
)
def test_decision(
    *,
    weights: dict[int, int],
    wants: dict[int, Want],
    rules: Rules,
    known: dict[int, ServerMemory],
    after: dict[int, int],
    held: list[int],
) -> None:
    """Table, wants, rules and what is known come in; the table and who is held come out."""
    decision = decided(weights, wants, rules, known)
    assert weights_of(decision) == after
    assert decision.held == [at(number) for number in held]
    for number in wants:
        assert decision.memories[at(number)].held is (number in held)


RESERVE = frozenset({at(8), at(9)})


@pytest.mark.parametrize(
    ("weights", "wants", "floor", "after", "held"),
    [
        pytest.param({}, {1: IN, 2: IN, 8: IN}, 2, {1, 2}, [], id="enough serve"),
        pytest.param({1: 10, 2: 10}, {1: OUT, 2: IN, 8: IN}, 2, {2, 8}, [], id="one stands in"),
        pytest.param(
            {2: 10}, {1: OUT, 2: IN, 8: IN, 9: IN}, 2, {2, 8}, [], id="no more than needed"
        ),
        pytest.param(
            {2: 10, 9: 10}, {1: OUT, 2: IN, 8: IN, 9: IN}, 2, {2, 9}, [], id="who serves goes on"
        ),
        pytest.param({2: 10, 8: 10}, {1: IN, 2: IN, 8: IN}, 2, {1, 2}, [], id="leaves again"),
        pytest.param({1: 10, 2: 10}, {1: OUT, 2: OUT, 8: IN}, 2, {1, 8}, [1], id="held beside it"),
        pytest.param({1: 10}, {1: OUT, 8: OUT}, 1, {1}, [1], id="a dead one is not held"),
        pytest.param({1: 10, 8: 10}, {1: OUT, 8: STAY}, 1, {8}, [], id="one in doubt goes on"),
        pytest.param({1: 10, 2: 10}, {1: OUT, 2: IN, 8: IN}, None, {2}, [], id="no floor"),
        pytest.param({1: 10}, {1: OUT, 8: IN}, None, {8}, [], id="no floor and nobody else"),
    ],
)
def test_the_reserve_stands_in(
    weights: dict[int, int],
    wants: dict[int, Want],
    floor: int | None,
    after: set[int],
    held: list[int],
) -> None:
    """A reserve that is well serves while too few of the others do, before a failed one is held."""
    rules = Rules(floor=None if floor is None else Floor(floor), reserve=RESERVE)
    decision = decided(weights, wants, rules)
    assert set(weights_of(decision)) == after
    assert decision.held == [at(number) for number in held]


@given(
    weights=st.dictionaries(st.integers(1, 9), st.just(10)),
    wants=st.dictionaries(st.integers(1, 9), st.sampled_from(Want)),
    floor=st.integers(0, 7),
)
def test_the_reserve_is_no_more_than_what_is_missing(
    weights: dict[int, int], wants: dict[int, Want], floor: int
) -> None:
    """What others do is as if there were none, and none that fails comes in."""
    rules = Rules(floor=Floor(floor), reserve=frozenset(map(at, range(6, 10))))
    after = weights_of(decided(weights, wants, rules))
    main = {number: want for number, want in wants.items() if number < 6}
    well = sum(want is IN or (want is STAY and number in weights) for number, want in main.items())
    missing = max(0, min(floor, len(main)) - well)
    asked = [number for number, want in wants.items() if number >= 6 and want is IN]
    assert sum(number in after for number in asked) == min(missing, len(asked))
    assert not [
        number for number, want in wants.items() if number >= 6 and want is OUT and number in after
    ]
    assert all(number in after for number, want in main.items() if want is IN)


FIRST = Rules(quiesce_first=30.0)


@pytest.mark.parametrize(
    ("weights", "rules", "known", "connections", "after", "until"),
    [
        pytest.param({1: 5}, FIRST, ServerMemory(), {}, {1: 0}, NOW + 30, id="begins"),
        pytest.param({1: 0}, FIRST, ServerMemory(), {1: 0}, {}, None, id="is at weight 0 and idle"),
        pytest.param({1: 0}, FIRST, ServerMemory(), {}, {1: 0}, NOW + 30, id="is at weight 0"),
        pytest.param(
            {1: 0}, FIRST, ServerMemory(quiesced_until=NOW + 1), {1: 3}, {1: 0}, NOW + 1, id="waits"
        ),
        pytest.param(
            {1: 0}, FIRST, ServerMemory(quiesced_until=NOW), {1: 3}, {}, None, id="time is up"
        ),
        pytest.param(
            {1: 0},
            FIRST,
            ServerMemory(quiesced_until=NOW + 1),
            {1: 0},
            {},
            None,
            id="nobody is left",
        ),
        pytest.param(
            {1: 5},
            FIRST,
            ServerMemory(quiesced_until=NOW + 1),
            {1: 0},
            {1: 0},
            NOW + 1,
            id="was killed",
        ),
        pytest.param({}, FIRST, ServerMemory(quiesced_until=NOW + 1), {}, {}, None, id="is gone"),
        pytest.param(
            {1: 0}, Rules(), ServerMemory(quiesced_until=NOW + 9), {1: 3}, {}, None, id="no more"
        ),
        pytest.param(
            {1: 0},
            Rules(quiesce=True),
            ServerMemory(quiesced_until=NOW - 9),
            {},
            {1: 0},
            None,
            id="is to stay",
        ),
        pytest.param(
            {1: 5},
            Rules(),
            ServerMemory(since=1.0, drained=True),
            {},
            {1: 0},
            None,
            id="is drained",
        ),
        pytest.param(
            {1: 5}, Rules(quiesce_first=0.0), ServerMemory(), {}, {1: 0}, NOW, id="no time at all"
        ),
    ],
)
def test_going_out(
    *,
    weights: dict[int, int],
    rules: Rules,
    known: ServerMemory,
    connections: dict[int, int],
    after: dict[int, int],
    until: float | None,
) -> None:
    """Weight 0 first, and deleted when the time is up or the last connection gone."""
    decision = decided(weights, {1: Want.OUT}, rules, {1: known}, connections)
    assert weights_of(decision) == after
    assert decision.memories[at(1)].quiesced_until == until


SLOW = Rules(slow_start=100.0)


@pytest.mark.parametrize(
    ("weights", "rules", "known", "after", "since"),
    [
        pytest.param({}, SLOW, ServerMemory(), {1: 1}, NOW, id="begins"),
        pytest.param({1: 0}, SLOW, ServerMemory(), {1: 1}, NOW, id="begins from weight 0"),
        pytest.param({1: 10}, SLOW, ServerMemory(), {1: 10}, None, id="has been in"),
        pytest.param(
            {1: 1},
            SLOW,
            ServerMemory(slow_since=NOW - 50, slow_for=100.0),
            {1: 5},
            NOW - 50,
            id="is half-way",
        ),
        pytest.param(
            {1: 1},
            SLOW,
            ServerMemory(slow_since=NOW - 100, slow_for=100.0),
            {1: 10},
            None,
            id="is done",
        ),
        pytest.param(
            {1: 1},
            Rules(),
            ServerMemory(slow_since=NOW - 50, slow_for=100.0),
            {1: 5},
            NOW - 50,
            id="without the option",
        ),
        pytest.param(
            {1: 5},
            SLOW,
            ServerMemory(slow_since=NOW + 500, slow_for=100.0),
            {1: 1},
            NOW + 500,
            id="the clock was set back",
        ),
    ],
)
def test_coming_back(
    weights: dict[int, int],
    rules: Rules,
    known: ServerMemory,
    after: dict[int, int],
    since: float | None,
) -> None:
    """From a tenth to all of it over the time, by the clock and not by the runs."""
    decision = decided(weights, {1: Want.IN}, rules, {1: known})
    assert weights_of(decision) == after
    assert decision.memories[at(1)].slow_since == since


def test_thresholds_are_remembered_of_whoever_goes() -> None:
    """They come back with it, unless others are asked for."""
    real = server(1)._replace(upper=100, lower=80)
    service = standing({})._replace(real_servers={at(1): real})
    out = decide(service, [Member(server(1), OUT)], {}, Rules(), now=NOW, connections={})
    assert out.service.real_servers == {}
    for rules, limits in ((Rules(), (100, 80)), (Rules(upper=7, lower=0), (7, 0))):
        back = decide(
            out.service, [Member(server(1), IN)], out.memories, rules, now=NOW, connections={}
        )
        assert back.service.real_servers[at(1)][4:6] == limits


WANTS = st.sampled_from(Want)


@given(
    weights=st.dictionaries(st.integers(1, 6), st.integers(0, 9)),
    wants=st.dictionaries(st.integers(1, 6), WANTS),
    since=st.dictionaries(st.integers(1, 6), st.floats(1, 999)),
    operators=st.sets(st.integers(1, 6)),
    floor=st.integers(0, 7),
    has_fallback=st.booleans(),
)
def test_every_decision_keeps_its_promises(
    *,
    weights: dict[int, int],
    wants: dict[int, Want],
    since: dict[int, float],
    operators: set[int],
    floor: int,
    has_fallback: bool,
) -> None:
    """Nobody is touched unasked, the floor holds, an operator's word too, and somebody serves."""
    known = {
        number: ServerMemory(since=when, by_operator=number in operators)
        for number, when in since.items()
    }
    rules = Rules(floor=Floor(floor), fallback=server(9, 1) if has_fallback else None)
    decision = decided(weights, wants, rules, known)
    after = weights_of(decision)
    held = {int(address.rpartition(".")[2]) for address, _ in decision.held}
    for number in range(1, 7):
        want = wants.get(number, STAY)
        if number in held:
            assert want is OUT
            assert not (number in known and number in operators)
            assert after[number] == 10
        elif want is IN:
            assert after[number] == 10
        elif want is OUT:
            assert number not in after
        else:
            assert after.get(number) == weights.get(number)
    serving = sum(after.get(number, 0) > 0 for number in wants)
    free = sum(
        want is OUT and not (number in known and number in operators)
        for number, want in wants.items()
    )
    stays = sum(
        want is IN or (want is STAY and weights.get(number, 0) > 0)
        for number, want in wants.items()
    )
    assert serving >= min(floor, len(wants), stays + free)
    others = any(weight > 0 for number, weight in after.items() if number != 9)
    assert (9 in after) is (has_fallback and not others)


@given(
    weights=st.dictionaries(st.integers(1, 5), st.integers(0, 9)),
    wants=st.dictionaries(st.integers(1, 5), WANTS),
    floor=st.integers(0, 3),
)
def test_deciding_twice_changes_nothing_more(
    weights: dict[int, int], wants: dict[int, Want], floor: int
) -> None:
    """The same report on the table that it led to leads to the same table."""
    rules = Rules(floor=Floor(floor), fallback=server(9, 1))
    members = [Member(server(number), want) for number, want in wants.items()]
    once = decide(standing(weights), members, {}, rules, now=NOW, connections={})
    twice = decide(once.service, members, once.memories, rules, now=NOW, connections={})
    assert twice.service == once.service
