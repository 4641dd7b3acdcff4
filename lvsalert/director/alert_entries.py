"""Which entries of the table an alert speaks of, and what it says of each."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Callable, NamedTuple

from lvsalert.director.changes import Author
from lvsalert.director.reconcile import Director
from lvsalert.director.request import Request
from lvsalert.director.verdicts import Verdict
from lvsalert.errors import LvsalertError, UsageError
from lvsalert.ipvs.naming import Host, address_meant, entry_of, port_of
from lvsalert.ipvs.table import Endpoint, Service
from lvsalert.model import RealServer, VirtualService, canonical_address
from lvsalert.mon.alert_call import AlertCall
from lvsalert.mon.report import printable, reasons_of

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


class Judged(NamedTuple):
    """What an alert says of each host whose address is known, and what of no other.

    ``named`` are the entries of those hosts that are told of by a name, ``reserve`` those that
    stand in for others.
    """

    verdicts: list[Verdict]
    errors: list[LvsalertError]
    named: Mapping[str, RealServer]
    reserve: frozenset[Endpoint]


def verdicts_of(alert: Alert, service: Service, known: Mapping[str, str]) -> Judged:
    """Return what the alert says; ``known`` are the addresses that names had before."""
    standing = frozenset(address for address, _ in service.real_servers)
    why = reasons_of(alert.call.detail)
    said = "taken out by hand" if alert.call.by_hand else alert.call.event.value
    verdicts, errors = [], list(alert.unresolved)
    named: dict[str, RealServer] = {}
    reserve: set[Endpoint] = set()
    in_file = None if alert.file_rules is None else alert.file_rules.finder(alert.call.group)
    for host, failed in alert.hosts:
        try:
            if in_file is not None:
                entries = in_file(host)
            else:
                entries = [_standing_entry(alert, host, standing, known.get(host.name))]
        except LvsalertError as error:
            errors.append(error)
            continue
        reason = printable(why.get(host.spelled, said)) if failed else ""
        verdicts += [Verdict(real, failed, reason) for real in entries]
        if host.spelled in alert.request.reserve:
            reserve.update(real[:2] for real in entries)
        if in_file is None and canonical_address(host.name) is None:
            named[host.name] = entries[0]
    return Judged(verdicts, errors, named, frozenset(reserve))


def _standing_entry(
    alert: Alert, host: Host, standing: Container[str], known: str | None
) -> RealServer:
    """Return the entry that a host stands for, which was ``known`` when it was last told of."""
    if alert.call.by_hand and known is not None and known in standing:
        # A person means what is in the table.
        host = host._replace(addresses=[known])
    return _entry(alert, host, standing, alert.request.weight, known)


def _entry(
    alert: Alert, host: Host, standing: Container[str], weight: int, known: str | None = None
) -> RealServer:
    forwarding = alert.request.forwarding
    port = port_of(alert.virtual, forwarding, host.port, alert.request.real_port)
    address = address_meant(host, standing, known)
    return entry_of(alert.virtual, RealServer(address, port, forwarding, weight))


def left_behind(judged: Judged, known: Mapping[str, str]) -> dict[Endpoint, str]:
    """Return the entries of names that have moved to another address, and where each went."""
    here = {each.real[:2] for each in judged.verdicts}
    found = {}
    for name, real in judged.named.items():
        old = known.get(name, real.address), real.port
        if old not in here:
            found[old] = f"{name} is {real.address} now"
    return found


def fallback_entry(
    alert: Alert, service: Service, verdicts: Sequence[Verdict], errors: list[LvsalertError]
) -> RealServer | None:
    """Return the fallback as it stands when it is in; one that is asked for is no member."""
    if alert.fallback is None:
        return None if alert.file_rules is None else alert.file_rules.service.fallback
    try:
        real = _entry(alert, alert.fallback, [address for address, _ in service.real_servers], 1)
        if any(each.real[:2] == real[:2] for each in verdicts):
            raise UsageError(f"--fallback: {real.endpoint} is a real server of the group itself")
    except LvsalertError as error:
        errors.append(error)
        return None
    return real
