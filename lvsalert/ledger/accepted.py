"""The director's files as they were last found good, by which alerts go."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lvsalert.ledger.text import options_of, options_text

# What a file says is kept as bytes, since it may hold some that are no text.
SCHEMA = """
CREATE TABLE files (
    path TEXT PRIMARY KEY, text BLOB, since REAL, fault TEXT, names TEXT) WITHOUT ROWID;
"""


class Accepted(NamedTuple):
    """A file as it was found good at ``since`` (epoch).

    ``fault`` is what is known to be wrong with what it says now, empty where nothing is. ``names``
    are the addresses of its names, as ``ldirectord.file.DirectorFile`` has them.
    """

    path: str
    text: str
    since: float
    fault: str = ""
    names: Mapping[str, str] = {}


class AcceptedFiles:
    """The accepted files of a ledger."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def accept(self, accepted: Accepted) -> None:
        """Keep what a file says; what was kept of it is replaced."""
        path, text, since, fault, names = accepted
        kept = text.encode("utf-8", "surrogateescape"), since, fault, options_text(names)
        self._db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", (path, *kept))

    def set_fault(self, path: str, fault: str) -> None:
        """Note what is wrong with what an accepted file says now, or that nothing is."""
        self._db.execute("UPDATE files SET fault = ? WHERE path = ?", (fault, path))

    def drop(self, paths: Sequence[str]) -> None:
        """Forget files."""
        self._db.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths])

    def find(self, paths: Sequence[str]) -> Accepted | None:
        """Return the file at the first of these paths that there is, None where there is none."""
        known = {each.path: each for each in self.all()}
        return next((known[path] for path in paths if path in known), None)

    def all(self) -> list[Accepted]:
        """Return every file, by its path."""
        # A reader may be the first to see a ledger of the version before.
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'files'").fetchone():
            return []
        return [
            Accepted(path, text.decode("utf-8", "surrogateescape"), since, fault, options_of(names))
            for path, text, since, fault, names in self._db.execute(
                "SELECT path, text, since, fault, names FROM files ORDER BY path"
            )
        ]
