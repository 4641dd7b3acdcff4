"""The watcher: when it makes which check again, and when it leaves off."""

from __future__ import annotations

import json
import multiprocessing
import select
import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from lvsalert.resident import watched, wire
from lvsalert.resident.called import Called
from lvsalert.resident.notes import Notes
from lvsalert.resident.telling import Mon, Teller
from lvsalert.resident.watcher import Watcher
from tests.harness.waiting import patience, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lvsalert.resident.connections import Place


class Loop:
    """What plays the resident's loop: mon's calls go to the watcher, and its calls come here."""

    def __init__(self, folder: Path) -> None:
        self.runs = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.runs.bind(str(folder / "socket"))
        self.runs.listen(64)
        self.runs.settimeout(patience())
        self.calls, called = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Nobody is there to hear of a change.
        nobody = ("127.0.0.1", 9)
        notes = Notes(None)
        watcher = Watcher(str(folder / "socket"), called, Teller(Mon(nobody, nobody), notes), notes)

        def watch() -> None:
            self.calls.close()
            watcher.watch()

        self._process = multiprocessing.get_context("fork").Process(target=watch)
        self._process.start()
        called.close()

    def close(self) -> None:
        """End it."""
        self.calls.close()
        self.runs.close()
        self._process.join(patience())
        assert self._process.exitcode == 0

    def call(
        self,
        service: str,
        hosts: list[str],
        between: float,
        open_to: dict[str, Place] | None = None,
    ) -> None:
        """Have a call of mon's come that found all well."""
        environ = [b"MON_GROUP=www", f"MON_SERVICE={service}".encode()]
        words = [b"http.monitor", b"-t", b"5", *map(str.encode, hosts)]
        call = wire.pack(
            [b"1", b"http.monitor", b"/", b"", b"%d" % len(words), *words, *environ],
        )
        called = Called(between, 0, "", len(hosts), True, open_to or {}, call)
        self.calls.send(called.message())

    def answer(self, failed: str = "") -> tuple[str, list[str]]:
        """Answer the next call of the watcher's; return its service and hosts."""
        connection, _ = self.runs.accept()
        with connection:
            data = b""
            while wanted := wire.missing(data):
                data += connection.recv(wanted)
            _, _, _, _, count, *rest = wire.unpack(data)
            words, environ = rest[: int(count)], rest[int(count) :]
            report = f"{failed}\n".encode()
            answer = wire.pack([b"1" if failed else b"0", report, b""])
            connection.sendall(wire.TAKEN + answer)
        return environ[1].decode().partition("=")[2], [each.decode() for each in words[3:]]

    def watched(self) -> list[str]:
        """Return the services that are watched."""
        (told,) = [json.loads(watched.relay(self.calls))]
        return [service for _, service, *_ in told]


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """A loop with a watcher."""
    made = Loop(tmp_path)
    yield made
    made.close()


def test_all_services_are_checked_again_and_again(loop: Loop) -> None:
    """Whenever they came, each goes on."""
    services = [f"s{number}" for number in range(5)]
    seen: Counter[str] = Counter()
    for each in services:
        loop.call(each, ["192.0.2.1"], 0.5)
        seen[loop.answer()[0]] += 1
    while min(seen[each] for each in services) < 4:
        seen[loop.answer()[0]] += 1
    assert set(seen) == set(services)


def test_servers_take_turns(loop: Loop) -> None:
    """Many servers are checked in parts, which are the same each time; the words before stay."""
    hosts = [f"192.0.2.{number % 256}:{number}" for number in range(512)]
    loop.call("http", hosts, 1.0)
    seen: Counter[tuple[str, ...]] = Counter()
    while len(seen) < 4 or min(seen.values()) < 2:
        seen[tuple(loop.answer()[1])] += 1
    assert sorted(host for part in seen for host in part) == sorted(hosts)
    assert {len(part) for part in seen} == {128}


def test_a_service_that_mon_calls_no_more_is_left(loop: Loop) -> None:
    """After three of its intervals: nothing is checked, and no connection is open any more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(patience())
        for _ in range(2):
            loop.call("http", ["127.0.0.1"], 0.2, {"127.0.0.1": server.getsockname()})
        connection, _ = server.accept()
        assert loop.watched() == ["http"]
        with connection:
            ready = select.poll()
            ready.register(connection, select.POLLIN)
            while not ready.poll(0):
                readable, _, _ = select.select([loop.runs], [], [], 0.05)
                if readable:
                    loop.answer()
            assert connection.recv(1) == b""
    wait_until(lambda: loop.watched() == [], "it is left")


def test_a_connection_that_ends_has_its_server_checked_at_once(loop: Loop) -> None:
    """That server alone, and once; what ends connections though it is well is left alone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(patience())
        hosts = ["127.0.0.1", "192.0.2.7"]
        loop.call("http", hosts, 3600.0, {"127.0.0.1": server.getsockname()})
        server.accept()[0].close()
        assert loop.answer() == ("http", ["127.0.0.1"])
        readable, _, _ = select.select([server, loop.runs], [], [], 1.0)
        assert readable == []
