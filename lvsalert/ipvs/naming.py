"""From what a user writes to virtual services and real servers, names looked up."""

from __future__ import annotations

import socket
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Callable, NamedTuple

from lvsalert.errors import LvsalertError, ResolveError, UsageError
from lvsalert.ipvs.marks import MARKS
from lvsalert.model import (
    Forwarding,
    Protocol,
    RealServer,
    VirtualService,
    canonical_address,
    parse_port,
    split_endpoint,
)

Lookup = Callable[[Iterable[str], int], Mapping[str, Sequence[str]]]
"""Names and an address family to each name's numeric addresses, none where it has none."""


class Host(NamedTuple):
    """A host as it was spelled: its name, the addresses of that, and its own port if it has one."""

    spelled: str
    name: str
    addresses: Sequence[str]
    port: str | None


def virtual_service(
    text: str, protocol: Protocol | None, lookup: Lookup, *, ipv6_fwmark: bool = False
) -> VirtualService:
    """Return the virtual service that ``text`` names: address:port, or a firewall mark.

    A whole number alone is a firewall mark. Without ``protocol`` an address means TCP. UsageError
    for what is neither, ResolveError for a name without an address.
    """
    is_mark = text.isascii() and text.isdigit()
    protocol = protocol or (Protocol.FWMARK if is_mark else Protocol.TCP)
    if protocol is Protocol.FWMARK:
        if not is_mark or len(text) > 10 or not 1 <= int(text) < 2**32:
            raise UsageError(f"{text!r} is not a firewall mark: a whole number from 1")
        if int(text) in MARKS:
            raise UsageError(f"{text!r} is a firewall mark of our own checks: take one below")
        family = socket.AF_INET6 if ipv6_fwmark else socket.AF_INET
        return VirtualService(protocol, "", 0, int(text), family)
    name, port = split_endpoint(text)
    if port is None:
        raise UsageError(f"{text!r} has no port: write address:port")
    number = 0 if port == "0" else parse_port(port, protocol.name.lower())
    address = canonical_address(name)
    if address is None:
        found = sorted(lookup([name], socket.AF_UNSPEC)[name])
        if not found:
            raise ResolveError(f"{name}: no address found")
        address = found[0]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return VirtualService(protocol, address, number, 0, family)


def resolve(
    spelled: Iterable[str], family: int, lookup: Lookup, errors: list[LvsalertError]
) -> list[Host]:
    """Return the hosts with the addresses of their names, all names looked up at once.

    One that cannot be a host is left out and added to ``errors``.
    """
    hosts = []
    for text in spelled:
        name, port, address = text, None, canonical_address(text)
        if address is None:
            try:
                name, port = split_endpoint(text)
            except UsageError as error:
                errors.append(error)
                continue
            address = canonical_address(name)
        hosts.append(Host(text, name, () if address is None else (address,), port))
    names = [host.name for host in hosts if not host.addresses]
    found = lookup(names, family) if names else {}
    return [
        host if host.addresses else host._replace(addresses=sorted(found[host.name]))
        for host in hosts
    ]


def address_of(host: Host, standing: Container[str]) -> str:
    """Return the address of ``host`` that stands in the table, or else the lowest.

    A name with several addresses would otherwise mean another one with each look-up. ResolveError
    where it has none.
    """
    if not host.addresses:
        raise ResolveError(f"{host.name}: no address found, left as it is")
    for each in host.addresses:
        if each in standing:
            return each
    return host.addresses[0]


def address_meant(host: Host, standing: Container[str], known: str | None) -> str:
    """Return the address of ``host``, which was ``known`` when it was last told of.

    That counts as long as it is one of the name's, and where the name has none by now. Errors are
    those of ``address_of``.
    """
    if known is not None and (not host.addresses or known in host.addresses):
        return known
    return address_of(host, standing)


def port_of(
    virtual: VirtualService, forwarding: Forwarding, own_port: str | None, real_port: str | None
) -> int:
    """Return the port of an entry.

    Only masquerading maps ports: the host's own comes first, then ``real_port``. Otherwise it is
    the virtual service's, which is 0 with a firewall mark.
    """
    text = own_port or real_port
    if text is None or forwarding is not Forwarding.MASQUERADING:
        return virtual.port
    is_mark = virtual.protocol is Protocol.FWMARK
    return parse_port(text, "tcp" if is_mark else virtual.protocol.name.lower())


def entry_of(virtual: VirtualService, real: RealServer) -> RealServer:
    """Return ``real``. UsageError for one of another address family than the service's.

    The kernel tunnels to either family.
    """
    is_tunnelled = real.forwarding is Forwarding.TUNNELLING
    if not is_tunnelled and (":" in real.address) != (virtual.family == socket.AF_INET6):
        raise UsageError(f"{real.address} is of another address family than {virtual}")
    return real
