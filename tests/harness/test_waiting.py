"""What bounds a wait, on any machine."""

from __future__ import annotations

import pytest

from tests.harness import waiting


def test_unit_is_measured_where_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start of the interpreter takes some time, and the limits grow with it."""
    monkeypatch.delenv(waiting.UNIT, raising=False)
    waiting.unit.cache_clear()
    try:
        assert waiting.unit() > 0
        assert waiting.patience() > waiting.patience(10) > waiting.unit()
    finally:
        waiting.unit.cache_clear()


def test_unit_that_was_measured_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests/run measured goes for all that it starts."""
    monkeypatch.setenv(waiting.UNIT, "0.25")
    waiting.unit.cache_clear()
    try:
        assert (waiting.unit(), waiting.patience(8)) == (0.25, 2.0)
    finally:
        waiting.unit.cache_clear()
