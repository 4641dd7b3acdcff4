"""The client: asks virtual services, once or all the while, and keeps every answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from itertools import cycle

from tests.harness.places import split
from tests.harness.waiting import wait_until
from tests.lab.network import Host

TIMEOUT = 5.0
# Between two questions, in seconds; the guest has one processor, and others need it too.
PAUSE = 0.2
STEADY_PAUSE = 0.1
# IPVS goes on with a connection that it remembers, though its real server is gone: a port that is
# used again within a minute or two would make a failure of what is none of the table's.
PORTS = range(1024, 65536)


@dataclass(frozen=True)
class Answer:
    """What came of one question.

    `begun` is when it was asked and `ended` when that was over, as time.monotonic() has it;
    `server` is the real server's name as it said it, None where there was no answer, and `error`
    says why not.
    """

    begun: float
    server: str | None
    error: str | None = None
    ended: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return f"{self.begun:10.2f} {self.server or self.error}"


@dataclass
class Answers:
    """The answers to questions that are asked again and again."""

    services: str
    all: list[Answer] = field(default_factory=list)

    def since(self, moment: float) -> list[Answer]:
        """Return the answers to the questions asked after `moment`."""
        return [answer for answer in list(self.all) if answer.begun > moment]

    def failures_since(self, moment: float) -> list[Answer]:
        """Return those of them that no real server gave."""
        return [answer for answer in self.since(moment) if answer.server is None]

    def servers_since(self, moment: float) -> set[str]:
        """Return the names of the real servers that answered them."""
        return {answer.server for answer in self.since(moment) if answer.server is not None}

    def refused_since(self, moment: float) -> list[Answer]:
        """Return those of them that were refused."""
        return [each for each in self.failures_since(moment) if "Refused" in (each.error or "")]

    def longest_gap(self, moment: float) -> float:
        """Return the longest time without an answer of a real server, from `moment` on."""
        ends = sorted(each.ended for each in list(self.all) if each.server is not None)
        late = [each for each in ends if each > moment]
        return max((after - before for before, after in zip(late, late[1:])), default=0.0)

    def wait_for(self, count: int) -> float:
        """Wait for `count` answers to questions asked from now on; return when that began."""
        begun = time.monotonic()
        wait_until(
            lambda: len(self.since(begun)) >= count,
            lambda: f"{count} answers of {self.services}, there were {len(self.since(begun))}",
        )
        return begun

    def wait_for_server(self, *names: str) -> float:
        """Wait until each of the real servers has answered from now on; return when that began."""
        begun = time.monotonic()
        wait_until(
            lambda: self.servers_since(begun) >= set(names),
            lambda: f"answers of {names}, there were {self.servers_since(begun)}",
        )
        return begun


class OpenConnection:
    """A connection that one can ask over more than once."""

    def __init__(self, connection: socket.socket) -> None:
        self._http = HTTPConnection("lab")
        self._http.sock = connection
        # It would open another one by itself where this one was closed.
        self._http.auto_open = False

    def ask(self) -> str:
        """Fetch the page that names the real server; OSError where none comes."""
        try:
            self._http.request("GET", "/")
            response = self._http.getresponse()
            page = response.read().decode()
        except HTTPException as error:
            raise ConnectionError(repr(error)) from None
        if response.status != HTTPStatus.OK:
            raise ConnectionError(f"status {response.status}: {page}")
        return page.strip()


class Client(Host):
    """A host that asks."""

    def __init__(self, name: str, *addresses: str) -> None:
        super().__init__(name, addresses)
        self.asked: list[Answers] = []
        self._ports = cycle(PORTS)

    def ask(self, service: str, *, udp: bool = False) -> Answer:
        """Ask `service`, an address:port, once."""
        begun = time.monotonic()
        try:
            with self.inside():
                ask = _ask_udp if udp else _ask_http
                return Answer(begun, ask(service, next(self._ports)))
        except OSError as error:
            return Answer(begun, None, repr(error))

    @contextmanager
    def asking(self, *services: str, udp: bool = False) -> Iterator[Answers]:
        """Ask the services in turn, all the while, in a thread of its own."""
        answers = Answers(" ".join(services))
        self.asked.append(answers)
        enough = threading.Event()

        def go_on() -> None:
            for service in cycle(services):
                if enough.wait(PAUSE):
                    return
                answers.all.append(self.ask(service, udp=udp))

        thread = threading.Thread(target=go_on, name=f"asks {answers.services}")
        thread.start()
        try:
            yield answers
        finally:
            enough.set()
            thread.join()

    @contextmanager
    def asking_steadily(self, service: str) -> Iterator[Answers]:
        """Ask ten times a second, whatever became of the questions before."""
        answers = Answers(service)
        self.asked.append(answers)
        enough = threading.Event()

        def ask() -> None:
            answers.all.append(self.ask(service))

        def go_on(threads: ThreadPoolExecutor) -> None:
            while not enough.wait(STEADY_PAUSE):
                threads.submit(ask)

        # None waits for another: more are never open at once.
        with ThreadPoolExecutor(1 + round(TIMEOUT / STEADY_PAUSE) * 2) as threads:
            threads.submit(go_on, threads)
            try:
                yield answers
            finally:
                enough.set()

    @contextmanager
    def connected(self, service: str) -> Iterator[OpenConnection]:
        """Keep a connection open."""
        with self.inside():
            connection = _connect(service, next(self._ports))
        with connection:
            yield OpenConnection(connection)

    def story(self, last: int = 40) -> str:
        """Return the last answers to each series of questions."""
        parts = []
        for answers in self.asked:
            lines = [str(answer) for answer in answers.all[-last:]]
            parts.append(f"{answers.services}: {len(answers.all)} answers\n" + "\n".join(lines))
        return "\n".join(parts)


def _connect(service: str, port: int) -> socket.socket:
    """Open a TCP connection from a port of our choice."""
    return socket.create_connection(split(service), TIMEOUT, source_address=("", port))


def _ask_http(service: str, port: int) -> str:
    """Fetch the page that names the real server."""
    with _connect(service, port) as connection:
        return OpenConnection(connection).ask()


def _ask_udp(service: str, port: int) -> str:
    """Send one datagram and return what the echo server put before it."""
    address = split(service)
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.settimeout(TIMEOUT)
        sender.bind(("", port))
        sender.connect(address)
        sender.send(b"hello")
        name, _, echo = sender.recv(1024).partition(b" ")
    if echo != b"hello":
        raise ConnectionError(f"not an echo: {name!r} {echo!r}")
    return name.decode()
