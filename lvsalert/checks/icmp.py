"""The echo probe: ping(8) for any number of hosts at once."""

from __future__ import annotations

import errno
import heapq
import math
import secrets
import select
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

from lvsalert.checks.icmp_packet import Trouble
from lvsalert.checks.icmp_socket import EchoSocket, Received
from lvsalert.checks.resolve import MAX_LOOKUPS, Address, look_up, numeric
from lvsalert.checks.sweep import OUT_OF_TIME
from lvsalert.checks.waker import Waker
from lvsalert.checks.workers import Workers
from lvsalert.model import Result, State, split_endpoint

# As ping(8) and fping(8) send by default: 64 bytes of ICMP.
_PAYLOAD_BYTES = 56
_TOKEN_BYTES = 16
# Between two looks at the sockets, so many packets go out at most.
_BATCH = 16
# poll(2) waits whole milliseconds, so a shorter pace has to catch up with as much.
_CATCH_UP_SECONDS = 0.001

# The machine has too much to send just now; no host is to blame for it.
_BUSY = frozenset((errno.ENOBUFS, errno.EAGAIN, errno.ENOMEM))
_BUSY_SECONDS = 0.01

_SEND_ERRORS = {
    errno.EACCES: "it is a broadcast address, or a route prohibits it",
    errno.EPERM: "a firewall on this machine forbids it",
    errno.EINVAL: "a blackhole route, or no address that can be sent to",
}


def ping(
    hosts: Sequence[str],
    *,
    prefer_ipv6: bool = False,
    retries: int,
    wait: float,
    pace: float = 0.00002,
    slow: float | None = None,
    deadline: float,
    lookup_timeout: float,
    lookups: int = MAX_LOOKUPS,
) -> list[Result]:
    """Send echo requests to every host and return a result for each, in their order.

    A host gets up to ``retries`` + 1 requests, ``wait`` seconds apart, and is good once one of them
    is answered (fping's -r and -t, without its backoff). A name's addresses take turns, IPv4 first
    unless ``prefer_ipv6``; a port in a host is passed over. ``pace`` is the seconds between any
    two packets. An answer that took over ``slow`` seconds is a failure.

    ``deadline`` is the time (time.monotonic()) at which hosts without a verdict become UNKNOWN; a
    look-up fails after ``lookup_timeout`` seconds, and ``lookups`` of them run at once.
    PrivilegeError where no ICMP socket is allowed, UsageError for a host that cannot be one.
    """
    targets = [_Target(host, split_endpoint(host)[0]) for host in hosts]
    manner = _Manner(prefer_ipv6, retries, wait, pace, slow, lookup_timeout, lookups)
    pinger = _Pinger(manner, len(hosts))
    try:
        pinger.run(targets, deadline)
    finally:
        pinger.close()
    return [target.result or _no_verdict(target, OUT_OF_TIME) for target in targets]


class _Manner(NamedTuple):
    """How to ping; as the arguments of ``ping``."""

    prefer_ipv6: bool
    retries: int
    wait: float
    pace: float
    slow: float | None
    lookup_timeout: float
    lookups: int


class _Target:
    """One host: where its requests go, how many went, and what was heard but was no answer."""

    __slots__ = ("addresses", "asked", "begun", "host", "name", "notes", "result", "tries")

    def __init__(self, host: str, name: str) -> None:
        self.host = host
        self.name = name
        self.addresses: list[Address] = []
        self.asked = ""
        self.begun = time.monotonic()
        self.tries = 0
        # A dictionary for its order; the latest note is the last.
        self.notes: dict[str, None] = {}
        self.result: Result | None = None

    def note(self, text: str) -> None:
        self.notes.pop(text, None)
        self.notes[text] = None


class _Packet(NamedTuple):
    """An echo request that is under way."""

    target: _Target
    address: str
    payload: bytes
    sent: float


