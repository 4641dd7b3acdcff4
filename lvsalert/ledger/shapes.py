"""How services stood, and what the names of their real servers meant."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from lvsalert.ledger.database import has_table


class Shapes:
    """What a ledger knows of services that stood."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def flags(self, virtual: str, scheduler: str) -> tuple[str, ...]:
        """Return the flags (words of ipvsadm) that a service had when it stood last.

        They go for the scheduler that it had then.
        """
        asked = "SELECT flags FROM shapes WHERE virtual = ? AND scheduler = ?"
        row = self._db.execute(asked, (virtual, scheduler)).fetchone()
        return () if row is None else _words(row[0])

    def set_flags(self, virtual: str, scheduler: str, flags: Sequence[str]) -> None:
        """Note the scheduler and the flags of a service that stands."""
        if self.flags(virtual, scheduler) != tuple(flags):
            kept = (virtual, scheduler, " ".join(flags))
            self._db.execute("INSERT OR REPLACE INTO shapes VALUES (?, ?, ?)", kept)

    def names(self, virtual: str) -> dict[str, str]:
        """Return the addresses that names of real servers had when a service was last told of."""
        return dict(
            self._db.execute("SELECT name, address FROM names WHERE virtual = ?", (virtual,))
        )

    def set_names(self, virtual: str, names: Mapping[str, str]) -> None:
        """Note the addresses of names of real servers."""
        self._db.executemany(
            "INSERT OR REPLACE INTO names VALUES (?, ?, ?)",
            [(virtual, name, address) for name, address in names.items()],
        )

    def tunnels(self, virtual: str) -> dict[str, tuple[str, ...]]:
        """Return the words of ipvsadm for the tunnels that real servers of a service had."""
        if not has_table(self._db, "tunnels"):
            return {}
        rows = self._db.execute("SELECT real, flags FROM tunnels WHERE virtual = ?", (virtual,))
        return {real: _words(flags) for real, flags in rows}

    def remember_tunnel(self, virtual: str, real: str, flags: Sequence[str]) -> None:
        """Note the words for the tunnel that a real server has; without any, that it has none."""
        if flags:
            kept = (virtual, real, " ".join(flags))
            self._db.execute("INSERT OR REPLACE INTO tunnels VALUES (?, ?, ?)", kept)
        else:
            self._db.execute("DELETE FROM tunnels WHERE virtual = ? AND real = ?", (virtual, real))


def _words(text: str) -> tuple[str, ...]:
    """Return words that were kept with blanks in between."""
    return tuple(text.split())
