"""The tests shared by several processes, as pytest-xdist starts them: a file of tests is for one.

Most tests wait, for an interval of mon's or a time-out, and others go on meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

LAB = "tests/lab/scenarios/"
# Files that take longest begin first, so that no process is left with one in the end.
_LONG = (
    "tests/ldirectord/test_every_service.py",
    "tests/host/test_package.py",
    "tests/host/test_ten_minutes.py",
)


class Sharing(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process whole files; the lab's scenarios, which share guests, are like one."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def scope_of(nodeid: str) -> str:
    """Return what goes to one process as a whole."""
    return LAB if nodeid.startswith(LAB) else nodeid.partition("::")[0]


def longest_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return tests in the order in which they are to be given out: the lab's guests need boots."""
    rank = {scope: place for place, scope in enumerate((LAB, *_LONG))}
    return sorted(items, key=lambda each: rank.get(scope_of(each.nodeid), len(rank)))
