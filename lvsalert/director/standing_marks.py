"""The firewall marks of checks that stand already: all that most checks need, and so read at once.

What is imported here is little, for it is a part of every check by way of a virtual address.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

from lvsalert.ipvs import proc
from lvsalert.ledger.database import LedgerError, connect_to_read
from lvsalert.ledger.marks import Marks
from lvsalert.model import Way

NOTED_SECONDS = 600.0
"""A check that goes on writes no more often than this that it does."""
KEPT_SECONDS = 3600.0
"""The mark of a real server that nobody has checked for so long leaves."""


def standing_marks(state_dir: str, ways: Sequence[Way]) -> dict[Way, int] | None:
    """Return a mark for each way where all of them stand in the kernel's table.

    None where one has to be set, or noted, or to leave. NoKernelError where there is no IPVS.
    """
    now = time.time()
    standing = proc.standing()
    rows = _rows(state_dir)
    if not standing.keys() <= {each[0] for each in rows}:
        return None
    known = {}
    for mark, family, address, port, method, flags, used in rows:
        if used < now - KEPT_SECONDS:
            return None
        if used >= now - NOTED_SECONDS:
            known[family, address, port, method, flags] = mark
    found = {}
    for way in ways:
        family, address, port, forwarding, words = way
        number = known.get((family, address, port, forwarding.value, " ".join(words)))
        if number is None or standing.get(number) != (address, port, forwarding):
            return None
        found[way] = number
    return found


def _rows(state_dir: str) -> list[tuple[int, int, str, int, str, str, float]]:
    """Return the marks of the ledger, none where it cannot be read: whoever writes it says why."""
    try:
        connection = connect_to_read(state_dir)
        if connection is None:
            return []
        try:
            return Marks(connection).rows()
        finally:
            connection.close()
    except (sqlite3.Error, LedgerError):
        return []
