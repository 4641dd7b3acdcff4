"""TCP connections that are left open to servers: one that ends is a reason to check, no verdict.

A server's kernel ends them with its program, at once. So does a server that waits for a client in
vain, or that reads its configuration anew: then the check finds it well, and it is left alone for a
while. A machine without power says nothing; for that there are checks.
"""

from __future__ import annotations

import contextlib
import errno
import resource
import select
import socket
from collections.abc import Hashable, Iterable

Place = tuple[str, int]
"""A server's address and port."""

_MOST = 4096
# A server that has ended one though it is well is left alone for so long, then twice as long.
_LEAST_PAUSE, _MOST_PAUSE = 5.0, 600.0


class _Server:
    """A server that somebody wants to hear of, and the connection to it."""

    __slots__ = ("alarms", "is_open", "not_before", "sock", "wanted")

    def __init__(self) -> None:
        self.wanted: set[Hashable] = set()
        self.sock: socket.socket | None = None
        self.is_open = False
        # How often in a row it was well all the same.
        self.alarms = 0
        self.not_before = 0.0


class OpenConnections:
    """At most one connection to each server, whoever wants to hear of it; times are monotonic."""

    def __init__(self, poll: select.poll) -> None:
        self._poll = poll
        self._servers: dict[Place, _Server] = {}
        self._by_descriptor: dict[int, Place] = {}
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = _MOST if soft == resource.RLIM_INFINITY else min(_MOST, soft // 2)

    def want(self, who: Hashable, places: Iterable[Place]) -> None:
        """Have somebody hear of the servers at these places, and of no other one any more."""
        wanted = set(places)
        for place in wanted:
            self._servers.setdefault(place, _Server()).wanted.add(who)
        for place, server in list(self._servers.items()):
            if place not in wanted:
                server.wanted.discard(who)
            if not server.wanted:
                self._close(server)
                del self._servers[place]

    def found(self, place: Place, now: float, *, is_well: bool) -> None:
        """Take what a check has found of a server: to one that is well a connection is opened."""
        server = self._servers.get(place)
        if server is None:
            return
        if not is_well:
            server.alarms, server.not_before = 0, 0.0
        elif server.sock is None and now >= server.not_before:
            self._open(place, server, now)

    def take(self, descriptor: int, now: float) -> tuple[Place, set[Hashable]] | None:
        """Take what a descriptor tells of: a connection that has come up, or has ended.

        Return the server that has ended one, and who wanted to hear of that; None for no reason.
        """
        place = self._by_descriptor.get(descriptor)
        if place is None:
            return None
        server = self._servers[place]
        if not server.is_open and server.sock is not None:
            error = server.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not error:
                server.is_open = True
                # What a server says is of no interest.
                self._poll.modify(descriptor, select.POLLRDHUP)
                return None
        was_open = server.is_open
        self._close(server)
        pause = min(_MOST_PAUSE, _LEAST_PAUSE * 2**server.alarms)
        server.alarms, server.not_before = server.alarms + 1, now + pause
        return (place, set(server.wanted)) if was_open else None

    def __contains__(self, descriptor: int) -> bool:
        """Return whether a descriptor is one of a connection."""
        return descriptor in self._by_descriptor

    def _open(self, place: Place, server: _Server, now: float) -> None:
        if len(self._by_descriptor) >= self._most:
            return
        family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        with contextlib.suppress(OSError):
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            error = sock.connect_ex(place)
            if error not in (0, errno.EINPROGRESS):
                sock.close()
                server.not_before = now + _LEAST_PAUSE
                return
            server.sock = sock
            self._by_descriptor[sock.fileno()] = place
            self._poll.register(sock, select.POLLOUT)

    def _close(self, server: _Server) -> None:
        if server.sock is not None:
            self._poll.unregister(server.sock)
            del self._by_descriptor[server.sock.fileno()]
            server.sock.close()
        server.sock, server.is_open = None, False
