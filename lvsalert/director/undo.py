"""The way back: the table as it was before the last change, or at a time, by the journal."""

from __future__ import annotations

import datetime
import functools
import time
from collections.abc import Sequence
from typing import NamedTuple

from lvsalert.director.changes import Author, entry_text
from lvsalert.director.reconcile import Director, Proposal, reconcile
from lvsalert.errors import LvsalertError, NotDoneError
from lvsalert.ipvs.plan import Change
from lvsalert.ipvs.table import Endpoint, Service, Table, parse
from lvsalert.ledger.history import Move, fallbacks, moves
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import DIRECTOR, OPERATOR, Cause, ServerMemory
from lvsalert.ledger.text import Words
from lvsalert.model import Forwarding, RealServer, split_endpoint


class Undone(NamedTuple):
    """What an undo did, or with a dry run would do; ``notes`` say what it leaves alone, and why."""

    who: str
    why: str
    changes: Sequence[Change]
    notes: Sequence[str]
    troubles: Sequence[LvsalertError]


class _Goal(NamedTuple):
    """How one thing was at the time to go back to, and how it has to stand now for that."""

    virtual: str
    real: str
    before: Words | None
    after: Words | None


def run(director: Director, operator: str, to: float | None, *, dry_run: bool) -> Undone:
    """Put the table back as it was before the last step of the journal, or at ``to`` (epoch).

    A step is all lines of one time and author. What stands otherwise than the journal says is left
    alone. NotDoneError where the journal holds nothing to undo, or the table cannot be had.
    """
    who = f"operator {operator}"
    done = reconcile(director, functools.partial(_propose, who, to), dry_run=dry_run)
    undo: _Undo = done.told
    return Undone(who, undo.why, done.changes, undo.notes, done.troubles)


def _propose(who: str, to: float | None, actual: Table, ledger: Ledger) -> Proposal:
    """Return the table as it was, and note in the ledger what the operator so wants."""
    if not ledger.is_lasting:
        raise NotDoneError("the ledger cannot be read, and nothing is undone without it")
    chosen, why = _chosen(moves(ledger.journal.history()), to)
    undo = _Undo(why)
    goals = _goals(chosen)
    services = [goal for goal in goals if not goal.real]
    desired = {str(virtual): service for virtual, service in actual.items()}
    for goal in services:
        if goal.before is not None:
            undo.restore_service(desired, goal)
    for goal in goals:
        if goal.real:
            undo.restore_real(desired, goal)
    for goal in services:
        if goal.before is None:
            undo.remove_service(desired, goal)
    wanted = {service.virtual: service for service in desired.values()}
    for virtual in {**actual, **wanted}:
        _note_causes(ledger, actual.get(virtual), wanted.get(virtual), why)
    return Proposal(wanted, Author(who, why), undo)


def _chosen(made: Sequence[Move], to: float | None) -> tuple[Sequence[Move], str]:
    """Return what is to be undone, the oldest first, and what the journal is to say of it."""
    if to is not None:
        return [move for move in made if move.entry.time > to], f"undo to {_stamp(to)}"
    if not made:
        raise NotDoneError("the journal holds no change, so there is nothing to undo")
    last = made[-1].entry
    step = last.time, last.who
    undone = [move for move in made if (move.entry.time, move.entry.who) == step]
    return undone, f"undo of what {last.who} did at {_stamp(last.time)}"


