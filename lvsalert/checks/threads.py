"""Probes through libraries with blocking sockets of their own, each host in a thread."""

from __future__ import annotations

import io
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Callable, NamedTuple

from lvsalert.checks.resolve import MAX_LOOKUPS, Address, Lookups, numeric
from lvsalert.checks.sweep import OUT_OF_TIME, Target, Verdict
from lvsalert.checks.waker import Waker
from lvsalert.checks.workers import MAX_THREADS, Workers
from lvsalert.model import Result, State, join_endpoint

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# A probe keeps its time itself; one that did not by so many seconds is given up.
_GRACE_SECONDS = 0.5
# As above, where the thread may have to wait for an import first.
_ERRAND_SECONDS = 5.0


class NotConnected(Exception):
    """No connection came about, so that another address is worth a try; the message says why."""


class Reach(NamedTuple):
    """A target at one of its addresses, and the time (time.monotonic()) that there is for it.

    ``connect_by`` is for the connection, ``limit`` for all; ``timeout`` is the seconds that the
    host had from the beginning, for reasons.
    """

    target: Target
    address: Address
    connect_by: float
    limit: float
    timeout: float

    def connect(self, port: int) -> socket.socket:
        """Return a connection whose calls end with the host's time. NotConnected otherwise."""
        sock = None
        try:
            sock = socket.socket(self.address.family, socket.SOCK_STREAM)
            sock.settimeout(max(0.001, self.connect_by - time.monotonic()))
            if self.target.prepare is not None:
                self.target.prepare(sock)
            sock.connect(self.address.at(port))
            sock.settimeout(self.seconds_left())
        except OSError as error:
            if sock is not None:
                sock.close()
            if isinstance(error, (TimeoutError, socket.timeout)):
                raise NotConnected(f"{self.late}, no connection") from None
            if isinstance(error, ConnectionResetError):
                raise NotConnected("connection reset") from None
            raise NotConnected(error.strerror or os.strerror(error.errno or 0)) from None
        return sock

    def seconds_left(self) -> float:
        """Return the seconds that are left; TimeoutError where there are none."""
        left = self.limit - time.monotonic()
        if left <= 0:
            raise TimeoutError(self.late)
        return left

    def is_over(self) -> bool:
        """Return whether the time is up."""
        return time.monotonic() >= self.limit

    @property
    def late(self) -> str:
        """Return the reason of a host whose time is up."""
        return f"timed out after {self.timeout:g} s"


class TimedReader(io.RawIOBase):
    """What a socket gives, until the time of ``reach`` is up.

    A socket's own time-out begins anew with each byte, so a server that sends one a second could
    keep a library busy for ever. ``heard`` counts the bytes, ``has_ended`` tells whether the end of
    it was read.
    """

    def __init__(self, raw: socket.SocketIO, sock: socket.socket, reach: Reach) -> None:
        self._raw = raw
        self._sock = sock
        self._reach = reach
        self.heard = 0
        self.has_ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Read what there is; TimeoutError when the time is up."""
        self._sock.settimeout(self._reach.seconds_left())
        try:
            count = self._raw.readinto(buffer)
        except socket.timeout:
            raise TimeoutError(self._reach.late) from None
        self.heard += count or 0
        self.has_ended = not count
        return count

    def close(self) -> None:
        """Close what is read from."""
        self._raw.close()
        super().close()


Judge = Callable[[], Verdict]
Fetch = Callable[[Reach], Judge]
"""Fetches a target's answer in a thread, and returns what judges it.

