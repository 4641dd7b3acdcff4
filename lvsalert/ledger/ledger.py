"""Why each real server is out, what is remembered of it, and a journal of every change.

One SQLite file in the state directory, in WAL mode (sqlite.org/wal.html), written under the lock
that also guards the table, so that its writers never wait for each other; but for what monitors
keep there, which is a moment's. A transaction that was committed outlives a kill of the process at
any moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from lvsalert.ipvs.table import Endpoint
from lvsalert.ledger.accepted import AcceptedFiles
from lvsalert.ledger.command_states import CommandStates
from lvsalert.ledger.contents import Contents
from lvsalert.ledger.database import connect, connect_to_read, has_table
from lvsalert.ledger.journal import Journal
from lvsalert.ledger.marks import Marks
from lvsalert.ledger.records import (
    BY_PEOPLE,
    DAMPED,
    NO_MEMORY,
    OPERATOR,
    Cause,
    Flapping,
    ServerMemory,
)
from lvsalert.ledger.rounds import Rounds
from lvsalert.ledger.runs import Runs
from lvsalert.ledger.schema import SCHEMAS
from lvsalert.ledger.shapes import Shapes
from lvsalert.ledger.text import endpoint_of
from lvsalert.ledger.unjudged import UnjudgedServices
from lvsalert.ledger.verdicts import Verdicts
from lvsalert.model import join_endpoint

# What was noted further in the future than this (seconds) is of the time before a clock's change.
_BELIEVABLE = 5.0


class Ledger:
    """An open ledger. Every change between ``begin`` and ``commit`` is one transaction."""

    def __init__(self, connection: sqlite3.Connection, *, is_lasting: bool) -> None:
        self._db = connection
        self.is_lasting = is_lasting
        self.journal = Journal(connection)
        self.files = AcceptedFiles(connection)
        self.commands = CommandStates(connection)
        self.marks = Marks(connection)
        self.contents = Contents(connection)
        self.rounds = Rounds(connection)
        self.runs = Runs(connection)
        self.shapes = Shapes(connection)
        self.unjudged = UnjudgedServices(connection)
        self.verdicts = Verdicts(connection, self.rounds)

    @classmethod
    def in_memory(cls) -> Ledger:
        """Return an empty ledger that is forgotten with the process."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.executescript("".join(SCHEMAS))
        return cls(connection, is_lasting=False)

    @classmethod
    def open(cls, state_dir: str) -> Ledger:
        """Open the ledger in ``state_dir``, or begin one there; errors as ``connect`` has them."""
        return cls(connect(state_dir, SCHEMAS), is_lasting=True)

    @classmethod
    def open_to_read(cls, state_dir: str) -> Ledger:
        """Open the ledger in ``state_dir`` for a reader, who needs no lock and changes nothing.

        Errors are those of ``connect_to_read``.
        """
        connection = connect_to_read(state_dir)
        return cls.in_memory() if connection is None else cls(connection, is_lasting=True)

    def close(self) -> None:
        """Close the file; what was not committed is dropped."""
        self._db.close()

    def relax(self) -> None:
        """Let what is written from now on be lost with the power, though not with a process."""
        self._db.execute("PRAGMA synchronous = NORMAL")

    def begin(self) -> None:
        """Begin a transaction that writes."""
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make what was written since ``begin`` last."""
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Drop what was written since ``begin``."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def mark(self) -> None:
        """Mark what is written from now on, for ``go_back``."""
        self._db.execute("SAVEPOINT mark")

    def go_back(self) -> None:
        """Drop what was written since the last ``mark``."""
        self._db.execute("ROLLBACK TO mark")

    # Causes and counts

    def causes(self, virtual: str) -> dict[Endpoint, list[Cause]]:
        """Return the causes of each real server of a service that has any, the oldest first."""
        found: dict[Endpoint, list[Cause]] = {}
        for real, cause, since, reason, drain in self._db.execute(
            "SELECT real, cause, since, reason, drain FROM causes WHERE virtual = ? ORDER BY since",
            (virtual,),
        ):
            found.setdefault(endpoint_of(real), []).append(Cause(cause, since, reason, bool(drain)))
        return found

    def causes_of(self, virtual: str, endpoint: Endpoint) -> list[Cause]:
        """Return the causes of one real server, the oldest first."""
        return self.causes(virtual).get(endpoint, [])

    def set_cause(self, virtual: str, endpoint: Endpoint, cause: Cause) -> None:
        """Add a cause; of one that is there already, ``since`` stays."""
        self.set_causes(virtual, {endpoint: cause})

    def set_causes(self, virtual: str, causes: Mapping[Endpoint, Cause]) -> None:
        """Add a cause to each real server, as ``set_cause`` does."""
        for endpoint, cause in causes.items():
            if cause.cause == OPERATOR:
                self._open_end(virtual, endpoint)
        self._db.executemany(
            "INSERT INTO causes VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET reason = excluded.reason, drain = excluded.drain",
            [(virtual, join_endpoint(*each), *cause) for each, cause in causes.items()],
        )

    def clear_cause(self, virtual: str, endpoint: Endpoint, cause: str | None = None) -> None:
        """Remove one cause of a real server, or with None all of them."""
        self._db.execute(
            "DELETE FROM causes WHERE virtual = ? AND real = ? AND ifnull(cause = ?, 1)",
            (virtual, join_endpoint(*endpoint), cause),
        )
        if cause in (None, OPERATOR):
            self._open_end(virtual, endpoint)
        if cause in (None, DAMPED):
            self._db.execute(
                "DELETE FROM flapping WHERE virtual = ? AND real = ?",
                (virtual, join_endpoint(*endpoint)),
            )

    def end_operators_cause(self, virtual: str, endpoint: Endpoint, until: float) -> None:
        """Let the operator's cause of a real server end at ``until`` (epoch)."""
        self._db.execute(
            "INSERT OR REPLACE INTO drains VALUES (?, ?, ?)",
            (virtual, join_endpoint(*endpoint), until),
        )

    def expire(self, now: float) -> None:
        """Remove the causes that have ended: the operator's, and that of damping.

        What was damped keeps its penalty. One from before the clock was set back has ended too.
        """
        rows = self._db.execute("SELECT virtual, real FROM drains WHERE until <= ?", (now,))
        for virtual, real in rows.fetchall():
            self.clear_cause(virtual, endpoint_of(real), OPERATOR)
        ended = "SELECT virtual, real FROM flapping WHERE until <= ? OR time > ?"
        rows = self._db.execute(ended, (now, now + _BELIEVABLE))
        for virtual, real in rows.fetchall():
            self._db.execute(
                "DELETE FROM causes WHERE virtual = ? AND real = ? AND cause = ?",
                (virtual, real, DAMPED),
            )
            self._db.execute(
                "UPDATE flapping SET until = NULL, time = min(time, ?)"
                " WHERE virtual = ? AND real = ?",
                (now, virtual, real),
            )

    def flapping(self, virtual: str, endpoint: Endpoint) -> Flapping | None:
        """Return the penalty of a real server, None where it has none."""
        row = self._db.execute(
            "SELECT penalty, time, until FROM flapping WHERE virtual = ? AND real = ?",
            (virtual, join_endpoint(*endpoint)),
        ).fetchone()
        return None if row is None else Flapping(*row)

    def set_flapping(self, virtual: str, endpoint: Endpoint, flapping: Flapping) -> None:
        """Note the penalty of a real server."""
        self._db.execute(
            "INSERT OR REPLACE INTO flapping VALUES (?, ?, ?, ?, ?)",
            (virtual, join_endpoint(*endpoint), *flapping),
        )

    def ends(self) -> dict[str, dict[Endpoint, float]]:
        """Return when (epoch) the operator's causes end that end by themselves, by service."""
        found: dict[str, dict[Endpoint, float]] = {}
        if has_table(self._db, "drains"):
            for virtual, real, until in self._db.execute("SELECT * FROM drains"):
                found.setdefault(virtual, {})[endpoint_of(real)] = until
        return found

    def _open_end(self, virtual: str, endpoint: Endpoint) -> None:
        """Let the operator's cause of a real server not end by itself."""
        self._db.execute(
            "DELETE FROM drains WHERE virtual = ? AND real = ?", (virtual, join_endpoint(*endpoint))
        )

    def forget(self, virtual: str, endpoint: Endpoint, source: str) -> None:
        """Remove what ``source`` said of a real server."""
        self.clear_cause(virtual, endpoint, source)
        said = self.verdicts.by(virtual, source)
        if said.pop(endpoint, None) is not None:
            self.verdicts.put(virtual, source, said)

    # What is remembered of entries

    def memories(
        self, virtual: str, causes: Mapping[Endpoint, Sequence[Cause]] | None = None
    ) -> dict[Endpoint, ServerMemory]:
        """Return what is remembered of each real server of a service, with its causes.

        ``causes`` are those of the service where they have been read already.
        """
        tunnels = self.shapes.tunnels(virtual)
        found = {
            endpoint_of(row[0]): ServerMemory(
                quiesced_until=row[1],
                slow_since=row[2],
                slow_for=row[3],
                upper=row[4],
                lower=row[5],
                held=bool(row[6]),
                flags=tunnels.get(row[0], ()),
            )
            for row in self._db.execute(
                "SELECT real, quiesced_until, slow_since, slow_for, upper, lower, held"
                " FROM servers WHERE virtual = ?",
                (virtual,),
            )
        }
        for endpoint, every in (self.causes(virtual) if causes is None else causes).items():
            found[endpoint] = ServerMemory(
                every[0].since,
                not BY_PEOPLE.isdisjoint([each.cause for each in every]),
                all(each.drain for each in every),
                *found.get(endpoint, NO_MEMORY)[3:],
            )
        return found

    def remember(self, virtual: str, known: Mapping[Endpoint, ServerMemory]) -> None:
        """Write what is to be remembered of each real server, and drop what has become empty."""
        for endpoint, each in known.items():
            real = join_endpoint(*endpoint)
            self.shapes.remember_tunnel(virtual, real, each.flags)
            plain = (each.quiesced_until, each.slow_since, each.upper, each.lower, each.held)
            if any((*plain, each.flags)):
                slow = (each.slow_since, each.slow_for)
                limits = (each.upper, each.lower)
                self._db.execute(
                    "INSERT OR REPLACE INTO servers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (virtual, real, each.quiesced_until, *slow, *limits, each.held),
                )
            else:
                self._db.execute(
                    "DELETE FROM servers WHERE virtual = ? AND real = ?", (virtual, real)
                )

    def forgotten(self) -> dict[str, float]:
        """Return when (epoch) services were forgotten: what the journal says before is history."""
        if not has_table(self._db, "forgotten"):
            return {}
        return dict(self._db.execute("SELECT virtual, time FROM forgotten"))

    def forget_service(self, virtual: str, now: float) -> None:
        """Remove all that is known of a service at ``now`` (epoch), but for the journal."""
        self._db.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?)", (virtual, now))
        tables = "causes checks servers runs unjudged drains names tunnels shapes flapping"
        for table in tables.split():
            self._db.execute(f"DELETE FROM {table} WHERE virtual = ?", (virtual,))  # noqa: S608 - ours

    def virtual_services(self) -> list[str]:
        """Return the services of which anything is known."""
        rows = self._db.execute(
            "SELECT virtual FROM causes UNION SELECT virtual FROM servers"
            " UNION SELECT virtual FROM runs ORDER BY 1"
        )
        return [row[0] for row in rows]
