"""From what mon reports to the table that should be, with what other sources said before."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Callable, NamedTuple

from lvsalert.director.alert_decision import Findings, propose
from lvsalert.director.alert_entries import Alert
from lvsalert.director.changes import Author
from lvsalert.director.reconcile import (
    Decide,
    Director,
    Proposal,
    Reconciled,
    in_turn,
    reconcile_all,
)
from lvsalert.director.request import HostsWanted, Request, hosts_wanted
from lvsalert.errors import LvsalertError
from lvsalert.ipvs.naming import Host, Lookup, resolve, virtual_service
from lvsalert.ipvs.plan import Change
from lvsalert.ipvs.table import Table
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import Unjudged
from lvsalert.ledger.rounds import Seen
from lvsalert.model import VirtualService, split_endpoint
from lvsalert.mon.alert_call import AlertCall
from lvsalert.mon.report import printable

if TYPE_CHECKING:
    from lvsalert.director.file_rules import FileRules


class Outcome(NamedTuple):
    """What a run did: the changes (made, or with a dry run only planned) and what to tell.

    ``troubles`` are what could not be remembered, ``is_remembered`` whether a ledger that lasts
    knows of it. ``seen`` is what there was nothing to do in, None where there was something.
    """

    virtual: VirtualService
    who: str
    findings: Findings
    changes: Sequence[Change] = ()
    troubles: Sequence[LvsalertError] = ()
    is_remembered: bool = True
    seen: Seen | None = None


class Job(NamedTuple):
    """What is asked for one virtual service.

    With ``file_rules`` the entries and the shape of the service are those of the director's file.
    """

    request: Request
    file_rules: FileRules | None = None


class Asked(NamedTuple):
    """What an alert asks for: a job for each virtual service.

    ``operator`` is who calls by hand, ``witness_answers`` tells whether anybody outside can be
    reached.
    """

    call: AlertCall
    jobs: Sequence[Job]
    lookup: Lookup
    witness_answers: Callable[[], bool]
    operator: str


def run(
    alerts: Sequence[Asked], director: Director, *, dry_run: bool = False
) -> list[list[Outcome] | LvsalertError]:
    """Bring the table to what alerts want, all in one step; return each one's outcomes, a job each.

    They end as if they had run one after the other. Names are looked up before the lock is taken. A
    host whose name has no address is left as it is and comes back among the errors; the others are
    done all the same, and so are the other jobs where one cannot be done. An alert whose only job
    cannot be done comes to the LvsalertError; what goes wrong with the table itself is raised.
    """
    runs = [_run_of(each, director, dry_run=dry_run) for each in alerts]
    decisions = [each.decide for each in runs if isinstance(each, _Run) and each.has_decisions]
    done = iter(reconcile_all(director, decisions, dry_run=dry_run) if decisions else ())
    outcomes: list[list[Outcome] | LvsalertError] = []
    for each in runs:
        try:
            if isinstance(each, LvsalertError):
                raise each
            outcomes.append(each.outcomes(next(done) if each.has_decisions else _NOTHING_DONE))
        except LvsalertError as error:
            outcomes.append(error)
    return outcomes


class _Step(NamedTuple):
    """A virtual service and what decides on it, or what is to be said where nothing does."""

    virtual: VirtualService
    decide: Decide | None
    findings: Findings = Findings()


class _Run(NamedTuple):
    """An alert with its names looked up: a step for each job."""

    who: str
    why: str
    steps: Sequence[_Step]
    file_rules: FileRules | None

    @property
    def has_decisions(self) -> bool:
        """Return whether any step decides on a service."""
        return any(each.decide is not None for each in self.steps)

    def decide(self, actual: Table, ledger: Ledger) -> Proposal:
        """Decide on all services.

        SupersededError where the director's file, which is the same for all, is to be read anew.
        """
        if self.file_rules is not None:
            self.file_rules.check_is_current(ledger)
        decisions = [each.decide for each in self.steps if each.decide is not None]
        return in_turn(decisions, Author(self.who, self.why), actual, ledger)

    def outcomes(self, done: Reconciled) -> list[Outcome]:
        """Return the outcome of each step; LvsalertError where the only one has failed."""
        told = iter(done.told)
        changes: dict[VirtualService, list[Change]] = {}
        for change in done.changes:
            changes.setdefault(change.virtual, []).append(change)
        outcomes: list[Outcome] = []
        for step in self.steps:
            found = step.findings if step.decide is None else next(told)
            if isinstance(found, LvsalertError):
                if len(self.steps) == 1:
                    raise found
                found = Findings(errors=[found])
            made = changes.get(step.virtual, [])
            # What went wrong with the ledger is told once, or of all that it does not hold.
            troubles = done.troubles if made or not outcomes else ()
            outcomes.append(
                Outcome(
                    step.virtual,
                    self.who,
                    found or Findings(),
                    made,
                    troubles,
                    done.is_remembered,
                    done.seen,
                )
            )
        return outcomes


_NOTHING_DONE = Reconciled((), (), True, ())


def _run_of(asked: Asked, director: Director, *, dry_run: bool) -> _Run | LvsalertError:
    """Return an alert with its names looked up, or why it cannot be done."""
    call = asked.call
    who = printable(f"operator {asked.operator}" if call.by_hand else call.who)
    why = "by hand" if call.by_hand else call.event.value
    answers = functools.lru_cache(1)(asked.witness_answers)
    about = asked._replace(witness_answers=answers)
    try:
        steps = [_step(about, who, director, job, dry_run) for job in asked.jobs]
        return _Run(who, why, steps, asked.jobs[0].file_rules if asked.jobs else None)
    except LvsalertError as error:
        return error


def _step(asked: Asked, who: str, director: Director, job: Job, dry_run: bool) -> _Step:
    """Look up the names of a job, and return what decides on its service."""
    call, lookup, request = asked.call, asked.lookup, job.request
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
    answers = asked.witness_answers
    alert = Alert(call, request, virtual, who, job.file_rules, director, answers, started, *found)
    return _Step(virtual, functools.partial(propose, alert))


def _note_unjudged(
    call: AlertCall, virtual: VirtualService, remark: str, actual: Table, ledger: Ledger
) -> Proposal:
    """Count a check that could not tell; that there were too many is told once."""
    key, who, now = str(virtual), printable(call.who), time.time()
    when = int(now) if call.time is None else call.time
    reason = printable(next(filter(None, call.detail.splitlines()), "it does not say why"))
    before = ledger.unjudged.all().get(key, {}).get(who, Unjudged(now, when, 0, reason))
    # mon calls both alert and redistribute for a check.
    is_new = before.times == 0 or before.time != when
    after = Unjudged(before.since, when, before.times + is_new, reason)
    ledger.unjudged.put(key, who, after)
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
