"""For what the programs that the director's file names were run last, so that none is twice."""

from __future__ import annotations

import sqlite3

SCHEMA = """
CREATE TABLE commands (subject TEXT PRIMARY KEY, state TEXT) WITHOUT ROWID;
"""


class CommandStates:
    """The states of a ledger's subjects, which are virtual services and the paths of files."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def get(self, subject: str) -> str | None:
        """Return the state that the program was told last, None where it was told none."""
        found = self._db.execute("SELECT state FROM commands WHERE subject = ?", (subject,))
        row: tuple[str] | None = found.fetchone()
        return None if row is None else row[0]

    def set(self, subject: str, state: str) -> None:
        """Note the state that the program is told."""
        self._db.execute("INSERT OR REPLACE INTO commands VALUES (?, ?)", (subject, state))

    def drop(self, subject: str) -> None:
        """Forget a subject."""
        self._db.execute("DELETE FROM commands WHERE subject = ?", (subject,))
