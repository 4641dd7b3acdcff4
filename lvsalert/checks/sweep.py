"""Many conversations over TCP at once, in one thread, on one epoll(7) loop.

A probe is a function that makes a conversation: a generator that gets a socket which is connecting,
yields what it waits for (READ or WRITE) and returns its verdict. The sweep owns what is common to
all: look-ups, connecting, time-outs, the cap on open sockets. A conversation may leave its socket
for another one, which stands for what is done elsewhere (``Elsewhere``).
"""

from __future__ import annotations

import errno
import heapq
import os
import select
import socket
import time
from collections import deque
from collections.abc import Generator, Sequence
from typing import Callable, NamedTuple, Union

from lvsalert.checks.attempt import NOT_CONNECTED, SHORT, Attempt
from lvsalert.checks.resolve import MAX_LOOKUPS, Address, Lookups
from lvsalert.checks.waker import Waker
from lvsalert.model import Answer, Result, State

READ = select.EPOLLIN
WRITE = select.EPOLLOUT

OUT_OF_TIME = "no verdict: the run's deadline came first"

# The first byte of tcp_info while no answer has come (netinet/tcp.h).
_SYN_SENT = 2

# Between two looks at the sockets, so many connections begin: answers that are there already are
# read before more are asked for, which is less for the kernel and for us to keep.
_BURST = 32


class Target(NamedTuple):
    """A host to probe: its spelling on the command line, its name or address, and the port.

    ``prepare`` gets each socket to it before that connects, None for one that needs nothing.
    ``own_name`` is the host's where ``name`` is another's, by way of which it is asked.
    """

    host: str
    name: str
    port: int
    prepare: Callable[[socket.socket], None] | None = None
    own_name: str | None = None

    @property
    def certified(self) -> str:
        """Return the name that its certificate has to be for, if nobody says another."""
        return self.own_name or self.name


class TimedOut(Exception):
    """Thrown into a conversation whose time is up; says how long that was."""


class Verdict(NamedTuple):
    """How a conversation ended: a reason, empty where the server proved good, and what it said.

    ``answer`` is what is compared with other hosts', None where nothing is.
    """

    reason: str
    said: bytes
    answer: Answer | None = None

    def result(self, host: str, seconds: float, address: str) -> Result:
        """Return the result for mon: the one place where a host of a TCP probe becomes good."""
        state = State.FAILED if self.reason else State.GOOD
        return Result(host, state, self.reason, seconds, address, self.said, self.answer)


class Within(NamedTuple):
    """What a conversation waits for, if it comes in so many seconds; it goes on all the same.

    By which a datagram that may be lost is sent again.
    """

    mask: int
    seconds: float


Elsewhere = Callable[[Address, float], "tuple[socket.socket, float]"]
"""Goes on with a host away from the sweep, whose socket to it is closed.

It gets the host's address and the time (time.monotonic()) that the host has, and returns a
connected socket that can be read when it is done, and the time when it is given up.
"""
Conversation = Generator[int, None, Verdict]
Repeating = Generator[Union[int, Within], None, Verdict]
"""A conversation in datagrams."""
Roaming = Generator[Union[int, Within, Elsewhere], None, Verdict]
"""A conversation that may leave its socket."""
Probe = Callable[[socket.socket, Target], Roaming]


def sweep(
    targets: Sequence[Target],
    probe: Probe,
    *,
    timeout: float,
    deadline: float,
    concurrency: int,
    lookups: int = MAX_LOOKUPS,
    prefer_ipv6: bool = False,
    datagrams: bool = False,
) -> list[Result]:
    """Probe every target and return a result for each, in their order.

    ``timeout`` is the seconds for one host, its look-up included. ``deadline`` is the time
    (time.monotonic()) by which the sweep ends whatever is still open; those hosts are UNKNOWN. At
    most ``concurrency`` sockets are open and ``lookups`` names looked up at once, fewer where
    descriptors run out. With ``datagrams`` the sockets are of UDP, each connected to its host, so
    that nobody else's answers arrive (udp(7)).
    """
    kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
    runner = _Sweep(probe, kind, timeout, lookups, prefer_ipv6)
    try:
        return runner.run(targets, deadline, concurrency)
    finally:
        runner.close()


