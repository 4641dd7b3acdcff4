"""How each real server stands and why, as values to show: the table with what the ledger knows.

Nothing is written, and no lock is needed: SQLite gives its readers the last committed state.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Callable, TypeVar

from lvsalert.errors import LvsalertError, UsageError
from lvsalert.history import Selection, moves, server_names, service_name, weight_of
from lvsalert.ipvsadm import Ipvsadm
from lvsalert.journal import Entry
from lvsalert.ledger import Cause, Check, Ledger, Stop
from lvsalert.ledger_file import LedgerError, ledger_error
from lvsalert.ledger_text import Words
from lvsalert.model import join_endpoint
from lvsalert.naming import Lookup
from lvsalert.policy import NOTHING, Known
from lvsalert.table import Columns, Endpoint, Service, Table
from lvsalert.tuples import NamedTuple

T = TypeVar("T")

# How many of the last changes of a real server are told.
_LAST_CHANGES = 5


class State(Enum):
    """How a real server stands; MISSING is one that should be in, and that the table lacks."""

    IN = "in"
    SLOW_STARTING = "slow-starting"
    QUIESCED = "quiesced"
    OUT = "out"
    MISSING = "missing"


class Standing(NamedTuple):
    """One real server of a virtual service.

    ``weight`` is None where the table lacks it, ``active`` and ``inactive`` are its connections,
    None where they are not known. ``since`` (epoch) is when it came to ``state``, None where
    nobody saw that.
    """

    endpoint: Endpoint
    state: State
    weight: int | None = None
    active: int | None = None
    inactive: int | None = None
    since: float | None = None
    causes: Sequence[Cause] = ()

    @property
    def name(self) -> str:
        """Return ``address:port``."""
        return join_endpoint(*self.endpoint)


class ServiceView(NamedTuple):
    """A virtual service with its real servers; ``scheduler`` is None where the table lacks it.

    ``stopped`` tells of one that was stopped, whether it stands all the same or not.
    """

    virtual: str
    scheduler: str | None
    servers: Sequence[Standing]
    stopped: Stop | None = None


class Memory(NamedTuple):
    """What a ledger holds of a service's real servers; ``last`` is what each became, and when.

    ``stopped`` is None where nobody has stopped the service.
    """

    known: Mapping[Endpoint, Known] = {}
    causes: Mapping[Endpoint, Sequence[Cause]] = {}
    last: Mapping[str, tuple[State, float]] = {}
    stopped: Stop | None = None


class View(NamedTuple):
    """All services; ``lacking`` is what keeps the ledger from being read, None where it was."""

    services: Sequence[ServiceView]
    lacking: LvsalertError | None


class Story(NamedTuple):
    """All that is known of one real server in one virtual service, the oldest change first."""

    virtual: str
    standing: Standing
    known: Known
    checks: Mapping[str, Check]
    changes: Sequence[Entry]
    stopped: Stop | None = None


class Wanted(NamedTuple):
    """The real servers that a user means, and the text that meant them."""

    text: str
    selection: Selection

    def takes(self, virtual: str, endpoint: Endpoint) -> bool:
        """Return whether this real server of this virtual service is meant."""
        return self.selection.takes(virtual, join_endpoint(*endpoint))

    def unknown(self) -> UsageError:
        """Return the error that nobody knows such a real server."""
        of = "" if self.selection.service is None else f" of {self.selection.service}"
        return UsageError(
            f"{self.text}: neither the table nor the ledger knows such a real server{of}"
        )


def wanted(server: str, service: str | None, lookup: Lookup) -> Wanted:
    """Return what a user means by ``address``, ``address:port``, or a name in place of the address.

    UsageError for what is no real server or no virtual service, and for a name without an address.
    """
    named = None if service is None else service_name(service)
    return Wanted(server, Selection(service=named, servers=server_names(server, lookup)))


def consult(state_dir: str, question: Callable[[Ledger], T]) -> tuple[T, LvsalertError | None]:
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


def look(door: Ipvsadm, state_dir: str) -> View:
    """Return the view of the whole table. IpvsadmError where the table cannot be read."""
    memory, lacking = consult(state_dir, recall)
    return View(services(door.read(), door.connections(), memory), lacking)


def recall(ledger: Ledger) -> dict[str, Memory]:
    """Return what the ledger holds of each virtual service."""
    last: dict[str, dict[str, tuple[State, float]]] = {}
    for move in moves(ledger.journal.turns()):
        became = _became(move.after), move.entry.time
        last.setdefault(move.entry.virtual, {})[move.real] = became
    stops = ledger.stops()
    return {
        virtual: Memory(
            ledger.known(virtual),
            ledger.causes(virtual),
            last.get(virtual, {}),
            stops.get(virtual),
        )
        for virtual in {**dict.fromkeys(ledger.virtual_services()), **last}
    }


def _became(words: Words | None) -> State:
    if words is None:
        return State.OUT
    return State.IN if weight_of(words) > 0 else State.QUIESCED


def services(table: Table, connections: Columns, memory: Mapping[str, Memory]) -> list[ServiceView]:
    """Return every virtual service of the table, and then those that only the ledger knows."""
    found = []
    for virtual, service in table.items():
        known = memory.get(str(virtual), Memory())
        rows = _standings(service, connections.get(virtual, {}), known)
        found.append(ServiceView(str(virtual), service.scheduler, rows, known.stopped))
    standing = {each.virtual for each in found}
    only_known = sorted(memory.keys() - standing)
    return found + [_absent(name, memory[name]) for name in only_known]


def _absent(virtual: str, memory: Memory) -> ServiceView:
    rows = _lacked(memory, ())
    if memory.stopped is not None:
        rows = [each for each in rows if each.state is not State.MISSING]
    return ServiceView(virtual, None, rows, memory.stopped)


def _standings(
    service: Service, connections: Mapping[Endpoint, tuple[int, int]], memory: Memory
) -> list[Standing]:
    rows = []
    for endpoint, real in service.real_servers.items():
        state = State.IN if real.weight > 0 else State.QUIESCED
        causes = memory.causes.get(endpoint, ())
        since = _since(state, endpoint, memory)
        if state is State.IN and memory.known.get(endpoint, NOTHING).slow_since is not None:
            state = State.SLOW_STARTING
        active, inactive = connections.get(endpoint, (None, None))
        rows.append(Standing(endpoint, state, real.weight, active, inactive, since, causes))
    return rows + _lacked(memory, service.real_servers)


def _lacked(memory: Memory, standing: Iterable[Endpoint]) -> list[Standing]:
    """Return what the ledger holds and the table lacks: who is out, and who should be in."""
    here = set(standing)
    rows = [
        Standing(endpoint, State.OUT, since=_since(State.OUT, endpoint, memory), causes=causes)
        for endpoint, causes in memory.causes.items()
        if endpoint not in here
    ]
    here.update(memory.causes)
    for real, (state, _) in memory.last.items():
        endpoint = endpoint_of(real)
        if state is State.IN and endpoint not in here:
            rows.append(Standing(endpoint, State.MISSING))
    return sorted(rows)


def _since(state: State, endpoint: Endpoint, memory: Memory) -> float | None:
    last = memory.last.get(join_endpoint(*endpoint))
    if last is not None and last[0] is state:
        return last[1]
    causes = memory.causes.get(endpoint, ())
    return causes[0].since if causes and state is not State.IN else None


def endpoint_of(real: str) -> Endpoint:
    """Return address and port of ``address:port`` as the journal has it."""
    address, _, port = real.rpartition(":")
    return address.strip("[]"), int(port)


def places(table: Table, ledger: Ledger, asked: Wanted) -> list[tuple[str, Endpoint]]:
    """Return where the real server is: the virtual services' names with its endpoints.

    Where neither the table has it nor the ledger knows a cause, it is where the journal saw it
    last. UsageError where nobody knows it.
    """
    known = [(str(virtual), each) for virtual in table for each in table[virtual].real_servers]
    for name in ledger.virtual_services():
        known += [(name, endpoint) for endpoint in ledger.known(name)]
    found = dict.fromkeys(place for place in known if asked.takes(*place))
    if not found:
        lines = [entry for entry in ledger.journal.history() if entry.real]
        seen = ((entry.virtual, endpoint_of(entry.real)) for entry in lines)
        found = dict.fromkeys(place for place in seen if asked.takes(*place))
    if not found:
        raise asked.unknown()
    return list(found)


def why(door: Ipvsadm, state_dir: str, asked: Wanted) -> tuple[list[Story], LvsalertError | None]:
    """Return the stories of a real server, and what keeps the ledger from being read.

    UsageError where nobody knows it.
    """
    table, connections = door.read(), door.connections()

    def stories(ledger: Ledger) -> list[Story]:
        memory = recall(ledger)
        rows = {
            (each.virtual, row.endpoint): row
            for each in services(table, connections, memory)
            for row in each.servers
        }
        return [
            Story(
                virtual,
                rows.get((virtual, endpoint)) or Standing(endpoint, State.OUT),
                memory.get(virtual, Memory()).known.get(endpoint, NOTHING),
                ledger.checks(virtual, endpoint),
                ledger.journal.history(virtual=virtual, real=join_endpoint(*endpoint))[
                    -_LAST_CHANGES:
                ],
                memory.get(virtual, Memory()).stopped,
            )
            for virtual, endpoint in places(table, ledger, asked)
        ]

    return consult(state_dir, stories)
