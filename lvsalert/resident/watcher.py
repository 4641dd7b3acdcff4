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
import threading
import time
from typing import NamedTuple, NoReturn

from lvsalert.errors import LvsalertError
from lvsalert.mon import client
from lvsalert.mon.trap import Trap
from lvsalert.resident import watched, wire
from lvsalert.resident.notes import Notes
from lvsalert.resident.watch import Watch, failed_of

# A message with a call in it may be as long as an environment.
_MOST_BYTES = 1 << 20
# A run may wait for a place among others for so long.
_CONNECT_SECONDS = 1.0
# mon answers between its own works, and not for a while after a HUP.
_ASK_SECONDS = 2.0
_AGAIN_SECONDS = 1.0


class Mon(NamedTuple):
    """Where mon takes commands and traps."""

    commands: tuple[str, int]
    traps: tuple[str, int]


class _Service:
    """A service that is checked: its watch, the call that is repeated, and the check under way."""

    def __init__(self, key: tuple[str, str], watch: Watch, call: bytes) -> None:
        self.key = key
        self.watch = watch
        self.call = call
        self.sock: socket.socket | None = None
        self.heard = b""
        self.detail = ""
        # When an answer came last (time.monotonic()), None before the first.
        self.heard_at: float | None = None
        self.is_telling = False
        self.is_dropped = False
        # What mon was told to have failed, and until when (epoch) that second may last.
        self.said: frozenset[str] = frozenset()
        self.said_until = 0

    def say(self, failed: frozenset[str]) -> None:
        """Note what mon hears now; it may be a second until it looks at it."""
        self.said, self.said_until = failed, int(time.time()) + 1


class Watcher:
    """Checks services between mon's checks."""

    def __init__(self, runs: str, calls: socket.socket, mon: Mon, notes: Notes) -> None:
        """``runs`` is the resident's own socket; over ``calls`` comes what mon has called."""
        self._notes = notes
        self._runs = runs
        self._calls = calls
        self._mon = mon
        self._services: dict[tuple[str, str], _Service] = {}
        self._by_socket: dict[int, _Service] = {}
        # (when, a number that no other has, service)
        self._due: list[tuple[float, int, _Service]] = []
        self._pushed = 0
        self._poll = select.poll()
        self._telling = threading.Lock()

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
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                self._begin(heapq.heappop(self._due)[2], now)

    def _take_call(self) -> None:
        """Take a call of mon's, and how it ended."""
        message, descriptors, _, _ = socket.recv_fds(self._calls, _MOST_BYTES, 1)
        if not message:
            os._exit(0)
        if descriptors:
            self._answer(descriptors[0])
            return
        between, status, stdout, call = wire.unpack(message)
        environ = _environ_of(call)
        key = environ.get("MON_GROUP", ""), environ.get("MON_SERVICE", "")
        now = time.monotonic()
        known = self._services.get(key)
        if known is None or known.is_dropped or _check_of(known.call) != _check_of(call):
            if known is not None:
                known.is_dropped = True
            known = _Service(key, Watch(float(between), environ), call)
            self._services[key] = known
            self._notes.watches(len(self._services))
            self._push(known, now)
        known.call = call
        failed = failed_of(int(status), stdout.decode("utf-8", "surrogateescape"))
        known.watch.call(failed, now)
        if failed is not None:
            known.say(failed)

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

    def _push(self, service: _Service, now: float) -> None:
        """Have a service checked a while from now; services take turns within their time."""
        self._pushed += 1
        heapq.heappush(self._due, (now + service.watch.between, self._pushed, service))

    def _begin(self, service: _Service, now: float) -> None:
        """Begin a check, unless the last one still goes on."""
        if service.is_dropped or service.watch.is_over(now):
            if self._services.get(service.key) is service:
                del self._services[service.key]
                self._notes.watches(len(self._services))
            self._end(service)
            return
        self._push(service, now)
        if service.sock is not None:
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(_CONNECT_SECONDS)
        try:
            sock.connect(self._runs)
            sock.sendall(service.call)
        except OSError:
            sock.close()
            return
        sock.setblocking(False)
        service.sock, service.heard = sock, b""
        self._by_socket[sock.fileno()] = service
        self._poll.register(sock, select.POLLIN)

    def _listen(self, service: _Service) -> None:
        """Take what comes of a check."""
        sock = service.sock
        if sock is None:
            return
        try:
            piece = sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        service.heard += piece
        answer = service.heard[len(wire.TAKEN) :]
        if piece and (not answer or wire.missing(answer) > 0):
            return
        self._end(service)
        if not piece:
            # The run was killed, or there was none: that tells nothing of the hosts.
            return
        service.heard_at = time.monotonic()
        status, stdout, _ = wire.unpack(answer)
        report = stdout.decode("utf-8", "surrogateescape")
        if service.watch.check(failed_of(int(status), report)):
            service.detail = report.partition("\n")[2]
            with self._telling:
                if service.is_telling:
                    return
                service.is_telling = True
            threading.Thread(target=self._tell, args=(service,), daemon=True).start()

    def _end(self, service: _Service) -> None:
        if service.sock is not None:
            self._poll.unregister(service.sock)
            del self._by_socket[service.sock.fileno()]
            service.sock.close()
            service.sock = None

    def _tell(self, service: _Service) -> None:
        """Send mon what it is to know, until it knows that; a thread's work.

        mon takes up to a second to let a client in, so that it is asked only behind the trap.
        """
        while not service.is_dropped:
            told = service.watch.told
            # Of two words in one second the failure stands, so that a recovery comes later.
            while not told >= service.said and int(time.time()) <= service.said_until:
                time.sleep(0.05)
            self._send(service, told)
            service.say(told)
            if not self._knows(service, told) and service.watch.told == told:
                time.sleep(_AGAIN_SECONDS)
                continue
            with self._telling:
                # Something may have changed while mon was asked.
                service.is_telling = service.watch.told != told and not service.is_dropped
                if not service.is_telling:
                    return

    def _knows(self, service: _Service, told: frozenset[str]) -> bool:
        """Return whether mon's opstatus has these hosts for failed, or nobody wants to know."""
        try:
            state = client.ask(self._mon.commands, None, (), _ASK_SECONDS)
        except LvsalertError:
            return False
        group, name = service.key
        now = state.services.get(service.key)
        if now is None or not state.disabled.isdisjoint({(group, name), (group, "")}):
            service.is_dropped = True
            return True
        if now.status == client.OK:
            return not told
        return now.status == client.FAIL and frozenset(now.summary.split()) == told

    def _send(self, service: _Service, told: frozenset[str]) -> None:
        group, name = service.key
        trap = Trap(group, name, int(bool(told)), " ".join(sorted(told)), service.detail)
        host, port = self._mon.traps
        with contextlib.suppress(OSError):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.sendto(trap.datagram(time.time()), (host, port))
                self._notes.trap("/".join(service.key))


def _parts_of(call: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the words of a call, its program first, and its environment."""
    _, _, _, _, count, *rest = wire.unpack(call)
    return rest[: int(count)], rest[int(count) :]


def _environ_of(call: bytes) -> dict[str, str]:
    pairs = (each.partition(b"=")[::2] for each in _parts_of(call)[1])
    return {os.fsdecode(name): os.fsdecode(value) for name, value in pairs}


def _check_of(call: bytes) -> tuple[object, ...]:
    """Return what makes a check the same: its words, with the hosts, and our own variables."""
    words, environ = _parts_of(call)
    return (*words, *sorted(each for each in environ if each.startswith(b"LVSALERT_")))
