"""Damping: a real server that comes and goes stays out longer each time, as RFC 2439 has it."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.commands import lvs_director
from lvsalert.director.damping import Damp, flapped, parse_damp, penalty_at
from lvsalert.errors import UsageError
from lvsalert.ledger.records import Flapping
from lvsalert.ledger.schema import SCHEMAS
from tests.harness.alerts import Director

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND, THIRD = (f"192.0.2.{number}:80" for number in (1, 2, 3))
HOST = FIRST.partition(":")[0]
ALL = {FIRST, SECOND, THIRD}
DAMP = ("--damp", "2/10")

DAMPS = st.builds(Damp, st.integers(1, 1000), st.integers(1, 1440))
GAPS = st.lists(st.floats(0, 1e5), max_size=50)


def after(damp: Damp, gaps: list[float]) -> list[Flapping]:
    """Return what is known after each time that a server goes out, so many seconds apart."""
    known: list[Flapping] = []
    now = 1e9
    for gap in (0.0, *gaps):
        now += gap
        known.append(flapped(damp, known[-1] if known else None, now))
    return known


@given(DAMPS, GAPS)
def test_a_penalty_is_bounded_and_so_is_the_time_out(damp: Damp, gaps: list[float]) -> None:
    """However often it goes out, it is back four half-lives after the last time."""
    for each in after(damp, gaps):
        assert 0 < each.penalty <= damp.ceiling
        if each.until is not None:
            assert each.time <= each.until <= each.time + 4 * damp.half_life + 1e-3
            assert penalty_at(damp, each, each.until) == pytest.approx(damp.reuse, rel=1e-6)


@given(DAMPS, GAPS)
def test_only_what_is_too_often_is_damped(damp: Damp, gaps: list[float]) -> None:
    """So many times are let pass; what is damped before it went beyond them was damped already."""
    known = after(damp, gaps)
    assert all(each.until is None for each in known[: damp.times])
    for before, each in zip(known, known[1:]):
        was_damped = before.until is not None and before.until > each.time
        assert (each.until is not None) == (each.penalty > damp.times or was_damped)


@given(DAMPS, st.integers(1, 20))
def test_each_further_time_makes_it_longer(damp: Damp, further: int) -> None:
    """At one moment, each time more means a later end, until the bound is reached."""
    known = after(damp, [0.0] * min(damp.times + further, 60))
    ends = [each.until for each in known if each.until is not None]
    assert ends == sorted(ends)
    assert all(a < b for a, b in zip(ends, ends[1:]) if b < 1e9 + 4 * damp.half_life - 1)


@given(DAMPS, st.floats(0, 100), st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_penalty_decays_by_halves(damp: Damp, penalty: float, one: float, more: float) -> None:
    """Half of it is left after a half-life, less later, and a clock that is set back adds none."""
    known = Flapping(penalty, 1e9, None)
    half = penalty_at(damp, known, 1e9 + damp.half_life)
    assert half == pytest.approx(penalty / 2)
    assert penalty_at(damp, known, 1e9 + one + more) <= penalty_at(damp, known, 1e9 + one)
    assert penalty_at(damp, known, 1e9 - one) == penalty


@given(DAMPS)
def test_what_is_written_is_read(damp: Damp) -> None:
    """mon-config writes it into mon.cf, from which lvs.alert reads it."""
    assert parse_damp(str(damp)) == damp


@pytest.mark.parametrize(
    "text", ["", "3", "3/", "/10", "0/10", "3/0", "1001/10", "3/1441", "3/10m", "-3/10", "3/10/1"]
)
def test_nonsense_is_named(text: str) -> None:
    """Each bad value with what would be one."""
    with pytest.raises(UsageError) as caught:
        parse_damp(text)
    said = f"{text!r} is not how often in how many minutes: write 3/10 (1 to 1000, 1 to 1440)"
    assert str(caught.value) == said


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Director:
    """A director with three real servers, whose clock is that of its mon."""
    made = Director(tmp_path, monkeypatch)
    entries = "".join(f"\n-a -t 10.0.0.3:80 -r {each} -g -w 5" for each in sorted(ALL))
    made.kernel.fill(f"-A -t 10.0.0.3:80 -s wlc{entries}")
    monkeypatch.setattr(time, "time", lambda: float(made.time))
    return made


def fails(director: Director, *hosts: str, options: tuple[str, ...] = DAMP) -> None:
    """Let a check find hosts dead, a minute after the one before."""
    director.by_mon("failure", " ".join(hosts or (HOST,)), "-W", "5", *options)


def passes(director: Director, options: tuple[str, ...] = DAMP) -> None:
    """Let a check find all well."""
    director.by_mon("up", "", "-W", "5", *options)


def flap(director: Director, times: int, options: tuple[str, ...] = DAMP) -> None:
    """Let the first one die and come back so many times."""
    for _ in range(times):
        fails(director, options=options)
        passes(director, options=options)


def told(director: Director, *words: str) -> str:
    """Return what lvs-director says."""
    return lvs_director.run(words, director.environ, str).stdout


def test_a_server_that_flaps_stays_out_until_its_penalty_has_decayed(director: Director) -> None:
    """The third time within ten minutes it stays out though it is well, and comes back by itself.

    status, its JSON and why say so, and syslog with the change.
    """
    flap(director, 2)
    assert set(director.servers) == ALL
    flap(director, 1)
    assert set(director.servers) == {SECOND, THIRD}
    # 1 + 2^-0.2 + 2^-0.4, of which 1 is left after 836.7 s.
    end = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(director.time - 60 + 836.7))
    why = f"went out too often (penalty 2.6 of 2), until {end}"
    assert director.told[-1].endswith(f"{FIRST} was dr weight 5, is out: failure; {why}")
    assert f"  damped: {why}\n" in told(director, "status")
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(director.time - 60))
    assert f"  It is damped since {since}: it {why}.\n" in told(director, "why", HOST)
    (service,) = json.loads(told(director, "status", "--json"))["services"]
    (cause,) = next(each["causes"] for each in service["servers"] if each["causes"])
    assert (cause["by"], cause["reason"], cause["group"]) == ("damped", why, None)
    for _ in range(12):
        passes(director)
        assert set(director.servers) == {SECOND, THIRD}
    passes(director)
    passes(director)
    assert set(director.servers) == ALL
    assert director.told[-1].endswith("was out, is dr weight 5: passed its check")
    assert "damped" not in told(director, "status")


def test_the_variable_does_as_the_option_does(director: Director) -> None:
    """A redistribute program gets no arguments."""
    for summary in ("192.0.2.1", "") * 3:
        event = "failure" if summary else "up"
        director.by_mon(event, summary, "-W", "5", environ={"LVSALERT_DAMP": "2/10"})
    assert set(director.servers) == {SECOND, THIRD}


def test_each_time_it_dies_while_damped_counts(director: Director) -> None:
    """A server that goes on dying goes on staying out."""
    flap(director, 6)
    for _ in range(20):
        passes(director)
    assert set(director.servers) == {SECOND, THIRD}
    for _ in range(6):
        passes(director)
    assert set(director.servers) == ALL


def test_without_the_option_nobody_is_damped(director: Director) -> None:
    """It is damped where that was asked for, alone."""
    flap(director, 8, options=())
    assert set(director.servers) == ALL


def test_resume_ends_it_and_forgets_the_penalty(director: Director) -> None:
    """An operator who knows better brings it back at once, and it begins anew."""
    flap(director, 3)
    assert f"{FIRST} was out, is dr weight 5" in told(director, "resume", HOST)
    flap(director, 2)
    assert set(director.servers) == ALL


def test_what_is_put_in_by_hand_begins_anew(director: Director) -> None:
    """lvs-alert -u clears every cause, and the penalty with it."""
    flap(director, 3)
    director.by_hand("-R", HOST, "-W", "5", "-u")
    assert set(director.servers) == ALL
    flap(director, 2)
    assert set(director.servers) == ALL


@pytest.mark.parametrize("more", [(), ("-R", HOST)], ids=["of a group", "with a watch of its own"])
def test_it_serves_where_nobody_else_does(director: Director, more: tuple[str, ...]) -> None:
    """Damping takes no last server out: one that is damped and well is better than none."""
    options = (*DAMP, *more)
    flap(director, 3, options=options)
    assert set(director.servers) == {SECOND, THIRD}
    director.by_mon("failure", "192.0.2.2 192.0.2.3", "-W", "5")
    passes(director, options=options) if more else fails(director, "192.0.2.2", "192.0.2.3")
    assert set(director.servers) == {FIRST}
    said = f"{FIRST} was out, is dr weight 5: damped, but too few others serve"
    assert any(each.endswith(said) for each in director.told)
    assert "  It serves all the same: too few others do.\n" in told(director, "why", HOST)


def test_the_floor_counts_before_damping(director: Director) -> None:
    """--min-in has the damped back in before it holds one that fails."""
    floor = (*DAMP, "--min-in", "2")
    flap(director, 3, options=floor)
    assert set(director.servers) == {SECOND, THIRD}
    fails(director, "192.0.2.3", options=floor)
    assert set(director.servers) == {FIRST, SECOND}


def test_a_clock_that_is_set_back_keeps_nobody_out(director: Director) -> None:
    """An end that lies in a future which is not to come is none."""
    flap(director, 3)
    director.time -= 86400
    passes(director)
    passes(director)
    assert set(director.servers) == ALL


def test_damping_begins_in_a_ledger_of_a_version_before_it(director: Director) -> None:
    """The table that it takes is added."""
    version = next(number for number, tables in enumerate(SCHEMAS) if "flapping" in tables)
    director.state.mkdir(exist_ok=True)
    with sqlite3.connect(director.state / "ledger.db") as before:
        before.executescript("".join(SCHEMAS[:version]))
        before.execute(f"PRAGMA user_version = {version}")
    before.close()
    passes(director)
    assert told(director, "status").count(" in ") == 3
    flap(director, 3)
    assert set(director.servers) == {SECOND, THIRD}
