"""Reconciling, which every way in ends with: read the table, decide, remember, apply, read again.

It runs under the lock, so that runs are one after the other. What was decided is written before
the kernel is told, and confirmed after; a run that is killed in between leaves lines in the journal
that the next run settles by looking at the table.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from typing import Any, Callable, NamedTuple

from lvsalert.director.changes import Author, entries_of, entry_words, with_reason
from lvsalert.director.outside import need_outside
from lvsalert.errors import IpvsadmError, LockTimeoutError, LvsalertError
from lvsalert.ipvs.ipvsadm import FALLBACK_LOCK, Ipvsadm, lock_path
from lvsalert.ipvs.plan import Change, plan
from lvsalert.ipvs.table import Table
from lvsalert.ledger.database import FILE_NAME, CorruptError, LedgerError, ledger_error, set_aside
from lvsalert.ledger.journal import Entry
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.rounds import Seen
from lvsalert.model import join_endpoint

DAY = 86400.0


class Director(NamedTuple):
    """The director that is worked on, as this process gets at it.

    That is the door to its kernel, its state directory, the seconds to wait for other runs, and the
    days that its journal is kept.
    """

    door: Ipvsadm
    state_dir: str
    lock_timeout: float
    journal_days: float


class Proposal(NamedTuple):
    """What a decision comes to: the table that should be, or None where nothing is to happen.

    ``told`` is what else was found on the way, for who asked for the decision.
    """

    desired: Table | None
    author: Author
    told: Any = None


class Reconciled(NamedTuple):
    """What was done: the changes, what went wrong with the ledger, and whether it remembers.

    ``told`` is that of the proposal. ``seen`` is what there was nothing to do in, None where there
    was something.
    """

    changes: Sequence[Change]
    troubles: Sequence[LvsalertError]
    is_remembered: bool
    told: Any
    seen: Seen | None = None


Decide = Callable[[Table, Ledger], Proposal]
"""Gets the table and the ledger, writes to the ledger what it learns, returns what it proposes."""


def in_turn(decisions: Sequence[Decide], author: Author, actual: Table, ledger: Ledger) -> Proposal:
    """Return what decisions, each on a virtual service of its own, come to in one step.

    What they found on the way is a list, a value a decision. Where one wants nothing to happen,
    nothing does, and what others found is None. One that cannot be made leaves its service as it
    is, with the error as its value.
    """
    table, told = actual, []
    reasons = dict(author.reasons)
    for decide in decisions:
        try:
            desired, its_author, found = decide(table, ledger)
        except (LedgerError, IpvsadmError):
            raise
        except LvsalertError as error:
            told.append(error)
            continue
        if desired is None:
            nothing = [None] * len(decisions)
            return Proposal(None, author, [*nothing[: len(told)], found, *nothing[len(told) + 1 :]])
        told.append(found)
        table = desired
        reasons.update(its_author.reasons)
    return Proposal(table, author._replace(reasons=reasons), told)


def reconcile(director: Director, decide: Decide, *, dry_run: bool = False) -> Reconciled:
    """Bring the table to what ``decide`` proposes, and journal it.

    A ledger that cannot be used takes nothing from the table's due: ``decide`` then gets an empty
    one in memory, and the trouble comes back. It may so be called more than once. With ``dry_run``
    nothing is written anywhere. NotDoneError where the table cannot be had or be brought there.
    """
    (done,) = reconcile_all(director, [decide], dry_run=dry_run)
    return done


def reconcile_all(
    director: Director, decisions: Sequence[Decide], *, dry_run: bool = False
) -> list[Reconciled]:
    """Bring the table to what decisions come to, each made on what those before it propose.

    They share one reading of the table, one transaction of the ledger and one batch, and end as
    if they had been reconciled one after the other. An error is one of all of them; otherwise as
    ``reconcile``.
    """
    troubles: list[LvsalertError] = []
    with locked(director):
        actual, texts = director.door.read_with_texts()

        def prepare(ledger: Ledger) -> _Prepared:
            return _prepare(ledger, actual, decisions, director.journal_days, dry_run=dry_run)

        with contextlib.ExitStack() as stack:
            found = _remembered(director.state_dir, prepare, troubles, dry_run=dry_run)
            ledger, prepared = found or (Ledger.in_memory(), None)
            stack.callback(ledger.close)
            prepared = prepared or prepare(ledger)
            changes = [change for step in prepared.steps for change in step.changes]
            if changes and not dry_run:
                director.door.apply(changes, prepared.desired)
                _confirm(ledger, prepared.last, director.state_dir, troubles)
    is_quiet = ledger.is_lasting and not (dry_run or changes or troubles)
    table = digest_of(texts) if is_quiet else ""
    return [
        Reconciled(
            each.changes,
            troubles,
            ledger.is_lasting,
            each.told,
            # What another one has noted since may mean something to it.
            Seen(each.edition, table) if table and each.edition == prepared.edition else None,
        )
        for each in prepared.steps
    ]


def digest_of(texts: tuple[str, str]) -> str:
    """Return a digest of a table, as ipvsadm tells it, without the connections in it."""
    rules, thresholds = texts
    # Two columns behind an entry's thresholds.
    rows = [row.rsplit(None, 2)[0] for row in thresholds.splitlines() if "->" in row]
    return hashlib.sha256("\n".join([rules, *rows]).encode()).hexdigest()


@contextlib.contextmanager
def locked(director: Director) -> Iterator[None]:
    """Hold the lock in the state directory, or the common one where there can be none."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(
                director.door.locked(lock_path(director.state_dir), director.lock_timeout)
            )
        except LockTimeoutError:
            raise
        except IpvsadmError:
            # The resident's sandbox may be what closes it.
            need_outside()
            stack.enter_context(director.door.locked(FALLBACK_LOCK, director.lock_timeout))
        yield


