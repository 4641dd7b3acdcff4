"""The director's file: found as ldirectord finds it, read, and its names looked up."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from lvsalert.errors import LvsalertError, NotDoneError, UsageError
from lvsalert.ipvs.naming import Lookup
from lvsalert.ipvs.table import Endpoint, Service
from lvsalert.ldirectord.config import (
    Config,
    ConfiguredServer,
    ConfiguredService,
    address_range,
    parse,
)
from lvsalert.ldirectord.names import Names, Resolver
from lvsalert.model import Forwarding, Protocol, RealServer, VirtualService, canonical_address

FOLDERS = ("/etc/ha.d", "/etc/ha.d/conf")
DEFAULT_FILE = "ldirectord.cf"
OPTION = "LVSALERT_CONFIG"
"""The variable that names the file to lvs.alert."""


class Server(NamedTuple):
    """A real server of the file: its entry when it is in, and its line in the file."""

    real: RealServer
    configured: ConfiguredServer

    @property
    def endpoint(self) -> Endpoint:
        """Return its address and port."""
        return self.real.address, self.real.port


class FileService(NamedTuple):
    """A virtual service of the file, its names looked up."""

    virtual: VirtualService
    configured: ConfiguredService
    servers: tuple[Server, ...]
    fallback: RealServer | None

    @property
    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of its real servers."""
        return [server.endpoint for server in self.servers]

    @property
    def own_fallback(self) -> RealServer | None:
        """Return the fallback; one that is a real server of the service itself is none."""
        return None if self.fallback_is_member else self.fallback

    @property
    def fallback_is_member(self) -> bool:
        """Return whether the fallback is a real server of the service itself."""
        return self.fallback is not None and self.fallback[:2] in self.endpoints

    @property
    def empty(self) -> Service:
        """Return the service as it is created, without a real server."""
        return Service(self.virtual, self.configured.scheduler, self.configured.flags, {})


class DirectorFile(NamedTuple):
    """A whole file: where it was found, what it says, its services, and its text.

    ``names`` are the addresses of its names; ``unresolved`` tells of each that has none, and what
    it names is left out, ``left_out`` real servers in all. ``remembered`` tells of those that have
    the address that they had before.
    """

    path: str
    config: Config
    services: tuple[FileService, ...]
    text: str = ""
    names: Mapping[str, str] = {}
    unresolved: Mapping[str, LvsalertError] = {}
    remembered: tuple[str, ...] = ()
    left_out: int = 0


def find(name: str) -> str:
    """Return the path of the file called ``name``, with or without ``.cf``.

    It is looked for in heartbeat's folders and then as it was given (ldirectord(8)). NotDoneError
    where there is none.
    """
    paths = candidates(name)
    found = next((path for path in paths if os.path.isfile(path)), None)
    if found is None:
        raise NotDoneError(f"{name}: no such file: tried {', '.join(paths)}")
    return found


def candidates(name: str) -> list[str]:
    """Return the paths that the file called ``name`` may have, in the order of the search.

    They are absolute where that is possible: mon and the ledger keep them, and mon runs elsewhere.
    """
    try:
        here = os.getcwd()
    except OSError:
        here = ""
    folders = (*FOLDERS, here)
    paths = [os.path.join(each, name + suffix) for each in folders for suffix in ("", ".cf")]
    return list(dict.fromkeys(paths))


def load(name: str, lookup: Lookup, known: Names | None = None) -> DirectorFile:
    """Find, read and resolve a file.

    ``known`` are the addresses that names had before: a name keeps its address as long as it is one
    of the name's, and where the name has none by now. NotDoneError where the file cannot be read,
    UsageError (``file:line: what``) where it cannot be taken.
    """
    path = find(name)
    return parsed(path, read(path), lookup, known)


def parsed(path: str, text: str, lookup: Lookup, known: Names | None = None) -> DirectorFile:
    """Resolve what a file says; errors are those of ``load``."""
    config = parse(text, path)
    return _file(path, text, config, Resolver(path, config.services, lookup, known or {}))


def as_accepted(path: str, text: str, names: Names) -> DirectorFile:
    """Return a file as it was resolved before, without another look at any name."""
    config = parse(text, path)
    return _file(path, text, config, Resolver(path, (), None, names))


