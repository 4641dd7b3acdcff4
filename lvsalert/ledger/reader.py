"""Reading the ledger without the lock: SQLite gives its readers the last committed state."""

from __future__ import annotations

import sqlite3
from typing import Callable, TypeVar

from lvsalert.errors import LvsalertError, UsageError
from lvsalert.ledger.database import LedgerError, ledger_error
from lvsalert.ledger.ledger import Ledger

T = TypeVar("T")


def ask_ledger(state_dir: str, question: Callable[[Ledger], T]) -> tuple[T, LvsalertError | None]:
    """Return what ``question`` finds in the ledger, or in an empty one and why it is empty."""
    try:
        ledger = Ledger.open_to_read(state_dir)
        try:
            return question(ledger), None
        finally:
            ledger.close()
    except sqlite3.Error as error:
        lacking: LedgerError = ledger_error(state_dir, error)
    except LedgerError as error:
        lacking = error
    ledger = Ledger.in_memory()
    try:
        return question(ledger), lacking
    except UsageError as error:
        raise UsageError(f"{error} ({lacking})") from None
    finally:
        ledger.close()
