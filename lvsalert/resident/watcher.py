"""The process that checks services between mon's own checks, and tells mon by traps.

mon has said everything with its last call: the check is that call made again, as a run of the
resident's, as often as ``--between`` asks. What mon does with a report is mon's: a trap leads to
the same alerts as a check. When mon no longer calls, the checks end; what this process knows is a
cache.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import socket
import time
from collections.abc import Iterable
from typing import NoReturn

from lvsalert.resident import turns, watched
from lvsalert.resident.called import Called
from lvsalert.resident.connections import OpenConnections
from lvsalert.resident.notes import Notes
from lvsalert.resident.service import Check, Service
from lvsalert.resident.telling import Teller
from lvsalert.resident.watch import failed_of

# A message with a call in it may be as long as an environment.
_MOST_BYTES = 1 << 20
# A run may wait for a place among others for so long.
_CONNECT_SECONDS = 1.0


class Watcher:
    """Checks services between mon's checks."""

    def __init__(self, runs: str, calls: socket.socket, teller: Teller, notes: Notes) -> None:
        """``runs`` is the resident's own socket; over ``calls`` comes what mon has called."""
        self._notes = notes
        self._runs = runs
        self._calls = calls
        self._teller = teller
        self._services: dict[tuple[str, str], Service] = {}
        self._numbered = 0
        self._by_socket: dict[int, Check] = {}
        # (when, a number that no other has, check)
        self._due: list[tuple[float, int, Check]] = []
        self._pushed = 0
        self._poll = select.poll()
        self._connections = OpenConnections(self._poll)

    def watch(self) -> NoReturn:
        """Check until the resident has ended."""
        self._poll.register(self._calls, select.POLLIN)
        while True:
            pause = None
            if self._due:
                pause = max(0.0, self._due[0][0] - time.monotonic()) * 1000
            for descriptor, _ in self._poll.poll(pause):
                if descriptor == self._calls.fileno():
                    self._take_call()
                elif descriptor in self._by_socket:
                    self._listen(self._by_socket[descriptor])
                elif descriptor in self._connections:
                    self._take_end(descriptor)
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                self._begin_turn(heapq.heappop(self._due)[2], now)

    def _take_call(self) -> None:
        """Take a call of mon's, and how it ended."""
        message, descriptors, _, _ = socket.recv_fds(self._calls, _MOST_BYTES, 1)
        if not message:
            os._exit(0)
        if descriptors:
            self._answer(descriptors[0])
            return
        called = Called.read(message)
        environ = called.environ
        key = environ.get("MON_GROUP", ""), environ.get("MON_SERVICE", "")
        now = time.monotonic()
        known = self._services.get(key)
        if known is None or known.is_dropped or known.called.sameness != called.sameness:
            if known is not None:
                self._drop(known)
            known = self._services[key] = Service(key, self._numbered, called)
            self._numbered += 1
            self._notes.watches(len(self._services))
            for check in known.checks:
                self._push(check, now)
        known.called = called
        failed = failed_of(called.status, called.summary)
        known.watch.call(failed, now)
        self._connections.want(key, called.open_to.values())
        if failed is not None:
            self._teller.heard(known, failed)
            self._note_found(known, called.names, failed, now)

    def _answer(self, descriptor: int) -> None:
        """Tell somebody what is checked."""
        now = time.monotonic()
        told = watched.told_of(
            watched.Watched(
                *service.key,
                service.watch.between,
                None if service.heard_at is None else now - service.heard_at,
                sorted(service.watch.told),
            )
            for service in self._services.values()
            if not (service.is_dropped or service.watch.is_over(now))
        )
        with socket.socket(fileno=descriptor) as sock, contextlib.suppress(OSError):
            # Who does not read it is not waited for.
            sock.setblocking(False)
            sock.send(told)

    def _push(self, check: Check, now: float) -> None:
        """Have a check made when it has its turn next."""
        self._pushed += 1
        when = turns.next_turn(now, check.service.watch.between, check.turn)
        heapq.heappush(self._due, (when, self._pushed, check))

    def _begin_turn(self, check: Check, now: float) -> None:
        """Begin a check that has its turn, unless the last one still goes on.

        One at a time of a service, so that a busy machine has no more to do at once.
        """
        service = check.service
        if service.is_dropped or service.watch.is_over(now):
            self._drop(service)
            return
        self._push(check, now)
        if all(each.sock is None for each in service.checks):
            self._begin(check)
        elif check.sock is None and check not in service.waiting:
            service.waiting.append(check)

    def _drop(self, service: Service) -> None:
        """Let go of a service, for which no check is made any more."""
        service.is_dropped = True
        for check in (*service.checks, *filter(None, [service.hurried])):
            self._end(check)
        if self._services.get(service.key) is service:
            del self._services[service.key]
            self._connections.want(service.key, ())
            self._teller.forget(service)
            self._notes.watches(len(self._services))

    def _begin(self, check: Check) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(_CONNECT_SECONDS)
        try:
            sock.connect(self._runs)
            sock.sendall(check.call())
        except OSError:
            sock.close()
            return
        sock.setblocking(False)
        check.begin(sock)
        self._by_socket[sock.fileno()] = check
        self._poll.register(sock, select.POLLIN)

    def _listen(self, check: Check) -> None:
        """Take what comes of a check."""
        try:
            answer = check.hear()
            if answer is None:
                return
        except EOFError:
            answer = None
        self._end(check)
        if answer is not None:
            self._judge(check, *answer)
        service = check.service
        if check is service.hurried:
            service.hurried = None
            self._hurry(service)
        elif service.waiting and not service.is_dropped:
            self._begin(service.waiting.pop(0))

    def _judge(self, check: Check, status: int, report: str) -> None:
        """Take what a check has come to, and have mon hear of it where that is new."""
        service, now = check.service, time.monotonic()
        service.heard_at = now
        failed = service.judge(check, status, report)
        hosts = set(check.hosts) - check.outdated
        if failed is not None:
            self._note_found(service, hosts, failed, now)
        if service.watch.check(failed, hosts):
            self._teller.tell(service)

    def _note_found(
        self, service: Service, hosts: Iterable[str], failed: frozenset[str], now: float
    ) -> None:
        for host in hosts:
            place = service.called.open_to.get(host)
            if place is not None:
                self._connections.found(place, now, is_well=host not in failed)

    def _take_end(self, descriptor: int) -> None:
        """Check at once what may have happened to a server that has ended a connection."""
        ended = self._connections.take(descriptor, time.monotonic())
        if ended is None:
            return
        place, keys = ended
        for service in [self._services[key] for key in keys if key in self._services]:
            service.ring(host for host, at in service.called.open_to.items() if at == place)
            self._hurry(service)

    def _hurry(self, service: Service) -> None:
        """Check the hosts at once for which there is a reason, those that come later behind it."""
        if service.rung and service.hurried is None and not service.is_dropped:
            service.hurried = Check(service, sorted(service.rung))
            service.rung.clear()
            self._begin(service.hurried)
            if service.hurried.sock is None:
                service.hurried = None

    def _end(self, check: Check) -> None:
        if check.sock is not None:
            self._poll.unregister(check.sock)
            del self._by_socket[check.sock.fileno()]
            check.sock.close()
            check.sock = None
