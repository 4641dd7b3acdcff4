"""Many conversations over TCP at once, in one thread, on one epoll(7) loop.

A probe is a function that makes a conversation: a generator that gets a socket which is connecting,
yields what it waits for (READ or WRITE) and returns its verdict. The sweep owns what is common to
all: look-ups, connecting, time-outs, the cap on open sockets.
"""

from __future__ import annotations

import errno
import heapq
import os
import resource
import select
import socket
import time
from collections import deque
from collections.abc import Generator, Sequence
from typing import Callable, NamedTuple

from lvsalert.model import Result, State, join_endpoint
from lvsalert.resolve import MAX_LOOKUPS, Address, look_up, numeric
from lvsalert.workers import Workers

READ = select.EPOLLIN
WRITE = select.EPOLLOUT

OUT_OF_TIME = "no verdict: the run's deadline came first"

# Descriptors left to the rest of the program: standard streams, epoll, look-ups, the unforeseen.
_SPARE_DESCRIPTORS = 16
# Errors that mean "no connection came about", after which another address is worth a try.
_NOT_CONNECTED = frozenset(
    (
        errno.ECONNREFUSED,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
        errno.ETIMEDOUT,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
        errno.EACCES,
        errno.EPERM,
        errno.EINVAL,
        errno.ENOPROTOOPT,
    )
)


class Target(NamedTuple):
    """A host to probe: its spelling on the command line, its name or address, and the port."""

    host: str
    name: str
    port: int


class TimedOut(Exception):
    """Thrown into a conversation whose time is up; says how long that was."""


class Verdict(NamedTuple):
    """How a conversation ended: a reason, empty where the server proved good, and what it said."""

    reason: str
    said: bytes


Conversation = Generator[int, None, Verdict]
Probe = Callable[[socket.socket, Target], Conversation]


def sweep(
    targets: Sequence[Target],
    probe: Probe,
    *,
    timeout: float,
    deadline: float,
    concurrency: int,
    prefer_ipv6: bool = False,
) -> list[Result]:
    """Probe every target and return a result for each, in their order.

    ``timeout`` is the seconds for one host, its look-up included. ``deadline`` is the time
    (time.monotonic()) by which the sweep ends whatever is still open; those hosts are UNKNOWN. At
    most ``concurrency`` sockets are open at once, fewer where descriptors run out.
    """
    runner = _Sweep(probe, timeout, prefer_ipv6)
    try:
        return runner.run(targets, deadline, concurrency)
    finally:
        runner.close()