class _Step(NamedTuple):
    """What one decision comes to: the table behind it, its changes, and their journal entries.

    ``edition`` is the ledger's when it was made.
    """

    desired: Table
    changes: Sequence[Change]
    entries: Sequence[Entry]
    told: Any
    edition: int


class _Prepared(NamedTuple):
    """What decisions come to; ``last`` is the last entry that was written into the journal.

    ``edition`` is the ledger's in the end.
    """

    steps: Sequence[_Step]
    desired: Table
    last: int
    edition: int


def _remembered(
    state_dir: str,
    prepare: Callable[[Ledger], _Prepared],
    troubles: list[LvsalertError],
    *,
    dry_run: bool,
) -> tuple[Ledger, _Prepared] | None:
    """Prepare with the ledger in ``state_dir``; a broken one is moved aside and begun anew.

    None where neither can be used; what went wrong is added to ``troubles``.
    """
    path = os.path.join(state_dir, FILE_NAME)
    if dry_run and not os.path.exists(path):
        return None
    try:
        try:
            return _with_ledger(state_dir, prepare)
        except CorruptError as error:
            troubles.append(error)
            if dry_run:
                return None
            aside = set_aside(state_dir, time.time())
            troubles.append(LedgerError(f"{path}: moved aside as {aside}, and a new one begun"))
            return _with_ledger(state_dir, prepare)
    except LedgerError as error:
        troubles.append(error)
    except OSError as error:
        troubles.append(LedgerError(f"{path}: cannot be moved aside: {error.strerror}"))
    return None


def _with_ledger(
    state_dir: str, prepare: Callable[[Ledger], _Prepared]
) -> tuple[Ledger, _Prepared]:
    ledger = Ledger.open(state_dir)
    try:
        return ledger, prepare(ledger)
    except sqlite3.Error as error:
        ledger.close()
        raise ledger_error(os.path.join(state_dir, FILE_NAME), error) from None
    except BaseException:
        ledger.close()
        raise


def _prepare(
    ledger: Ledger, actual: Table, decisions: Sequence[Decide], days: float, *, dry_run: bool
) -> _Prepared:
    """Decide, and write down what is about to happen."""
    ledger.begin()
    _settle(ledger, actual)
    ledger.expire(time.time())
    steps: list[_Step] = []
    table = actual
    for decide in decisions:
        steps.append(_step(ledger, table, decide))
        table = steps[-1].desired
    if dry_run:
        ledger.rollback()
        return _Prepared(steps, table, 0, 0)
    last = ledger.journal.intend([entry for step in steps for entry in step.entries])
    ledger.journal.trim(time.time() - days * DAY)
    ledger.contents.trim(time.time())
    edition = ledger.rounds.edition()
    ledger.commit()
    return _Prepared(steps, table, last, edition)


def _step(ledger: Ledger, actual: Table, decide: Decide) -> _Step:
    """Decide; where nothing is to happen, the ledger keeps nothing of it either."""
    ledger.mark()
    desired, author, told = decide(actual, ledger)
    if desired is None:
        ledger.go_back()
        return _Step(actual, (), (), told, ledger.rounds.edition())
    changes = [with_reason(each, author) for each in plan(actual, desired)]
    now = time.time()
    entries = [each for change in changes for each in entries_of(change, author, now, actual)]
    return _Step(desired, changes, entries, told, ledger.rounds.edition())


def _confirm(ledger: Ledger, last: int, state_dir: str, troubles: list[LvsalertError]) -> None:
    try:
        ledger.begin()
        ledger.journal.confirm(last)
        ledger.commit()
    except sqlite3.Error as error:
        troubles.append(ledger_error(os.path.join(state_dir, FILE_NAME), error))


def _settle(ledger: Ledger, actual: Table) -> None:
    """Confirm what a killed run did change, and withdraw what it did not."""
    unfinished = ledger.journal.unfinished()
    if not unfinished:
        return
    state = {
        (str(virtual), join_endpoint(*endpoint)): entry_words(real)
        for virtual, service in actual.items()
        for endpoint, real in service.real_servers.items()
    }
    services = {str(virtual) for virtual in actual}
    for entry in unfinished:
        if entry.real:
            is_made = state.get((entry.virtual, entry.real)) == entry.words["after"]
        else:
            is_made = (entry.virtual in services) == bool(entry.words["after"])
        if not is_made:
            ledger.journal.withdraw(entry.id)
    ledger.journal.confirm(unfinished[-1].id)
