"""Real servers that ldirectord's ``maintenancedir`` names: a file there keeps a server out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Callable

from lvsalert.checks.workers import gathered
from lvsalert.ipvs.table import Endpoint
from lvsalert.ldirectord.file import FileService, Server
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import MAINTENANCE, Cause
from lvsalert.model import canonical_address

Reverse = Callable[[Iterable[str]], Mapping[str, str]]
"""Numeric addresses to the name of each that has one."""

_LOOKUP_SECONDS = 5.0
_MAX_LOOKUPS = 64
# The first part of a whole name, by which ldirectord looks too.
_SHORT = re.compile(r"([a-z][a-z0-9-]+)\.", re.ASCII)


def names_of(addresses: Iterable[str]) -> dict[str, str]:
    """Return the name of each numeric address that has one, all looked up at once, for 5 s."""
    return gathered(_name_of, sorted(set(addresses)), _MAX_LOOKUPS, _LOOKUP_SECONDS)


def _name_of(address: str) -> str:
    import socket

    return socket.getnameinfo((address, 0), socket.NI_NAMEREQD)[0]


def kept_out(
    folder: str | None, services: Iterable[FileService], reverse: Reverse
) -> dict[Endpoint, str]:
    """Return the real servers that a file in ``folder`` names, each with the file's path.

    A file's name is an address or a name, whole or its first part, with or without the port
    (ldirectord(8), maintenancedir). Names are looked up only where there is a file that could be
    one. A folder that is not there names nobody.
    """
    if folder is None:
        return {}
    try:
        files = set(os.listdir(folder))
    except OSError:
        return {}
    servers = [server for service in services for server in service.servers] if files else []
    by_address = {server.endpoint: _spelled(server, server.real.address) for server in servers}
    unknown = files.difference(*by_address.values())
    names = reverse(server.real.address for server in servers) if unknown else {}
    found: dict[Endpoint, str] = {}
    for server in servers:
        spellings = by_address[server.endpoint]
        own = names.get(server.real.address, "")
        for name in dict.fromkeys((server.configured.address, own)):
            if name and canonical_address(name) is None:
                spellings += _spelled(server, name)
                short = _SHORT.match(name)
                spellings += _spelled(server, short[1]) if short else []
        named = next((each for each in spellings if each in files), None)
        if named is not None:
            found[server.endpoint] = os.path.join(folder, named)
    return found


def _spelled(server: Server, host: str) -> list[str]:
    ports = dict.fromkeys((server.configured.port, server.real.port))
    hosts = (f"[{host}]", host) if ":" in host else (host,)
    return [f"{each}:{port}" for each in hosts for port in ports] + list(hosts)


def note(
    ledger: Ledger,
    virtual: str,
    endpoints: Iterable[Endpoint],
    kept: Mapping[Endpoint, str],
    *,
    now: float,
) -> None:
    """Give each of a service's real servers the cause, or take it away, as ``kept`` has it.

    What an operator does by hand is a cause of its own and stays.
    """
    for endpoint in endpoints:
        path = kept.get(endpoint)
        if path is None:
            ledger.clear_cause(virtual, endpoint, MAINTENANCE)
        else:
            reason = f"maintenance: {path}"
            ledger.set_cause(virtual, endpoint, Cause(MAINTENANCE, now, reason, drain=False))
