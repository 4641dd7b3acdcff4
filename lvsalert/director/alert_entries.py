"""Which entries of the table an alert speaks of, and what it says of each."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Callable

from lvsalert.director.reconcile import Author, Director
from lvsalert.director.request import Request
from lvsalert.director.verdicts import Verdict
from lvsalert.errors import LvsalertError, UsageError
from lvsalert.ipvs.naming import Host, address_of, entry_of, port_of
from lvsalert.ipvs.table import Endpoint, Service
from lvsalert.model import RealServer, VirtualService
from lvsalert.mon.alert_call import AlertCall
from lvsalert.mon.report import printable, reasons_of
from lvsalert.startup import NamedTuple

if TYPE_CHECKING:
    from lvsalert.director.file_rules import FileRules


class Alert(NamedTuple):
    """An alert with its names looked up: each host, and whether it is wanted out."""

    call: AlertCall
    request: Request
    virtual: VirtualService
    who: str
    file_rules: FileRules | None
    director: Director
    witness_answers: Callable[[], bool]
    started: float
    hosts: Sequence[tuple[Host, bool]]
    fallback: Host | None
    unresolved: Sequence[LvsalertError]

    @property
    def key(self) -> str:
        """Return the virtual service as the ledger names it."""
        return str(self.virtual)

    def author(self, reasons: Mapping[Endpoint, str]) -> Author:
        """Return who changes the table, and why."""
        why = "by hand" if self.call.by_hand else self.call.event.value
        return Author(self.who, why, {self.virtual: reasons})


def verdicts_of(alert: Alert, service: Service) -> tuple[list[Verdict], list[LvsalertError]]:
    """Return what the alert says of each host whose address is known, and what of no other."""
    standing = frozenset(address for address, _ in service.real_servers)
    why = reasons_of(alert.call.detail)
    said = "taken out by hand" if alert.call.by_hand else alert.call.event.value
    verdicts, errors = [], list(alert.unresolved)
    for host, failed in alert.hosts:
        try:
            entries = _entries(alert, host, standing)
        except LvsalertError as error:
            errors.append(error)
            continue
        reason = printable(why.get(host.spelled, said)) if failed else ""
        verdicts += [Verdict(real, failed, reason) for real in entries]
    return verdicts, errors


def _entries(alert: Alert, host: Host, standing: Container[str]) -> list[RealServer]:
    """Return the entries that a host stands for: one, or all that the file has there."""
    if alert.file_rules is not None:
        return alert.file_rules.entries(alert.call.group, host)
    return [_entry(alert, host, standing, alert.request.weight)]


def _entry(alert: Alert, host: Host, standing: Container[str], weight: int) -> RealServer:
    forwarding = alert.request.forwarding
    port = port_of(alert.virtual, forwarding, host.port, alert.request.real_port)
    address = address_of(host, standing)
    return entry_of(alert.virtual, RealServer(address, port, forwarding, weight))


def fallback_entry(
    alert: Alert, service: Service, verdicts: Sequence[Verdict], errors: list[LvsalertError]
) -> RealServer | None:
    """Return the fallback as it stands when it is in; one that is a member is none."""
    if alert.fallback is None:
        return None if alert.file_rules is None else alert.file_rules.service.own_fallback
    try:
        real = _entry(alert, alert.fallback, [address for address, _ in service.real_servers], 1)
        if any(each.real[:2] == real[:2] for each in verdicts):
            raise UsageError(f"--fallback: {real.endpoint} is a real server of the group itself")
    except LvsalertError as error:
        errors.append(error)
        return None
    return real
