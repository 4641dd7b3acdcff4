"""Taking a real server out of work by hand, its connections unbroken, and putting it back."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from typing import Callable, NamedTuple, Union

from lvsalert.director.accepted import file_with, no_such_service
from lvsalert.director.changes import Author
from lvsalert.director.policy import Member, Rules, Want, decide
from lvsalert.director.reconcile import Director, Proposal, reconcile
from lvsalert.director.status import ServerQuery, find
from lvsalert.errors import LvsalertError, NotDoneError
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ipvs.naming import Lookup, address_of, entry_of, port_of, resolve
from lvsalert.ipvs.plan import Change
from lvsalert.ipvs.table import Endpoint, Service, Table
from lvsalert.ldirectord.file import OPTION, FileService
from lvsalert.ledger.history import local_time, weight_of
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import DAMPED, DIRECTOR, OPERATOR, Cause
from lvsalert.model import (
    Forwarding,
    RealServer,
    VirtualService,
    join_endpoint,
    parse_forwarding,
)
from lvsalert.mon.report import printable

Drained = tuple[VirtualService, Endpoint]


class Outcome(NamedTuple):
    """What was done: the changes, what to tell of servers that none was made for, and what failed.

    ``drained`` are the entries that take no new connections now. ``troubles`` are what could not be
    remembered of what was done.
    """

    who: str
    changes: Sequence[Change]
    remarks: Sequence[str]
    errors: Sequence[LvsalertError]
    drained: Sequence[Drained]
    troubles: Sequence[LvsalertError]


def drain(
    director: Director,
    query: ServerQuery,
    lookup: Lookup,
    operator: str,
    *,
    until: float | None = None,
    reason: str = "",
) -> Outcome:
    """Give a real server the operator's cause and weight 0, in each service that has it.

    The cause ends at ``until`` (epoch), with None not by itself: the first run of any kind after
    that takes it away, and the next good check puts the server back. ``reason`` is the operator's.
    UsageError where nobody knows it, NotDoneError where the table cannot be had or the ledger could
    not keep the cause: mon's next check would then put it back.
    """
    why = f"drained by hand{_further(until, reason)}"
    return _run(director, _Order(query, lookup, operator, why, until, reason), _drain)


def _further(until: float | None, reason: str) -> str:
    """Return what is to be said of a drain beside who did it."""
    end = "" if until is None else f" until {_moment(until)}"
    return f"{end}: {reason}" if reason else end


def _moment(when: float) -> str:
    return f"{local_time(when):%Y-%m-%d %H:%M:%S}"


def resume(director: Director, query: ServerQuery, lookup: Lookup, operator: str) -> Outcome:
    """Take the operator's cause and damping away, and put back whom no other cause keeps out.

    It gets the weight that it had when it last served. Errors are those of ``drain``.
    """
    return _run(director, _Order(query, lookup, operator, "resumed by hand"), _resume)


class _Order(NamedTuple):
    """What an operator wants: of which real servers, and what the journal is to say of it."""

    query: ServerQuery
    lookup: Lookup
    operator: str
    why: str
    until: float | None = None
    reason: str = ""


class _Findings:
    """What is found to tell while the table is decided on."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.remarks: list[str] = []
        self.errors: list[LvsalertError] = []
        self.drained: list[Drained] = []


class _Entry(NamedTuple):
    """One real server of one virtual service, which is None where the table lacks it.

    ``options`` are those of the last run that spoke of it, as variables; empty where none did.
    ``in_file`` is what the file says of the service, None where they name none.
    """

    ledger: Ledger
    name: str
    endpoint: Endpoint
    service: Service | None
    options: Mapping[str, str]
    in_file: FileService | None

    @property
    def standing(self) -> RealServer | None:
        """Return its entry of the table."""
        return None if self.service is None else self.service.real_servers.get(self.endpoint)

    def __str__(self) -> str:
        """Return virtual service and real server as the log names them."""
        return f"{self.name}: {join_endpoint(*self.endpoint)}"


_Act = Callable[[_Order, _Entry, _Findings], Union[Member, None]]
"""Does to the ledger what an operator wants of an entry; returns what is wanted of it."""