def load_services(
    path: str,
    text: str,
    lookup: Lookup,
    virtuals: Collection[VirtualService],
    known: Names | None = None,
) -> DirectorFile:
    """Resolve no more of what a file says than those of these services that it has.

    With ``known`` those are the addresses of names, and nothing is looked up. A real server whose
    name has no address is left out, so that one name does not keep the others from being judged.
    Errors are those of ``load``.
    """
    config = parse(text, path)
    wanted: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for each in virtuals:
        wanted[_but_for_address(each)].add(each.address)
    named = [each for each in config.services if _may_be(each, wanted)]
    resolver = Resolver(path, named, lookup if known is None else None, known or {})
    found = [_resolved(each, resolver) for each in named]
    services = tuple(each for each in found if each is not None and each.virtual in virtuals)
    return DirectorFile(path, config, services, text)


def read(path: str) -> str:
    """Return what a file says; NotDoneError where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except OSError as error:
        raise NotDoneError(f"{path}: {error.strerror}") from None


def _may_be(service: ConfiguredService, wanted: Mapping[tuple[object, ...], set[str]]) -> bool:
    """Return whether a service may be a wanted one, as far as is known without a look-up."""
    addresses = wanted.get(_but_for_address(service), set())
    own = canonical_address(service.address)
    return bool(addresses) if own is None else own in addresses


def _but_for_address(each: VirtualService | ConfiguredService) -> tuple[object, ...]:
    return each.protocol, each.port, each.fwmark, each.family


def _file(path: str, text: str, config: Config, resolver: Resolver) -> DirectorFile:
    found = [_resolved(each, resolver) for each in config.services]
    lost = [
        max(1, len(_addresses(line, service.family, resolver)))
        for service, each in zip(config.services, found)
        for line in service.real_servers
        if each is None or line not in {server.configured for server in each.servers}
    ]
    told = resolver.used, resolver.errors, tuple(resolver.remarks.values())
    return DirectorFile(path, config, tuple(filter(None, found)), text, *told, sum(lost))


def _virtual(service: ConfiguredService, resolver: Resolver) -> VirtualService | None:
    """Return what names a service in the table, None where its address is not known."""
    address: str | None = ""
    if service.protocol is not Protocol.FWMARK:
        address = resolver.address(service.address, service.family, service.line)
    if address is None:
        return None
    return VirtualService(service.protocol, address, service.port, service.fwmark, service.family)


def _resolved(service: ConfiguredService, resolver: Resolver) -> FileService | None:
    """Return a service without those of its servers whose address is not known."""
    virtual = _virtual(service, resolver)
    if virtual is None:
        return None
    servers: list[Server] = []
    for each in service.real_servers:
        addresses = _addresses(each, service.family, resolver)
        servers += [Server(_entry(virtual, each, one), each) for one in addresses]
    fallback = service.fallback
    sorry = None
    if fallback is not None:
        address = resolver.address(fallback.address, service.family, fallback.line)
        sorry = None if address is None else _entry(virtual, fallback, address)
    return FileService(virtual, service, tuple(servers), sorry)


def _addresses(server: ConfiguredServer, family: int, resolver: Resolver) -> list[str]:
    """Return the addresses that a line means, none where one of its names has none."""
    ends = [server.address, server.last] if server.last else [server.address]
    found = [resolver.address(name, family, server.line) for name in ends]
    known = [address for address in found if address is not None]
    if len(known) < len(ends):
        return []
    try:
        return address_range(*known) if server.last else known
    except UsageError as error:
        raise UsageError(f"{resolver.path}:{server.line}: real: {error}") from None


def _entry(virtual: VirtualService, server: ConfiguredServer, address: str) -> RealServer:
    """Return the entry of a server; only masquerading maps ports."""
    maps = server.forwarding is Forwarding.MASQUERADING
    port = server.port if maps and server.port else virtual.port
    return RealServer(address, port, server.forwarding, server.weight, server.upper, server.lower)


def source_of(service: FileService) -> tuple[str, str]:
    """Return mon's hostgroup and service for a virtual service of the file.

    The director's own check at its start speaks under the same name, so that mon's first check
    takes its word back.
    """
    virtual = service.virtual
    if virtual.protocol is Protocol.FWMARK:
        group = f"fwm{'6' if virtual.family == socket.AF_INET6 else ''}-{virtual.fwmark}"
    else:
        address = virtual.address.replace(":", ".")
        group = f"{virtual.protocol.name.lower()}-{address}-{virtual.port}"
    check = service.configured.check
    return group, check.service if check.type in ("negotiate", "combined") else check.type


def servers_at(servers: Sequence[Server], address: str, port: str | None) -> list[Server]:
    """Return the real servers at an address, with ``port`` only the one that has it."""
    return [
        each
        for each in servers
        if each.real.address == address and (port is None or str(each.real.port) == port)
    ]
