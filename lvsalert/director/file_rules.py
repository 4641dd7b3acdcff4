"""What the director's file says of one virtual service, for an alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Callable, NamedTuple

from lvsalert.director import maintenance
from lvsalert.director.verdicts import Verdict
from lvsalert.errors import SupersededError, UsageError
from lvsalert.ipvs.naming import Host
from lvsalert.ipvs.table import Endpoint, Service
from lvsalert.ldirectord.file import FileService, Server, candidates
from lvsalert.ldirectord.watches import number_of, watches_of
from lvsalert.ledger.accepted import Accepted
from lvsalert.ledger.ledger import Ledger
from lvsalert.model import Forwarding, RealServer, canonical_address


class Overrides(NamedTuple):
    """What was asked for beside the file, and wins over it; None where the file's own counts."""

    weight: int | None = None
    forwarding: Forwarding | None = None
    real_port: int | None = None
    upper: int | None = None
    lower: int | None = None


class FileRules(NamedTuple):
    """One virtual service of the file at ``path``.

    ``override`` is what the options say, ``maintained`` the real servers under maintenance and the
    file that says so. ``fault`` is what is wrong with what the file says now, where that is looked
    at: None where it is not. ``accepted`` is what was accepted of the file when this was read, None
    where nothing was.
    """

    path: str
    service: FileService
    override: Overrides
    maintained: Mapping[Endpoint, str] = {}
    fault: str | None = None
    accepted: Accepted | None = None

    def check_is_current(self, ledger: Ledger) -> None:
        """Raise SupersededError where something else is accepted of the file by now.

        A reload may have come between the reading of the file and the lock, and a real server that
        it took out for good would be put back.
        """
        if not ledger.is_lasting:
            return
        found = ledger.files.find(candidates(self.path))
        if _said(found) != _said(self.accepted):
            raise SupersededError(self.path)

    def finder(self, group: str) -> Callable[[Host], list[RealServer]]:
        """Return what finds the entries of all real servers that a host of mon's group stands for.

        In a group that ``mon-config`` made, for this service or for one with the same check, it
        stands for those it was made of, otherwise for all at its address, or at its address and
        port. UsageError where the file has none.
        """
        number, watches = number_of(group), watches_of(self.service)
        made = {} if number is None or number > len(watches) else watches[number - 1].hosts

        def find(host: Host) -> list[RealServer]:
            servers = made.get(host.spelled) or self._at(host)
            if not servers:
                raise UsageError(
                    f"{host.spelled}: {self.path} has no such real server of {self.service.virtual}"
                )
            return [self._entry(server.real) for server in servers]

        return find

    def _at(self, host: Host) -> Sequence[Server]:
        own = canonical_address(host.name)
        return [
            each
            for each in self.service.servers
            if each.real.address in host.addresses
            or (own is None and each.configured.address == host.name)
            if host.port is None or host.port in map(str, (each.real.port, each.configured.port))
        ]

    def _entry(self, real: RealServer) -> RealServer:
        """Return an entry of the file as the options want it."""
        asked = self.override
        if asked.weight is not None:
            real = real._replace(weight=asked.weight)
        if asked.forwarding is not None:
            real = real._replace(forwarding=asked.forwarding)
            if asked.forwarding is not Forwarding.MASQUERADING:
                real = real._replace(port=self.service.virtual.port)
        if asked.real_port is not None and real.forwarding is Forwarding.MASQUERADING:
            real = real._replace(port=asked.real_port)
        return real

    def note_maintenance(self, ledger: Ledger, *, now: float) -> None:
        """Write down which of the file's real servers are under maintenance."""
        endpoints = self.service.endpoints
        maintenance.note(ledger, str(self.service.virtual), endpoints, self.maintained, now=now)

    def forget_before(self, ledger: Ledger, verdicts: Sequence[Verdict], source: str) -> None:
        """Forget what was said under the names that the service's watches had before."""
        forget_before(ledger, str(self.service.virtual), verdicts, source)

    def note_fault(self, ledger: Ledger) -> str:
        """Write down what is wrong with the file, and return that where it is new."""
        known = ledger.files.find([self.path])
        if self.fault is None or known is None or known.fault == self.fault:
            return ""
        ledger.files.set_fault(self.path, self.fault)
        return self.fault

    def shaped(self, service: Service | None, scheduler: str | None) -> Service:
        """Return a service as it stands, or an empty one, with the file's scheduler and flags."""
        base = self.service.empty if service is None else service
        wanted = self.service.configured
        flags = wanted.flags
        if scheduler not in (None, wanted.scheduler) and "-b" in flags:
            # They mean something to the file's scheduler alone, and come last.
            flags = flags[: flags.index("-b")]
        return base._replace(scheduler=scheduler or wanted.scheduler, flags=flags)

    def with_thresholds(self, service: Service) -> Service:
        """Return a service whose entries have the thresholds that are wanted."""
        return with_thresholds(service, self.service, self.override.upper, self.override.lower)


def _said(accepted: Accepted | None) -> tuple[str, str, Mapping[str, str]] | None:
    """Return what rules are made of, of what was accepted."""
    return accepted and (accepted.path, accepted.text, accepted.names)


def forget_before(ledger: Ledger, key: str, verdicts: Sequence[Verdict], source: str) -> None:
    """Forget what watches of other names said of these real servers of a service.

    Each has one watch of the file's. A file that was edited may have given it another name, and
    nobody would take back what was said under the one before. A source that is no watch of a file
    speaks for itself.
    """
    if number_of(source.partition("/")[0]) is None:
        return
    causes = ledger.causes(key)
    for verdict in verdicts:
        for cause in causes.get(verdict.endpoint, ()):
            is_made = number_of(cause.cause.partition("/")[0]) is not None
            if is_made and cause.cause != source:
                ledger.forget(key, verdict.endpoint, cause.cause)


def with_thresholds(
    service: Service, filed: FileService, upper: int | None = None, lower: int | None = None
) -> Service:
    """Return a service whose entries have the file's thresholds, or those that were asked for."""
    reals = dict(service.real_servers)
    for server in filed.servers:
        standing = reals.get(server.endpoint)
        if standing is not None:
            reals[server.endpoint] = standing._replace(
                upper=server.real.upper if upper is None else upper,
                lower=server.real.lower if lower is None else lower,
            )
    return service._replace(real_servers=reals)
