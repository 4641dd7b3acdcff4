"""What mon is to watch for each virtual service of the director's file. No I/O.

The same values are the mon.cf that ``lvs-director mon-config`` prints, and the check that
``lvs-director start`` makes before it lets traffic to a real server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Callable, NamedTuple
from urllib.parse import quote

from lvsalert.config import Check
from lvsalert.model import Protocol, VirtualService, join_endpoint
from lvsalert.www_cf import FileService, Server, source_of

# Checks that never fail a real server: nothing is to be watched.
_UNWATCHED = frozenset(("off", "on"))
# The statuses that ldirectord takes, and that it follows a redirect to find them.
_GOOD_STATUS = "200-299"
# What a path and a query are made of (RFC 3986); the percent sign is that of what is escaped there.
_SAFE_IN_URL = "!$%&'()*+,/:;=?@[]~"
_DNS_PORT = 53


class Watch(NamedTuple):
    """One of mon's watches: a hostgroup, a service, a monitor with its variables.

    ``hosts`` are as the monitor takes them, each with the real servers that it stands for;
    ``interval`` is in seconds. ``variables`` are the service's VAR=value lines, for the monitor and
    the alert alike; they hold what may have blanks.
    """

    group: str
    service: str
    hosts: Mapping[str, Sequence[Server]]
    interval: int
    monitor: tuple[str, ...]
    variables: Mapping[str, str]

    @property
    def servers(self) -> list[Server]:
        """Return the real servers that are watched."""
        return [server for servers in self.hosts.values() for server in servers]


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
    told = _names(service.virtual)
    found = []
    for number, ((request, receive), servers) in enumerate(alike.items(), 1):
        asked = check._replace(request=request, receive=receive)
        if asked.type == "connect" and service.virtual.protocol is Protocol.UDP:
            # As ldirectord does, since a datagram's port takes no connection.
            asked = asked._replace(type="ping")
        hosts, port = _hosts(asked, servers)
        monitor, variables = _monitor(asked, port)
        found.append(
            Watch(
                group if number == 1 else f"{group}-{number}",
                name,
                hosts,
                check.interval,
                monitor,
                {key: text for key, text in variables.items() if text} | told,
            )
        )
    return found


def _names(virtual: VirtualService) -> dict[str, str]:
    """Return the variables that name a virtual service to external.monitor and lvs.alert."""
    is_mark = virtual.protocol is Protocol.FWMARK
    variables = {
        "LVSALERT_PROTOCOL": "fwm" if is_mark else virtual.protocol.name.lower(),
        "LVSALERT_VIRTUAL_SERVICE": virtual.words()[1],
    }
    if "-6" in virtual.words():
        variables["LVSALERT_IPV6_FWMARK"] = "1"
    return variables


def _hosts(check: Check, servers: Sequence[Server]) -> tuple[dict[str, list[Server]], int | None]:
    """Return the hosts as a monitor takes them, and the port that is meant for all of them.

    The port is None where there is none, or where each host carries its own.
    """
    ports = {
        server: check.port_of(server.configured.port or server.real.port) for server in servers
    }
    alike = set(ports.values())
    carries_port = check.type in ("external", "external-perl")
    is_bare = check.type == "ping" or (len(alike) == 1 and not carries_port)
    hosts: dict[str, list[Server]] = defaultdict(list)
    for server, port in ports.items():
        own = server.configured.port if carries_port else port
        address = server.real.address
        hosts[address if is_bare or not own else join_endpoint(address, own)].append(server)
    return dict(hosts), alike.pop() if is_bare and check.type != "ping" else None


_Words = tuple[tuple[str, ...], dict[str, str]]


def _monitor(check: Check, port: int | None) -> _Words:
    """Return the monitor with the words behind it, and its variables (empty ones mean nothing)."""
    at = () if port is None else ("-p", str(port))
    if check.type in _BY_TYPE:
        return _BY_TYPE[check.type](check, at)
    speak = _BY_SERVICE.get(check.service)
    if speak is not None:
        return speak(check, at)
    stock = _stock(check, port)
    # What neither mon nor we speak is at least connected to.
    return stock or ("tcp.monitor", "-t", str(check.negotiate_timeout), *at), {}


def _connect(check: Check, at: tuple[str, ...]) -> _Words:
    return ("tcp.monitor", "-t", str(check.timeout), *at), {}


def _ping(check: Check, _at: tuple[str, ...]) -> _Words:
    return ("fping.monitor", "-r", str(check.tries - 1), "-t", str(check.timeout * 1000)), {}


def _external(check: Check, _at: tuple[str, ...]) -> _Words:
    perl = ("--perl",) if check.type == "external-perl" else ()
    words = ("external.monitor", "-t", str(check.timeout), *perl)
    return words, {"LVSALERT_COMMAND": check.command}


def _http(check: Check, at: tuple[str, ...]) -> _Words:
    timeout = str(check.negotiate_timeout)
    # ldirectord trusts any certificate, behind a redirect too.
    words = ("http.monitor", "-t", timeout, *at, "--follow", "--insecure", "--status", _GOOD_STATUS)
    return words, {
        "LVSALERT_URL": quote(f"/{check.request.lstrip('/')}", safe=_SAFE_IN_URL),
        "LVSALERT_MATCH": check.receive,
        "LVSALERT_METHOD": check.method,
        "LVSALERT_HOST_HEADER": check.virtual_host or "",
    }


def _https(check: Check, at: tuple[str, ...]) -> _Words:
    words, variables = _http(check, at)
    return (*words, "--tls"), variables


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
    # ldirectord holds each line of the answer against it, and wants one line at least.
    match = f"(?m){check.receive}" if check.receive else r"[\s\S]"
    return words, {"LVSALERT_SEND": check.request.removeprefix("/"), "LVSALERT_MATCH": match}


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
# mon's own monitors that take port and time-out alike.
_STOCK = {
    "smtp": "smtp.monitor",
    "submission": "smtp.monitor",
    "imap": "imap.monitor",
    "pop": "pop3.monitor",
    "nntp": "nntp.monitor",
}


def _stock(check: Check, port: int | None) -> tuple[str, ...]:
    """Return mon's own monitor for a service, none where it has none or lacks what it needs.

    They take one port for all hosts.
    """
    timeout, asked = str(check.negotiate_timeout), check.request.removeprefix("/")
    login = ("--port", str(port), "--username", check.login, "--password", check.password)
    words = {
        **{name: (program, "-t", timeout, "-p", str(port)) for name, program in _STOCK.items()},
        "ldap": (
            *("ldap.monitor", "-port", str(port), "-basedn", asked),
            *("-filter", "objectclass=*", "-attribute", "objectClass"),
        ),
        "mysql": (
            *("msql-mysql.monitor", "--mode", "mysql", "--timeout", timeout),
            *(*login, "--database", check.database),
        ),
        "radius": ("radius.monitor", *login, "--secret", check.secret),
    }
    if asked and port == _DNS_PORT:
        words["dns"] = ("dns.monitor", "-caching_only", "-query", asked, "-timeout", timeout)
    return words.get(check.service, ()) if port is not None else ()
