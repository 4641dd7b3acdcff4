"""The rules of Linux's IPVS (6.1): what its table holds, what it takes and what it refuses.

Nothing here reads or writes anything but a table in memory. A refusal is an OSError with the errno
that the kernel answers; the words for it are ipvsadm's and are not in here.
"""

from __future__ import annotations

import _socket  # the module socket costs a third of the whole run, all that it would add is unused
import errno

TCP, UDP, SCTP = 6, 17, 132
V4, V6 = 2, 10
PERSISTENT, ONE_PACKET = 0x1, 0x4
SCHEDULER_FLAGS = (0x8, 0x10, 0x20)
MASQUERADING, TUNNELLING, GATEWAYING = 0, 2, 3
IPIP, GUE, GRE = 0, 1, 2
MASTER, BACKUP = 1, 2
SCHEDULERS = frozenset(
    ("dh", "fo", "lblc", "lblcr", "lc", "mh", "nq", "ovf", "rr", "sed", "sh", "wlc", "wrr")
)
NAME_MAX = 15
"""The longest name of a scheduler or persistence engine, in bytes."""


class RealServer:
    """A destination: where it is (packed address, port) and how it is served."""

    __slots__ = (
        "address",
        "forwarding",
        "lower",
        "port",
        "tunnel_flags",
        "tunnel_port",
        "tunnel_type",
        "upper",
        "weight",
    )

    def __init__(self) -> None:
        self.address = b""
        self.port = 0
        self.forwarding = GATEWAYING
        self.weight = 1
        self.upper = 0
        self.lower = 0
        self.tunnel_type = IPIP
        self.tunnel_port = 0
        self.tunnel_flags = 0

    @property
    def family(self) -> int:
        """V4 or V6, as the length of the packed address tells."""
        return V4 if len(self.address) == 4 else V6


class VirtualService:
    """A virtual service: its key, its settings and its destinations in the order they came."""

    __slots__ = (
        "address",
        "destinations",
        "engine",
        "family",
        "flags",
        "fwmark",
        "netmask",
        "port",
        "protocol",
        "scheduler",
        "timeout",
    )

    def __init__(self) -> None:
        self.family = 0
        self.protocol = 0
        self.address = b""
        self.port = 0
        self.fwmark = 0
        self.scheduler = ""
        self.flags = 0
        self.timeout = 0
        self.netmask = 0xFFFFFFFF
        self.engine = ""
        self.destinations: dict[tuple[bytes, int], RealServer] = {}

    @property
    def key(self) -> tuple[int, int, int, bytes, int]:
        """What tells two services apart; a fwmark stands for protocol, address and port."""
        if self.fwmark != 0:
            return (self.fwmark, self.family, 0, b"", 0)
        return (0, self.family, self.protocol, self.address, self.port)


class SyncDaemon:
    """How one role of the connection synchronisation runs."""

    __slots__ = ("group", "interface", "maxlen", "port", "state", "syncid", "ttl")

    def __init__(self) -> None:
        self.state = 0
        self.interface = ""
        self.syncid = 0
        self.maxlen = 0
        self.group = b""
        self.port = 0
        self.ttl = 0


