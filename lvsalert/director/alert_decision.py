"""What an alert comes to for one virtual service: the table that should be."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lvsalert.director import damping
from lvsalert.director.alert_entries import (
    Alert,
    Judged,
    fallback_entry,
    left_behind,
    verdicts_of,
)
from lvsalert.director.policy import Member, Rules, decide, serving
from lvsalert.director.reconcile import Proposal
from lvsalert.director.verdicts import (
    Source,
    Verdict,
    bystanders,
    take_checks,
    take_operator,
    why_changed,
)
from lvsalert.errors import LvsalertError, NotDoneError
from lvsalert.ipvs.table import Endpoint, Service, Table
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import NO_MEMORY, OPERATOR, LastRun, ServerMemory
from lvsalert.model import RealServer, join_endpoint
from lvsalert.mon.alert_call import Event


class Findings(NamedTuple):
    """What is found while the table is decided on.

    ``errors`` are what could not be done, ``held`` the real servers that stay in though they fail,
    where that is new. ``is_cut_off`` is whether no witness answered, ``unjudged`` says that
    nobody can tell for long, ``fault`` what is wrong with the director's file, where that is new.
    """

    remark: str = ""
    errors: Sequence[LvsalertError] = ()
    held: Sequence[str] = ()
    is_cut_off: bool = False
    unjudged: str = ""
    fault: str = ""


def propose(alert: Alert, actual: Table, ledger: Ledger) -> Proposal:
    """Note what the alert says in the ledger and return the table that should be."""
    # Other runs may have been waited for, and what they noted must not lie in the future.
    now = time.time()
    standing = actual.get(alert.virtual)
    stop = ledger.runs.stops().get(alert.key) if standing is None else None
    if stop is None:
        return _bring(alert, actual, ledger, _shaped(alert, standing, ledger), now)
    nothing = Service(alert.virtual, "", (), {})
    judged = verdicts_of(alert, nothing, ledger.shapes.names(alert.key))
    _note(alert, ledger, judged.verdicts, now, is_whole=not judged.errors)
    remark = f"stopped by {stop.who}: noted, and not set up before it is started"
    return Proposal(actual, alert.author({}), Findings(remark, judged.errors))


def _bring(alert: Alert, actual: Table, ledger: Ledger, service: Service, now: float) -> Proposal:
    """Return the table with the service as the verdicts want it."""
    known = ledger.shapes.names(alert.key)
    judged = verdicts_of(alert, service, known)
    verdicts, errors = judged.verdicts, judged.errors
    left = {} if alert.call.by_hand else _leave_behind(alert, ledger, judged, known)
    stay = {key: real for key, real in service.real_servers.items() if key not in left}
    service = service._replace(real_servers=stay)
    fallback = fallback_entry(alert, service, verdicts, errors)
    members = _note(alert, ledger, verdicts, now, is_whole=not errors)
    causes = ledger.causes(alert.key)
    damped = {} if alert.call.by_hand else damping.damped(causes)
    memories = ledger.memories(alert.key, causes)
    decision = decide(
        service,
        members + _bystanders(alert, service, members, memories, fallback, is_damped=bool(damped)),
        memories,
        _rules(alert, fallback, judged.reserve)._replace(damped=frozenset(damped)),
        now=now,
        connections=_connections(alert, memories),
    )
    if _needs_witness(alert, service, decision.service) and not alert.witness_answers():
        return Proposal(None, alert.author({}), Findings(errors=errors, is_cut_off=True))
    changed = {
        endpoint: each
        for endpoint, each in decision.memories.items()
        if each != memories.get(endpoint, NO_MEMORY)
    }
    ledger.remember(alert.key, changed)
    held: Sequence[str] = ()
    if any(changed.get(endpoint, NO_MEMORY).held for endpoint in decision.held):
        held = [join_endpoint(*endpoint) for endpoint in decision.held]
    good = "put in by hand" if alert.call.by_hand else "passed its check"
    reasons = why_changed(causes, verdicts, good) | left
    if fallback is not None and not _is_well(fallback, verdicts):
        reasons[fallback[:2]] = "the fallback, for when no real server is in"
    desired = decision.service
    for endpoint, why in damped.items():
        is_in = endpoint in serving(desired)
        reasons[endpoint] = "damped, but too few others serve" if is_in else why
    for endpoint in judged.reserve - causes.keys():
        is_in = endpoint in serving(desired)
        reasons[endpoint] = "stands in, for too few serve" if is_in else "in reserve again"
    if alert.file_rules is not None:
        desired = alert.file_rules.with_thresholds(desired)
    fault = "" if alert.file_rules is None else alert.file_rules.note_fault(ledger)
    found = Findings("", errors, held, fault=fault)
    return Proposal({**actual, alert.virtual: desired}, alert.author(reasons), found)


def _leave_behind(
    alert: Alert, ledger: Ledger, judged: Judged, known: Mapping[str, str]
) -> dict[Endpoint, str]:
    """Note what names mean; return the entries that nobody watches since their names moved."""
    left = left_behind(judged, known)
    for endpoint in left:
        for cause in ledger.causes_of(alert.key, endpoint):
            if cause.cause != OPERATOR:
                ledger.forget(alert.key, endpoint, cause.cause)
    meant = {name: real.address for name, real in judged.named.items()}
    ledger.shapes.set_names(
        alert.key, {name: each for name, each in meant.items() if known.get(name) != each}
    )
    return left


def _shaped(alert: Alert, service: Service | None, ledger: Ledger) -> Service:
    """Return the service as it stands or is to be created, without real servers then."""
    scheduler = alert.request.scheduler
    if alert.file_rules is not None:
        return alert.file_rules.shaped(service, scheduler)
    if service is not None:
        if scheduler is not None:
            ledger.shapes.set_flags(alert.key, service.scheduler, service.flags)
        return service
    if scheduler is None:
        raise NotDoneError(
            f"{alert.virtual}: no such virtual service (--scheduler would create it)"
        )
    flags = alert.request.flags
    if flags is None:
        flags = ledger.shapes.flags(alert.key, scheduler)
    return Service(alert.virtual, scheduler, flags, {})


def _note(
    alert: Alert, ledger: Ledger, verdicts: Sequence[Verdict], now: float, *, is_whole: bool
) -> list[Member]:
    """Write the verdicts into the ledger; return what is wanted of each real server.

    ``is_whole`` is whether every host that the alert speaks of has a verdict.
    """
    call, request = alert.call, alert.request
    if alert.file_rules is not None:
        alert.file_rules.note_maintenance(ledger, now=now)
        alert.file_rules.forget_before(ledger, verdicts, alert.who)
    if call.by_hand:
        return [
            take_operator(ledger, alert.key, each, now=now, drain=request.quiesce)
            for each in verdicts
        ]
    is_group = request.real_server is None
    members = take_checks(
        ledger,
        alert.key,
        verdicts,
        _source(alert, ledger),
        now=now,
        is_whole=is_whole and is_group,
    )
    ledger.unjudged.clear(alert.key, alert.who)
    real_server = request.real_server or ""
    ledger.runs.put(LastRun(alert.key, alert.who, real_server, now, dict(request.options)))
    return members


def _source(alert: Alert, ledger: Ledger) -> Source:
    """Return who says so, and how many checks in a row count."""
    call, request = alert.call, alert.request
    # Only checks are counted; a trap or a startupalert is one word, and a ledger that forgets would
    # count each check as the first.
    counts = call.event in (Event.FAILURE, Event.UP) and ledger.is_lasting
    return Source(
        alert.who,
        int(alert.started) if call.time is None else call.time,
        fall=request.fall if counts else 1,
        rise=request.rise if counts else 1,
        repeats=call.event is Event.UP and not call.is_recovery,
        may_be_last=call.is_recovery,
        damp=request.damp,
    )


def _bystanders(
    alert: Alert,
    service: Service,
    members: Sequence[Member],
    memories: Mapping[Endpoint, ServerMemory],
    fallback: RealServer | None,
    *,
    is_damped: bool,
) -> list[Member]:
    """Return the service's other real servers where the floor has to count them.

    Who is damped serves all the same where nobody else does.
    """
    is_whole = alert.request.real_server is None and alert.file_rules is None
    if is_whole or (alert.request.floor is None and not is_damped):
        return []
    causes = [endpoint for endpoint, each in memories.items() if each.since is not None]
    others = bystanders(list(service.real_servers.values()), causes, members)
    return [each for each in others if fallback is None or each.real[:2] != fallback[:2]]


def _is_well(fallback: RealServer, verdicts: Sequence[Verdict]) -> bool:
    """Return whether a fallback that is a real server too has passed its check."""
    return any(each.endpoint == fallback[:2] and not each.failed for each in verdicts)


def _rules(alert: Alert, fallback: RealServer | None, reserve: frozenset[Endpoint]) -> Rules:
    request, rules = alert.request, alert.file_rules
    is_member = request.fallback is None and rules is not None and rules.service.fallback_is_member
    return Rules(
        quiesce=request.quiesce,
        quiesce_first=request.quiesce_first,
        slow_start=request.slow_start,
        floor=request.floor,
        fallback=fallback,
        fallback_is_member=is_member,
        reserve=reserve,
        upper=request.upper,
        lower=request.lower,
        tunnel=request.tunnel,
    )


def _connections(alert: Alert, memories: Mapping[Endpoint, ServerMemory]) -> Mapping[Endpoint, int]:
    """Return the active connections where somebody waits for them to end."""
    if all(each.quiesced_until is None for each in memories.values()):
        return {}
    columns = alert.director.door.connections().get(alert.virtual, {})
    return {endpoint: active for endpoint, (active, _) in columns.items()}


def _needs_witness(alert: Alert, before: Service, after: Service) -> bool:
    """Return whether this takes out so many that the fault may be the director's own."""
    is_asked_for = alert.request.has_witness and not alert.call.by_hand
    return is_asked_for and len(serving(before) - serving(after)) > 1
