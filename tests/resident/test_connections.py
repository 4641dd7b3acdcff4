"""Connections that are left open to servers, and what their end is taken for."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

import pytest

from lvsalert.resident.connections import OpenConnections, Place

if TYPE_CHECKING:
    from collections.abc import Iterator


class Server:
    """A server on loopback whose clients say nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.place: Place = self._listener.getsockname()
        self.clients: list[socket.socket] = []

    def accept(self) -> int:
        """Return how many clients there are in all."""
        try:
            while True:
                self.clients.append(self._listener.accept()[0])
        except BlockingIOError:
            return len(self.clients)

    def end(self) -> None:
        """End what the last client has."""
        self.accept()
        self.clients[-1].close()

    def close(self) -> None:
        """End."""
        for each in (self._listener, *self.clients):
            each.close()


class Loop:
    """Who waits for connections; the time stands still unless it is told."""

    def __init__(self) -> None:
        self.poll = select.poll()
        self.connections = OpenConnections(self.poll)
        self.now = 1000.0

    def found(self, server: Server, *, is_well: bool = True) -> None:
        """Have a check find something."""
        self.connections.found(server.place, self.now, is_well=is_well)

    def heard(self) -> set[object]:
        """Return who is to hear of ends, once all that is due has come."""
        told: set[object] = set()
        while ready := self.poll.poll(100):
            for descriptor, _ in ready:
                assert descriptor in self.connections
                ended = self.connections.take(descriptor, self.now)
                told |= set() if ended is None else ended[1]
        return told


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that listens."""
    made = Server()
    yield made
    made.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop without connections."""
    made = Loop()
    yield made
    for who in ("a", "b"):
        made.connections.want(who, ())


def test_its_end_is_told_to_all_who_want_to_know(loop: Loop, server: Server) -> None:
    """There is one connection to a server, however many services and checks there are."""
    for who in ("a", "b"):
        loop.connections.want(who, [server.place])
        for _ in range(3):
            loop.found(server)
            assert loop.heard() == set()
    assert server.accept() == 1
    server.clients[0].sendall(b"220 who are you?")
    assert loop.heard() == set()
    loop.connections.want("b", ())
    server.end()
    assert loop.heard() == {"a"}


def test_a_server_that_is_well_and_ends_them_is_left_alone(loop: Loop, server: Server) -> None:
    """Each time for twice as long; one that has failed in between is heard of again at once."""
    loop.connections.want("a", [server.place])
    for pause in (5, 10, 20):
        loop.found(server)
        assert loop.heard() == set()
        server.end()
        assert loop.heard() == {"a"}
        count = server.accept()
        for _ in range(10):
            loop.now += pause / 10 - 0.01
            loop.found(server)
            assert loop.heard() == set()
        assert server.accept() == count
        loop.now += 1
    loop.found(server)
    loop.heard()
    server.end()
    loop.heard()
    count = server.accept()
    loop.found(server, is_well=False)
    loop.found(server)
    loop.heard()
    assert server.accept() == count + 1


def test_one_that_never_came_up_is_no_reason(loop: Loop, server: Server) -> None:
    """Where nobody listens any more, the checks find that."""
    server.close()
    loop.connections.want("a", [server.place])
    loop.found(server)
    assert loop.heard() == set()


def test_who_wants_no_more_leaves_nothing_open(loop: Loop, server: Server) -> None:
    """The server sees the end."""
    loop.connections.want("a", [server.place])
    loop.found(server)
    loop.heard()
    assert server.accept() == 1
    loop.connections.want("a", ())
    assert server.clients[0].recv(1) == b""
