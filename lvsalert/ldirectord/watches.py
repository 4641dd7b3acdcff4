"""What mon is to watch for each virtual service of the director's file. No I/O.

The same values are the mon.cf that ``lvs-director mon-config`` prints, and the check that
``lvs-director start`` makes before it lets traffic to a real server.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from lvsalert.ldirectord.config import Check
from lvsalert.ldirectord.file import DirectorFile, FileService, Server, source_of
from lvsalert.ldirectord.monitors import PING, monitor_of
from lvsalert.ldirectord.perl_regex import translate
from lvsalert.model import Forwarding, Protocol, VirtualService, join_endpoint
from lvsalert.mon.plugins import lacking

_MADE = re.compile(r"(?:(?:tcp|udp|sctp)-[0-9a-f.]+-\d+|fwm6?-\d+)(?:-(\d+))?", re.ASCII)
# Checks that never fail a real server: nothing is to be watched.
_UNWATCHED = frozenset(("off", "on"))
AGREE = "LVSALERT_AGREE"
"""The variable by which http.monitor holds the answers of its hosts against each other."""

_WEB = "http.monitor"
# The monitors that can ask by way of the virtual address.
_KNOW_VIA = frozenset(
    f"{name}.monitor"
    for name in (
        *("http", "tcp", "ftp", "smtp", "imap", "pop3", "nntp", "telnet"),
        *("dns", "sip", "radius"),
    )
)
# The monitor that hands the virtual service on to a program.
_NAMED = "external.monitor"


class Watch(NamedTuple):
    """One of mon's watches: a hostgroup, a service, a monitor with its variables.

    ``hosts`` are as the monitor takes them, each with the real servers that it stands for;
    ``interval`` is in seconds. ``variables`` are the service's VAR=value lines, for the monitor and
    the alert alike; they hold what may have blanks. ``lacks`` says what is checked less than
    ldirectord does. ``others`` are hosts of the group that are not in question.
    """

    group: str
    service: str
    hosts: Mapping[str, Sequence[Server]]
    interval: int
    monitor: tuple[str, ...]
    variables: Mapping[str, str]
    lacks: str = ""
    others: tuple[str, ...] = ()

    @property
    def is_compared(self) -> bool:
        """Return whether hosts are judged by each other, so that all have to be asked at once."""
        return AGREE in self.variables

    @property
    def is_by_way(self) -> bool:
        """Return whether its hosts are asked by way of a virtual address."""
        return "--via" in self.monitor

    @property
    def servers(self) -> list[Server]:
        """Return the real servers that are watched."""
        return [server for servers in self.hosts.values() for server in servers]


def number_of(group: str) -> int | None:
    """Return the place among a service's watches of one that was made here, None for any other."""
    made = _MADE.fullmatch(group)
    return None if made is None else int(made[1] or 1)


def agreeing(watch: Watch, variables: Mapping[str, str]) -> Watch:
    """Return a watch of web servers with variables that have their content compared.

    Any other one comes back as it is.
    """
    if watch.monitor[0] != _WEB:
        return watch
    return watch._replace(variables={**watch.variables, **variables})


def by_way(service: FileService, watch: Watch) -> Watch:
    """Return a watch that asks real servers by way of a service's virtual address.

    Where that cannot be, it comes back as it is.
    """
    if why_not_by_way(service, watch):
        return watch
    virtual, method = service.virtual, watch.servers[0].real.forwarding
    words: tuple[str, ...] = ("--via", virtual.address)
    if method is Forwarding.MASQUERADING:
        address = join_endpoint(virtual.address, virtual.port)
        words = ("--via", address, "--forwarding", "nat")
    elif method is Forwarding.TUNNELLING:
        words += ("--forwarding", "tun")
    return watch._replace(monitor=(*watch.monitor, *words))


def why_not_by_way(service: FileService, watch: Watch) -> str:
    """Return why a watch asks the real servers themselves; empty where it need not."""
    monitor = watch.monitor[0]
    if monitor not in _KNOW_VIA:
        return f"{monitor} knows no --via"
    if monitor == "ftp.monitor" and "LVSALERT_USER" in watch.variables:
        return "ftp.monitor knows no --via with a log-in"
    if service.virtual.protocol is Protocol.FWMARK:
        return "a firewall mark has no virtual address"
    if len({server.real.forwarding for server in watch.servers}) > 1:
        return "the kernel sends to them in different ways"
    return ""


def check_of(watch: Watch) -> tuple[object, ...]:
    """Return what tells a check from others: watches that are alike here find the same."""
    own = () if watch.monitor[0] == _NAMED else ("LVSALERT_VIRTUAL_SERVICE",)
    told = sorted(each for each in watch.variables.items() if each[0] not in own)
    return watch.service, frozenset(watch.hosts), watch.interval, watch.monitor, tuple(told)


def shared_watches(
    services: Iterable[FileService], *, via: bool = False
) -> dict[VirtualService, list[Watch]]:
    """Return what watches each virtual service, with ``via`` by way of its address where it can.

    Services whose check is the same at the same hosts share it: it has the group of the first one,
    and what it finds goes for all of them.
    """
    groups: dict[tuple[object, ...], str] = {}
    found: dict[VirtualService, list[Watch]] = {}
    for service in services:
        shared = found[service.virtual] = []
        for number, watch in enumerate(watches_of(service)):
            # A group's name tells the place among the service's watches, and mail is the group's.
            asking = by_way(service, watch) if via else watch
            key = number, service.configured.email, *check_of(asking)
            shared.append(asking._replace(group=groups.setdefault(key, watch.group)))
    return found


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
        asked = check._replace(request=request, receive=translate(receive))
        is_udp = service.virtual.protocol is Protocol.UDP
        if asked.type == "connect" and is_udp:
            # As ldirectord does, since a datagram's port takes no connection.
            asked = asked._replace(type="ping")
        hosts, port = _hosts(asked, servers)
        monitor = monitor_of(asked, port, service.virtual.protocol)
        if monitor.words[0] == PING:
            # A ping knows no ports.
            hosts, _ = _hosts(asked._replace(type="ping"), servers)
        found.append(
            Watch(
                group if number == 1 else f"{group}-{number}",
                name,
                hosts,
                check.interval,
                monitor.words,
                {key: text for key, text in monitor.variables.items() if text} | told,
                monitor.lacks,
            )
        )
    return found


def shortfalls(file: DirectorFile) -> list[str]:
    """Return ``file:line: what`` for each service that is checked less than ldirectord does."""
    found = []
    for service in file.services:
        configured = service.configured
        about = f"{file.path}:{configured.line}: service = {configured.check.service}: "
        watches = watches_of(service)
        told = [watch.lacks for watch in watches] + [lacking(watch.monitor[0]) for watch in watches]
        found += [about + each for each in dict.fromkeys(told) if each]
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
