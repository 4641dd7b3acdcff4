"""From what mon reports to the table that should be, with what other sources said before."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Callable, NamedTuple

from lvsalert.director.alert_entries import (
    Alert,
    Judged,
    fallback_entry,
    left_behind,
    verdicts_of,
)
from lvsalert.director.policy import Member, Rules, decide, serving
from lvsalert.director.reconcile import (
    Author,
    Decide,
    Director,
    Proposal,
    in_turn,
    reconcile,
)
from lvsalert.director.request import HostsWanted, Request, hosts_wanted
from lvsalert.director.verdicts import (
    Source,
    Verdict,
    bystanders,
    take_checks,
    take_operator,
    why_changed,
)
from lvsalert.errors import LvsalertError, NotDoneError
from lvsalert.ipvs.naming import (
    Host,
    Lookup,
    resolve,
    virtual_service,
)
from lvsalert.ipvs.plan import Change
from lvsalert.ipvs.table import Endpoint, Service, Table
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import NO_MEMORY, OPERATOR, LastRun, ServerMemory, Unjudged
from lvsalert.model import RealServer, VirtualService, join_endpoint, split_endpoint
from lvsalert.mon.alert_call import AlertCall, Event
from lvsalert.mon.report import printable

if TYPE_CHECKING:
    from lvsalert.director.file_rules import FileRules


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


class Outcome(NamedTuple):
    """What a run did: the changes (made, or with a dry run only planned) and what to tell.

    ``troubles`` are what could not be remembered, ``is_remembered`` whether a ledger that lasts
    knows of it.
    """

    virtual: VirtualService
    who: str
    findings: Findings
    changes: Sequence[Change] = ()
    troubles: Sequence[LvsalertError] = ()
    is_remembered: bool = True


class Job(NamedTuple):
    """What is asked for one virtual service.

    With ``file_rules`` the entries and the shape of the service are those of the director's file.
    """

    request: Request
    file_rules: FileRules | None = None


def run(
    call: AlertCall,
    jobs: Sequence[Job],
    director: Director,
    *,
    lookup: Lookup,
    witness_answers: Callable[[], bool],
    operator: str,
    dry_run: bool = False,
) -> list[Outcome]:
    """Bring the table to what the alert wants, all jobs in one step; return an outcome for each.

    ``operator`` is who calls by hand, ``witness_answers`` tells whether anybody outside can be
    reached. Names are looked up before the lock is taken. A host whose name has no address is left
    as it is and comes back among the errors; the others are done all the same, and so are the
    other jobs where one cannot be done. LvsalertError where the only one cannot be done.
    """
    who = printable(f"operator {operator}" if call.by_hand else call.who)
    answers = functools.lru_cache(1)(witness_answers)
    run_of = _Run(call, who, director, lookup, answers, dry_run)
    steps = [_step(run_of, job) for job in jobs]
    decisions = [each.decide for each in steps if each.decide is not None]
    if not decisions:
        return [Outcome(each.virtual, who, each.findings) for each in steps]
    author = Author(who, "by hand" if call.by_hand else call.event.value)
    done = reconcile(director, functools.partial(in_turn, decisions, author), dry_run=dry_run)
    told = iter(done.told)
    changes: dict[VirtualService, list[Change]] = {}
    for change in done.changes:
        changes.setdefault(change.virtual, []).append(change)
    outcomes: list[Outcome] = []
    for step in steps:
        found = step.findings if step.decide is None else next(told)
        if isinstance(found, LvsalertError):
            if len(steps) == 1:
                raise found
            found = Findings(errors=[found])
        made = changes.get(step.virtual, [])
        # What went wrong with the ledger is told once, or of all that it does not hold.
        troubles = done.troubles if made or not outcomes else ()
        outcomes.append(
            Outcome(step.virtual, who, found or Findings(), made, troubles, done.is_remembered)
        )
    return outcomes


class _Step(NamedTuple):
    """A virtual service and what decides on it, or what is to be said where nothing does."""

    virtual: VirtualService
    decide: Decide | None
    findings: Findings = Findings()


class _Run(NamedTuple):
    """What all jobs of an alert have in common."""

    call: AlertCall
    who: str
    director: Director
    lookup: Lookup
    witness_answers: Callable[[], bool]
    dry_run: bool


def _step(run_of: _Run, job: Job) -> _Step:
    """Look up the names of a job, and return what decides on its service."""
    call, who, director, lookup, witness_answers, dry_run = run_of
    request = job.request
    virtual = virtual_service(
        request.virtual, request.protocol, lookup, ipv6_fwmark=request.ipv6_fwmark
    )
    if request.real_server is not None:
        split_endpoint(request.real_server)
    wanted = hosts_wanted(call, request)
    if wanted.is_unjudged and not dry_run:
        return _Step(virtual, functools.partial(_note_unjudged, call, virtual, wanted.remark))
    if not wanted.hosts_in and not wanted.hosts_out:
        return _Step(virtual, None, Findings(wanted.remark))
    started = time.time()
    found = _look_up(wanted, request.fallback, virtual.family, lookup)
    alert = Alert(
        call, request, virtual, who, job.file_rules, director, witness_answers, started, *found
    )
    return _Step(virtual, functools.partial(_propose, alert))


def _note_unjudged(
    call: AlertCall, virtual: VirtualService, remark: str, actual: Table, ledger: Ledger
) -> Proposal:
    """Count a check that could not tell; that there were too many is told once."""
    key, who, now = str(virtual), printable(call.who), time.time()
    when = int(now) if call.time is None else call.time
    reason = printable(next(filter(None, call.detail.splitlines()), "it does not say why"))
    before = ledger.unjudged().get(key, {}).get(who, Unjudged(now, when, 0, reason))
    # mon calls both alert and redistribute for a check.
    is_new = before.times == 0 or before.time != when
    after = Unjudged(before.since, when, before.times + is_new, reason)
    ledger.set_unjudged(key, who, after)
    said = ""
    if after.is_long(now) and not before.is_long(float(before.time)):
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(after.since))
        said = f"no verdict for {after.times} checks, since {since}: {reason}"
    return Proposal(actual, Author(who, "cannot tell"), Findings(remark, unjudged=said))


def _look_up(
    wanted: HostsWanted, fallback: str | None, family: int, lookup: Lookup
) -> tuple[list[tuple[Host, bool]], Host | None, list[LvsalertError]]:
    """Return the hosts and the fallback with their addresses, all names looked up at once."""
    errors: list[LvsalertError] = []
    extra = () if fallback is None else (fallback,)
    hosts = resolve((*wanted.hosts_in, *wanted.hosts_out, *extra), family, lookup, errors)
    found = None
    if hosts and fallback is not None and hosts[-1].spelled == fallback:
        found = hosts.pop()
    hosts_out = frozenset(wanted.hosts_out)
    return [(host, host.spelled in hosts_out) for host in hosts], found, errors


def _propose(alert: Alert, actual: Table, ledger: Ledger) -> Proposal:
    """Note what the alert says in the ledger and return the table that should be."""
    # Other runs may have been waited for, and what they noted must not lie in the future.
    now = time.time()
    standing = actual.get(alert.virtual)
    stop = ledger.stops().get(alert.key) if standing is None else None
    if stop is None:
        return _bring(alert, actual, ledger, _shaped(alert, standing, ledger), now)
    nothing = Service(alert.virtual, "", (), {})
    judged = verdicts_of(alert, nothing, ledger.names(alert.key))
    _note(alert, ledger, judged.verdicts, now, is_whole=not judged.errors)
    remark = f"stopped by {stop.who}: noted, and not set up before it is started"
    return Proposal(actual, alert.author({}), Findings(remark, judged.errors))


def _bring(alert: Alert, actual: Table, ledger: Ledger, service: Service, now: float) -> Proposal:
    """Return the table with the service as the verdicts want it."""
    known = ledger.names(alert.key)
    judged = verdicts_of(alert, service, known)
    verdicts, errors = judged.verdicts, judged.errors
    left = {} if alert.call.by_hand else _leave_behind(alert, ledger, judged, known)
    stay = {key: real for key, real in service.real_servers.items() if key not in left}
    service = service._replace(real_servers=stay)
    fallback = fallback_entry(alert, service, verdicts, errors)
    members = _note(alert, ledger, verdicts, now, is_whole=not errors)
    causes = ledger.causes(alert.key)
    memories = ledger.memories(alert.key, causes)
    decision = decide(
        service,
        members + _bystanders(alert, service, members, memories, fallback),
        memories,
        _rules(alert, fallback, judged.reserve),
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
    ledger.set_names(
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
            ledger.set_flags(alert.key, service.scheduler, service.flags)
        return service
    if scheduler is None:
        raise NotDoneError(
            f"{alert.virtual}: no such virtual service (--scheduler would create it)"
        )
    return Service(alert.virtual, scheduler, ledger.flags(alert.key, scheduler), {})


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
    ledger.clear_unjudged(alert.key, alert.who)
    real_server = request.real_server or ""
    ledger.set_run(LastRun(alert.key, alert.who, real_server, now, dict(request.options)))
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
    )


def _bystanders(
    alert: Alert,
    service: Service,
    members: Sequence[Member],
    memories: Mapping[Endpoint, ServerMemory],
    fallback: RealServer | None,
) -> list[Member]:
    """Return the service's other real servers where the floor has to count them."""
    is_whole = alert.request.real_server is None and alert.file_rules is None
    if is_whole or alert.request.floor is None:
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
