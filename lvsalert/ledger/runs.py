"""Who had to do with a service last, by which options; and which services are stopped."""

from __future__ import annotations

import sqlite3

from lvsalert.ledger.database import FILE_NAME, CorruptError
from lvsalert.ledger.records import DIRECTOR, LastRun, Stop
from lvsalert.ledger.text import options_of, options_text

_STOPPED_BY = "STOPPED_BY"


class Runs:
    """The last run of each source for each service in a ledger."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def put(self, run: LastRun) -> None:
        """Keep the options of a source's last run."""
        self._db.execute(
            "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)",
            (run.virtual, run.source, run.real, run.time, options_text(run.options)),
        )

    def forget(self, virtual: str, source: str) -> None:
        """Forget that a source had anything to do with a service."""
        self._db.execute("DELETE FROM runs WHERE virtual = ? AND source = ?", (virtual, source))

    def all(self) -> list[LastRun]:
        """Return the last run of each source for each service."""
        rows = self._db.execute("SELECT virtual, source, real, time, options FROM runs")
        try:
            return [LastRun._make((*row[:4], options_of(row[4]))) for row in rows]
        except (TypeError, ValueError):
            raise CorruptError(f"{FILE_NAME}: the options of a run cannot be read") from None

    def stop(self, virtual: str, stop: Stop) -> None:
        """Note that a service is stopped, until the director's next run for it."""
        self.put(LastRun(virtual, DIRECTOR, "", stop.since, {_STOPPED_BY: stop.who}))

    def stops(self) -> dict[str, Stop]:
        """Return the services that are stopped."""
        return {
            run.virtual: Stop(run.time, run.options[_STOPPED_BY])
            for run in self.all()
            if run.source == DIRECTOR and _STOPPED_BY in run.options
        }
