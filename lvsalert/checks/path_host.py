"""One host that is asked by way of a virtual address: where its packets go, and from which port."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import struct
from typing import Callable, NamedTuple

from lvsalert.checks.path_setting import Doubt, Virtual
from lvsalert.checks.sweep import Target
from lvsalert.model import Connection, Endpoint, Forwarding, Protocol, Result, State, Way

SO_MARK = 36
"""The socket option that marks packets (socket(7)), which Python does not name."""

_IPV6_UNICAST_HOPS = 16
# Closed by a reset, a connection leaves the kernel's list in 10 s and not in 120.
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_PORT_RANGE, _USUAL_PORTS = "/proc/sys/net/ipv4/ip_local_port_range", (32768, 60999)


class Source(NamedTuple):
    """The address to ask from, and the hops that packets have, None for as many as ever."""

    address: str
    hops: int | None


class Ports:
    """Ports to ask from, each once as long as there are others.

    A connection from a port that was used a moment ago takes the place of the one before in the
    kernel's list, and that one could not be proved any more. Over UDP it is the other way round:
    the kernel goes on with the old one, to whichever real server that was. ``taken`` returns the
    ports of a source that the list holds over UDP to a virtual address and port.
    """

    def __init__(self, taken: Callable[[str, Endpoint], set[int]]) -> None:
        try:
            with open(_PORT_RANGE, encoding="ascii") as file:
                low, high = map(int, file.read().split())
        except (OSError, ValueError):
            low, high = _USUAL_PORTS
        self._low, self._count = low, high - low + 1
        # From anywhere, so that runs that follow each other are apart.
        self._numbers = itertools.count(int.from_bytes(os.urandom(4), "big"))
        self._taken = taken
        self._known: dict[tuple[str, Endpoint], set[int]] = {}

    def bind(self, sock: socket.socket, protocol: Protocol, source: str, virtual: Endpoint) -> int:
        """Bind a socket to a port of the source address that is free, and return it."""
        is_udp = protocol is Protocol.UDP
        passed_over = self._passed_over(source, virtual) if is_udp else ()
        for _ in range(self._count):
            port = self._low + next(self._numbers) % self._count
            if port in passed_over:
                continue
            try:
                sock.bind((source, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port
        raise OSError(errno.EADDRINUSE, "no port is free")

    def _passed_over(self, source: str, virtual: Endpoint) -> set[int]:
        if (source, virtual) not in self._known:
            self._known[source, virtual] = self._taken(source, virtual)
        return self._known[source, virtual]


class Host:
    """A host on its way: its target by way of the address, and the connections that were begun.

    ``trouble`` is why nothing can be said of it.
    """

    def __init__(
        self,
        target: Target,
        virtual: Virtual,
        way: Way,
        source: Source,
        ports: Ports,
        *,
        protocol: Protocol,
    ) -> None:
        self.protocol = protocol
        self.way = way
        self._ports = ports
        self.source, self._hops = source
        self.is_direct = self._hops is not None
        self.is_masqueraded = virtual.forwarding is Forwarding.MASQUERADING
        port = virtual.port if self.is_masqueraded else None
        self._virtual = virtual.address, target.port if port is None else port
        self.target = Target(target.host, *self._virtual, self._prepare, target.name)
        self._real = way.address, target.port
        self.mark = 0
        self.trouble: Doubt | None = None
        self.connections: list[Connection] = []

    def begin(self) -> None:
        """Be asked anew."""
        self.trouble = None
        self.connections.clear()

    def _prepare(self, sock: socket.socket) -> None:
        """Have a socket's packets go to this real server, and note the connection to be."""
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_MARK, self.mark)
            if self.protocol is Protocol.TCP:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            if self._hops is not None and ":" in self.source:
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_UNICAST_HOPS, self._hops)
            elif self._hops is not None:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, self._hops)
            port = self._ports.bind(sock, self.protocol, self.source, self._virtual)
        except OSError as error:
            found = f"cannot be asked from {self.source}: {error.strerror}"
            self.trouble = Doubt(found, "see lvs-director check --via")
            raise
        here = self.source, port
        self.connections.append(Connection(self.protocol, here, self._virtual, self._real))

    def is_to_repeat(self, result: Result) -> bool:
        """Return whether a result is not yet to be believed."""
        return result.state is State.FAILED or self.trouble is not None
