"""The director's file: found as ldirectord finds it, read, and its names looked up."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from lvsalert.errors import NotDoneError, ResolveError
from lvsalert.ipvs.naming import Lookup
from lvsalert.ipvs.table import Endpoint, Service
from lvsalert.ldirectord.config import (
    Config,
    ConfiguredServer,
    ConfiguredService,
    address_range,
    parse,
)
from lvsalert.model import Forwarding, Protocol, RealServer, VirtualService, canonical_address
from lvsalert.startup import NamedTuple, sockets

FOLDERS = ("/etc/ha.d", "/etc/ha.d/conf")
DEFAULT_FILE = "ldirectord.cf"
OPTION = "LVSALERT_CONFIG"
"""The variable that names the file to lvs.alert."""


_Found = dict[tuple[str, int], str]


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
        real = self.fallback
        return None if real is None or (real.address, real.port) in self.endpoints else real

    @property
    def empty(self) -> Service:
        """Return the service as it is created, without a real server."""
        return Service(self.virtual, self.configured.scheduler, self.configured.flags, {})


class DirectorFile(NamedTuple):
    """A whole file: where it was found, what it says, its services, and its text."""

    path: str
    config: Config
    services: tuple[FileService, ...]
    text: str = ""


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


def load(name: str, lookup: Lookup) -> DirectorFile:
    """Find, read and resolve a file.

    NotDoneError where it cannot be read, UsageError (``file:line: what``) where it cannot be taken,
    ResolveError for a name without an address.
    """
    path = find(name)
    return parsed(path, read(path), lookup)


def parsed(path: str, text: str, lookup: Lookup) -> DirectorFile:
    """Resolve what a file says; errors are those of ``load``."""
    config = parse(text, path)
    found = _look_up(config.services, lookup)
    services = tuple(_resolved(each, found, path) for each in config.services)
    return DirectorFile(path, config, services, text)


def load_service(
    path: str, text: str, lookup: Lookup, virtual: VirtualService
) -> DirectorFile | None:
    """Resolve no more of what a file says than one service, None where it has no such service.

    A real server whose name has no address is left out, so that one name does not keep the others
    from being judged. Errors are those of ``load``.
    """
    config = parse(text, path)
    named = [each for each in config.services if _may_be(each, virtual)]
    found = _look_up(named, lookup)
    for service in named:
        if _virtual(service, found) == virtual:
            reals = tuple(each for each in service.real_servers if _is_found(each, service, found))
            whole = _resolved(service._replace(real_servers=reals), found, path)
            return DirectorFile(path, config, (whole,), text)
    return None


def read(path: str) -> str:
    """Return what a file says; NotDoneError where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except OSError as error:
        raise NotDoneError(f"{path}: {error.strerror}") from None


def _may_be(service: ConfiguredService, virtual: VirtualService) -> bool:
    """Return whether a service of the file is ``virtual``, as far as is known without a look-up."""
    same = (service.protocol, service.port, service.fwmark, service.family)
    if same != (virtual.protocol, virtual.port, virtual.fwmark, virtual.family):
        return False
    return canonical_address(service.address) in (None, virtual.address)


def _virtual(service: ConfiguredService, found: _Found) -> VirtualService | None:
    """Return what names a service in the table, None where its address is not known."""
    address: str | None = ""
    if service.protocol is not Protocol.FWMARK:
        address = canonical_address(service.address) or found.get((service.address, service.family))
    if address is None:
        return None
    return VirtualService(service.protocol, address, service.port, service.fwmark, service.family)


def _is_found(server: ConfiguredServer, service: ConfiguredService, found: _Found) -> bool:
    names = [name for name in (server.address, server.last) if name]
    return all(canonical_address(name) or (name, service.family) in found for name in names)


def _look_up(services: Iterable[ConfiguredService], lookup: Lookup) -> _Found:
    """Return one address for each name and family in services, all names looked up at once."""
    names: dict[int, set[str]] = {sockets.AF_INET: set(), sockets.AF_INET6: set()}
    for service in services:
        for name in _names(service):
            if name and canonical_address(name) is None:
                names[service.family].add(name)
    found: _Found = {}
    for family, wanted in names.items():
        for name, addresses in (lookup(sorted(wanted), family) if wanted else {}).items():
            if addresses:
                found[name, family] = min(addresses)
    return found


def _names(service: ConfiguredService) -> Iterator[str]:
    yield service.address
    for server in (*service.real_servers, *([service.fallback] if service.fallback else ())):
        yield server.address
        yield server.last


def _resolved(service: ConfiguredService, found: _Found, path: str) -> FileService:
    def address_of(name: str, line: int) -> str:
        address = canonical_address(name) or found.get((name, service.family))
        if address is None:
            raise ResolveError(f"{path}:{line}: {name}: no address found")
        return address

    virtual = _virtual(service, found)
    if virtual is None:
        raise ResolveError(f"{path}:{service.line}: {service.address}: no address found")
    servers: list[Server] = []
    for each in service.real_servers:
        first = address_of(each.address, each.line)
        addresses = address_range(first, address_of(each.last, each.line)) if each.last else [first]
        servers += [Server(_entry(virtual, each, one), each) for one in addresses]
    fallback = service.fallback
    sorry = None
    if fallback is not None:
        sorry = _entry(virtual, fallback, address_of(fallback.address, fallback.line))
    return FileService(virtual, service, tuple(servers), sorry)


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
        group = f"fwm-{virtual.fwmark}{'-6' if virtual.family == sockets.AF_INET6 else ''}"
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
