"""What is policy about a virtual service: who is in, who is out and how, floor and fallback.

Pure: the service as it stands, what is known of its real servers, and the rules come in; the
service as it should be comes out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from lvsalert.errors import UsageError
from lvsalert.ipvs.plan import put_in, take_out
from lvsalert.ipvs.table import Endpoint, Service
from lvsalert.ledger.records import NO_MEMORY, ServerMemory
from lvsalert.model import Forwarding, RealServer, VirtualService

# The part of its weight that a server starts with when it comes back slowly.
_FIRST_STEP = 0.1


class Want(Enum):
    """What is wanted of a real server; STAY leaves it as it stands."""

    IN = "in"
    OUT = "out"
    STAY = "stay"


class Floor(NamedTuple):
    """How many real servers checks leave in: a number, or a share of them in percent."""

    number: int
    is_percent: bool = False

    def of(self, size: int) -> int:
        """Return the floor for a group of ``size``; a share is rounded up."""
        wanted = math.ceil(size * self.number / 100) if self.is_percent else self.number
        return min(wanted, size)


def parse_floor(text: str) -> Floor:
    """Return the floor that ``2`` or ``50%`` means; UsageError for what is neither."""
    digits = text.removesuffix("%")
    is_percent = digits != text
    if digits.isascii() and digits.isdigit() and len(digits) < 7:
        number = int(digits)
        if not is_percent or number <= 100:
            return Floor(number, is_percent)
    raise UsageError(f"{text!r} is not a number of real servers: write 2 or 50%")


class Rules(NamedTuple):
    """How servers go out and come back; times in seconds.

    With ``fallback_is_member`` the fallback is one of the service's real servers as well.
    ``reserve`` are members that serve only while fewer of the others than the floor do, without a
    floor while none does; ``damped`` are those who do so only where the reserve is not enough
    either. ``upper`` and ``lower`` are thresholds that were asked for, ``tunnel``
    is the words of ipvsadm for a tunnel; None where they stay.
    """

    quiesce: bool = False
    quiesce_first: float | None = None
    slow_start: float | None = None
    floor: Floor | None = None
    fallback: RealServer | None = None
    fallback_is_member: bool = False
    reserve: frozenset[Endpoint] = frozenset()
    damped: frozenset[Endpoint] = frozenset()
    upper: int | None = None
    lower: int | None = None
    tunnel: tuple[str, ...] | None = None


class Member(NamedTuple):
    """A real server as it is to stand when it is in, and what is wanted of it."""

    real: RealServer
    want: Want

    @property
    def endpoint(self) -> Endpoint:
        """Return its address and port."""
        return self.real[:2]


class Decision(NamedTuple):
    """The service as it should be, what to remember, and who stays in though it fails."""

    service: Service
    memories: dict[Endpoint, ServerMemory]
    held: list[Endpoint]


def decide(
    service: Service,
    members: Sequence[Member],
    memories: Mapping[Endpoint, ServerMemory],
    rules: Rules,
    *,
    now: float,
    connections: Mapping[Endpoint, int],
) -> Decision:
    """Return the service as it should be.

    ``connections`` holds the active connections of each entry; one that it does not name may have
    some. The floor is one of the members that are no reserve, and puts those back first that went
    out last.
    """
    members = _with_spare(service, members, rules)
    held = _held(service, members, memories, rules)
    is_held = frozenset(held).__contains__
    entries = dict(service.real_servers)
    quiesced = {each for each, real in service.real_servers.items() if real.weight == 0}
    after = dict(memories)
    for member in members:
        endpoint = member.endpoint
        want = Want.IN if is_held(endpoint) else member.want
        memory = after.get(endpoint, NO_MEMORY)
        if want is Want.IN:
            memory = _bring_in(service.virtual, entries, member, memory, rules, now=now)
        elif want is Want.OUT:
            memory = _take_out(entries, endpoint, memory, rules, now)
        if member.want is not Want.STAY and memory.held != is_held(endpoint):
            memory = memory._replace(held=not memory.held)
        after[endpoint] = memory
    for endpoint, memory in after.items():
        if memory.quiesced_until is not None and endpoint in quiesced:
            after[endpoint] = _finish_quiesce(entries, endpoint, memory, now, connections)
    if rules.fallback is not None:
        is_out = rules.fallback_is_member and after.get(rules.fallback[:2], NO_MEMORY).by_operator
        if not is_out:
            _fall_back(service.virtual, entries, rules.fallback, rules.fallback_is_member)
    return Decision(service._replace(real_servers=entries), after, held)


def _with_spare(service: Service, members: Sequence[Member], rules: Rules) -> Sequence[Member]:
    """Return the members, of whose damped and reserve no more are wanted in than are needed."""
    if rules.damped:
        members = _with_damped(service, members, rules)
    return _with_reserve(service, members, rules) if rules.reserve else members


def _with_reserve(service: Service, members: Sequence[Member], rules: Rules) -> list[Member]:
    """Return the members, of whose reserve no more are wanted in than are needed.

    Those that serve already go on.
    """
    others = [member for member in members if member.endpoint not in rules.reserve]
    floor = Floor(1) if rules.floor is None else rules.floor
    missing = floor.of(len(others)) - sum(_stays_in(service, member) for member in others)
    able = [
        member.endpoint
        for member in members
        if member.endpoint in rules.reserve and member.want is Want.IN
    ]
    able.sort(key=lambda endpoint: not _is_serving(service, endpoint))
    idle = frozenset(able[max(0, missing) :])
    return [each._replace(want=Want.OUT) if each.endpoint in idle else each for each in members]


def _with_damped(service: Service, members: Sequence[Member], rules: Rules) -> list[Member]:
    """Return the members, of whose damped no more are wanted in than are needed.

    The reserve comes before them. Those that serve already go on.
    """
    others = [member for member in members if member.endpoint not in rules.damped]
    floor = Floor(1) if rules.floor is None else rules.floor
    size = sum(member.endpoint not in rules.reserve for member in members)
    missing = floor.of(size) - sum(_stays_in(service, member) for member in others)
    well = [
        member.endpoint
        for member in members
        if member.endpoint in rules.damped and member.want is Want.IN
    ]
    well.sort(key=lambda endpoint: not _is_serving(service, endpoint))
    idle = frozenset(well[max(0, missing) :])
    return [each._replace(want=Want.OUT) if each.endpoint in idle else each for each in members]


def _held(
    service: Service,
    members: Sequence[Member],
    memories: Mapping[Endpoint, ServerMemory],
    rules: Rules,
) -> list[Endpoint]:
    """Return who stays in though it fails, so that the floor is kept."""
    if rules.floor is None:
        return []
    others = [member for member in members if member.endpoint not in rules.reserve]
    staying = sum(_stays_in(service, member) for member in members)
    missing = rules.floor.of(len(others)) - staying
    failed = [
        member.endpoint
        for member in others
        if member.want is Want.OUT and not memories.get(member.endpoint, NO_MEMORY).by_operator
    ]

    def went_out(endpoint: Endpoint) -> tuple[float, bool]:
        return memories.get(endpoint, NO_MEMORY).since or 0.0, _is_serving(service, endpoint)

    failed.sort(key=went_out, reverse=True)
    return failed[: max(0, missing)]


def _stays_in(service: Service, member: Member) -> bool:
    if member.want is Want.STAY:
        return _is_serving(service, member.endpoint)
    return member.want is Want.IN


def _is_serving(service: Service, endpoint: Endpoint) -> bool:
    real = service.real_servers.get(endpoint)
    return real is not None and real.weight > 0


def serving(service: Service) -> set[Endpoint]:
    """Return the real servers that take new connections: those with a weight."""
    return {endpoint for endpoint in service.real_servers if _is_serving(service, endpoint)}


def _bring_in(
    virtual: VirtualService,
    entries: dict[Endpoint, RealServer],
    member: Member,
    memory: ServerMemory,
    rules: Rules,
    *,
    now: float,
) -> ServerMemory:
    """Put a member among the entries; return what to remember of it."""
    real = member.real
    standing = entries.get(member.endpoint)
    if standing is None:
        # The kernel forgot them with the entry.
        flags = memory.flags if real.forwarding is Forwarding.TUNNELLING else ()
        real = real._replace(upper=memory.upper, lower=memory.lower, flags=flags)
    if rules.slow_start and real.weight > 0 and (standing is None or standing.weight == 0):
        memory = memory._replace(slow_since=now, slow_for=rules.slow_start)
    if memory.slow_since is not None:
        done = (now - memory.slow_since) / memory.slow_for
        if done < 1:
            real = real._replace(weight=slow_weight(real.weight, done))
        else:
            memory = memory._replace(slow_since=None)
    put_in(entries, virtual, real, upper=rules.upper, lower=rules.lower, tunnel=rules.tunnel)
    return memory if memory.quiesced_until is None else memory._replace(quiesced_until=None)


def slow_weight(weight: int, done: float) -> int:
    """Return the weight of a server whose slow start is ``done`` (0 to 1): a tenth at first.

    At least 1 unless the whole weight is 0, since 0 would let no connection through.
    """
    share = _FIRST_STEP + (1 - _FIRST_STEP) * max(0.0, done)
    return max(min(weight, 1), int(weight * share))


def _take_out(
    entries: dict[Endpoint, RealServer],
    endpoint: Endpoint,
    memory: ServerMemory,
    rules: Rules,
    now: float,
) -> ServerMemory:
    """Take an entry out, or to weight 0 where that is asked for; return what to remember of it."""
    standing = entries.get(endpoint)
    until = None
    if standing is not None:
        kept = standing.upper, standing.lower, standing.flags
        if (memory.upper, memory.lower, memory.flags) != kept:
            memory = memory._replace(upper=kept[0], lower=kept[1], flags=kept[2])
        is_kept = rules.quiesce or memory.drained
        if not is_kept and rules.quiesce_first is not None:
            until = memory.quiesced_until
            until = now + rules.quiesce_first if until is None else until
        take_out(entries, endpoint, quiesce=is_kept or until is not None)
    if (memory.slow_since, memory.quiesced_until) != (None, until):
        memory = memory._replace(slow_since=None, quiesced_until=until)
    return memory


def _finish_quiesce(
    entries: dict[Endpoint, RealServer],
    endpoint: Endpoint,
    memory: ServerMemory,
    now: float,
    connections: Mapping[Endpoint, int],
) -> ServerMemory:
    """Delete an entry quiesced before, where its time is up or its last connection gone."""
    until = memory.quiesced_until
    if endpoint in entries and until is not None:
        if now < until and connections.get(endpoint) != 0:
            return memory
        take_out(entries, endpoint, quiesce=False)
    return memory._replace(quiesced_until=None)


def _fall_back(
    virtual: VirtualService,
    entries: dict[Endpoint, RealServer],
    fallback: RealServer,
    is_member: bool,
) -> None:
    """Put the fallback in where no real server is, and take it out otherwise.

    One that is a real server too is one of those, and stands as its checks want it otherwise.
    """
    endpoint = (fallback.address, fallback.port)
    if any(real.weight > 0 for each, real in entries.items() if is_member or each != endpoint):
        if not is_member:
            take_out(entries, endpoint, quiesce=False)
    else:
        put_in(entries, virtual, fallback, upper=None, lower=None)
