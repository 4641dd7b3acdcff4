"""The whole table from the director's file: start, stop, reload, and whether it runs.

Each ends in the same step as an alert. Only the file's own virtual services are touched; what else
is in the table stays.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Callable, NamedTuple

from lvsalert.errors import LvsalertError
from lvsalert.ledger import Cause, Ledger, Run
from lvsalert.model import Forwarding, VirtualService, join_endpoint
from lvsalert.policy import Member, Rules, Want, decide
from lvsalert.step import Author, Place, Proposal, take_step
from lvsalert.table import Change, Endpoint, Service, Table
from lvsalert.verdicts import Source, Verdict, take_checks
from lvsalert.watches import Watch, watches_of
from lvsalert.www_cf import DirectorFile, FileService, Server

SOURCE = "lvs-director"
"""Who keeps the file's services in the ledger, so that one that leaves the file is known."""

OPTION = "LVSALERT_CONFIG"


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


def start(place: Place, file: DirectorFile, who: str, probe: Probe | None) -> Outcome:
    """Set up the file's services with the real servers that are alive.

    ``probe`` checks every real server first, None lets traffic to all of them unchecked. What keeps
    a server out by the ledger (an operator, another watch) still does. NotDoneError where the table
    cannot be had or be brought there.
    """
    watches = {service.virtual: watches_of(service) for service in file.services}
    checked = probe([each for group in watches.values() for each in group]) if probe else ()
    return _Setting(place, file, who, watches, checked).step("start")


def reload(place: Place, file: DirectorFile, who: str, probe: Probe | None) -> Outcome:
    """Bring the table to the file with the least change.

    Only real servers that the table lacks are checked. What a drain, a cause or a slow start has
    made of a weight stays.
    """
    table = place.door.read()
    watches = {}
    for service in file.services:
        standing = table.get(service.virtual)
        have = standing.real_servers if standing is not None else {}
        watches[service.virtual] = [
            watch
            for watch in watches_of(service)
            if any(server.endpoint not in have for server in watch.servers)
        ]
    checked = probe([each for group in watches.values() for each in group]) if probe else ()
    return _Setting(place, file, who, watches, checked).step("reload")


def stop(place: Place, path: str, virtuals: Sequence[VirtualService], who: str) -> Outcome:
    """Take the file's services out of the table, and nothing else.

    ``virtuals`` are those that the file names now; those that it named at the last start go too.
    """

    def decide_(actual: Table, ledger: Ledger) -> Proposal:
        gone = {str(virtual) for virtual in virtuals} | set(_kept(ledger, path))
        desired = {key: each for key, each in actual.items() if str(key) not in gone}
        for virtual in gone:
            ledger.forget_run(virtual, SOURCE)
        return Proposal(desired, Author(who, "stop"))

    done = take_step(place, decide_)
    return Outcome(done.changes, done.troubles, ())


def is_running(table: Table, virtuals: Sequence[VirtualService]) -> bool:
    """Return whether every virtual service of the file stands in the table."""
    return bool(virtuals) and all(virtual in table for virtual in virtuals)


def masquerades(file: DirectorFile) -> bool:
    """Return whether a service of the file needs the kernel to forward packets."""
    return any(
        server.real.forwarding is Forwarding.MASQUERADING
        for service in file.services
        for server in service.servers
    )


def _kept(ledger: Ledger, path: str) -> list[str]:
    """Return the services that this file had when it was last set up."""
    return [
        run.virtual
        for run in ledger.runs()
        if run.source == SOURCE and run.options.get(OPTION) == path
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
    ) -> None:
        self._place = place
        self._file = file
        self._who = who
        self._watches = watches
        self._checked = checked
        self._now = time.time()
        self._why: dict[str, str] = {}
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
            for virtual in _kept(ledger, self._file.path):
                for key in [each for each in desired if str(each) == virtual]:
                    del desired[key]
                ledger.forget_run(virtual, SOURCE)
            for service in self._file.services:
                standing = actual.get(service.virtual)
                desired[service.virtual] = self._service(ledger, service, standing)
                options = {OPTION: self._file.path}
                ledger.set_run(Run(str(service.virtual), SOURCE, "", self._now, options))
            return Proposal(desired, Author(self._who, why, self._why))

        done = take_step(self._place, decide_)
        return Outcome(done.changes, done.troubles, self._remarks)

    def _service(self, ledger: Ledger, service: FileService, standing: Service | None) -> Service:
        """Return a service of the file as it should be."""
        key = str(service.virtual)
        self._note_checks(ledger, key, service)
        causes = ledger.causes(key)
        failed = {
            endpoint: reason
            for checked in self._checked
            if checked.watch in self._watches[service.virtual]
            for endpoint, reason in checked.failed.items()
        }
        members = [
            Member(server.real, _want(server, service, set(causes), set(failed)))
            for server in service.servers
        ]
        self._remarks += [
            f"{service.virtual}: {join_endpoint(*member.endpoint)} stays out: "
            + (failed.get(member.endpoint) or _why_out(causes.get(member.endpoint, ())))
            for member in members
            if member.want is Want.OUT
        ]
        self._why.update({join_endpoint(*each): reason for each, reason in failed.items()})
        asked = {server.endpoint for server in service.servers}
        base = service.empty._replace(
            real_servers={
                endpoint: real
                for endpoint, real in (standing.real_servers if standing else {}).items()
                if endpoint in asked
            }
        )
        rules = Rules(quiesce=service.configured.quiescent, fallback=service.fallback)
        known = ledger.known(key)
        decision = decide(base, members, known, rules, now=self._now, connections={})
        ledger.remember(key, decision.known)
        return decision.service

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


def _want(
    server: Server, service: FileService, caused: set[Endpoint], failed: set[Endpoint]
) -> Want:
    is_off = service.configured.check.type == "off"
    is_out = is_off or server.endpoint in caused or server.endpoint in failed
    return Want.OUT if is_out else Want.IN


def _why_out(causes: Sequence[Cause]) -> str:
    return "; ".join(f"{each.cause}: {each.reason}" for each in causes) or "checktype = off"