def _run(director: Director, order: _Order, act: _Act) -> Outcome:
    author = Author(f"operator {order.operator}", order.why)
    done = reconcile(director, functools.partial(_propose, order, act, author))
    found: _Findings | None = done.told
    if found is None:
        said = "; ".join(map(str, done.troubles))
        raise NotDoneError(f"nothing was changed, since it could not be remembered: {said}")
    return Outcome(
        author.who, done.changes, found.remarks, found.errors, found.drained, done.troubles
    )


def _propose(order: _Order, act: _Act, author: Author, actual: Table, ledger: Ledger) -> Proposal:
    """Write the operator's word into the ledger and return the table that should be."""
    if not ledger.is_lasting:
        return Proposal(None, author)
    found = _Findings(time.time())
    reasons: dict[VirtualService, dict[Endpoint, str]] = {}
    standing = {str(virtual): service for virtual, service in actual.items()}
    desired = dict(actual)
    for name, endpoint in find(actual, ledger, order.query):
        service = standing.get(name)
        options = _options(ledger, name, endpoint)
        in_file = None
        if service is not None:
            in_file = _in_file(order, ledger, service.virtual, options, found.errors)
        entry = _Entry(ledger, name, endpoint, service, options, in_file)
        member = act(order, entry, found)
        if service is None or member is None:
            continue
        decision = decide(
            service,
            [member],
            ledger.memories(name),
            _rules(order, service, entry, found.errors),
            now=found.now,
            connections={},
        )
        ledger.remember(name, decision.memories)
        standing[name] = desired[service.virtual] = decision.service
        if order.until is not None or order.reason:
            # An end and a reason are for those who read syslog, too.
            reasons.setdefault(service.virtual, {})[endpoint] = order.why
    return Proposal(desired, author._replace(reasons=reasons), found)


def _drain(order: _Order, entry: _Entry, found: _Findings) -> Member | None:
    """Set the operator's cause; return that the real server is to go out."""
    why = f"drained by {order.operator}{_further(order.until, order.reason)}"
    cause = Cause(OPERATOR, found.now, why, drain=True)
    entry.ledger.set_cause(entry.name, entry.endpoint, cause)
    if order.until is not None:
        entry.ledger.end_operators_cause(entry.name, entry.endpoint, order.until)
    end = "it is resumed" if order.until is None else _moment(order.until)
    if entry.service is None or entry.standing is None:
        found.remarks.append(f"{entry} is out, and stays out until {end}")
        return None
    found.drained.append((entry.service.virtual, entry.endpoint))
    if entry.standing.weight == 0:
        found.remarks.append(f"{entry} is at weight 0 already, and stays so until {end}")
    return Member(entry.standing, Want.OUT)


def _resume(_order: _Order, entry: _Entry, found: _Findings) -> Member | None:
    """Clear the operator's cause and damping; return that the real server comes in, if it does."""
    for cause in (OPERATOR, DAMPED):
        entry.ledger.clear_cause(entry.name, entry.endpoint, cause)
    left = entry.ledger.causes(entry.name).get(entry.endpoint, [])
    if entry.standing is not None and entry.standing.weight > 0:
        found.remarks.append(f"{entry} is in already")
    elif left:
        said = ", ".join(f"{each.cause} ({printable(each.reason)})" for each in left)
        found.remarks.append(f"{entry} is still kept out by {said}")
    elif entry.service is None:
        found.errors.append(NotDoneError(f"{entry.name}: no such virtual service"))
    else:
        real = _as_it_served(entry)
        if real is not None:
            return Member(real, Want.IN)
        found.errors.append(
            NotDoneError(
                f"{entry}: the weight that it had is not known: put it in with lvs.alert -u"
            )
        )
    return None


def _in_file(
    order: _Order,
    ledger: Ledger,
    virtual: VirtualService,
    options: Mapping[str, str],
    errors: list[LvsalertError],
) -> FileService | None:
    """Return what the file that the last run went by says of the service.

    Names are looked up under the lock, since the ledger has to be read first; mostly there are
    none.
    """
    if OPTION not in options:
        return None
    try:
        file = file_with(options[OPTION], order.lookup, [virtual], ledger.files.find)
        for service in file.services:
            return service
        accepted = ledger.files.find([file.path]) is not None
        raise no_such_service(file.path, virtual, is_accepted=accepted)
    except LvsalertError as error:
        # Once for all the services that a real server is in.
        if str(error) not in map(str, errors):
            errors.append(error)
        return None


