"""The firewall marks by which checks choose a real server: given out, set, and taken back."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Callable, TypeVar

from lvsalert.director.reconcile import Director, locked
from lvsalert.director.standing_marks import KEPT_SECONDS, standing_marks
from lvsalert.errors import NotDoneError
from lvsalert.ipvs.marks import MARKS, table_of
from lvsalert.ledger.database import FILE_NAME, ledger_error
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.marks import Mark
from lvsalert.model import Way

T = TypeVar("T")


def marks_for(director: Director, ways: Sequence[Way]) -> dict[Way, int]:
    """Return a mark for each way, each of which stands in the kernel's table.

    Nothing is written where they all do and none is left over. NotDoneError where the table or the
    ledger cannot be used.
    """
    found = standing_marks(director.state_dir, ways)
    if found is not None:
        return found
    with locked(director):
        marks = _noted(director.state_dir, ways, time.time())
        director.door.set_marks(table_of({mark: each.way for mark, each in marks.items()}))
    numbers = {each.way: mark for mark, each in marks.items()}
    return {way: numbers[way] for way in ways}


def remove_marks(director: Director) -> int:
    """Remove all marks of ours from the table and the ledger; return how many there were."""
    with locked(director):
        count = len(director.door.marks())
        if os.path.exists(os.path.join(director.state_dir, FILE_NAME)):
            _written(director.state_dir, lambda ledger: ledger.marks.drop(ledger.marks.all()))
        director.door.set_marks({})
    return count


def _noted(state_dir: str, ways: Sequence[Way], now: float) -> dict[int, Mark]:
    """Give each way a mark, forget those that nobody used, and return all that is left.

    It is in the ledger before the kernel hears of it: a run that is killed in between leaves marks
    that the next one misses in the table, and sets.
    """

    def note(ledger: Ledger) -> dict[int, Mark]:
        known = ledger.marks.all()
        wanted = dict.fromkeys(ways)
        left = {
            mark: each
            for mark, each in known.items()
            if each.way in wanted or each.used >= now - KEPT_SECONDS
        }
        numbers = {each.way: mark for mark, each in left.items()}
        free = _free(left)
        for way in wanted:
            if way not in numbers:
                numbers[way] = next(free)
        used = {numbers[way]: Mark(way, now) for way in wanted}
        ledger.marks.drop(known.keys() - left.keys())
        ledger.marks.set(used)
        return left | used

    return _written(state_dir, note)


def _written(state_dir: str, write: Callable[[Ledger], T]) -> T:
    """Return what ``write`` does in one transaction of the ledger."""
    ledger = Ledger.open(state_dir)
    try:
        ledger.begin()
        found = write(ledger)
        ledger.commit()
    except sqlite3.Error as error:
        raise ledger_error(os.path.join(state_dir, FILE_NAME), error) from None
    else:
        return found
    finally:
        ledger.close()


def _free(taken: Mapping[int, Mark]) -> Iterator[int]:
    yield from (mark for mark in MARKS if mark not in taken)
    raise NotDoneError(f"more than {len(MARKS)} real servers are checked by way of an address")