class _Sweep:
    def __init__(
        self, probe: Probe, kind: int, timeout: float, lookups: int, prefer_ipv6: bool
    ) -> None:
        self._probe = probe
        self._kind = kind | socket.SOCK_NONBLOCK
        self._timeout = timeout
        self._max_lookups = lookups
        self._prefer_ipv6 = prefer_ipv6
        self._epoll = select.epoll()
        self._waker = Waker()
        self._epoll.register(self._waker, READ)
        self._ready: deque[Attempt] = deque()
        self._active: dict[int, Attempt] = {}
        # (when, a number that no other has, attempt); entries of attempts that moved on are stale.
        self._limits: list[tuple[float, int, Attempt]] = []
        self._pushed = 0
        self._results: dict[int, Result] = {}
        self._lookups: Lookups | None = None
        self._named: dict[str, list[Attempt]] = {}

    def close(self) -> None:
        for attempt in self._active.values():
            if attempt.sock is not None:
                attempt.sock.close()
        self._epoll.close()
        self._waker.close()
        if self._lookups is not None:
            self._lookups.close()

    def run(self, targets: Sequence[Target], deadline: float, concurrency: int) -> list[Result]:
        self._begin(targets)
        while True:
            for _ in range(min(_BURST, len(self._ready), concurrency - len(self._active))):
                if not self._connect(self._ready.popleft()):
                    concurrency = max(1, len(self._active))
                    break
            now = time.monotonic()
            if len(self._results) == len(targets) or now >= deadline:
                break
            may_connect = self._ready and len(self._active) < concurrency
            pause = 0.0 if may_connect else self._pause(now, deadline)
            for descriptor, event in self._epoll.poll(pause):
                attempt = self._active.get(descriptor)
                if attempt is not None:
                    if not event & select.EPOLLERR or not self._could_not_connect(attempt):
                        self._resume(attempt)
                elif descriptor == self._waker.fileno():
                    self._waker.drain()
                elif self._lookups is not None:
                    self._take_names(self._lookups)
            self._end_overdue()
        return [
            self._results.get(index) or Result(target.host, State.UNKNOWN, OUT_OF_TIME, 0.0)
            for index, target in enumerate(targets)
        ]

    def _begin(self, targets: Sequence[Target]) -> None:
        for index, target in enumerate(targets):
            attempt = Attempt(index, target)
            if attempt.rest:
                self._ready.append(attempt)
            else:
                self._named.setdefault(target.name, []).append(attempt)
        if self._named:
            self._lookups = Lookups(
                list(self._named), limit=self._max_lookups, prefer_ipv6=self._prefer_ipv6
            )
            self._epoll.register(self._lookups, READ)

    def _take_names(self, lookups: Lookups) -> None:
        for found in lookups.take(self._timeout):
            for attempt in self._named.pop(found.name):
                attempt.spent = found.seconds
                attempt.rest = list(found.addresses)
                if attempt.rest:
                    self._ready.append(attempt)
                else:
                    self._complete(attempt, Verdict(found.reason, b""))

    def _pause(self, now: float, deadline: float) -> float:
        """Return for how many seconds nothing but the network can happen."""
        until = deadline - now
        if self._limits:
            until = min(until, self._limits[0][0] - now)
        if self._lookups is not None:
            until = min(until, self._lookups.next_overdue(self._timeout))
        return max(0.0, until)

    def _connect(self, attempt: Attempt) -> bool:
        """Begin with the attempt's next address; return False where it has to wait for a socket."""
        address = attempt.rest[0]
        now = time.monotonic()
        try:
            attempt.sock = sock = socket.socket(address.family, self._kind)
        except OSError as error:
            if error.errno in SHORT and self._active:
                self._ready.appendleft(attempt)
                return False
            attempt.begin(now, self._timeout)
            self._fail(attempt, error)
            return True
        attempt.begin(now, self._timeout)
        # Each address that is left gets an equal share of the time for its connection.
        self._push(attempt, now + (attempt.limit - now) / (len(attempt.rest) + 1))
        try:
            if attempt.target.prepare is not None:
                attempt.target.prepare(sock)
            code = sock.connect_ex(address.at(attempt.target.port))
        except OSError as error:  # a zone (fe80::1%eth0) that there is not
            self._fail(attempt, error)
            return True
        if code and code != errno.EINPROGRESS:
            self._fail(attempt, OSError(code, os.strerror(code)))
            return True
        attempt.talk = self._probe(sock, attempt.target)
        self._active[sock.fileno()] = attempt
        self._resume(attempt)
        return True

    def _push(self, attempt: Attempt, when: float) -> None:
        attempt.until = when
        self._pushed += 1
        heapq.heappush(self._limits, (when, self._pushed, attempt))

    def _could_not_connect(self, attempt: Attempt) -> bool:
        """Return whether a router's word ended an attempt to connect, and do what follows from it.

        As long as the kernel goes on trying, no reading or writing tells of that (ip(7)).
        """
        if attempt.sock is None or attempt.is_connected():
            return False
        if attempt.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _SYN_SENT:
            return False
        code = attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(attempt, OSError(code, os.strerror(code)))
        return code != 0

    def _resume(self, attempt: Attempt, error: TimedOut | None = None) -> None:
        """Let the conversation go on until it waits again or ends."""
        talk, sock = attempt.talk, attempt.sock
        if talk is None or sock is None:
            return
        try:
            wanted = next(talk) if error is None else talk.throw(error)
            mask = wanted if isinstance(wanted, int) else self._wait_otherwise(attempt, wanted)
        except StopIteration as stop:
            self._complete(attempt, stop.value)
        except TimedOut as late:
            self._complete(attempt, Verdict(str(late), b""))
        except OSError as failure:
            self._fail(attempt, failure)
        else:
            if not attempt.mask:
                self._epoll.register(sock, mask)
            elif mask != attempt.mask:
                self._epoll.modify(sock, mask)
            attempt.mask = mask

    def _wait_otherwise(self, attempt: Attempt, wanted: Within | Elsewhere) -> int:
        """Return what is waited for where that is more than the socket."""
        if not isinstance(wanted, Within):
            return self._leave(attempt, wanted)
        attempt.repeats = True
        self._push(attempt, min(attempt.limit, time.monotonic() + wanted.seconds))
        return wanted.mask

    def _leave(self, attempt: Attempt, elsewhere: Elsewhere) -> int:
        """Let a attempt wait for another socket, and return what is waited for, which is known."""
        self._close(attempt)
        attempt.sock, until = elsewhere(attempt.address, attempt.limit)
        self._active[attempt.sock.fileno()] = attempt
        self._epoll.register(attempt.sock, READ)
        self._push(attempt, until)
        attempt.mask = READ
        return READ

    def _end_overdue(self) -> None:
        now = time.monotonic()
        while self._limits and self._limits[0][0] <= now:
            when, _, attempt = heapq.heappop(self._limits)
            if attempt.sock is None or when != attempt.until:
                continue
            late = f"timed out after {self._timeout:g} s"
            if not attempt.is_connected():
                # Another address is tried where there is one and time is left.
                text = late if now >= attempt.limit else "connection timed out"
                self._fail(attempt, OSError(errno.ETIMEDOUT, f"{text}, no connection"))
            elif now < attempt.limit and attempt.repeats:
                self._resume(attempt)
            elif now < attempt.limit:
                self._push(attempt, attempt.limit)
            else:
                self._resume(attempt, TimedOut(late))
        if self._lookups is not None and not self._lookups.next_overdue(self._timeout):
            self._take_names(self._lookups)

    def _fail(self, attempt: Attempt, error: OSError) -> None:
        """Try the next address where no connection came about; otherwise it is the end."""
        if error.errno in NOT_CONNECTED and attempt.rest and time.monotonic() < attempt.limit:
            self._drop(attempt)
            # At the front, for its time runs.
            self._ready.appendleft(attempt)
            return
        reason = error.strerror or os.strerror(error.errno or 0)
        self._complete(attempt, Verdict(reason, b""), is_known=error.errno not in SHORT)

    def _drop(self, attempt: Attempt) -> None:
        self._close(attempt)
        attempt.talk = None

    def _close(self, attempt: Attempt) -> None:
        if attempt.sock is not None:
            self._active.pop(attempt.sock.fileno(), None)
            attempt.sock.close()
        attempt.sock = None

    def _complete(self, attempt: Attempt, verdict: Verdict, *, is_known: bool = True) -> None:
        self._drop(attempt)
        seconds = time.monotonic() - attempt.begun if attempt.limit else attempt.spent
        result = verdict.result(attempt.target.host, seconds, attempt.tried())
        self._results[attempt.index] = result if is_known else result._replace(state=State.UNKNOWN)
