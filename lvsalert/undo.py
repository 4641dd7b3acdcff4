"""The way back: the table as it was before the last change, or at a time, by the journal."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence

from lvsalert.errors import LvsalertError, NotDoneError
from lvsalert.history import Move, fallbacks, moves
from lvsalert.ledger import DIRECTOR, OPERATOR, Cause, Ledger
from lvsalert.ledger_text import Words
from lvsalert.model import Forwarding, RealServer, split_endpoint
from lvsalert.policy import Known
from lvsalert.step import Author, Place, Proposal, state_of, take_step
from lvsalert.table import Change, Endpoint, Service, Table, parse
from lvsalert.tuples import NamedTuple


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


def run(place: Place, operator: str, to: float | None, *, dry_run: bool) -> Undone:
    """Put the table back as it was before the last step of the journal, or at ``to`` (epoch).

    A step is all lines of one time and author. What stands otherwise than the journal says is left
    alone. NotDoneError where the journal holds nothing to undo, or the table cannot be had.
    """
    undo = _Undo(f"operator {operator}", to)
    done = take_step(place, undo.decide, dry_run=dry_run)
    return Undone(undo.who, undo.why, done.changes, undo.notes, done.troubles)


class _Undo:
    """One undo on its way: what it leaves alone, and why it is done."""

    def __init__(self, who: str, to: float | None) -> None:
        self.who = who
        self._to = to
        self.why = ""
        self.notes: list[str] = []

    def decide(self, actual: Table, ledger: Ledger) -> Proposal:
        """Return the table as it was, and note in the ledger what the operator so wants."""
        if not ledger.is_lasting:
            raise NotDoneError("the ledger cannot be read, and nothing is undone without it")
        self.notes = []
        goals = _goals(self._chosen(moves(ledger.journal.history())))
        services = [goal for goal in goals if not goal.real]
        desired = {str(virtual): service for virtual, service in actual.items()}
        for goal in services:
            if goal.before is not None:
                self._restore_service(desired, goal)
        for goal in goals:
            if goal.real:
                self._restore_real(desired, goal)
        for goal in services:
            if goal.before is None:
                self._remove_service(desired, goal)
        wanted = {service.virtual: service for service in desired.values()}
        for virtual in {**actual, **wanted}:
            self._note_wishes(ledger, actual.get(virtual), wanted.get(virtual))
        return Proposal(wanted, Author(self.who, self.why))

    def _chosen(self, made: Sequence[Move]) -> Sequence[Move]:
        """Return what is to be undone, the oldest first, and set why."""
        if self._to is not None:
            self.why = f"undo to {_stamp(self._to)}"
            return [move for move in made if move.entry.time > self._to]
        if not made:
            raise NotDoneError("the journal holds no change, so there is nothing to undo")
        last = made[-1].entry
        self.why = f"undo of what {last.who} did at {_stamp(last.time)}"
        step = last.time, last.who
        return [move for move in made if (move.entry.time, move.entry.who) == step]

    def _restore_service(self, desired: dict[str, Service], goal: _Goal) -> None:
        standing = desired.get(goal.virtual)
        was = _service(goal.before)
        if standing is not None and _manner(standing) == _manner(was):
            return
        if not _is_as_journalled(standing, goal):
            self._leave(goal, f"{_manner(standing) or 'not there'} by now, not as the journal says")
        elif was is not None:
            reals = {} if standing is None else standing.real_servers
            desired[goal.virtual] = was._replace(real_servers=reals)

    def _remove_service(self, desired: dict[str, Service], goal: _Goal) -> None:
        standing = desired.get(goal.virtual)
        if standing is None:
            return
        if not _is_as_journalled(standing, goal):
            self._leave(goal, f"{_manner(standing)} by now, not as the journal says")
        elif standing.real_servers:
            self._leave(goal, "it has real servers that stay")
        else:
            del desired[goal.virtual]

    def _restore_real(self, desired: dict[str, Service], goal: _Goal) -> None:
        endpoint = _endpoint(goal.real)
        service = desired.get(goal.virtual)
        standing = None if service is None else service.real_servers.get(endpoint)
        was, left = _real(endpoint, goal.before), _real(endpoint, goal.after)
        if standing == was:
            return
        if standing != left:
            self._leave(goal, f"{state_of(standing)} by now, not {state_of(left)}")
        elif service is None:
            self._leave(goal, "there is no such virtual service")
        else:
            reals = {each: real for each, real in service.real_servers.items() if each != endpoint}
            reals |= {} if was is None else {endpoint: was}
            desired[goal.virtual] = service._replace(real_servers=reals)

    def _leave(self, goal: _Goal, why: str) -> None:
        about = f"{goal.virtual}: {goal.real}" if goal.real else goal.virtual
        self.notes.append(f"{about}: left alone: {why}")

    def _note_wishes(self, ledger: Ledger, before: Service | None, after: Service | None) -> None:
        """Let the operator's causes follow: what is put out gets one, what is put in loses it."""
        service = after or before
        if service is None:
            return
        key = str(service.virtual)
        if before is None and key in ledger.stops():
            ledger.forget_run(key, DIRECTOR)
        old = {} if before is None else before.real_servers
        new = {} if after is None else after.real_servers
        known = ledger.known(key)
        for endpoint in [each for each in {**old, **new} if old.get(each) != new.get(each)]:
            was, real = old.get(endpoint), new.get(endpoint)
            if _serves(real):
                ledger.clear_cause(key, endpoint, OPERATOR)
            elif _serves(was) and endpoint[0] not in fallbacks(ledger, key):
                drain = real is not None
                ledger.set_cause(key, endpoint, Cause(OPERATOR, time.time(), self.why, drain))
            memory = known.get(endpoint, Known())
            ledger.remember(key, {endpoint: _remembered(memory, was, real)})


def _remembered(memory: Known, was: RealServer | None, real: RealServer | None) -> Known:
    """Return what to remember of an entry that an undo changed: no plan of before goes on."""
    memory = memory._replace(quiesced_until=None)
    if not _serves(real):
        memory = memory._replace(slow_since=None)
    if was is not None and real is None:
        # The kernel forgets the thresholds with the entry.
        memory = memory._replace(upper=was.upper, lower=was.lower)
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
