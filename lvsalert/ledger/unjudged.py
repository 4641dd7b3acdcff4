"""Who cannot tell of a service: its checks end without a verdict."""

from __future__ import annotations

import sqlite3

from lvsalert.ledger.database import has_table
from lvsalert.ledger.records import Unjudged


class UnjudgedServices:
    """The sources in a ledger that cannot tell, by service."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def put(self, virtual: str, source: str, unjudged: Unjudged) -> None:
        """Note that a source cannot tell of a service."""
        self._db.execute(
            "INSERT OR REPLACE INTO unjudged VALUES (?, ?, ?, ?, ?, ?)",
            (virtual, source, *unjudged),
        )

    def clear(self, virtual: str, source: str) -> None:
        """Note that a source has told of a service."""
        self._db.execute("DELETE FROM unjudged WHERE virtual = ? AND source = ?", (virtual, source))

    def all(self) -> dict[str, dict[str, Unjudged]]:
        """Return the sources that cannot tell of a service, by service."""
        if not has_table(self._db, "unjudged"):
            return {}
        found: dict[str, dict[str, Unjudged]] = {}
        for virtual, source, *rest in self._db.execute("SELECT * FROM unjudged ORDER BY source"):
            found.setdefault(virtual, {})[source] = Unjudged(*rest)
        return found
