"""Setting up the services of the director's file, with the real servers that are alive."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lvsalert.director import maintenance
from lvsalert.director.changes import Author
from lvsalert.director.damping import damped
from lvsalert.director.file_commands import note_text
from lvsalert.director.file_rules import forget_before, with_thresholds
from lvsalert.director.policy import Member, Rules, Want, decide
from lvsalert.director.reconcile import Director, Proposal, reconcile
from lvsalert.director.verdicts import Source, Verdict, take_checks
from lvsalert.errors import LvsalertError, NotDoneError
from lvsalert.ipvs.plan import Change
from lvsalert.ipvs.table import Endpoint, Service, Table
from lvsalert.ldirectord.file import OPTION, DirectorFile, FileService
from lvsalert.ldirectord.watches import Watch
from lvsalert.ledger.accepted import Accepted
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import DAMPED, DIRECTOR, OPERATOR, Cause, LastRun, ServerMemory
from lvsalert.model import RealServer, VirtualService, join_endpoint


class FirstCheck(NamedTuple):
    """What a check before the start found of one watch: the failed real servers, and why.

    ``is_told`` is False where the check could not tell, for the reason in ``remark``.
    """

    watch: Watch
    failed: Mapping[Endpoint, str]
    is_told: bool
    remark: str


class Outcome(NamedTuple):
    """What was done: the changes, what could not be remembered, and what the user should know.

    ``in_now`` says how many of the real servers are in, ``failure`` why not all of it was done.
    """

    changes: Sequence[Change]
    troubles: Sequence[LvsalertError]
    remarks: Sequence[str]
    in_now: str = ""
    failure: NotDoneError | None = None


def kept(ledger: Ledger, paths: Sequence[str]) -> list[str]:
    """Return the services that a file at one of ``paths`` had when it was last set up."""
    return [
        run.virtual
        for run in ledger.runs.all()
        if run.source == DIRECTOR and run.options.get(OPTION) in paths
    ]


class Setup(NamedTuple):
    """What is to be set up: the file, who asks since when, and what the checks before it found.

    ``waiting`` are the real servers whose check is still under way, by service.
    """

    file: DirectorFile
    who: str
    why: str
    kept_out: Mapping[Endpoint, str]
    begun: float
    checked: dict[VirtualService, list[FirstCheck]]
    waiting: dict[VirtualService, set[Endpoint]]

    def options(self, service: FileService) -> dict[str, str]:
        """Return what others are to know of a service, as variables of lvs.alert."""
        options = {OPTION: self.file.path}
        if service.own_fallback is not None:
            options["LVSALERT_FALLBACK"] = service.own_fallback.endpoint
        return options

    @property
    def is_last(self) -> bool:
        """Return whether every real server has its verdict."""
        return not any(self.waiting.values())


def set_up(director: Director, setup: Setup) -> Outcome:
    """Bring the table to the file, as far as its real servers are checked.

    A service stands as soon as one of its real servers may come in. When all are checked, what the
    file no longer names goes, and it is said of whom the table lacks.
    """
    done = reconcile(director, functools.partial(_propose, setup))
    remarks, count = done.told
    return Outcome(done.changes, done.troubles, remarks, count)


def _propose(setup: Setup, actual: Table, ledger: Ledger) -> Proposal:
    """Return the table with the file's services in it, and remarks on who stays out.

    From now on the alerts go by what the file says here.
    """
    file = setup.file
    ledger.files.accept(Accepted(file.path, file.text, setup.begun, names=file.names))
    if setup.why == "start":
        note_text(ledger, file.path, file.text)
    remarks = _untold(setup)
    reasons: dict[VirtualService, Mapping[Endpoint, str]] = {}
    desired = dict(actual)
    if setup.is_last:
        _take_out_former(desired, ledger, file)
    for service in file.services:
        wanted = _service(setup, ledger, service, actual.get(service.virtual))
        if wanted is None:
            continue
        desired[service.virtual], reasons[service.virtual] = wanted.service, wanted.reasons
        remarks += wanted.remarks
        options = setup.options(service)
        ledger.runs.put(LastRun(str(service.virtual), DIRECTOR, "", setup.begun, options))
    told = remarks if setup.is_last else [], in_now(file, desired)
    return Proposal(desired, Author(setup.who, setup.why, reasons), told)


def _untold(setup: Setup) -> list[str]:
    """Return a remark on each watch that could not tell."""
    untold = [
        f"{each.watch.group}/{each.watch.service}: could not be checked: {each.remark}"
        for checked in setup.checked.values()
        for each in checked
        if not each.is_told
    ]
    return list(dict.fromkeys(untold))


def _take_out_former(desired: Table, ledger: Ledger, file: DirectorFile) -> None:
    """Take out of a table the services that the file had when it was set up last."""
    for virtual in kept(ledger, [file.path]):
        for key in [each for each in desired if str(each) == virtual]:
            del desired[key]
        ledger.runs.forget(virtual, DIRECTOR)


def in_now(file: DirectorFile, table: Table) -> str:
    """Return how many of the file's real servers are in, of those without an address too."""
    are_in, known = 0, file.left_out
    for service in file.services:
        standing = table.get(service.virtual)
        have = {} if standing is None else standing.real_servers
        known += len(service.endpoints)
        are_in += sum(1 for each in service.endpoints if each in have and have[each].weight)
    return f"{are_in} of {known} in"


