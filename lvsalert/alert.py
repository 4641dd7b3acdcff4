"""From what mon reports to the table that should be.

``wish`` decides which real servers are to be in and out; ``run`` brings the table there.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Callable, NamedTuple

from lvsalert.errors import LvsalertError, NotDoneError, ResolveError, UsageError
from lvsalert.ipvsadm import Ipvsadm
from lvsalert.model import (
    Forwarding,
    Protocol,
    RealServer,
    VirtualService,
    canonical_address,
    join_endpoint,
    parse_port,
    split_endpoint,
)
from lvsalert.mon import AlertCall, Event
from lvsalert.table import Change, Service, Table, placed_in, plan, taken_out

# The monitors' exit status for "nothing was judged".
_CANNOT_TELL = 3

Lookup = Callable[[Iterable[str], int], "dict[str, list[str]]"]
"""Names and an address family to each name's numeric addresses, none where it has none."""


class Asked(NamedTuple):
    """What the options of lvs.alert ask for.

    ``virtual`` and ``real_server`` are as the user wrote them. ``upper``, ``lower`` and
    ``scheduler`` are None where the table's own are to stay.
    """

    virtual: str
    protocol: Protocol | None = None
    real_server: str | None = None
    real_port: str | None = None
    weight: int = 1
    forwarding: Forwarding = Forwarding.GATEWAYING
    upper: int | None = None
    lower: int | None = None
    scheduler: str | None = None
    quiesce: bool = False
    startup_in: bool = False
    ipv6_fwmark: bool = False


class Wish(NamedTuple):
    """Which hosts are to be in and which out; ``remark`` says why where it is none."""

    hosts_in: tuple[str, ...] = ()
    hosts_out: tuple[str, ...] = ()
    remark: str = ""


class _Member(NamedTuple):
    """A host that is to be in or out: its name, the addresses of that, and its own port."""

    name: str
    addresses: Sequence[str]
    port: str | None
    is_in: bool


class Outcome(NamedTuple):
    """What a run did: the changes (made, or with a dry run only planned) and what to tell.

    ``remark`` is for the log at the level of information, ``errors`` are what could not be done.
    """

    virtual: VirtualService
    changes: Sequence[Change] = ()
    remark: str = ""
    errors: Sequence[LvsalertError] = ()


def wish(call: AlertCall, asked: Asked) -> Wish:
    """Return which hosts the alert wants in and out.

    With ``asked.real_server`` that is the only host; otherwise they are those of the group. Only a
    verdict takes a host out: a monitor that could not tell, or whose summary names none of the
    hosts in question, changes nothing.
    """
    alone = (asked.real_server,) if asked.real_server is not None else ()
    if call.event is Event.UP or (call.event is Event.STARTUP and asked.startup_in):
        return Wish(hosts_in=alone or call.hosts)
    if call.event in (Event.TEST, Event.ACK, Event.DISABLE, Event.STARTUP):
        about = " ".join(alone or call.hosts)
        return Wish(remark=f"{call.event.value} alert for {about}, nothing changed")
    if call.event is Event.FAILURE and not call.by_hand:
        if call.retval == _CANNOT_TELL:
            return Wish(remark="the monitor could not tell (exit status 3), nothing changed")
        if call.failed.isdisjoint(_in_question(call, asked)):
            return Wish(remark="the summary names no host in question, nothing changed")
    return Wish(hosts_out=alone) if alone else _parted(call)


def _parted(call: AlertCall) -> Wish:
    """Return the hosts of the group, parted by whether the summary names them."""
    # A trap speaks for its service: one that names no host means all of them.
    out = tuple(host for host in call.hosts if host in call.failed) or call.hosts
    return Wish(tuple(host for host in call.hosts if host not in out), out)


def _in_question(call: AlertCall, asked: Asked) -> Sequence[str]:
    """Return the hosts whose failure takes out what was asked for.

    A real server that is itself one of the group's hosts stands for that host alone.
    """
    if asked.real_server is None:
        return call.hosts
    name = split_endpoint(asked.real_server)[0]
    same = [host for host in call.hosts if split_endpoint(host)[0] == name]
    return same or call.hosts


def virtual_service(asked: Asked, lookup: Lookup) -> VirtualService:
    """Return the virtual service that ``-P`` and ``-V`` name.

    A whole number alone is a firewall mark. Without ``-P`` an address means TCP. UsageError for
    what is neither, ResolveError for a name without an address.
    """
    text = asked.virtual
    is_mark = text.isascii() and text.isdigit()
    protocol = asked.protocol or (Protocol.FWMARK if is_mark else Protocol.TCP)
    if protocol is Protocol.FWMARK:
        if not is_mark or not 1 <= int(text) < 2**32:
            raise UsageError(f"{text!r} is not a firewall mark: a whole number from 1")
        family = socket.AF_INET6 if asked.ipv6_fwmark else socket.AF_INET
        return VirtualService(protocol, "", 0, int(text), family)
    host, port = split_endpoint(text)
    if port is None:
        raise UsageError(f"{text!r} has no port: write address:port")
    number = 0 if port == "0" else parse_port(port, protocol.name.lower())
    address = canonical_address(host)
    if address is None:
        address = _chosen(host, sorted(lookup([host], socket.AF_UNSPEC)[host]), ())
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return VirtualService(protocol, address, number, 0, family)


