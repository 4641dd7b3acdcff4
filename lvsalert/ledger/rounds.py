"""What a source had nothing to do for, so that the same once more is seen at a glance.

Most checks find what the check before found. The ledger's edition counts the changes of what
decisions go by, so that a source can tell whether it would decide anything else now.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

# What a source said of its own servers (checks, runs) concerns others only by the causes that come
# of it, but for what is removed of it, and for the director's own runs.
_COUNTED = {
    **dict.fromkeys(("causes", "servers", "drains", "tunnels", "shapes", "names", "unjudged"), ""),
    "files": "",
    "runs": "WHEN NEW.source = 'lvs-director'",
}
_COUNT = "UPDATE edition SET number = number + 1"
_TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_{verb} AFTER {verb} ON {table} {when} BEGIN {_COUNT}; END;\n"
    for table, new in {**_COUNTED, "checks": None}.items()
    for verb, when in (
        ("INSERT", new),
        ("UPDATE", "WHEN OLD.reason IS NOT NEW.reason" if table == "causes" else new),
        ("DELETE", ""),
    )
    if when is not None
)
SCHEMA = f"""
CREATE TABLE rounds (
    source TEXT, asked TEXT, virtuals TEXT, edition INTEGER, seen TEXT, since REAL, time INTEGER,
    heard REAL, PRIMARY KEY (source, asked)) WITHOUT ROWID;
CREATE TABLE edition (number INTEGER);
INSERT INTO edition VALUES (0);
{_TRIGGERS}"""  # noqa: S608 - ours
_DAY = 86400.0
# Once in a while all is looked at anew, and the journal trimmed.
_LASTS_SECONDS = 600.0


class Seen(NamedTuple):
    """What was decided on: the ledger's edition, and a digest of the table."""

    edition: int
    table: str


class Round(NamedTuple):
    """A check that finds all well: who says so, a digest of all it asks for, and when (mon's)."""

    source: str
    asked: str
    time: int


class Rounds:
    """The rounds of a ledger that had nothing to do."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def edition(self) -> int:
        """Return how often what decisions go by has changed."""
        number: int
        (number,) = self._db.execute("SELECT number FROM edition").fetchone()
        return number

    def find(self, round_: Round, now: float) -> Seen | None:
        """Return what such a round saw when it had nothing to do; None where that is unknown.

        What was seen in another edition, long before ``now`` (epoch) or after it counts for
        nothing.
        """
        row = self._db.execute(
            "SELECT edition, seen FROM rounds WHERE source = ? AND asked = ?"
            " AND edition = (SELECT number FROM edition) AND since BETWEEN ? AND ? AND heard <= ?",
            (*round_[:2], now - _LASTS_SECONDS, now, now),
        ).fetchone()
        return None if row is None else Seen(*row)

    def repeat(self, round_: Round, now: float) -> None:
        """Note that a round was made once more, at ``now`` (epoch)."""
        self._db.execute(
            "UPDATE rounds SET time = max(time, ?), heard = ? WHERE source = ? AND asked = ?",
            (round_.time, now, *round_[:2]),
        )

    def keep(self, round_: Round, virtuals: Sequence[str], seen: Seen, now: float) -> None:
        """Note that a round at these services had nothing to do.

        One is not kept while its source keeps a server out, or where time alone will change
        something.
        """
        (waits,) = self._db.execute(
            "SELECT EXISTS (SELECT 1 FROM causes WHERE cause = ?) OR EXISTS (SELECT 1 FROM drains)"
            " OR EXISTS (SELECT 1 FROM flapping WHERE until IS NOT NULL)"
            " OR EXISTS (SELECT 1 FROM servers"
            " WHERE quiesced_until IS NOT NULL OR slow_since IS NOT NULL)",
            (round_.source,),
        ).fetchone()
        if waits:
            return
        self._db.execute("DELETE FROM rounds WHERE heard < ?", (now - _DAY,))
        text = "".join(f"\n{each}" for each in virtuals) + "\n"
        self._db.execute(
            "INSERT OR REPLACE INTO rounds VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*round_[:2], text, *seen, now, round_.time, now),
        )

    def end(self, source: str) -> None:
        """Note that a source says something new; when it was heard before is still known."""
        self._db.execute("UPDATE rounds SET edition = -1 WHERE source = ?", (source,))

    def last(self, source: str, virtual: str) -> tuple[int, float] | None:
        """Return when a source found a service well last: by mon, and by our own clock (epoch)."""
        row: tuple[int | None, float | None] = self._db.execute(
            "SELECT max(time), max(heard) FROM rounds WHERE source = ? AND instr(virtuals, ?)",
            (source, f"\n{virtual}\n"),
        ).fetchone()
        return None if row[0] is None or row[1] is None else (row[0], row[1])
