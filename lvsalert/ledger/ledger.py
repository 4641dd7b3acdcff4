"""Why each real server is out, what is remembered of it, and a journal of every change.

One SQLite file in the state directory, in WAL mode (sqlite.org/wal.html), written under the lock
that also guards the table, so that its writers never wait for each other; but for what monitors
keep there, which is a moment's. A transaction that was committed outlives a kill of the process at
any moment.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Mapping, Sequence

from lvsalert.ipvs.table import Endpoint
from lvsalert.ledger import accepted, command_states, contents, journal, marks, rounds
from lvsalert.ledger.accepted import AcceptedFiles
from lvsalert.ledger.command_states import CommandStates
from lvsalert.ledger.contents import Contents
from lvsalert.ledger.database import FILE_NAME, CorruptError, connect, connect_to_read
from lvsalert.ledger.journal import Journal
from lvsalert.ledger.marks import Marks
from lvsalert.ledger.records import (
    BY_PEOPLE,
    DAMPED,
    DIRECTOR,
    NO_MEMORY,
    OPERATOR,
    Cause,
    Flapping,
    LastRun,
    LastVerdict,
    ServerMemory,
    Stop,
    Unjudged,
)
from lvsalert.ledger.rounds import Rounds
from lvsalert.ledger.text import options_of, options_text
from lvsalert.model import join_endpoint

_STOPPED_BY = "STOPPED_BY"
# What was noted further in the future than this (seconds) is of the time before a clock's change.
_BELIEVABLE = 5.0

_SCHEMA = """
CREATE TABLE causes (
    virtual TEXT, real TEXT, cause TEXT, since REAL, reason TEXT, drain INTEGER,
    PRIMARY KEY (virtual, real, cause)) WITHOUT ROWID;
CREATE TABLE checks (
    virtual TEXT, source TEXT, said TEXT, PRIMARY KEY (virtual, source));
CREATE TABLE servers (
    virtual TEXT, real TEXT, quiesced_until REAL, slow_since REAL, slow_for REAL,
    upper INTEGER, lower INTEGER, held INTEGER, PRIMARY KEY (virtual, real)) WITHOUT ROWID;
CREATE TABLE runs (
    virtual TEXT, source TEXT, real TEXT, time REAL, options TEXT,
    PRIMARY KEY (virtual, source, real)) WITHOUT ROWID;
"""
# Since version 2 of the tables.
_ADDED = """
CREATE TABLE unjudged (
    virtual TEXT, source TEXT, since REAL, time INTEGER, times INTEGER, reason TEXT,
    PRIMARY KEY (virtual, source)) WITHOUT ROWID;
"""
# Since version 3.
_DRAINS = """
CREATE TABLE drains (
    virtual TEXT, real TEXT, until REAL, PRIMARY KEY (virtual, real)) WITHOUT ROWID;
CREATE TABLE forgotten (virtual TEXT PRIMARY KEY, time REAL) WITHOUT ROWID;
CREATE TABLE tunnels (
    virtual TEXT, real TEXT, flags TEXT, PRIMARY KEY (virtual, real)) WITHOUT ROWID;
CREATE TABLE shapes (virtual TEXT PRIMARY KEY, scheduler TEXT, flags TEXT) WITHOUT ROWID;
CREATE TABLE names (
    virtual TEXT, name TEXT, address TEXT, PRIMARY KEY (virtual, name)) WITHOUT ROWID;
"""
# Since version 9.
_FLAPPING = """
CREATE TABLE flapping (
    virtual TEXT, real TEXT, penalty REAL, time REAL, until REAL,
    PRIMARY KEY (virtual, real)) WITHOUT ROWID;