That is called in the main thread, where a signal can end a regular expression that explodes. It
raises NotConnected where there is no connection.
"""


class Errand:
    """A host's blocking call in a thread of its own, in the midst of a conversation of the sweep.

    The conversation yields ``begin``, and when it goes on it returns ``verdict``. ``timeout`` is
    the seconds that the host had from the beginning.
    """

    def __init__(self, fetch: Fetch, target: Target, timeout: float) -> None:
        self._fetch = fetch
        self._target = target
        self._timeout = timeout
        self._found: list[Judge | BaseException] = []

    def begin(self, address: Address, limit: float) -> tuple[socket.socket, float]:
        """Start the thread, as sweep.Elsewhere is called."""
        reach = Reach(self._target, address, limit, limit, self._timeout)
        done, working = socket.socketpair()
        threading.Thread(target=self._work, args=(reach, working), daemon=True).start()
        return done, limit + _ERRAND_SECONDS

    def _work(self, reach: Reach, working: socket.socket) -> None:
        # To close one end makes the other one readable.
        with working:
            try:
                self._found.append(self._fetch(reach))
            except OSError as error:
                # As it is, the sweep would take it for the host's.
                self._found.append(RuntimeError(f"{type(error).__name__}: {error}"))
            except BaseException as error:
                self._found.append(error)

    def verdict(self) -> Verdict:
        """Return the verdict on what was fetched."""
        (found,) = self._found
        if isinstance(found, BaseException):
            raise found
        return found()


class _Found(NamedTuple):
    judge: Judge
    address: str


def probe_in_threads(
    targets: Sequence[Target],
    fetch: Fetch,
    *,
    timeout: float,
    deadline: float,
    concurrency: int,
    lookups: int = MAX_LOOKUPS,
    prefer_ipv6: bool = False,
) -> list[Result]:
    """Probe every target with ``fetch`` and return a result for each, in their order.

    ``timeout`` is the seconds for one host, its look-up included and whatever its library does; a
    thread that does not come back is given up. ``deadline``, ``concurrency`` and ``lookups`` are as
    in ``sweep.sweep``.
    """
    pool = _Pool(targets, fetch, timeout, min(concurrency, MAX_THREADS))
    names = Lookups(pool.named, limit=lookups, prefer_ipv6=prefer_ipv6)
    waker = Waker()
    try:
        poll = select.poll()
        poll.register(waker, select.POLLIN)
        poll.register(pool.threads, select.POLLIN)
        poll.register(names, select.POLLIN)
        while len(pool.results) < len(targets) and (left := deadline - time.monotonic()) > 0:
            poll.poll(min(left, pool.next_overdue(), names.next_overdue(timeout)) * 1000)
            waker.drain()
            for found in names.take(timeout):
                for index in pool.named[found.name]:
                    if found.addresses:
                        pool.add(index, found.addresses, found.seconds)
                    else:
                        pool.complete(index, Verdict(found.reason, b""), found.seconds)
            pool.take()
    finally:
        waker.close()
        pool.threads.close()
        names.close()
    return [
        pool.results.get(index) or Result(target.host, State.UNKNOWN, OUT_OF_TIME, 0.0)
        for index, target in enumerate(targets)
    ]


class _Pool:
    """The threads, and for each target, by its index, what they need and what came of it."""

    def __init__(
        self, targets: Sequence[Target], fetch: Fetch, timeout: float, concurrency: int
    ) -> None:
        self._targets = targets
        self._fetch = fetch
        self._timeout = timeout
        self._addresses: dict[int, list[Address]] = {}
        self._spent: dict[int, float] = {}
        self.named: dict[str, list[int]] = {}
        self.results: dict[int, Result] = {}
        for index, target in enumerate(targets):
            if addresses := numeric(target.name):
                self._addresses[index] = addresses
                self._spent[index] = 0.0
            else:
                self.named.setdefault(target.name, []).append(index)
        self.threads: Workers[int, _Found] = Workers(self._work, list(self._addresses), concurrency)

    def add(self, index: int, addresses: list[Address], spent: float) -> None:
        """Have a target probed at its addresses; ``spent`` seconds of its time are gone."""
        self._addresses[index] = addresses
        self._spent[index] = spent
        self.threads.add(index)

    def next_overdue(self) -> float:
        """Return in how many seconds there may be a thread to give up."""
        return self.threads.next_overdue(self._timeout + _GRACE_SECONDS)

    def take(self) -> None:
        """Judge what came, and give up what did not in time."""
        for answer in self.threads.take():
            index, found = answer.job, answer.value
            if isinstance(found, BaseException):
                raise found
            seconds = answer.seconds + self._spent[index]
            self.complete(index, found.judge(), seconds, found.address)
        for index in self.threads.overdue(self._timeout + _GRACE_SECONDS):
            late = Verdict(f"timed out after {self._timeout:g} s", b"")
            self.complete(index, late, self._timeout)

    def complete(self, index: int, verdict: Verdict, seconds: float, address: str = "") -> None:
        """Note the result of a target."""
        self.results[index] = verdict.result(self._targets[index].host, seconds, address)

    def _work(self, index: int) -> _Found:
        """Try the target's addresses one after the other until one can be connected to."""
        target, addresses = self._targets[index], self._addresses[index]
        limit = time.monotonic() + self._timeout - self._spent[index]
        reason, tried = f"timed out after {self._timeout:g} s", ""
        for position, address in enumerate(addresses):
            now = time.monotonic()
            if now >= limit:
                break
            connect_by = now + (limit - now) / (len(addresses) - position)
            tried = join_endpoint(address.text, target.port)
            try:
                judge = self._fetch(Reach(target, address, connect_by, limit, self._timeout))
                return _Found(judge, tried)
            except NotConnected as error:
                reason = str(error)
        verdict = Verdict(reason, b"")
        return _Found(lambda: verdict, tried)