class Table:
    """Everything that IPVS keeps for one network namespace, and the commands that change it."""

    def __init__(self) -> None:
        self.services: dict[tuple[int, int, int, bytes, int], VirtualService] = {}
        self.timeouts = [900, 120, 300]
        self.daemons: dict[int, SyncDaemon] = {}

    def flush(self) -> None:
        """Forget all services with their destinations."""
        self.services.clear()

    def find(self, service: VirtualService) -> VirtualService:
        """Return the service of this key; ESRCH when there is none."""
        try:
            return self.services[service.key]
        except KeyError:
            raise OSError(errno.ESRCH, "no such service") from None

    def add_service(self, service: VirtualService) -> None:
        """Take a new service."""
        if service.key in self.services:
            raise OSError(errno.EEXIST, "service exists")
        _check_known(service)
        self.services[service.key] = service

    def edit_service(self, service: VirtualService) -> None:
        """Replace all settings of a service; it keeps its destinations."""
        standing = self.find(service)
        _check_known(service)
        service.destinations = standing.destinations
        self.services[service.key] = service

    def delete_service(self, service: VirtualService) -> None:
        """Forget a service with its destinations."""
        del self.services[self.find(service).key]

    def zero(self, service: VirtualService) -> None:
        """Zero the counters of a service; one without address, port and fwmark means all."""
        if service.fwmark != 0 or service.port != 0 or any(service.address):
            self.find(service)

    def add_destination(self, service: VirtualService, server: RealServer) -> None:
        """Take a new destination of a standing service."""
        standing = self.find(service)
        self._check_family(standing, server)
        _check_limits(server)
        if (server.address, server.port) in standing.destinations:
            raise OSError(errno.EEXIST, "destination exists")
        if not _unicast(server.address):
            raise OSError(errno.EINVAL, "not a unicast address")
        standing.destinations[server.address, server.port] = server

    def edit_destination(self, service: VirtualService, server: RealServer) -> None:
        """Replace all settings of a destination; what is not asked for falls to its default."""
        standing = self.find(service)
        self._check_family(standing, server)
        _check_limits(server)
        if (server.address, server.port) not in standing.destinations:
            raise OSError(errno.ENOENT, "no such destination")
        standing.destinations[server.address, server.port] = server

    def delete_destination(self, service: VirtualService, server: RealServer) -> None:
        """Forget a destination."""
        standing = self.find(service)
        if standing.destinations.pop((server.address, server.port), None) is None:
            raise OSError(errno.ENOENT, "no such destination")

    def set_timeouts(self, timeouts: list[int]) -> None:
        """Set the timeouts (TCP, TCP after FIN, UDP; seconds); 0 leaves one as it is."""
        self.timeouts = [new if new != 0 else old for new, old in zip(timeouts, self.timeouts)]

    def start_daemon(self, daemon: SyncDaemon) -> None:
        """Start one role of the synchronisation; what is 0 or empty gets the kernel's default."""
        mixed = any(
            server.family != service.family
            for service in self.services.values()
            for server in service.destinations.values()
        )
        if mixed:
            raise OSError(errno.EINVAL, "destinations of another family cannot be synchronised")
        try:
            _socket.if_nametoindex(daemon.interface)
        except OSError:
            raise OSError(errno.ENODEV, "no such interface") from None
        if daemon.state in self.daemons:
            raise OSError(errno.EEXIST, "daemon runs")
        daemon.group = daemon.group or bytes((224, 0, 0, 81))
        daemon.port = daemon.port or 8848
        daemon.ttl = daemon.ttl or 1
        _fit_message(daemon)
        self.daemons[daemon.state] = daemon

    def stop_daemon(self, state: int) -> None:
        """Stop one role of the synchronisation."""
        if self.daemons.pop(state, None) is None:
            raise OSError(errno.ESRCH, "no daemon")

    def _check_family(self, service: VirtualService, server: RealServer) -> None:
        if server.family != service.family and (self.daemons or server.forwarding != TUNNELLING):
            raise OSError(errno.EINVAL, "address family differs")


def _fit_message(daemon: SyncDaemon) -> None:
    """Set the longest message (bytes) as the kernel does: from the interface, unless asked for."""
    headers = 28 if len(daemon.group) == 4 else 48
    least = 1 if daemon.state == MASTER else 1024
    if daemon.maxlen != 0:
        daemon.maxlen = min(max(daemon.maxlen, least), 65535 - headers)
        return
    whole = 1500
    if daemon.state == BACKUP:
        with open(f"/sys/class/net/{daemon.interface}/mtu", encoding="ascii") as file:
            whole = min(max(int(file.read()), 1500), 65535)
    daemon.maxlen = whole - headers


def _check_known(service: VirtualService) -> None:
    # "none" is the kernel's word for a service without a scheduler.
    if service.scheduler not in SCHEDULERS and service.scheduler != "none":
        raise OSError(errno.ENOENT, "no such scheduler")
    if service.engine not in {"", "sip"}:
        raise OSError(errno.ENOENT, "no such persistence engine")


def _check_limits(server: RealServer) -> None:
    if server.lower > server.upper:
        raise OSError(errno.ERANGE, "lower threshold above the upper one")


def _unicast(address: bytes) -> bool:
    if len(address) == 4:
        return address not in {bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff"} and not (
            0xE0 <= address[0] <= 0xEF
        )
    multicast = address[0] == 0xFF
    link_local = address[0] == 0xFE and address[1] & 0xC0 == 0x80
    mapped = address[:12] == bytes(10) + b"\xff\xff"
    return not multicast and not link_local and not mapped and address != bytes(16)
