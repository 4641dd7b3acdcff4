"""How the lab shares its scenarios among guests."""

from __future__ import annotations

import pytest

from tests.lab.remote import LONG, guests_at_once, heaviest_first


@pytest.mark.parametrize(
    ("cores", "start", "guests"),
    [(1, 0.05, 2), (2, 0.05, 3), (2, 0.49, 3), (2, 0.51, 1), (8, 0.05, 9), (8, 3.0, 1)],
)
def test_a_machine_carries_a_guest_more_than_cores(cores: int, start: float, guests: int) -> None:
    """A machine where a start takes long carries one guest alone."""
    assert guests_at_once(cores, start) == guests


def test_what_takes_longest_begins_first() -> None:
    """The others keep their order behind it."""
    names = ["a::test_b", f"a::{LONG[1]}", "a::test_a", f"b::{LONG[0]}"]
    assert heaviest_first(names) == [f"b::{LONG[0]}", f"a::{LONG[1]}", "a::test_b", "a::test_a"]