class _Wanted(NamedTuple):
    """A service as it should be, why its real servers are in or out, and who stays out."""

    service: Service
    reasons: Mapping[Endpoint, str]
    remarks: Sequence[str]


def _service(
    setup: Setup, ledger: Ledger, service: FileService, standing: Service | None
) -> _Wanted | None:
    """Return a service of the file as it should be.

    None where it does not stand yet and waits for its first real server that passes.
    """
    key = str(service.virtual)
    checked = setup.checked.get(service.virtual, ())
    waiting = setup.waiting.get(service.virtual, ())
    _note_checks(ledger, key, checked, setup.begun)
    maintenance.note(ledger, key, service.endpoints, setup.kept_out, now=setup.begun)
    causes = _causes_of_members(ledger, key, service)
    failed = {endpoint: reason for each in checked for endpoint, reason in each.failed.items()}
    memories = ledger.memories(key)
    base = _base(service, standing)
    members = []
    for server in service.servers:
        real = base.real_servers.get(server.endpoint)
        kept_out = [each for each in causes.get(server.endpoint, ()) if each.cause != DAMPED]
        want = _want(service, kept_out, server.endpoint in failed)
        if want is Want.OUT and real is not None and _is_handled(real, memories, server.endpoint):
            want = Want.STAY
        if server.endpoint in waiting:
            want = Want.STAY
        members.append(Member(server.real, want))
    if standing is None and waiting and not any(each.want is Want.IN for each in members):
        return None
    remarks = [
        f"{service.virtual}: {join_endpoint(*member.endpoint)} stays out: "
        + (failed.get(member.endpoint) or _why_out(causes.get(member.endpoint, ())))
        for member in members
        if member.want is Want.OUT
    ]
    reasons = failed | {
        endpoint: "; ".join(each.reason for each in every) for endpoint, every in causes.items()
    }
    rules = Rules(
        quiesce=service.configured.quiescent,
        fallback=service.fallback,
        fallback_is_member=service.fallback_is_member,
        damped=frozenset(damped(causes)),
    )
    decision = decide(base, members, memories, rules, now=time.time(), connections={})
    ledger.remember(key, decision.memories)
    return _Wanted(with_thresholds(decision.service, service), reasons, remarks)


def _note_checks(ledger: Ledger, key: str, checked: Sequence[FirstCheck], now: float) -> None:
    """Write what the checks found into the ledger, under the names of mon's own checks.

    mon's first check so takes back what was said here.
    """
    for each in checked:
        if each.is_told:
            verdicts = [
                Verdict(
                    server.real,
                    server.endpoint in each.failed,
                    each.failed.get(server.endpoint, ""),
                )
                for server in each.watch.servers
            ]
            source = Source(f"{each.watch.group}/{each.watch.service}", int(now))
            forget_before(ledger, key, verdicts, source.name)
            take_checks(ledger, key, verdicts, source, now=now)


def _base(service: FileService, standing: Service | None) -> Service:
    """Return the service of the file with those of its real servers that stand in the table."""
    have = {} if standing is None else standing.real_servers
    asked = set(service.endpoints)
    return service.empty._replace(
        real_servers={endpoint: real for endpoint, real in have.items() if endpoint in asked}
    )


def _causes_of_members(
    ledger: Ledger, key: str, service: FileService
) -> dict[Endpoint, list[Cause]]:
    """Return the causes of a service's real servers.

    Those of others are forgotten, as they left the file, apart from what an operator said.
    """
    causes = ledger.causes(key)
    for endpoint in causes.keys() - set(service.endpoints):
        for cause in causes.pop(endpoint):
            if cause.cause != OPERATOR:
                ledger.forget(key, endpoint, cause.cause)
    return causes


def _want(service: FileService, causes: Sequence[Cause], failed: bool) -> Want:
    is_out = service.configured.check.type == "off" or failed or causes
    return Want.OUT if is_out else Want.IN


def _is_handled(
    real: RealServer, known: Mapping[Endpoint, ServerMemory], endpoint: Endpoint
) -> bool:
    """Return whether an alert has done with an entry what its cause asks for.

    That is weight 0, for now or for good, or that it is kept in for the floor.
    """
    return real.weight == 0 or known.get(endpoint, ServerMemory()).held


def _why_out(causes: Sequence[Cause]) -> str:
    return "; ".join(f"{each.cause}: {each.reason}" for each in causes) or "checktype = off"
