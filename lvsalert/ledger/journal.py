"""The journal of the ledger: every change of the table, with who, why, before and after."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lvsalert.ledger.database import FILE_NAME, CorruptError
from lvsalert.ledger.text import Words, words_of, words_text

# ``was`` and ``became`` are in words of ipvsadm, ``before`` and ``after`` in those of the log.
#
# Each run settles what the one before it left, so that only the last lines can be unfinished, and
# one number tells which: that of the last line whose change was made.
SCHEMA = """
CREATE TABLE journal (
    id INTEGER PRIMARY KEY, time REAL, who TEXT, why TEXT, virtual TEXT, real TEXT,
    before TEXT, after TEXT, was TEXT, became TEXT);
CREATE INDEX journal_time ON journal (time);
CREATE TABLE made (last INTEGER);
INSERT INTO made VALUES (0);
CREATE VIEW changes AS SELECT * FROM journal WHERE id <= (SELECT last FROM made);
"""
# Since version 6 of the ledger's tables: how many lines were removed, so that a count of changes
# never falls.
TRIMMED = """
CREATE TABLE trimmed (
    virtual TEXT, who TEXT, lines INTEGER, PRIMARY KEY (virtual, who)) WITHOUT ROWID;
"""

# An entry's third word is its weight; it is out where there are no words. SQLite tells them apart,
# since to read a hundred thousand lines in Python takes a second.
_TURNS = """WHERE id IN (
    SELECT max(id) FROM changes WHERE real != ''
    AND ifnull(was || ' ' GLOB '-? -w 0 *', -1) != ifnull(became || ' ' GLOB '-? -w 0 *', -1)
    GROUP BY virtual, real) ORDER BY id"""

# A number is not given again, though its line may have grown old and been removed.
_LAST = "SELECT max(ifnull(max(id), 0), (SELECT last FROM made)) FROM journal"

# Rows trimmed in one run, so that no run pays for all that grew old meanwhile.
_TRIM_ROWS = 200


class Entry(NamedTuple):
    """A line of the journal; ``before`` and ``after`` in the words of the log.

    ``words`` holds the entry "before" and "after" in words of ipvsadm, None for none.
    """

    id: int
    time: float
    who: str
    why: str
    virtual: str
    real: str
    before: str
    after: str
    words: Mapping[str, Words | None]


class Journal:
    """The journal in an open database; its changes belong to the database's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def intend(self, entries: Sequence[Entry]) -> int:
        """Write changes that are about to be made; return the last one's number for ``confirm``."""
        ((last,),) = self._db.execute(_LAST)
        numbers = range(last + 1, last + 1 + len(entries))
        self._db.executemany(
            "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (n, *each[1:8], words_text(each.words["before"]), words_text(each.words["after"]))
                for n, each in zip(numbers, entries)
            ],
        )
        return numbers.stop - 1

    def confirm(self, last: int) -> None:
        """Mark the changes up to a number as made."""
        self._db.execute("UPDATE made SET last = ?", (last,))

    def unfinished(self) -> list[Entry]:
        """Return the changes of a run that was killed before it could confirm them."""
        return self._entries("journal", "WHERE id > (SELECT last FROM made) ORDER BY id", ())

    def withdraw(self, number: int) -> None:
        """Remove a change that was intended and never made."""
        self._db.execute("DELETE FROM journal WHERE id = ?", (number,))

    def history(
        self, *, since: float = 0.0, virtual: str | None = None, real: str | None = None
    ) -> list[Entry]:
        """Return the journal from ``since`` (epoch) on, the oldest first.

        ``real`` is an address with its port, as in the journal.
        """
        return self._entries(
            "changes",
            "WHERE time >= ? AND ifnull(virtual = ?, 1) AND ifnull(real = ?, 1) ORDER BY id",
            (since, virtual, real),
        )

    def turns(self) -> list[Entry]:
        """Return for each real server the last line that let it in, quiesced it or took it out."""
        return self._entries("changes", _TURNS, ())

    def _entries(self, table: str, condition: str, values: Sequence[object]) -> list[Entry]:
        query = f"SELECT * FROM {table} {condition}"  # noqa: S608 - all from this file
        try:
            return [
                Entry._make((*row[:8], {"before": words_of(row[8]), "after": words_of(row[9])}))
                for row in self._db.execute(query, values)
            ]
        except (TypeError, ValueError):
            raise CorruptError(f"{FILE_NAME}: a line of the journal cannot be read") from None

    def trim(self, before: float) -> None:
        """Remove some of what is older than ``before`` (epoch); later runs remove more."""
        asked = "SELECT id, virtual, who FROM journal WHERE time < ? LIMIT ?"
        old = self._db.execute(asked, (before, _TRIM_ROWS)).fetchall()
        self._db.executemany(
            "INSERT INTO trimmed VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET lines = lines + 1",
            [each[1:] for each in old],
        )
        self._db.executemany("DELETE FROM journal WHERE id = ?", [each[:1] for each in old])

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many changes each has ever made of each virtual service: (service, who)."""
        counted = "SELECT virtual, who, count(*) FROM changes GROUP BY virtual, who"
        found = {(virtual, who): lines for virtual, who, lines in self._db.execute(counted)}
        # A reader may be the first to see a ledger of the version before.
        if self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'trimmed'").fetchone():
            for virtual, who, lines in self._db.execute("SELECT * FROM trimmed"):
                found[virtual, who] = found.get((virtual, who), 0) + lines
        return found
