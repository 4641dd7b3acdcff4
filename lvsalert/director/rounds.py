"""A check that finds all as the one before did has nothing to do, and is told by a glance.

A glance is the ledger's edition and the table, as ipvsadm tells it: nothing is parsed or decided.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Iterator, Sequence

from lvsalert.director.reconcile import DAY, Director, digest_of, locked
from lvsalert.errors import LvsalertError
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.rounds import Round, Seen


def asked_of(words: Sequence[str]) -> str:
    """Return a digest of all that a check asks for."""
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()


def is_as_before(director: Director, round_: Round) -> bool:
    """Return whether a check would find nothing to do, as the same one did; then it is noted.

    False where that is not known, be it that something is wrong: the check finds out.
    """
    try:
        with locked(director), _writing(director) as ledger:
            now = time.time()
            seen = ledger.rounds.find(round_, now)
            if seen is None or seen.table != digest_of(director.door.texts()):
                return False
            ledger.rounds.repeat(round_, now)
            ledger.journal.trim(now - director.journal_days * DAY)
    except (LvsalertError, sqlite3.Error):
        return False
    return True


def keep(director: Director, round_: Round, virtuals: Sequence[str], seen: Seen) -> None:
    """Note that a check at these services found nothing to do in what it saw.

    Should anything have changed since, it is not found again. What cannot be noted costs time, and
    nothing else.
    """
    with contextlib.suppress(LvsalertError, sqlite3.Error), _writing(director) as ledger:
        ledger.rounds.keep(round_, virtuals, seen, time.time())


@contextlib.contextmanager
def _writing(director: Director) -> Iterator[Ledger]:
    """Open the ledger for one transaction.

    After a power failure a round need not be known, and so no disk is waited for.
    """
    ledger = Ledger.open(director.state_dir)
    try:
        ledger.relax()
        ledger.begin()
        yield ledger
        ledger.commit()
    finally:
        ledger.close()
