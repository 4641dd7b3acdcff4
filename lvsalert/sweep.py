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
import time
from collections import deque
from collections.abc import Generator, Sequence
from typing import Callable, Union

from lvsalert import sockets
from lvsalert.model import Result, State
from lvsalert.resolve import MAX_LOOKUPS, Address, Lookups
from lvsalert.sweep_task import NOT_CONNECTED, SHORT, Task
from lvsalert.tuples import NamedTuple
from lvsalert.waking import Waker

READ = select.EPOLLIN
WRITE = select.EPOLLOUT

OUT_OF_TIME = "no verdict: the run's deadline came first"

# Between two looks at the sockets, so many connections begin: answers that are there already are
# read before more are asked for, which is less for the kernel and for us to keep.
_BURST = 32


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

    def result(self, host: str, seconds: float, address: str) -> Result:
        """Return the result for mon: the one place where a host of a TCP probe becomes good."""
        state = State.FAILED if self.reason else State.GOOD
        return Result(host, state, self.reason, seconds, address, self.said)


Elsewhere = Callable[[Address, float], "tuple[sockets.socket, float]"]
"""Goes on with a host away from the sweep, whose socket to it is closed.

It gets the host's address and the time (time.monotonic()) that the host has, and returns a
connected socket that can be read when it is done, and the time when it is given up.
"""
Conversation = Generator[int, None, Verdict]
Roaming = Generator[Union[int, Elsewhere], None, Verdict]
"""A conversation that may leave its socket."""
Probe = Callable[[sockets.socket, Target], Roaming]


def sweep(
    targets: Sequence[Target],
    probe: Probe,
    *,
    timeout: float,
    deadline: float,
    concurrency: int,
    lookups: int = MAX_LOOKUPS,
    prefer_ipv6: bool = False,
) -> list[Result]:
    """Probe every target and return a result for each, in their order.

    ``timeout`` is the seconds for one host, its look-up included. ``deadline`` is the time
    (time.monotonic()) by which the sweep ends whatever is still open; those hosts are UNKNOWN. At
    most ``concurrency`` sockets are open and ``lookups`` names looked up at once, fewer where
    descriptors run out.
    """
    runner = _Sweep(probe, timeout, lookups, prefer_ipv6)
    try:
        return runner.run(targets, deadline, concurrency)
    finally:
        runner.close()