def descriptors_left() -> int:
    """Return how many sockets RLIMIT_NOFILE leaves to a sweep, at least one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1 << 20
    return max(1, soft - len(os.listdir("/proc/self/fd")) - _SPARE_DESCRIPTORS)


class _Task:
    """One host on its way: the addresses left to try, and the conversation with the present one."""

    __slots__ = (
        "begun",
        "index",
        "limit",
        "mask",
        "rest",
        "sock",
        "spent",
        "talk",
        "target",
        "tried",
    )

    def __init__(self, index: int, target: Target, addresses: list[Address], spent: float) -> None:
        self.index = index
        self.target = target
        self.rest = addresses
        self.spent = spent
        self.begun = 0.0
        self.limit = 0.0
        self.mask = 0
        self.sock: socket.socket | None = None
        self.talk: Conversation | None = None
        self.tried = ""


class _Sweep:
    def __init__(self, probe: Probe, timeout: float, prefer_ipv6: bool) -> None:
        self._probe = probe
        self._timeout = timeout
        self._prefer_ipv6 = prefer_ipv6
        self._epoll = select.epoll()
        self._ready: deque[_Task] = deque()
        self._active: dict[int, _Task] = {}
        # (when, a number that no other entry has, task); entries of tasks that moved on are stale.
        self._limits: list[tuple[float, int, _Task]] = []
        self._pushed = 0
        self._results: dict[int, Result] = {}
        self._lookups: Workers[str, list[Address]] | None = None
        self._named: dict[str, list[_Task]] = {}

    def close(self) -> None:
        for task in self._active.values():
            if task.sock is not None:
                task.sock.close()
        self._epoll.close()
        if self._lookups is not None:
            self._lookups.close()

    def run(self, targets: Sequence[Target], deadline: float, concurrency: int) -> list[Result]:
        self._take(targets)
        while len(self._results) < len(targets):
            while self._ready and len(self._active) < concurrency:
                if not self._connect(self._ready.popleft()):
                    concurrency = max(1, len(self._active))
            now = time.monotonic()
            if now >= deadline:
                break
            for descriptor, _ in self._epoll.poll(self._pause(now, deadline)):
                task = self._active.get(descriptor)
                if task is not None:
                    self._resume(task)
                elif self._lookups is not None:
                    self._take_names(self._lookups)
            self._end_overdue()
        return [
            self._results.get(index) or Result(target.host, State.UNKNOWN, OUT_OF_TIME, 0.0)
            for index, target in enumerate(targets)
        ]

    def _take(self, targets: Sequence[Target]) -> None:
        for index, target in enumerate(targets):
            task = _Task(index, target, numeric(target.name), 0.0)
            if task.rest:
                self._ready.append(task)
            else:
                self._named.setdefault(target.name, []).append(task)
        if self._named:
            self._lookups = Workers(look_up, list(self._named), MAX_LOOKUPS)
            self._epoll.register(self._lookups, READ)

    def _take_names(self, lookups: Workers[str, list[Address]]) -> None:
        for answer in lookups.take():
            for task in self._named.pop(answer.job):
                task.spent = answer.seconds
                if isinstance(answer.value, BaseException):
                    self._complete(task, str(answer.value))
                else:
                    first = socket.AF_INET6 if self._prefer_ipv6 else socket.AF_INET
                    task.rest = sorted(answer.value, key=lambda each: each.family != first)
                    self._ready.append(task)

    def _pause(self, now: float, deadline: float) -> float:
        """Return for how many seconds nothing but the network can happen."""
        until = deadline - now
        if self._limits:
            until = min(until, self._limits[0][0] - now)
        if self._lookups is not None:
            until = min(until, self._lookups.next_overdue(self._timeout))
        return max(0.0, until)

    def _connect(self, task: _Task) -> bool:
        """Begin with the task's next address; return False where no descriptor was to be had."""
        now = time.monotonic()
        if not task.begun:
            task.begun = now - task.spent
            task.limit = task.begun + self._timeout
        address = task.rest[0]
        try:
            task.sock = sock = socket.socket(
                address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK
            )
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._active:
                self._fail(task, error)
                return True
            self._ready.appendleft(task)
            return False
        del task.rest[0]
        task.tried = join_endpoint(address.text, task.target.port)
        # Each address that is left gets an equal share of the time for its connection.
        self._push(task, now + (task.limit - now) / (len(task.rest) + 1))
        code = sock.connect_ex((address.text, task.target.port))
        if code and code != errno.EINPROGRESS:
            self._fail(task, OSError(code, os.strerror(code)))
            return True
        task.talk = self._probe(sock, task.target)
        task.mask = 0
        self._active[sock.fileno()] = task
        self._resume(task)
        return True

    def _push(self, task: _Task, when: float) -> None:
        self._pushed += 1
        heapq.heappush(self._limits, (when, self._pushed, task))

    def _resume(self, task: _Task, error: TimedOut | None = None) -> None:
        """Let the conversation go on until it waits again or ends."""
        talk, sock = task.talk, task.sock
        if talk is None or sock is None:
            return
        try:
            mask = next(talk) if error is None else talk.throw(error)
        except StopIteration as stop:
            verdict: Verdict = stop.value
            self._complete(task, verdict.reason, verdict.said)
        except TimedOut as late:
            self._complete(task, f"{late}, nothing came")
        except OSError as failure:
            self._fail(task, failure)
        else:
            if not task.mask:
                self._epoll.register(sock, mask)
            elif mask != task.mask:
                self._epoll.modify(sock, mask)
            task.mask = mask

    def _end_overdue(self) -> None:
        now = time.monotonic()
        while self._limits and self._limits[0][0] <= now:
            task = heapq.heappop(self._limits)[2]
            if task.sock is None:
                continue
            connected = _is_connected(task.sock)
            if now < task.limit and not connected and task.rest:
                self._fail(task, OSError(errno.ETIMEDOUT, "connection timed out"))
            elif now < task.limit:
                self._push(task, task.limit)
            elif connected:
                self._resume(task, TimedOut(f"timed out after {self._timeout:g} s"))
                self._complete(task, f"timed out after {self._timeout:g} s")
            else:
                self._complete(task, f"timed out after {self._timeout:g} s, no connection")
        if self._lookups is not None:
            for name in self._lookups.overdue(self._timeout):
                for task in self._named.pop(name):
                    task.spent = self._timeout
                    self._complete(task, f"{name}: look-up timed out after {self._timeout:g} s")

    def _fail(self, task: _Task, error: OSError) -> None:
        """Try the next address where no connection came about; otherwise it is the end."""
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in _NOT_CONNECTED and task.rest and time.monotonic() < task.limit:
            self._drop(task)
            self._ready.append(task)
        else:
            self._complete(task, reason)

    def _drop(self, task: _Task) -> None:
        if task.sock is not None:
            self._active.pop(task.sock.fileno(), None)
            task.sock.close()
        task.sock = task.talk = None

    def _complete(self, task: _Task, reason: str, said: bytes = b"") -> None:
        """Record the result: the one place where a host of the sweep becomes good."""
        if task.index in self._results:
            return
        self._drop(task)
        seconds = time.monotonic() - task.begun if task.begun else task.spent
        state = State.FAILED if reason else State.GOOD
        self._results[task.index] = Result(
            task.target.host, state, reason, seconds, task.tried, said
        )


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
