"""Real servers that ldirectord's ``maintenancedir`` names: a file there keeps a server out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Callable

from lvsalert.ledger import MAINTENANCE, Cause, Ledger
from lvsalert.model import canonical_address
from lvsalert.table import Endpoint
from lvsalert.workers import Workers
from lvsalert.www_cf import FileService, Server

Reverse = Callable[[Iterable[str]], Mapping[str, str]]
"""Numeric addresses to the name of each that has one."""

_LOOKUP_SECONDS = 5.0
_MAX_LOOKUPS = 64
# The first part of a whole name, by which ldirectord looks too.
_SHORT = re.compile(r"([a-z][a-z0-9-]+)\.", re.ASCII)


def names_of(addresses: Iterable[str]) -> dict[str, str]:
    """Return the name of each numeric address that has one, all looked up at once, for 5 s."""
    import select
    import time

    wanted = sorted(set(addresses))
    found: dict[str, str] = {}
    lookups: Workers[str, str] = Workers(_name_of, wanted, _MAX_LOOKUPS)
    deadline = time.monotonic() + _LOOKUP_SECONDS
    left = len(wanted)
    try:
        poll = select.poll()
        poll.register(lookups, select.POLLIN)
        while left and (wait := deadline - time.monotonic()) > 0:
            poll.poll(wait * 1000)
            for answer in lookups.take():
                left -= 1
                if isinstance(answer.value, str):
                    found[answer.job] = answer.value
    finally:
        lookups.close()
    return found


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
