"""The firewall marks of our checks: which real server each stands for, and when it was used."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lvsalert.model import Forwarding, Way

# Since version 5 of the tables.
SCHEMA = """
CREATE TABLE marks (
    mark INTEGER PRIMARY KEY, family INTEGER, address TEXT, port INTEGER, method TEXT,
    flags TEXT, used REAL);
"""


class Mark(NamedTuple):
    """What a mark stands for, and when (epoch) it was used last."""

    way: Way
    used: float


class Marks:
    """The marks of a ledger."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def all(self) -> dict[int, Mark]:
        """Return every mark."""
        return {
            mark: Mark(
                Way(family, address, port, Forwarding(method), tuple(flags.split())),
                used,
            )
            for mark, family, address, port, method, flags, used in self.rows()
        }

    def rows(self) -> list[tuple[int, int, str, int, str, str, float]]:
        """Return every mark as it is kept, with the values of its way in their order."""
        # A reader may be the first to see a ledger of the version before.
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'marks'").fetchone():
            return []
        return self._db.execute(
            "SELECT mark, family, address, port, method, flags, used FROM marks ORDER BY mark"
        ).fetchall()

    def set(self, marks: Mapping[int, Mark]) -> None:
        """Note marks."""
        self._db.executemany(
            "INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (mark, *way[:3], way.forwarding.value, " ".join(way.flags), used)
                for mark, (way, used) in marks.items()
            ],
        )

    def drop(self, marks: Iterable[int]) -> None:
        """Forget marks."""
        self._db.executemany("DELETE FROM marks WHERE mark = ?", [(mark,) for mark in marks])
