"""What each source last said of each real server."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Mapping

from lvsalert.ipvs.table import Endpoint
from lvsalert.ledger.database import FILE_NAME, CorruptError, has_table
from lvsalert.ledger.records import LastVerdict
from lvsalert.ledger.rounds import Rounds
from lvsalert.ledger.text import endpoint_of
from lvsalert.model import join_endpoint


class Verdicts:
    """The verdicts in a ledger."""

    def __init__(self, connection: sqlite3.Connection, rounds: Rounds) -> None:
        self._db = connection
        self._rounds = rounds

    def by(self, virtual: str, source: str) -> dict[Endpoint, LastVerdict]:
        """Return what ``source`` last said of each real server of a service."""
        row = self._db.execute(
            "SELECT said FROM checks WHERE virtual = ? AND source = ?", (virtual, source)
        ).fetchone()
        return {} if row is None else self._heard_since(virtual, source, _checks(*row))

    def _heard_since(
        self, virtual: str, source: str, checks: dict[Endpoint, LastVerdict]
    ) -> dict[Endpoint, LastVerdict]:
        """Return what a source said, with the time of its last check: some find all as before."""
        last = self._rounds.last(source, virtual) if self._has_rounds else None
        if last is None:
            return checks
        return {
            endpoint: check._replace(time=max(check.time, last[0]), heard=max(check.heard, last[1]))
            for endpoint, check in checks.items()
        }

    def of(self, virtual: str, endpoint: Endpoint) -> dict[str, LastVerdict]:
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

    def put(self, virtual: str, source: str, checks: Mapping[Endpoint, LastVerdict]) -> None:
        """Note all that ``source`` says of real servers; what it said of others is forgotten."""
        said: dict[LastVerdict, list[str]] = {}
        for endpoint, check in checks.items():
            said.setdefault(check, []).append(join_endpoint(*endpoint))
        # In one text, since a source's run reads all of it and writes all of it, and the same is
        # said of most.
        text = "\n".join(" ".join((_text_of(check), *reals)) for check, reals in said.items())
        self._db.execute("INSERT OR REPLACE INTO checks VALUES (?, ?, ?)", (virtual, source, text))
        self._rounds.end(source)

    @functools.cached_property
    def _has_rounds(self) -> bool:
        """Whether rounds are known."""
        return has_table(self._db, "rounds")


def _text_of(check: LastVerdict) -> str:
    time, failed, in_a_row, steady, heard = check
    return f"{time} {failed:d} {in_a_row} {steady:d} {heard!r}"


def _checks(said: str) -> dict[Endpoint, LastVerdict]:
    """Return checks as ``Verdicts.put`` wrote them, a line for all that share one."""
    found: dict[Endpoint, LastVerdict] = {}
    try:
        for line in filter(None, said.split("\n")):
            time, failed, in_a_row, steady, heard, *reals = line.split(" ")
            flags = {"0": False, "1": True}
            check = LastVerdict(
                int(time), flags[failed], int(in_a_row), flags[steady], float(heard)
            )
            found.update(dict.fromkeys(map(endpoint_of, reals), check))
    except (KeyError, TypeError, ValueError):
        raise CorruptError(f"{FILE_NAME}: what a source said cannot be read") from None
    return found