def run(
    call: AlertCall,
    asked: Asked,
    door: Ipvsadm,
    *,
    lookup: Lookup,
    lock: tuple[str, float],
    dry_run: bool = False,
) -> Outcome:
    """Bring the table to what the alert wants, under the lock (its path and seconds to wait).

    Names are looked up before the lock is taken. A host whose name has no address is left as it is
    and comes back among the errors; the others are done all the same.
    """
    virtual = virtual_service(asked, lookup)
    wanted = wish(call, asked)
    if not wanted.hosts_in and not wanted.hosts_out:
        return Outcome(virtual, remark=wanted.remark)
    errors: list[LvsalertError] = []
    members = _members(wanted, virtual, lookup, errors)
    with door.locked(*lock):
        actual = door.read()
        service = _service(actual, virtual, asked)
        desired: Table = {**actual, virtual: _desired(service, members, asked, errors)}
        changes = plan(actual, desired)
        if changes and not dry_run:
            door.apply(changes, desired)
    return Outcome(virtual, changes, errors=errors)


def _service(actual: Table, virtual: VirtualService, asked: Asked) -> Service:
    service = actual.get(virtual)
    if service is None:
        if asked.scheduler is None:
            raise NotDoneError(f"{virtual}: no such virtual service (--scheduler would create it)")
        return Service(virtual, asked.scheduler, (), {})
    return service


def _members(
    wanted: Wish, virtual: VirtualService, lookup: Lookup, errors: list[LvsalertError]
) -> list[_Member]:
    """Return the hosts with the addresses of their names, all names looked up at once."""
    split: list[tuple[str, str | None, bool]] = []
    for hosts, is_in in ((wanted.hosts_in, True), (wanted.hosts_out, False)):
        for host in hosts:
            try:
                split.append((*split_endpoint(host), is_in))
            except UsageError as error:
                errors.append(error)
    numeric = {name: canonical_address(name) for name, _, _ in split}
    names = [name for name, address in numeric.items() if address is None]
    found = lookup(names, virtual.family) if names else {}
    return [
        _Member(name, [address] if (address := numeric[name]) else sorted(found[name]), port, is_in)
        for name, port, is_in in split
    ]


def _desired(
    service: Service, members: Sequence[_Member], asked: Asked, errors: list[LvsalertError]
) -> Service:
    standing = [address for address, _ in service.real_servers]
    for member in members:
        try:
            address = _chosen(member.name, member.addresses, standing)
            real = _real_server(service.virtual, asked, address, member.port)
        except LvsalertError as error:
            errors.append(error)
            continue
        if member.is_in:
            service = placed_in(service, real, upper=asked.upper, lower=asked.lower)
        else:
            service = taken_out(service, (real.address, real.port), quiesce=asked.quiesce)
    return service


def _chosen(name: str, found: Sequence[str], standing: Sequence[str]) -> str:
    """Return the address of ``name`` that stands in the table, or else the first.

    A name with several addresses would otherwise mean another one with each look-up.
    """
    if not found:
        raise ResolveError(f"{name}: no address found, left as it is")
    return next((address for address in found if address in standing), found[0])


def _real_server(
    virtual: VirtualService, asked: Asked, address: str, own_port: str | None
) -> RealServer:
    """Return the entry asked for at ``address``.

    Only masquerading maps ports. The host's own port comes first, then ``--real-port``, then the
    virtual service's, which is 0 with a firewall mark.
    """
    if (":" in address) != (virtual.family == socket.AF_INET6):
        raise UsageError(f"{address} is of another address family than {virtual}")
    port = virtual.port
    text = own_port or asked.real_port
    if text is not None and asked.forwarding is Forwarding.MASQUERADING:
        is_mark = virtual.protocol is Protocol.FWMARK
        port = parse_port(text, "tcp" if is_mark else virtual.protocol.name.lower())
    return RealServer(address, port, asked.forwarding, asked.weight)


def describe(change: Change, who: str) -> str:
    """Return a change as one line: who asked, the virtual service, the real server, was and is."""
    named = change.after or change.before
    if named is None:
        return f"{who}: {change.virtual}: virtual service {_VERBS[change.words[0]]}"
    at = join_endpoint(named.address, named.port)
    return f"{who}: {change.virtual}: {at} was {_state(change.before)}, is {_state(change.after)}"


_VERBS = {"-A": "created", "-E": "changed", "-D": "deleted"}
_SPELLED = {
    Forwarding.GATEWAYING: "dr",
    Forwarding.MASQUERADING: "nat",
    Forwarding.TUNNELLING: "tun",
}


def _state(real: RealServer | None) -> str:
    if real is None:
        return "out"
    limits = f" thresholds {real.upper}/{real.lower}" if real.upper or real.lower else ""
    return f"{_SPELLED[real.forwarding]} weight {real.weight}{limits}"
