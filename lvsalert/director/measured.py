"""What of a director is measured, as values: the table with what the ledger knows of it.

Nothing is written, and no lock is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from lvsalert.director.policy import parse_floor
from lvsalert.director.status import (
    ServerStatus,
    ServiceMemory,
    ServiceStatus,
    State,
    combine,
    remembered,
)
from lvsalert.errors import LvsalertError
from lvsalert.ipvs.table import Columns, Endpoint, Table
from lvsalert.ldirectord.file import as_accepted
from lvsalert.ledger.accepted import Accepted
from lvsalert.ledger.history import fallback_addresses
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import NO_MEMORY, LastRun, Unjudged
from lvsalert.model import canonical_address, split_endpoint

_FLOOR, _RESERVE = "LVSALERT_MIN_IN", "LVSALERT_RESERVE"
SERVING = frozenset((State.IN, State.SLOW_STARTING))
"""The states in which a real server takes new connections."""


class Known(NamedTuple):
    """What the ledger holds; ``said`` are the real servers that sources have spoken of.

    ``unjudged`` are all sources that could not tell last. ``ends`` is when drains end by
    themselves, ``changes`` are by service and who made them. ``fallbacks`` are the addresses that
    serve a service when no real server does, ``members`` those of them that are real servers too.
    """

    memory: Mapping[str, ServiceMemory]
    runs: Mapping[str, Sequence[LastRun]]
    unjudged: Mapping[str, Mapping[str, Unjudged]]
    said: Mapping[tuple[str, str], frozenset[Endpoint]]
    ends: Mapping[str, Mapping[Endpoint, float]]
    changes: Mapping[tuple[str, str], int]
    files: Sequence[Accepted]
    fallbacks: Mapping[str, set[str]]
    members: Mapping[str, set[str]]


class Measured(NamedTuple):
    """A virtual service: its real servers without the fallbacks, how many of those serve.

    ``floor`` is how many real servers checks leave in, None where nobody said; ``held`` are those
    that they so keep in, ``unjudged`` those of which a check has not been able to tell for long.
    ``differences`` are those that stand otherwise than the ledger wants, and the service itself.
    """

    status: ServiceStatus
    servers: Sequence[ServerStatus]
    fallbacks_in: int
    floor: int | None
    held: int
    unjudged: int
    differences: int


def known(ledger: Ledger) -> Known:
    """Return what a ledger holds."""
    memory, files = remembered(ledger), ledger.files.all()
    runs: dict[str, list[LastRun]] = {}
    for run in ledger.runs.all():
        runs.setdefault(run.virtual, []).append(run)
    fallbacks = {virtual: fallback_addresses(each) for virtual, each in runs.items()}
    members: dict[str, set[str]] = {}
    for each in files:
        try:
            services = as_accepted(each.path, each.text, each.names).services
        except LvsalertError:
            # Another version of this program may have taken what this one does not.
            continue
        for service in services:
            if service.fallback is not None:
                found = members if service.fallback_is_member else fallbacks
                found.setdefault(str(service.virtual), set()).add(service.fallback.address)
    said = {
        (virtual, source): frozenset(ledger.verdicts.by(virtual, source))
        for virtual, service_memory in memory.items()
        for source in service_memory.unjudged
    }
    ends, changes = ledger.ends(), ledger.journal.counts()
    return Known(
        memory, runs, ledger.unjudged.all(), said, ends, changes, files, fallbacks, members
    )


def measured(table: Table, connections: Columns, known: Known) -> list[Measured]:
    """Return every virtual service of the table, and those that only the ledger knows."""
    return [_measured(each, known) for each in combine(table, connections, known.memory)]


def _measured(status: ServiceStatus, known: Known) -> Measured:
    virtual = status.virtual
    memory = known.memory.get(virtual, ServiceMemory())
    fallbacks = known.fallbacks.get(virtual, set())
    servers = [each for each in status.servers if each.endpoint[0] not in fallbacks]
    unjudged: set[Endpoint] = set()
    for source in status.unjudged:
        everybody = {each.endpoint for each in servers}
        unjudged |= (known.said[virtual, source] & everybody) or everybody
    members = known.members.get(virtual, set())
    is_missing = status.scheduler is None and status.stopped is None
    differing = [_differs(each, memory) for each in servers if each.endpoint[0] not in members]
    return Measured(
        status,
        servers,
        len([each for each in status.servers if each.endpoint[0] in fallbacks]),
        _floor(known.runs.get(virtual, ()), servers),
        len([each for each in servers if memory.servers.get(each.endpoint, NO_MEMORY).held]),
        len(unjudged),
        sum(differing) + is_missing,
    )


def _differs(server: ServerStatus, memory: ServiceMemory) -> bool:
    """Return whether a real server stands otherwise than the ledger wants."""
    if server.state in SERVING:
        is_held = memory.servers.get(server.endpoint, NO_MEMORY).held
        return bool(server.causes) and not is_held
    if server.state is State.QUIESCED and not server.causes:
        last = memory.last.get(server.name)
        return last is not None and last[0] is State.IN
    return server.state is State.MISSING


def _floor(runs: Iterable[LastRun], servers: Sequence[ServerStatus]) -> int | None:
    """Return how many real servers checks leave in, as the last runs of lvs.alert were told."""
    floors = []
    for run in runs:
        if _FLOOR not in run.options:
            continue
        try:
            words = run.options.get(_RESERVE, "").split()
            reserve = {canonical_address(split_endpoint(word)[0]) for word in words}
            members = [each for each in servers if each.endpoint[0] not in reserve]
            floors.append(parse_floor(run.options[_FLOOR]).of(len(members)))
        except LvsalertError:
            continue
    return max(floors, default=None)
