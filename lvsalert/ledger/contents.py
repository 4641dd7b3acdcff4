"""Since when answers of hosts differ from the others', by what is compared where."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

SCHEMA = """
CREATE TABLE contents (
    subject TEXT, host TEXT, since REAL, failed INTEGER,
    PRIMARY KEY (subject, host)) WITHOUT ROWID;
"""
# Since version 10 of the tables.
SEEN = """
ALTER TABLE contents ADD COLUMN seen REAL;
UPDATE contents SET seen = strftime('%s', 'now');
"""
# What no check has seen for so many seconds is of one that is gone.
_KEPT_SECONDS = 7 * 86400.0


class Contents:
    """The differences of a ledger; a subject is a check with what it compares."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def get(self, subject: str) -> dict[str, tuple[float, bool]]:
        """Return since when (epoch) each host differs, and whether it was failed for that."""
        try:
            rows = self._db.execute(
                "SELECT host, since, failed FROM contents WHERE subject = ?", (subject,)
            )
            return {host: (float(since), bool(failed)) for host, since, failed in rows}
        except sqlite3.OperationalError:
            # A reader may be the first to see an older ledger.
            if "contents" in {row[0] for row in self._db.execute("SELECT name FROM sqlite_master")}:
                raise
            return {}

    def seen(self, subject: str) -> float:
        """Return when (epoch) a subject was noted last, 0 if that is not known."""
        try:
            asked = "SELECT max(seen) FROM contents WHERE subject = ?"
            (seen,) = self._db.execute(asked, (subject,)).fetchone()
        except sqlite3.OperationalError:
            # As above.
            return 0.0
        return float(seen or 0.0)

    def set(self, subject: str, hosts: Mapping[str, tuple[float, bool]], now: float) -> None:
        """Note all that differ ``now`` (epoch); what was known of others is forgotten."""
        self._db.execute("DELETE FROM contents WHERE subject = ?", (subject,))
        self._db.executemany(
            "INSERT INTO contents VALUES (?, ?, ?, ?, ?)",
            [(subject, host, since, failed, now) for host, (since, failed) in hosts.items()],
        )
        self.trim(now)

    def trim(self, now: float) -> None:
        """Forget what no check has noted for a week: its service, or what it compares, is gone."""
        self._db.execute("DELETE FROM contents WHERE seen < ?", (now - _KEPT_SECONDS,))
