"""How each real server stands and why, as values to show: the table with what the ledger knows.

Nothing is written, and no lock is needed: SQLite gives its readers the last committed state.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from lvsalert.director.accepted import News, news_of
from lvsalert.errors import LvsalertError, UsageError
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ipvs.naming import Lookup
from lvsalert.ipvs.table import Columns, Endpoint, Service, Table
from lvsalert.ledger.history import Selection, moves, server_names, service_name, weight_of
from lvsalert.ledger.journal import Entry
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.reader import ask_ledger
from lvsalert.ledger.records import NO_MEMORY, Cause, LastVerdict, ServerMemory, Stop, Unjudged
from lvsalert.ledger.text import Words, endpoint_of
from lvsalert.model import canonical_address, join_endpoint, split_endpoint

# How many of the last changes of a real server are told.
_LAST_CHANGES = 5
_RESERVE = "LVSALERT_RESERVE"


class State(Enum):
    """How a real server stands; MISSING is one that should be in, and that the table lacks."""

    IN = "in"
    SLOW_STARTING = "slow-starting"
    QUIESCED = "quiesced"
    OUT = "out"
    MISSING = "missing"


class ServerStatus(NamedTuple):
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


class ServiceStatus(NamedTuple):
    """A virtual service with its real servers; ``scheduler`` is None where the table lacks it.

    ``stopped`` tells of one that was stopped, whether it stands all the same or not; ``unjudged``
    are the sources that have not been able to tell of it for long.
    """

    virtual: str
    scheduler: str | None
    servers: Sequence[ServerStatus]
    stopped: Stop | None = None
    unjudged: Mapping[str, Unjudged] = {}


class ServiceMemory(NamedTuple):
    """What a ledger holds of a service's real servers; ``last`` is what each became, and when.

    ``stopped`` is None where nobody has stopped the service.
    """

    servers: Mapping[Endpoint, ServerMemory] = {}
    causes: Mapping[Endpoint, Sequence[Cause]] = {}
    last: Mapping[str, tuple[State, float]] = {}
    stopped: Stop | None = None
    unjudged: Mapping[str, Unjudged] = {}


class Status(NamedTuple):
    """All services; ``lacking`` is what keeps the ledger from being read, None where it was.

    ``news`` are the director's files that say something else by now than what was accepted.
    """

    services: Sequence[ServiceStatus]
    lacking: LvsalertError | None
    news: Sequence[News] = ()


class ServerStory(NamedTuple):
    """All that is known of one real server in one virtual service, the oldest change first.

    ``is_reserve`` is whether it serves only where too few of the others do.
    """

    virtual: str
    standing: ServerStatus
    memory: ServerMemory
    checks: Mapping[str, LastVerdict]
    changes: Sequence[Entry]
    stopped: Stop | None = None
    unjudged: Mapping[str, Unjudged] = {}
    is_reserve: bool = False


class ServerQuery(NamedTuple):
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


def query(server: str, service: str | None, lookup: Lookup) -> ServerQuery:
    """Return what a user means by ``address``, ``address:port``, or a name in place of the address.

    UsageError for what is no real server or no virtual service, and for a name without an address.
    """
    named = None if service is None else service_name(service)
    return ServerQuery(server, Selection(service=named, servers=server_names(server, lookup)))


def read(door: Ipvsadm, state_dir: str) -> Status:
    """Return the view of the whole table. IpvsadmError where the table cannot be read."""
    (memory, files), lacking = ask_ledger(
        state_dir, lambda ledger: (remembered(ledger), ledger.files.all())
    )
    news = [each for each in map(news_of, files) if each is not None]
    return Status(combine(door.read(), door.connections(), memory), lacking, news)


def remembered(ledger: Ledger) -> dict[str, ServiceMemory]:
    """Return what the ledger holds of each virtual service."""
    last: dict[str, dict[str, tuple[State, float]]] = {}
    forgotten = ledger.forgotten()
    for move in moves(ledger.journal.turns()):
        if move.entry.time <= forgotten.get(move.entry.virtual, float("-inf")):
            continue
        became = _became(move.after), move.entry.time
        last.setdefault(move.entry.virtual, {})[move.real] = became
    stops, unjudged, now = ledger.runs.stops(), ledger.unjudged.all(), time.time()
    return {
        virtual: ServiceMemory(
            ledger.memories(virtual),
            ledger.causes(virtual),
            last.get(virtual, {}),
            stops.get(virtual),
            {who: each for who, each in unjudged.get(virtual, {}).items() if each.is_long(now)},
        )
        for virtual in dict.fromkeys((*ledger.virtual_services(), *last, *unjudged))
    }


def _became(words: Words | None) -> State:
    if words is None:
        return State.OUT
    return State.IN if weight_of(words) > 0 else State.QUIESCED


def combine(
    table: Table, connections: Columns, memory: Mapping[str, ServiceMemory]
) -> list[ServiceStatus]:
    """Return every virtual service of the table, and then those that only the ledger knows."""
    found = []
    for virtual, service in table.items():
        known = memory.get(str(virtual), ServiceMemory())
        rows = _standings(service, connections.get(virtual, {}), known)
        status = ServiceStatus(str(virtual), service.scheduler, rows, known.stopped, known.unjudged)
        found.append(status)
    standing = {each.virtual for each in found}
    only_known = sorted(memory.keys() - standing)
    return found + [_absent(name, memory[name]) for name in only_known]


def _absent(virtual: str, memory: ServiceMemory) -> ServiceStatus:
    rows = _lacked(memory, ())
    if memory.stopped is not None:
        rows = [each for each in rows if each.state is not State.MISSING]
    return ServiceStatus(virtual, None, rows, memory.stopped, memory.unjudged)


def _standings(
    service: Service, connections: Mapping[Endpoint, tuple[int, int]], memory: ServiceMemory
) -> list[ServerStatus]:
    rows = []
    for endpoint, real in service.real_servers.items():
        state = State.IN if real.weight > 0 else State.QUIESCED
        causes = memory.causes.get(endpoint, ())
        since = _since(state, endpoint, memory)
        if state is State.IN and memory.servers.get(endpoint, NO_MEMORY).slow_since is not None:
            state = State.SLOW_STARTING
        active, inactive = connections.get(endpoint, (None, None))
        rows.append(ServerStatus(endpoint, state, real.weight, active, inactive, since, causes))
    return rows + _lacked(memory, service.real_servers)


def _lacked(memory: ServiceMemory, standing: Iterable[Endpoint]) -> list[ServerStatus]:
    """Return what the ledger holds and the table lacks: who is out, and who should be in."""
    here = set(standing)
    rows = [
        ServerStatus(endpoint, State.OUT, since=_since(State.OUT, endpoint, memory), causes=causes)
        for endpoint, causes in memory.causes.items()
        if endpoint not in here
    ]
    here.update(memory.causes)
    for real, (state, _) in memory.last.items():
        endpoint = endpoint_of(real)
        if state is State.IN and endpoint not in here:
            rows.append(ServerStatus(endpoint, State.MISSING))
    return sorted(rows)


def _since(state: State, endpoint: Endpoint, memory: ServiceMemory) -> float | None:
    last = memory.last.get(join_endpoint(*endpoint))
    if last is not None and last[0] is state:
        return last[1]
    causes = memory.causes.get(endpoint, ())
    return causes[0].since if causes and state is not State.IN else None


def find(table: Table, ledger: Ledger, asked: ServerQuery) -> list[tuple[str, Endpoint]]:
    """Return where the real server is: the virtual services' names with its endpoints.

    Where neither the table has it nor the ledger knows a cause, it is where the journal saw it
    last. UsageError where nobody knows it.
    """
    known = [(str(virtual), each) for virtual in table for each in table[virtual].real_servers]
    for name in ledger.virtual_services():
        known += [(name, endpoint) for endpoint in ledger.memories(name)]
        # A reserve that was never needed has been checked, and nothing more.
        known += [(name, endpoint) for endpoint in sorted(ledger.verdicts.judged(name))]
    found = dict.fromkeys(place for place in known if asked.takes(*place))
    if not found:
        lines = [entry for entry in ledger.journal.history() if entry.real]
        seen = ((entry.virtual, endpoint_of(entry.real)) for entry in lines)
        found = dict.fromkeys(place for place in seen if asked.takes(*place))
    if not found:
        raise asked.unknown()
    return list(found)


def _is_reserve(ledger: Ledger, virtual: str, endpoint: Endpoint) -> bool:
    """Return whether the last run of any source had a real server in reserve."""
    runs = [run for run in ledger.runs.all() if run.virtual == virtual]
    words = [word for run in runs for word in run.options.get(_RESERVE, "").split()]
    names = ledger.shapes.names(virtual) if words else {}
    for word in words:
        try:
            host, port = split_endpoint(word)
        except LvsalertError:
            continue
        address = canonical_address(host) or names.get(host)
        if address == endpoint[0] and port in (None, str(endpoint[1])):
            return True
    return False


def why(
    door: Ipvsadm, state_dir: str, asked: ServerQuery
) -> tuple[list[ServerStory], LvsalertError | None]:
    """Return the stories of a real server, and what keeps the ledger from being read.

    UsageError where nobody knows it.
    """
    table, connections = door.read(), door.connections()

    def stories(ledger: Ledger) -> list[ServerStory]:
        memory = remembered(ledger)
        rows = {
            (each.virtual, row.endpoint): row
            for each in combine(table, connections, memory)
            for row in each.servers
        }
        return [
            ServerStory(
                virtual,
                rows.get((virtual, endpoint)) or ServerStatus(endpoint, State.OUT),
                memory.get(virtual, ServiceMemory()).servers.get(endpoint, NO_MEMORY),
                ledger.verdicts.of(virtual, endpoint),
                ledger.journal.history(virtual=virtual, real=join_endpoint(*endpoint))[
                    -_LAST_CHANGES:
                ],
                memory.get(virtual, ServiceMemory()).stopped,
                memory.get(virtual, ServiceMemory()).unjudged,
                _is_reserve(ledger, virtual, endpoint),
            )
            for virtual, endpoint in find(table, ledger, asked)
        ]

    return ask_ledger(state_dir, stories)
