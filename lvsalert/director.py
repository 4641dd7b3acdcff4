"""The whole table from the director's file: start, stop, reload, and whether it runs.

Each ends in the same step as an alert. Only the file's own virtual services are touched; what else
is in the table stays.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Callable

from lvsalert import maintenance
from lvsalert.errors import LvsalertError
from lvsalert.filed import with_thresholds
from lvsalert.ledger import DIRECTOR, OPERATOR, Cause, Ledger, Run, Stop
from lvsalert.model import Forwarding, RealServer, VirtualService, join_endpoint
from lvsalert.policy import Known, Member, Rules, Want, decide
from lvsalert.step import Author, Place, Proposal, take_step
from lvsalert.table import Change, Endpoint, Service, Table
from lvsalert.tuples import NamedTuple
from lvsalert.verdicts import Source, Verdict, take_checks
from lvsalert.watches import Watch, watches_of
from lvsalert.www_cf import OPTION, DirectorFile, FileService


class Checked(NamedTuple):
    """What a check before the start found of one watch: the failed real servers, and why.

    ``is_told`` is False where the check could not tell, for the reason in ``remark``.
    """

    watch: Watch
    failed: Mapping[Endpoint, str]
    is_told: bool
    remark: str


Probe = Callable[[Sequence[Watch]], Sequence[Checked]]
"""Checks all watches at once."""


class Outcome(NamedTuple):
    """What was done: the changes, what could not be remembered, and what the user should know."""

    changes: Sequence[Change]
    troubles: Sequence[LvsalertError]
    remarks: Sequence[str]


def start(
    place: Place,
    file: DirectorFile,
    who: str,
    probe: Probe | None,
    kept_out: Mapping[Endpoint, str],
) -> Outcome:
    """Set up the file's services with the real servers that are alive.

    ``probe`` checks every real server first, None lets traffic to all of them unchecked. What keeps
    a server out by the ledger (an operator, another watch) still does. ``kept_out`` are those under
    maintenance, each with the file that says so. NotDoneError where the table
    cannot be had or be brought there.
    """
    watches = {service.virtual: watches_of(service) for service in file.services}
    checked = probe([each for group in watches.values() for each in group]) if probe else ()
    return _Setting(place, file, who, watches, checked, kept_out=kept_out).step("start")


def reload(
    place: Place,
    file: DirectorFile,
    who: str,
    probe: Probe | None,
    kept_out: Mapping[Endpoint, str],
) -> Outcome:
    """Bring the table to the file with the least change.

    Only real servers that the table lacks are checked. What a drain, a cause or a slow start has
    made of a weight stays. The arguments are those of ``start``.
    """
    table = place.door.read()
    watches = {}
    for service in file.services:
        standing = table.get(service.virtual)
        have = standing.real_servers if standing is not None else {}
        lacking = [_lacking(watch, have) for watch in watches_of(service)]
        watches[service.virtual] = [watch for watch in lacking if watch.hosts]
    checked = probe([each for group in watches.values() for each in group]) if probe else ()
    return _Setting(place, file, who, watches, checked, kept_out=kept_out).step("reload")


def _lacking(watch: Watch, have: Collection[Endpoint]) -> Watch:
    """Return a watch of those hosts alone for which the table lacks a real server."""
    hosts = {
        host: servers
        for host, servers in watch.hosts.items()
        if any(server.endpoint not in have for server in servers)
    }
    return watch._replace(hosts=hosts)


def stop(place: Place, paths: Sequence[str], services: Sequence[FileService], who: str) -> Outcome:
    """Take the file's services out of the table, and nothing else.

    ``services`` are those that the file names now; those that a file at one of ``paths`` named at
    the last start go too, but for those whose ``cleanstop`` is no. Each is marked as stopped, so
    that a mon that still runs does not set it up again; one that still stands, be it that the stop
    was killed before it was done, is one that mon looks after.
    """

    now = time.time()

    def decide_(actual: Table, ledger: Ledger) -> Proposal:
        gone = {str(each.virtual) for each in services} | set(kept(ledger, paths))
        stay = {str(each.virtual) for each in services if not each.configured.clean_stop}
        desired = {key: each for key, each in actual.items() if str(key) not in gone - stay}
        for virtual in gone:
            ledger.stop(virtual, Stop(now, who))
        return Proposal(desired, Author(who, "stop"))

    done = take_step(place, decide_)
    return Outcome(done.changes, done.troubles, ())


def is_running(table: Table, virtuals: Collection[str], stops: Collection[str]) -> bool:
    """Return whether each of these services, if any, stands in the table and was not stopped."""
    return bool(virtuals) and set(virtuals) <= {str(virtual) for virtual in table} - set(stops)


def masquerades(file: DirectorFile) -> bool:
    """Return whether a service of the file needs the kernel to forward packets."""
    return any(
        server.real.forwarding is Forwarding.MASQUERADING
        for service in file.services
        for server in service.servers
    )


def kept(ledger: Ledger, paths: Sequence[str]) -> list[str]:
    """Return the services that a file at one of ``paths`` had when it was last set up."""
    return [
        run.virtual
        for run in ledger.runs()
        if run.source == DIRECTOR and run.options.get(OPTION) in paths
    ]


class _Setting:
    """One setting up on its way: what was checked, then the decision under the lock."""

    def __init__(
        self,
        place: Place,
        file: DirectorFile,
        who: str,
        watches: Mapping[VirtualService, Sequence[Watch]],
        checked: Sequence[Checked],
        *,
        kept_out: Mapping[Endpoint, str],
    ) -> None:
        self._place = place
        self._file = file
        self._who = who
        self._watches = watches
        self._checked = checked
        self._kept_out = kept_out
        self._now = time.time()
        self._why: dict[VirtualService, dict[Endpoint, str]] = {}
        self._remarks: list[str] = []

    def step(self, why: str) -> Outcome:
        """Take the step, journalled as done for ``why``."""

        def decide_(actual: Table, ledger: Ledger) -> Proposal:
            self._why = {}
            self._remarks = [
                f"{each.watch.group}/{each.watch.service}: could not be checked: {each.remark}"
                for each in self._checked
                if not each.is_told
            ]
            desired = dict(actual)
            for virtual in kept(ledger, [self._file.path]):
                for key in [each for each in desired if str(each) == virtual]:
                    del desired[key]
                ledger.forget_run(virtual, DIRECTOR)
            for service in self._file.services:
                standing = actual.get(service.virtual)
                desired[service.virtual] = self._service(ledger, service, standing)
                ledger.set_run(
                    Run(str(service.virtual), DIRECTOR, "", self._now, self._options(service))
                )
            return Proposal(desired, Author(self._who, why, self._why))

        done = take_step(self._place, decide_)
        return Outcome(done.changes, done.troubles, self._remarks)

    def _options(self, service: FileService) -> dict[str, str]:
        """Return what others are to know of a service, as variables of lvs.alert."""
        options = {OPTION: self._file.path}
        if service.own_fallback is not None:
            options["LVSALERT_FALLBACK"] = service.own_fallback.endpoint
        return options

    def _service(self, ledger: Ledger, service: FileService, standing: Service | None) -> Service:
        """Return a service of the file as it should be."""
        key = str(service.virtual)
        self._note_checks(ledger, key, service)
        maintenance.note(ledger, key, service.endpoints, self._kept_out, now=self._now)
        causes = _causes_of_members(ledger, key, service)
        failed = {
            endpoint: reason
            for checked in self._checked
            if checked.watch in self._watches[service.virtual]
            for endpoint, reason in checked.failed.items()
        }
        known = ledger.known(key)
        base = _base(service, standing)
        members = []
        for server in service.servers:
            real = base.real_servers.get(server.endpoint)
            want = _want(service, causes.get(server.endpoint, ()), server.endpoint in failed)
            if want is Want.OUT and real is not None and _is_handled(real, known, server.endpoint):
                want = Want.STAY
            members.append(Member(server.real, want))
        self._remarks += [
            f"{service.virtual}: {join_endpoint(*member.endpoint)} stays out: "
            + (failed.get(member.endpoint) or _why_out(causes.get(member.endpoint, ())))
            for member in members
            if member.want is Want.OUT
        ]
        self._why[service.virtual] = failed | {
            endpoint: "; ".join(each.reason for each in every) for endpoint, every in causes.items()
        }
        rules = Rules(quiesce=service.configured.quiescent, fallback=service.own_fallback)
        decision = decide(base, members, known, rules, now=self._now, connections={})
        ledger.remember(key, decision.known)
        return with_thresholds(decision.service, service)

    def _note_checks(self, ledger: Ledger, key: str, service: FileService) -> None:
        """Write what the checks found into the ledger, under the names of mon's own checks.

        mon's first check so takes back what was said here.
        """
        for checked in self._checked:
            watch = checked.watch
            if checked.is_told and watch in self._watches[service.virtual]:
                verdicts = [
                    Verdict(
                        server.real,
                        server.endpoint in checked.failed,
                        checked.failed.get(server.endpoint, ""),
                    )
                    for server in watch.servers
                ]
                source = Source(f"{watch.group}/{watch.service}", int(self._now))
                take_checks(ledger, key, verdicts, source, now=self._now)


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


def _is_handled(real: RealServer, known: Mapping[Endpoint, Known], endpoint: Endpoint) -> bool:
    """Return whether an alert has done with an entry what its cause asks for.

    That is weight 0, for now or for good, or that it is kept in for the floor.
    """
    return real.weight == 0 or known.get(endpoint, Known()).held


def _why_out(causes: Sequence[Cause]) -> str:
    return "; ".join(f"{each.cause}: {each.reason}" for each in causes) or "checktype = off"