"""
# Those in between are where they are used.
SCHEMAS = (
    _SCHEMA + journal.SCHEMA,
    _ADDED,
    accepted.SCHEMA + _DRAINS,
    command_states.SCHEMA,
    marks.SCHEMA,
    journal.TRIMMED,
    contents.SCHEMA,
    rounds.SCHEMA,
    _FLAPPING,
    contents.SEEN,
)
"""The tables that each version of the ledger added."""


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
            found.setdefault(_endpoint(real), []).append(Cause(cause, since, reason, bool(drain)))
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
            self.clear_cause(virtual, _endpoint(real), OPERATOR)
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
        if self._has("drains"):
            for virtual, real, until in self._db.execute("SELECT * FROM drains"):
                found.setdefault(virtual, {})[_endpoint(real)] = until
        return found

    def _open_end(self, virtual: str, endpoint: Endpoint) -> None:
        """Let the operator's cause of a real server not end by itself."""
        self._db.execute(
            "DELETE FROM drains WHERE virtual = ? AND real = ?", (virtual, join_endpoint(*endpoint))
        )

    def forget(self, virtual: str, endpoint: Endpoint, source: str) -> None:
        """Remove what ``source`` said of a real server."""
        self.clear_cause(virtual, endpoint, source)
        said = self.verdicts_by(virtual, source)
        if said.pop(endpoint, None) is not None:
            self.set_verdicts(virtual, source, said)

    def verdicts_by(self, virtual: str, source: str) -> dict[Endpoint, LastVerdict]:
        """Return what ``source`` last said of each real server of a service."""
        row = self._db.execute(
            "SELECT said FROM checks WHERE virtual = ? AND source = ?", (virtual, source)
        ).fetchone()
        return {} if row is None else self._heard_since(virtual, source, _checks(*row))

    def _heard_since(
        self, virtual: str, source: str, checks: dict[Endpoint, LastVerdict]
    ) -> dict[Endpoint, LastVerdict]:
        """Return what a source said, with the time of its last check: some find all as before."""
        last = self.rounds.last(source, virtual) if self.has_rounds else None
        if last is None:
            return checks
        return {
            endpoint: check._replace(time=max(check.time, last[0]), heard=max(check.heard, last[1]))
            for endpoint, check in checks.items()
        }

    def verdicts(self, virtual: str, endpoint: Endpoint) -> dict[str, LastVerdict]:
        """Return what each source last said of a real server."""
        rows = self._db.execute(
            "SELECT source, said FROM checks WHERE virtual = ? ORDER BY source", (virtual,)
        )
        found = [
            (source, self._heard_since(virtual, source, _checks(said)).get(endpoint))
            for source, said in rows.fetchall()
        ]
        return {source: check for source, check in found if check is not None}

    def judged(self, virtual: str) -> set[Endpoint]:
        """Return the real servers of a service of which any source has said something."""
        rows = self._db.execute("SELECT said FROM checks WHERE virtual = ?", (virtual,))
        return {endpoint for (said,) in rows.fetchall() for endpoint in _checks(said)}

    def set_verdicts(
        self, virtual: str, source: str, checks: Mapping[Endpoint, LastVerdict]
    ) -> None:
        """Note all that ``source`` says of real servers; what it said of others is forgotten."""
        said: dict[LastVerdict, list[str]] = {}
        for endpoint, check in checks.items():
            said.setdefault(check, []).append(join_endpoint(*endpoint))
        # In one text, since a source's run reads all of it and writes all of it, and the same is
        # said of most.
        text = "\n".join(" ".join((_text_of(check), *reals)) for check, reals in said.items())
        self._db.execute("INSERT OR REPLACE INTO checks VALUES (?, ?, ?)", (virtual, source, text))
        self.rounds.end(source)

    # Who cannot tell

    def set_unjudged(self, virtual: str, source: str, unjudged: Unjudged) -> None:
        """Note that a source cannot tell of a service."""
        self._db.execute(
            "INSERT OR REPLACE INTO unjudged VALUES (?, ?, ?, ?, ?, ?)",
            (virtual, source, *unjudged),
        )

    def clear_unjudged(self, virtual: str, source: str) -> None:
        """Note that a source has told of a service."""
        self._db.execute("DELETE FROM unjudged WHERE virtual = ? AND source = ?", (virtual, source))

    def unjudged(self) -> dict[str, dict[str, Unjudged]]:
        """Return the sources that cannot tell of a service, by service."""
        if not self._has("unjudged"):
            return {}
        found: dict[str, dict[str, Unjudged]] = {}
        for virtual, source, *rest in self._db.execute("SELECT * FROM unjudged ORDER BY source"):
            found.setdefault(virtual, {})[source] = Unjudged(*rest)
        return found

    # How services stood

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

    # What names mean

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

    # What is remembered of entries

    def memories(
        self, virtual: str, causes: Mapping[Endpoint, Sequence[Cause]] | None = None
    ) -> dict[Endpoint, ServerMemory]:
        """Return what is remembered of each real server of a service, with its causes.

        ``causes`` are those of the service where they have been read already.
        """
        tunnels = self._tunnels(virtual)
        found = {
            _endpoint(row[0]): ServerMemory(
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
            self._remember_tunnel(virtual, real, each.flags)
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

    def _tunnels(self, virtual: str) -> dict[str, tuple[str, ...]]:
        """Return the words of ipvsadm for the tunnels that real servers of a service had."""
        if not self._has("tunnels"):
            return {}
        rows = self._db.execute("SELECT real, flags FROM tunnels WHERE virtual = ?", (virtual,))
        return {real: _words(flags) for real, flags in rows}

    def _remember_tunnel(self, virtual: str, real: str, flags: Sequence[str]) -> None:
        if flags:
            kept = (virtual, real, " ".join(flags))
            self._db.execute("INSERT OR REPLACE INTO tunnels VALUES (?, ?, ?)", kept)
        else:
            self._db.execute("DELETE FROM tunnels WHERE virtual = ? AND real = ?", (virtual, real))

    def forgotten(self) -> dict[str, float]:
        """Return when (epoch) services were forgotten: what the journal says before is history."""
        if not self._has("forgotten"):
            return {}
        return dict(self._db.execute("SELECT virtual, time FROM forgotten"))

    @functools.cached_property
    def has_rounds(self) -> bool:
        """Whether rounds are known."""
        return self._has("rounds")

    def _has(self, table: str) -> bool:
        """Return whether there is a table: a reader may be the first to see an older ledger."""
        asked = "SELECT 1 FROM sqlite_master WHERE name = ?"
        return self._db.execute(asked, (table,)).fetchone() is not None

    def forget_service(self, virtual: str, now: float) -> None:
        """Remove all that is known of a service at ``now`` (epoch), but for the journal."""
        self._db.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?)", (virtual, now))
        tables = "causes checks servers runs unjudged drains names tunnels shapes flapping"
        for table in tables.split():
            self._db.execute(f"DELETE FROM {table} WHERE virtual = ?", (virtual,))  # noqa: S608 - ours

    # Runs

    def set_run(self, run: LastRun) -> None:
        """Keep the options of a source's last run."""
        self._db.execute(
            "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)",
            (run.virtual, run.source, run.real, run.time, options_text(run.options)),
        )

    def forget_run(self, virtual: str, source: str) -> None:
        """Forget that a source had anything to do with a service."""
        self._db.execute("DELETE FROM runs WHERE virtual = ? AND source = ?", (virtual, source))

    def runs(self) -> list[LastRun]:
        """Return the last run of each source for each service."""
        rows = self._db.execute("SELECT virtual, source, real, time, options FROM runs")
        try:
            return [LastRun._make((*row[:4], options_of(row[4]))) for row in rows]
        except (TypeError, ValueError):
            raise CorruptError(f"{FILE_NAME}: the options of a run cannot be read") from None

    def stop(self, virtual: str, stop: Stop) -> None:
        """Note that a service is stopped, until the director's next run for it."""
        self.set_run(LastRun(virtual, DIRECTOR, "", stop.since, {_STOPPED_BY: stop.who}))

    def stops(self) -> dict[str, Stop]:
        """Return the services that are stopped."""
        return {
            run.virtual: Stop(run.time, run.options[_STOPPED_BY])
            for run in self.runs()
            if run.source == DIRECTOR and _STOPPED_BY in run.options
        }

    def virtual_services(self) -> list[str]:
        """Return the services of which anything is known."""
        rows = self._db.execute(
            "SELECT virtual FROM causes UNION SELECT virtual FROM servers"
            " UNION SELECT virtual FROM runs ORDER BY 1"
        )
        return [row[0] for row in rows]


def _words(text: str) -> tuple[str, ...]:
    """Return words that were kept with blanks in between."""
    return tuple(text.split())


# Each real server has several rows.
@functools.lru_cache(1 << 16)
def _endpoint(real: str) -> Endpoint:
    address, _, port = real.rpartition(":")
    try:
        return address.strip("[]"), int(port)
    except ValueError:
        raise CorruptError(f"{FILE_NAME}: {real!r} is not a real server") from None


def _text_of(check: LastVerdict) -> str:
    time, failed, in_a_row, steady, heard = check
    return f"{time} {failed:d} {in_a_row} {steady:d} {heard!r}"


def _checks(said: str) -> dict[Endpoint, LastVerdict]:
    """Return checks as ``set_verdicts`` wrote them, a line for all that share one."""
    found: dict[Endpoint, LastVerdict] = {}
    try:
        for line in filter(None, said.split("\n")):
            time, failed, in_a_row, steady, heard, *reals = line.split(" ")
            flags = {"0": False, "1": True}
            check = LastVerdict(
                int(time), flags[failed], int(in_a_row), flags[steady], float(heard)
            )
            found.update(dict.fromkeys(map(_endpoint, reals), check))
    except (KeyError, TypeError, ValueError):
        raise CorruptError(f"{FILE_NAME}: what a source said cannot be read") from None
    return found
