"""The names in a director's file, and the addresses that they mean."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping

from lvsalert.errors import LvsalertError, ResolveError
from lvsalert.ipvs.naming import Lookup
from lvsalert.ldirectord.config import ConfiguredService
from lvsalert.model import canonical_address

Names = Mapping[str, str]
"""Names to their addresses; in front of each name stands the family, ``4 web1`` or ``6 web1``."""


class Resolver:
    """The addresses of the names in services of a file, all looked up at once.

    A name keeps the address of ``known`` as long as it is one of the name's, and where the name has
    none by now, which ``remarks`` tells. Without ``lookup`` no name is looked up. ``used`` are the
    addresses that were asked for, ``errors`` tells of those names that have none.
    """

    def __init__(
        self,
        path: str,
        services: Iterable[ConfiguredService],
        lookup: Lookup | None,
        known: Names,
    ) -> None:
        self.path = path
        self._addresses = dict(known)
        self._stale: set[str] = set()
        self.used: dict[str, str] = {}
        self.errors: dict[str, LvsalertError] = {}
        self.remarks: dict[str, str] = {}
        if lookup is not None:
            self._look_up(services, lookup)

    def _look_up(self, services: Iterable[ConfiguredService], lookup: Lookup) -> None:
        for family, names in names_of(services).items():
            for name, addresses in lookup(names, family).items():
                key = _key(name, family)
                if not addresses:
                    self._stale.add(key)
                elif self._addresses.get(key) not in addresses:
                    self._addresses[key] = min(addresses)

    def address(self, name: str, family: int, line: int) -> str | None:
        """Return the address of what stands at a line of the file, None where it has none."""
        numeric = canonical_address(name)
        if numeric is not None:
            return numeric
        key = _key(name, family)
        address = self._addresses.get(key)
        said = f"{self.path}:{line}: {name}: no address found"
        if address is None:
            self.errors.setdefault(key, ResolveError(said))
            return None
        if key in self._stale:
            self.remarks.setdefault(key, f"{said}: it stays {address}")
        self.used[key] = address
        return address


def missing(services: Iterable[ConfiguredService], known: Names) -> set[str]:
    """Return the names in services without an address, each with its family as ``known`` has it."""
    found = names_of(services, known)
    return {_key(name, family) for family, names in found.items() for name in names}


def names_of(
    services: Iterable[ConfiguredService], known: Names | None = None
) -> dict[int, list[str]]:
    """Return the names in services by their family, without those whose address is ``known``."""
    found: dict[int, set[str]] = {}
    for service in services:
        for name in _names(service):
            is_known = known is not None and _key(name, service.family) in known
            if name and not is_known and canonical_address(name) is None:
                found.setdefault(service.family, set()).add(name)
    return {family: sorted(names) for family, names in found.items()}


def _names(service: ConfiguredService) -> Iterator[str]:
    yield service.address
    for server in (*service.real_servers, *([service.fallback] if service.fallback else ())):
        yield server.address
        yield server.last


def _key(name: str, family: int) -> str:
    return f"{6 if family == socket.AF_INET6 else 4} {name}"
