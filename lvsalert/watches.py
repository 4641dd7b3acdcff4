"""What mon is to watch for each virtual service of the director's file. No I/O.

The same values are the mon.cf that ``lvs-director mon-config`` prints, and the check that
``lvs-director start`` makes before it lets traffic to a real server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Callable, NamedTuple

from lvsalert.config import Check
from lvsalert.model import join_endpoint
from lvsalert.www_cf import FileService, Server, source_of

# Checks that never fail a real server: nothing is to be watched.
_UNWATCHED = frozenset(("off", "on"))
# The statuses that ldirectord takes, and that it follows a redirect to find them.
_GOOD_STATUS = "200-299"


class Watch(NamedTuple):
    """One of mon's watches: a hostgroup, a service, a monitor with its variables.

    ``hosts`` are as the monitor takes them, ``interval`` in seconds. ``variables`` are the
    service's VAR=value lines, for the monitor and the alert alike; they hold what may have blanks.
    ``servers`` are the real servers that the hosts stand for.
    """

    group: str
    service: str
    hosts: tuple[str, ...]
    interval: int
    monitor: tuple[str, ...]
    variables: Mapping[str, str]
    servers: tuple[Server, ...]

    def servers_of(self, host: str) -> list[Server]:
        """Return the real servers that one of the hosts stands for."""
        return [
            server
            for server in self.servers
            if host in (server.real.address, join_endpoint(*server.endpoint))
        ]


def watches_of(service: FileService) -> list[Watch]:
    """Return what watches a virtual service, none where its check cannot fail.

    Real servers with a request or an answer of their own have a watch of their own.
    """
    check = service.configured.check
    if check.type in _UNWATCHED or (check.type == "negotiate" and check.service == "none"):
        return []
    alike: dict[tuple[str, str], list[Server]] = defaultdict(list)
    for server in service.servers:
        own = server.configured
        request = check.request if own.request is None else own.request
        receive = check.receive if own.receive is None else own.receive
        alike[request, receive].append(server)
    group, name = source_of(service)
    found = []
    for number, ((request, receive), servers) in enumerate(alike.items(), 1):
        asked = check._replace(request=request, receive=receive)
        hosts, port = _hosts(asked, servers)
        monitor, variables = _monitor(asked, port)
        found.append(
            Watch(
                group if number == 1 else f"{group}-{number}",
                name,
                hosts,
                check.interval,
                monitor,
                {key: text for key, text in variables.items() if text},
                tuple(servers),
            )
        )
    return found


def _hosts(check: Check, servers: Sequence[Server]) -> tuple[tuple[str, ...], int | None]:
    """Return the hosts as a monitor takes them, and the port that is meant for all of them.

    The port is None where there is none, or where each host carries its own.
    """
    ports = {check.port_of(server.real.port) for server in servers}
    addresses = tuple(dict.fromkeys(server.real.address for server in servers))
    if len(ports) == 1 or check.type == "ping":
        return addresses, ports.pop()
    return tuple(join_endpoint(*server.endpoint) for server in servers), None


_Words = tuple[tuple[str, ...], dict[str, str]]


def _monitor(check: Check, port: int | None) -> _Words:
    """Return the monitor with the words behind it, and its variables (empty ones mean nothing)."""
    at = () if port is None else ("-p", str(port))
    if check.type in _BY_TYPE:
        return _BY_TYPE[check.type](check, at)
    speak = _BY_SERVICE.get(check.service)
    if speak is not None:
        return speak(check, at)
    # What neither mon nor we speak without further words is at least connected to.
    monitor = _STOCK.get(check.service, "tcp.monitor")
    return (monitor, "-t", str(check.negotiate_timeout), *at), {}


def _connect(check: Check, at: tuple[str, ...]) -> _Words:
    return ("tcp.monitor", "-t", str(check.timeout), *at), {}


def _ping(check: Check, _at: tuple[str, ...]) -> _Words:
    return ("fping.monitor", "-r", str(check.tries - 1), "-t", str(check.timeout * 1000)), {}


def _external(check: Check, _at: tuple[str, ...]) -> _Words:
    return ("external.monitor", "-t", str(check.timeout)), {"LVSALERT_COMMAND": check.command}


def _http(check: Check, at: tuple[str, ...]) -> _Words:
    timeout = str(check.negotiate_timeout)
    words = ("http.monitor", "-t", timeout, *at, "--follow", "--status", _GOOD_STATUS)
    return words, {
        "LVSALERT_URL": f"/{check.request.lstrip('/')}",
        "LVSALERT_MATCH": check.receive,
        "LVSALERT_METHOD": check.method,
        "LVSALERT_HOST_HEADER": check.virtual_host or "",
    }


def _https(check: Check, at: tuple[str, ...]) -> _Words:
    words, variables = _http(check, at)
    # ldirectord trusts any certificate of a real server.
    return (*words, "--tls", "--insecure"), variables


def _ftp(check: Check, at: tuple[str, ...]) -> _Words:
    path = check.request.lstrip("/")
    words = ("ftp.monitor", "-t", str(check.negotiate_timeout), *at)
    if not path:
        return words, {}
    return words, {
        "LVSALERT_USER": check.login or "anonymous",
        "LVSALERT_PASSWORD": check.password or "ldirectord@",
        "LVSALERT_RETRIEVE": path,
        "LVSALERT_MATCH": check.receive,
    }


def _simpletcp(check: Check, at: tuple[str, ...]) -> _Words:
    words = ("tcp.monitor", "-t", str(check.negotiate_timeout), *at)
    return words, {"LVSALERT_SEND": check.request.lstrip("/"), "LVSALERT_MATCH": check.receive}


_BY_TYPE: dict[str, Callable[[Check, tuple[str, ...]], _Words]] = {
    "connect": _connect,
    "ping": _ping,
    "external": _external,
    "external-perl": _external,
}
_BY_SERVICE: dict[str, Callable[[Check, tuple[str, ...]], _Words]] = {
    "http": _http,
    "https": _https,
    "ftp": _ftp,
    "simpletcp": _simpletcp,
}
# mon's own monitors that need nothing but port and time-out.
_STOCK = {
    "smtp": "smtp.monitor",
    "submission": "smtp.monitor",
    "imap": "imap.monitor",
    "pop": "pop3.monitor",
    "nntp": "nntp.monitor",
}