class _Sweep:
    def __init__(self, probe: Probe, timeout: float, lookups: int, prefer_ipv6: bool) -> None:
        self._probe = probe
        self._timeout = timeout
        self._max_lookups = lookups
        self._prefer_ipv6 = prefer_ipv6
        self._epoll = select.epoll()
        self._waker = Waker()
        self._epoll.register(self._waker, READ)
        self._ready: deque[Task] = deque()
        self._active: dict[int, Task] = {}
        # (when, a number that no other entry has, task); entries of tasks that moved on are stale.
        self._limits: list[tuple[float, int, Task]] = []
        self._pushed = 0
        self._results: dict[int, Result] = {}
        self._lookups: Lookups | None = None
        self._named: dict[str, list[Task]] = {}

    def close(self) -> None:
        for task in self._active.values():
            if task.sock is not None:
                task.sock.close()
        self._epoll.close()
        self._waker.close()
        if self._lookups is not None:
            self._lookups.close()

    def run(self, targets: Sequence[Target], deadline: float, concurrency: int) -> list[Result]:
        self._take(targets)
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
            for descriptor, _ in self._epoll.poll(pause):
                task = self._active.get(descriptor)
                if task is not None:
                    self._resume(task)
                elif descriptor == self._waker.fileno():
                    self._waker.drain()
                elif self._lookups is not None:
                    self._take_names(self._lookups)
            self._end_overdue()
        return [
            self._results.get(index) or Result(target.host, State.UNKNOWN, OUT_OF_TIME, 0.0)
            for index, target in enumerate(targets)
        ]

    def _take(self, targets: Sequence[Target]) -> None:
        for index, target in enumerate(targets):
            task = Task(index, target)
            if task.rest:
                self._ready.append(task)
            else:
                self._named.setdefault(target.name, []).append(task)
        if self._named:
            self._lookups = Lookups(
                list(self._named), limit=self._max_lookups, prefer_ipv6=self._prefer_ipv6
            )
            self._epoll.register(self._lookups, READ)

    def _take_names(self, lookups: Lookups) -> None:
        for found in lookups.take(self._timeout):
            for task in self._named.pop(found.name):
                task.spent = found.seconds
                task.rest = list(found.addresses)
                if task.rest:
                    self._ready.append(task)
                else:
                    self._complete(task, Verdict(found.reason, b""))

    def _pause(self, now: float, deadline: float) -> float:
        """Return for how many seconds nothing but the network can happen."""
        until = deadline - now
        if self._limits:
            until = min(until, self._limits[0][0] - now)
        if self._lookups is not None:
            until = min(until, self._lookups.next_overdue(self._timeout))
        return max(0.0, until)

    def _connect(self, task: Task) -> bool:
        """Begin with the task's next address; return False where it has to wait for a socket."""
        address, kind = task.rest[0], sockets.SOCK_STREAM | sockets.SOCK_NONBLOCK
        now = time.monotonic()
        try:
            task.sock = sock = sockets.socket(address.family, kind)
        except OSError as error:
            if error.errno in SHORT and self._active:
                self._ready.appendleft(task)
                return False
            task.begin(now, self._timeout)
            self._fail(task, error)
            return True
        task.begin(now, self._timeout)
        # Each address that is left gets an equal share of the time for its connection.
        self._push(task, now + (task.limit - now) / (len(task.rest) + 1))
        try:
            code = sock.connect_ex((address.text, task.target.port))
        except OSError as error:  # a zone (fe80::1%eth0) that there is not
            self._fail(task, error)
            return True
        if code and code != errno.EINPROGRESS:
            self._fail(task, OSError(code, os.strerror(code)))
            return True
        task.talk = self._probe(sock, task.target)
        self._active[sock.fileno()] = task
        self._resume(task)
        return True

    def _push(self, task: Task, when: float) -> None:
        task.until = when
        self._pushed += 1
        heapq.heappush(self._limits, (when, self._pushed, task))

    def _resume(self, task: Task, error: TimedOut | None = None) -> None:
        """Let the conversation go on until it waits again or ends."""
        talk, sock = task.talk, task.sock
        if talk is None or sock is None:
            return
        try:
            wanted = next(talk) if error is None else talk.throw(error)
            mask = wanted if isinstance(wanted, int) else self._leave(task, wanted)
        except StopIteration as stop:
            self._complete(task, stop.value)
        except TimedOut as late:
            self._complete(task, Verdict(str(late), b""))
        except OSError as failure:
            self._fail(task, failure)
        else:
            if not task.mask:
                self._epoll.register(sock, mask)
            elif mask != task.mask:
                self._epoll.modify(sock, mask)
            task.mask = mask

    def _leave(self, task: Task, elsewhere: Elsewhere) -> int:
        """Let a task wait for another socket, and return what is waited for, which is known."""
        self._close(task)
        task.sock, until = elsewhere(task.address, task.limit)
        self._active[task.sock.fileno()] = task
        self._epoll.register(task.sock, READ)
        self._push(task, until)
        task.mask = READ
        return READ

    def _end_overdue(self) -> None:
        now = time.monotonic()
        while self._limits and self._limits[0][0] <= now:
            when, _, task = heapq.heappop(self._limits)
            if task.sock is None or when != task.until:
                continue
            late = f"timed out after {self._timeout:g} s"
            if not task.is_connected():
                # Another address is tried where there is one and time is left.
                text = late if now >= task.limit else "connection timed out"
                self._fail(task, OSError(errno.ETIMEDOUT, f"{text}, no connection"))
            elif now < task.limit:
                self._push(task, task.limit)
            else:
                self._resume(task, TimedOut(late))
        if self._lookups is not None and not self._lookups.next_overdue(self._timeout):
            self._take_names(self._lookups)

    def _fail(self, task: Task, error: OSError) -> None:
        """Try the next address where no connection came about; otherwise it is the end."""
        if error.errno in NOT_CONNECTED and task.rest and time.monotonic() < task.limit:
            self._drop(task)
            # At the front, for its time runs.
            self._ready.appendleft(task)
            return
        reason = error.strerror or os.strerror(error.errno or 0)
        self._complete(task, Verdict(reason, b""), is_known=error.errno not in SHORT)

    def _drop(self, task: Task) -> None:
        self._close(task)
        task.talk = None

    def _close(self, task: Task) -> None:
        if task.sock is not None:
            self._active.pop(task.sock.fileno(), None)
            task.sock.close()
        task.sock = None

    def _complete(self, task: Task, verdict: Verdict, *, is_known: bool = True) -> None:
        self._drop(task)
        seconds = time.monotonic() - task.begun if task.limit else task.spent
        result = verdict.result(task.target.host, seconds, task.tried())
        self._results[task.index] = result if is_known else result._replace(state=State.UNKNOWN)