def _rules(order: _Order, service: Service, entry: _Entry, errors: list[LvsalertError]) -> Rules:
    fallback = _fallback(order, service, entry, errors)
    if fallback is not None and (fallback.address, fallback.port) == entry.endpoint:
        fallback = None
    return Rules(quiesce=True, slow_start=_slow_start(entry.options), fallback=fallback)


def _fallback(
    order: _Order, service: Service, entry: _Entry, errors: list[LvsalertError]
) -> RealServer | None:
    """Return the entry of the fallback that the last run asked for, or else the file's."""
    options, virtual = entry.options, service.virtual
    spelled = options.get("LVSALERT_FALLBACK")
    if spelled is None:
        return None if entry.in_file is None else entry.in_file.own_fallback
    hosts = resolve([spelled], virtual.family, order.lookup, errors)
    try:
        for host in hosts:
            address = address_of(host, [address for address, _ in service.real_servers])
            forwarding = _forwarding(options)
            port = port_of(virtual, forwarding, host.port, options.get("LVSALERT_REAL_PORT"))
            return entry_of(virtual, RealServer(address, port, forwarding))
    except LvsalertError as error:
        errors.append(error)
    return None


def _options(ledger: Ledger, name: str, endpoint: Endpoint) -> Mapping[str, str]:
    """Return the options of the last run for a service, at best one that judged the real server.

    Of a run of the director's own that is the file, which says the rest.
    """
    judged = ledger.verdicts.of(name, endpoint)
    runs = [run for run in ledger.runs.all() if run.virtual == name]
    last = max(runs, key=lambda run: (run.source in judged, run.time), default=None)
    if last is None:
        return {}
    if last.source == DIRECTOR:
        return {name: text for name, text in last.options.items() if name == OPTION}
    return last.options


def _as_it_served(entry: _Entry) -> RealServer | None:
    """Return the entry as it last served, by the journal, or else as the last run wants it.

    Where a slow start may have been under way, the weight that it climbs to is the run's.
    """
    lines = entry.ledger.journal.history(virtual=entry.name, real=join_endpoint(*entry.endpoint))
    told = [line.words[when] for line in reversed(lines) for when in ("after", "before")]
    words = next((each for each in told if each is not None and weight_of(each) > 0), None)
    if words is None and not entry.options:
        return None
    wanted = _as_asked(entry)
    if words is None:
        forwarding, weight = wanted.forwarding, wanted.weight
    else:
        forwarding, weight = Forwarding(words[0]), weight_of(words)
        if _slow_start(entry.options) is not None:
            weight = max(weight, wanted.weight)
    if entry.standing is not None:
        forwarding = entry.standing.forwarding
    return RealServer(*entry.endpoint, forwarding, weight)


def _as_asked(entry: _Entry) -> RealServer:
    """Return the entry as the last run wants it: by its options, by the file, by default."""
    servers = () if entry.in_file is None else entry.in_file.servers
    own = next((each.real for each in servers if each.endpoint == entry.endpoint), None)
    real = own or RealServer(*entry.endpoint)
    if "LVSALERT_WEIGHT" in entry.options:
        real = real._replace(weight=int(entry.options["LVSALERT_WEIGHT"]))
    if "LVSALERT_FORWARDING" in entry.options:
        real = real._replace(forwarding=_forwarding(entry.options))
    return real


def _forwarding(options: Mapping[str, str]) -> Forwarding:
    return parse_forwarding(options.get("LVSALERT_FORWARDING", "dr"))


def _slow_start(options: Mapping[str, str]) -> float | None:
    return float(options.get("LVSALERT_SLOW_START", "0")) or None


def connections_left(door: Ipvsadm, drained: Sequence[Drained]) -> dict[Drained, int]:
    """Return the active connections of entries; one that is gone from the table has none."""
    columns = door.connections()
    return {
        (virtual, endpoint): columns.get(virtual, {}).get(endpoint, (0, 0))[0]
        for virtual, endpoint in drained
    }