class _Pinger:
    def __init__(self, manner: _Manner, hosts: int) -> None:
        self._manner = manner
        self._hosts = hosts
        self._open = hosts
        self._token = secrets.token_bytes(_TOKEN_BYTES)
        self._poll = select.poll()
        self._waker = Waker()
        self._poll.register(self._waker, select.POLLIN)
        # By family: the sockets, and why there is none.
        self._sockets: dict[int, EchoSocket] = {}
        self._unusable: dict[int, OSError] = {}
        self._packets: dict[tuple[int, int, int], _Packet] = {}
        self._sent = 0
        self._next_packet = 0.0
        # (when, a number that no other entry has, target): its next request, or its end.
        self._due: list[tuple[float, int, _Target]] = []
        self._pushed = 0
        self._lookups: Workers[str, list[Address]] | None = None
        self._named: dict[str, list[_Target]] = {}

    def close(self) -> None:
        self._waker.close()
        for echo in self._sockets.values():
            echo.close()
        if self._lookups is not None:
            self._lookups.close()

    def run(self, targets: Sequence[_Target], deadline: float) -> None:
        self._take(targets)
        while self._open and (now := time.monotonic()) < deadline:
            ready = self._poll.poll(min(deadline - now, self._pause(now)) * 1000)
            if ready:
                self._waker.drain()
            for family, echo in self._sockets.items():
                for received in echo.receive() if ready else echo.errors():
                    self._judge(family, received)
            if self._lookups is not None:
                self._take_names(self._lookups)
            self._send_due()

    def _take(self, targets: Sequence[_Target]) -> None:
        for target in targets:
            addresses = numeric(target.name)
            if addresses:
                self._start(target, addresses)
            else:
                self._named.setdefault(target.name, []).append(target)
        if self._named:
            self._lookups = Workers(look_up, list(self._named), self._manner.lookups)
            self._poll.register(self._lookups, select.POLLIN)

    def _take_names(self, lookups: Workers[str, list[Address]]) -> None:
        for answer in lookups.take():
            for target in self._named.pop(answer.job):
                if isinstance(answer.value, BaseException):
                    self._fail(target, str(answer.value))
                else:
                    first = socket.AF_INET6 if self._manner.prefer_ipv6 else socket.AF_INET
                    self._start(target, sorted(answer.value, key=lambda each: each.family != first))
        timeout = self._manner.lookup_timeout
        for name in lookups.overdue(timeout):
            for target in self._named.pop(name):
                self._fail(target, f"{name}: look-up timed out after {timeout:g} s")

    def _start(self, target: _Target, addresses: Sequence[Address]) -> None:
        """Let the target's requests begin, to those of its addresses that can be asked."""
        asked = [address for address in addresses if not _is_multicast(address)]
        if not asked:
            self._fail(target, f"{addresses[0].text} is a multicast address, which is no host")
            return
        target.addresses = [address for address in asked if self._can_ask(address.family)]
        if target.addresses:
            self._push(target, time.monotonic())
        else:
            error = self._unusable[asked[0].family]
            reason = f"cannot open an ICMP socket: {error.strerror}"
            self._complete(target, _no_verdict(target, reason))

    def _can_ask(self, family: int) -> bool:
        """Say whether there is a socket for a family; the first to ask opens it."""
        if family not in self._sockets and family not in self._unusable:
            try:
                self._sockets[family] = EchoSocket(family, self._hosts)
                self._poll.register(self._sockets[family], select.POLLIN)
            except OSError as error:
                self._unusable[family] = error
        return family in self._sockets

    def _push(self, target: _Target, when: float) -> None:
        self._pushed += 1
        heapq.heappush(self._due, (when, self._pushed, target))

    def _pause(self, now: float) -> float:
        """Return for how many seconds nothing but the network can happen."""
        until = math.inf
        if self._due:
            until = max(self._due[0][0], self._next_packet) - now
        if self._lookups is not None:
            until = min(until, self._lookups.next_overdue(self._manner.lookup_timeout))
        return max(0.0, until)

    def _send_due(self) -> None:
        for _ in range(_BATCH):
            now = time.monotonic()
            if not self._due or max(self._due[0][0], self._next_packet) > now:
                return
            target = heapq.heappop(self._due)[2]
            if target.result is None:
                self._advance(target, now)

    def _advance(self, target: _Target, now: float) -> None:
        """Send the target's next request, or give it up where it has had them all."""
        if target.tries > self._manner.retries:
            plural = "" if target.tries == 1 else "s"
            reason = f"no answer to {target.tries} echo request{plural}"
            self._fail(target, next(reversed(target.notes), reason))
            return
        address = target.addresses[target.tries % len(target.addresses)]
        self._next_packet = max(self._next_packet, now - _CATCH_UP_SECONDS) + self._manner.pace
        target.asked = address.text
        self._sent += 1
        payload = (self._token + self._sent.to_bytes(8, "big")).ljust(_PAYLOAD_BYTES, b"\0")
        try:
            identifier, sequence = self._sockets[address.family].send(address.text, payload)
        except OSError as error:
            if error.errno in _BUSY:
                self._push(target, now + _BUSY_SECONDS)
                return
            target.note(f"cannot send: {_SEND_ERRORS.get(error.errno or 0) or error.strerror}")
        else:
            bare = address.text.partition("%")[0]
            key = (address.family, identifier, sequence)
            self._packets[key] = _Packet(target, bare, payload, now)
        target.tries += 1
        self._push(target, now + self._manner.wait)

    def _judge(self, family: int, received: Received) -> None:
        """Take what came back for what it is: an answer, a note, or nothing to us."""
        message = received.message
        packet = self._packets.get((family, message.identifier, message.sequence))
        if packet is None or packet.target.result is not None:
            return
        if isinstance(message, Trouble):
            quoted = message.payload[:_PAYLOAD_BYTES]
            if message.destination == packet.address and packet.payload.startswith(quoted):
                packet.target.note(f"{message.text} from {received.source}")
        elif message.payload != packet.payload:
            return
        elif received.source != packet.address:
            packet.target.note(f"answered by {received.source} in its place")
        else:
            self._answered(packet, max(0.0, received.at - packet.sent))

    def _answered(self, packet: _Packet, seconds: float) -> None:
        """Record an answer: the one place where a host becomes good."""
        target, slow = packet.target, self._manner.slow
        said = "\n".join(target.notes).encode()
        state, reason = State.GOOD, ""
        if slow is not None and seconds > slow:
            state = State.FAILED
            reason = f"answered in {seconds * 1000:.3g} ms, slower than {slow * 1000:g} ms"
        result = Result(target.host, state, reason, seconds, packet.address, said)
        self._complete(target, result)

    def _fail(self, target: _Target, reason: str) -> None:
        said = "\n".join(note for note in target.notes if note != reason).encode()
        seconds = time.monotonic() - target.begun
        result = Result(target.host, State.FAILED, reason, seconds, target.asked, said)
        self._complete(target, result)

    def _complete(self, target: _Target, result: Result) -> None:
        target.result = result
        self._open -= 1


def _no_verdict(target: _Target, reason: str) -> Result:
    seconds = time.monotonic() - target.begun
    said = "\n".join(target.notes).encode()
    return Result(target.host, State.UNKNOWN, reason, seconds, target.asked, said)


def _is_multicast(address: Address) -> bool:
    first = socket.inet_pton(address.family, address.text.partition("%")[0])[0]
    return first == 0xFF if address.family == socket.AF_INET6 else first >> 4 == 0xE