class _Undo:
    """An undo: why it is done, and notes on what it leaves alone."""

    def __init__(self, why: str) -> None:
        self.why = why
        self.notes: list[str] = []

    def restore_service(self, desired: dict[str, Service], goal: _Goal) -> None:
        standing = desired.get(goal.virtual)
        was = _service(goal.before)
        if standing is not None and _manner(standing) == _manner(was):
            return
        if not _is_as_journalled(standing, goal):
            self._leave(goal, f"{_manner(standing) or 'not there'} by now, not as the journal says")
        elif was is not None:
            reals = {} if standing is None else standing.real_servers
            desired[goal.virtual] = was._replace(real_servers=reals)

    def remove_service(self, desired: dict[str, Service], goal: _Goal) -> None:
        standing = desired.get(goal.virtual)
        if standing is None:
            return
        if not _is_as_journalled(standing, goal):
            self._leave(goal, f"{_manner(standing)} by now, not as the journal says")
        elif standing.real_servers:
            self._leave(goal, "it has real servers that stay")
        else:
            del desired[goal.virtual]

    def restore_real(self, desired: dict[str, Service], goal: _Goal) -> None:
        endpoint = _endpoint(goal.real)
        service = desired.get(goal.virtual)
        standing = None if service is None else service.real_servers.get(endpoint)
        was, left = _real(endpoint, goal.before), _real(endpoint, goal.after)
        if standing == was:
            return
        if standing != left:
            self._leave(goal, f"{entry_text(standing)} by now, not {entry_text(left)}")
        elif service is None:
            self._leave(goal, "there is no such virtual service")
        else:
            reals = {each: real for each, real in service.real_servers.items() if each != endpoint}
            reals |= {} if was is None else {endpoint: was}
            desired[goal.virtual] = service._replace(real_servers=reals)

    def _leave(self, goal: _Goal, why: str) -> None:
        about = f"{goal.virtual}: {goal.real}" if goal.real else goal.virtual
        self.notes.append(f"{about}: left alone: {why}")


def _note_causes(ledger: Ledger, before: Service | None, after: Service | None, why: str) -> None:
    """Let the operator's causes follow: what is put out gets one, what is put in loses it."""
    service = after or before
    if service is None:
        return
    key = str(service.virtual)
    if before is None and key in ledger.runs.stops():
        ledger.runs.forget(key, DIRECTOR)
    old = {} if before is None else before.real_servers
    new = {} if after is None else after.real_servers
    known = ledger.memories(key)
    for endpoint in [each for each in {**old, **new} if old.get(each) != new.get(each)]:
        was, real = old.get(endpoint), new.get(endpoint)
        if _serves(real):
            ledger.clear_cause(key, endpoint, OPERATOR)
        elif _serves(was) and endpoint[0] not in fallbacks(ledger, key):
            drain = real is not None
            ledger.set_cause(key, endpoint, Cause(OPERATOR, time.time(), why, drain))
        memory = known.get(endpoint, ServerMemory())
        ledger.remember(key, {endpoint: _remembered(memory, was, real)})


def _remembered(
    memory: ServerMemory, was: RealServer | None, real: RealServer | None
) -> ServerMemory:
    """Return what to remember of an entry that an undo changed: no plan of before goes on."""
    memory = memory._replace(quiesced_until=None)
    if not _serves(real):
        memory = memory._replace(slow_since=None)
    if was is not None and real is None:
        # The kernel forgets them with the entry.
        memory = memory._replace(upper=was.upper, lower=was.lower, flags=was.flags)
    return memory


def _goals(made: Sequence[Move]) -> list[_Goal]:
    """Return each thing that was changed, as it was before the first and after the last change."""
    goals: dict[tuple[str, str], _Goal] = {}
    for move in made:
        first = goals.get(move.key, _Goal(*move.key, move.before, None))
        goals[move.key] = first._replace(after=move.after)
    return list(goals.values())


def _service(words: Words | None) -> Service | None:
    """Return the service, without real servers, that words of ipvsadm create."""
    return None if words is None else next(iter(parse(" ".join(words)).values()))


def _manner(service: Service | None) -> str:
    """Return scheduler and flags of a service as text, none where it does not stand."""
    return "" if service is None else " ".join((service.scheduler, *service.flags))


def _is_as_journalled(standing: Service | None, goal: _Goal) -> bool:
    return _manner(standing) == _manner(_service(goal.after))


def _real(endpoint: Endpoint, words: Words | None) -> RealServer | None:
    """Return the real server that ``RealServer.words`` told, None for none."""
    if words is None:
        return None
    forwarding, _, weight, *flags = words
    limits = {"-x": 0, "-y": 0}
    while len(flags) > 1 and flags[-2] in limits:
        *flags, name, number = flags
        limits[name] = int(number)
    return RealServer(
        *endpoint, Forwarding(forwarding), int(weight), limits["-x"], limits["-y"], tuple(flags)
    )


def _endpoint(text: str) -> Endpoint:
    address, port = split_endpoint(text)
    return address, int(port or 0)


def _serves(real: RealServer | None) -> bool:
    return real is not None and real.weight > 0


def _stamp(when: float) -> str:
    return datetime.datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M:%S")
