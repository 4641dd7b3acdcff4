"""The IPVS table as a value, read from ipvsadm's text."""

from __future__ import annotations

import functools
import socket
from typing import NamedTuple

from lvsalert.errors import IpvsadmError, TornTableError, UsageError
from lvsalert.model import (
    Forwarding,
    Protocol,
    RealServer,
    VirtualService,
    canonical_address,
    family_of,
)

Endpoint = tuple[str, int]
"""A real server's address and port, by which the kernel tells entries of a service apart."""


class Service(NamedTuple):
    """A virtual service with what the table holds of it.

    ``flags`` are the words of ipvsadm beyond the scheduler (``-p 300``, ``-o``), handed on as read.
    """

    virtual: VirtualService
    scheduler: str
    flags: tuple[str, ...]
    real_servers: dict[Endpoint, RealServer]


Table = dict[VirtualService, Service]

Columns = dict[VirtualService, dict[Endpoint, tuple[int, int]]]
"""Two numbers of each entry, such as its connections."""


_PROTOCOL_WORDS = {protocol.value: protocol for protocol in Protocol}
_FORWARDING_WORDS = {forwarding.value: forwarding for forwarding in Forwarding}
# What reading a text raises that is something else.
_MISREAD = (IndexError, ValueError, UsageError)
# What ipvsadm prints of every plain tunnel, and takes for granted where it is left out.
_PLAIN_TUNNEL = ["--tun-type", "ipip"]
_REMEMBERED = 1 << 16
# The words of a destination that stand alone; every other one is followed by its value.
_LONE_WORDS = frozenset(("--tun-nocsum", "--tun-csum", "--tun-remcsum"))


def parse(rules: str, thresholds: str = "") -> Table:
    """Return the table that ``ipvsadm -Sn`` wrote.

    ``thresholds`` is the text of ``ipvsadm -Ln --thresholds``, which alone shows them. IpvsadmError
    for text that is neither, and TornTableError for a real server whose thresholds are not shown:
    the next edit would reset them.
    """
    table = _rules(rules)
    limits = _columns(thresholds, "-Ln --thresholds", 2, 3)
    for virtual, service in table.items():
        shown = limits.get(virtual, {})
        for endpoint, real in service.real_servers.items():
            if endpoint not in shown:
                raise TornTableError(
                    f"ipvsadm -Ln --thresholds does not show {real.endpoint} of {virtual}"
                )
            upper, lower = shown[endpoint]
            if upper or lower:
                service.real_servers[endpoint] = real._replace(upper=upper, lower=lower)
    return table


def parse_connections(text: str) -> Columns:
    """Return the active and inactive connections of each entry that ``ipvsadm -Ln`` listed.

    IpvsadmError for text that is something else.
    """
    return _columns(text, "-Ln", 4, 5)


def _rules(text: str) -> Table:
    """Return the table that ``ipvsadm -Sn`` wrote, without thresholds."""
    table: Table = {}
    of, entries = "", dict[Endpoint, RealServer]()
    for line in text.splitlines():
        try:
            # Of the lines of a service's real servers all but the address is read once.
            head, is_real, tail = line.partition(" -r ")
            if is_real:
                if head != of:
                    of, entries = head, table[_virtual_of("-a", head)].real_servers
                name, _, rest = tail.partition(" ")
                address, port = _endpoint(name)
                entries[address, port] = RealServer(address, port, *_rest_of_entry(rest))
            elif line.strip():
                service = _service(line)
                table[service.virtual], of = service, ""
        except (*_MISREAD, KeyError, StopIteration) as error:
            raise IpvsadmError(f"cannot read what ipvsadm -Sn printed: {line!r}") from error
    return table


def _service(line: str) -> Service:
    virtual = _virtual_of("-A", line)
    options = _pairs([word for word in line.split()[3:] if word != "-6"])
    scheduler = options.pop("-s", "")
    return Service(virtual, scheduler, tuple(w for pair in options.items() for w in pair if w), {})


@functools.lru_cache(_REMEMBERED)
def _virtual_of(verb: str, text: str) -> VirtualService:
    """Return the service that a command of ipvsadm with this verb is about."""
    given, kind, name, *rest = text.split()
    if given != verb:
        raise ValueError(given)
    family = socket.AF_INET6 if "-6" in rest else socket.AF_INET
    return _virtual_service(_PROTOCOL_WORDS[kind], name, family)


def _pairs(words: list[str]) -> dict[str, str]:
    """Return option words with their values; a word followed by another option has none."""
    pairs: dict[str, str] = {}
    key = ""
    for word in words:
        if word.startswith("-"):
            key = word
            pairs[key] = ""
        else:
            pairs[key] = word
    return pairs


# A table names each service and each real server many times over.
@functools.lru_cache(_REMEMBERED)
def _virtual_service(protocol: Protocol, name: str, family: int) -> VirtualService:
    if protocol is Protocol.FWMARK:
        # The highest mark is printed as -1.
        return VirtualService(protocol, "", 0, int(name) % 2**32, family)
    address, port = _endpoint(name)
    return VirtualService(protocol, address, port, 0, family_of(address))


@functools.lru_cache(_REMEMBERED)
def _endpoint(text: str) -> Endpoint:
    host, _, port = text.rpartition(":")
    bare = host.strip("[]")
    address = canonical_address(bare)
    if address is None or host != (f"[{bare}]" if ":" in bare else bare):
        raise ValueError(text)
    return address, int(port)


@functools.lru_cache(_REMEMBERED)
def _rest_of_entry(text: str) -> tuple[Forwarding, int, int, int, tuple[str, ...]]:
    """Return what follows the port in a RealServer; thresholds are not among the words."""
    weight, forwarding = 1, Forwarding.GATEWAYING
    flags: list[str] = []
    rest = iter(text.split())
    for word in rest:
        if word == "-w":
            weight = int(next(rest))
        elif word in _FORWARDING_WORDS:
            forwarding = _FORWARDING_WORDS[word]
        elif word in _LONE_WORDS:
            flags.append(word)
        else:
            flags += (word, next(rest))
    if flags == _PLAIN_TUNNEL:
        flags = []
    return forwarding, weight, 0, 0, tuple(flags)


def _columns(text: str, command: str, one: int, other: int) -> Columns:
    """Return two columns of each real server's row of what ``command`` listed.

    A service's row starts with its protocol, a real server's with an arrow (ipvsadm(8), -L).
    """
    found: Columns = {}
    rows: dict[Endpoint, tuple[int, int]] | None = None
    for line in text.splitlines():
        words = line.split()
        try:
            if not words:
                continue
            if words[0] != "->":
                virtual = _service_of_row(words)
                rows = rows if virtual is None else found.setdefault(virtual, {})
            elif rows is not None:
                rows[_endpoint(words[1])] = int(words[one]), int(words[other])
        except _MISREAD as error:
            raise IpvsadmError(f"cannot read what ipvsadm {command} printed: {line!r}") from error
    return {virtual: rows for virtual, rows in found.items() if rows}


def _service_of_row(words: list[str]) -> VirtualService | None:
    """Return the service of a row, None of a row of the heading."""
    kind = words[0]
    if kind in ("TCP", "UDP", "SCTP"):
        return _virtual_service(Protocol[kind], words[1], 0)
    if kind == "FWM":
        family = socket.AF_INET6 if "IPv6" in words else socket.AF_INET
        return _virtual_service(Protocol.FWMARK, words[1], family)
    return None
