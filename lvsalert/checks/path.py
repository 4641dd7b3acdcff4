"""Checks by way of the virtual address: through the kernel's own table, to one real server.

With direct routing and tunnels a real server can answer at its own address and still serve nobody:
the virtual address is missing there, its program listens elsewhere, the tunnel is down. A check by
way of the virtual address takes the path of a client. Its packets carry a firewall mark, for which
the kernel's table has a service with that one real server (socket(7), SO_MARK; ipvsadm(8), -f).

Three things keep it from a false word. A verdict counts only if the kernel's list of connections
shows that very connection at that very real server: without the mark's service any one answers, or
none. A failure is repeated from another port before it counts, since an entry that an earlier check
left would lead the first one astray. And after a silence we look whether the answer had come in and
this machine dropped it. What cannot be judged ends the run without a verdict on anybody: mon takes
a host that is not named for a good one.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import socket
import struct
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple

from lvsalert.checks.path_setting import Doubt, Virtual, doubt_of, setting_of, source_of, sysctl
from lvsalert.checks.resolve import addresses_of
from lvsalert.checks.rtnetlink import Route
from lvsalert.checks.sweep import Target
from lvsalert.errors import LvsalertError, PrivilegeError
from lvsalert.model import (
    Connection,
    Forwarding,
    Result,
    State,
    Way,
    canonical_address,
    family_of,
)

if TYPE_CHECKING:
    from typing_extensions import Self

_SO_MARK = 36
_IPV6_UNICAST_HOPS = 16
# Closed by a reset, a connection leaves the kernel's list in 10 s and not in 120.
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
# IPVS takes one off. A real server on the link that lacks the virtual address, and forwards,
# would send the packet back, round and round.
_HOPS = 2
# Often enough to see each connection before the list forgets it, which takes 10 s.
_LOOK_SECONDS = 6.0
# What leaves the list while it is read has others passed over.
_LOOKS = 3
_PORT_RANGE, _USUAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range"), (32768, 60999)
# So many ports in a row may be taken.
_TRIES = 1000
_SILENT = ("no connection", "Connection timed out")


class CannotTellError(LvsalertError):
    """The path cannot be judged; the message says of which host, why, and what to do."""

    def __init__(self, host: str, doubt: Doubt, more: int = 0) -> None:
        self.about = f"{host} (and {more} more)" if more else host
        self.doubt = doubt
        super().__init__(f"{self.about}: {doubt}")


class Kernel(NamedTuple):
    """What is lent of the kernel's table, which is not ours to reach.

    ``marks`` returns a mark for each way, each with its service in the table. ``made`` returns
    those of the connections that are in the kernel's list. ``virtuals`` returns the addresses of
    the virtual services.
    """

    marks: Callable[[Sequence[Way]], Mapping[Way, int]]
    made: Callable[[Iterable[Connection]], set[Connection]]
    virtuals: Callable[[], Collection[str]]


class Via(NamedTuple):
    """By way of which virtual address hosts are asked, and through which kernel."""

    virtual: Virtual
    kernel: Kernel


Ask = Callable[..., Sequence[Result]]
"""Asks targets, as ``sweep.sweep`` and ``threads.probe_in_threads`` do with their probe."""


def by_way(
    via: Via, ask: Ask, targets: Sequence[Target], *, timeout: float, **limits: object
) -> list[Result]:
    """Ask every target by way of the virtual address; the results are in their order.

    ``timeout`` is the seconds for one host each time it is asked, which is twice where it fails;
    the other limits are those of ``ask``. CannotTellError where a host could not be judged.
    """
    require_mark()
    addresses, unknown = _resolved(via.virtual, targets, timeout)
    results = dict(unknown)
    hosts = _hosts(via, [each for each in targets if each.host in addresses], addresses)
    asked = functools.partial(ask, timeout=timeout, **limits)
    results.update(_pass(hosts, asked, via.kernel, None))
    again = [each for each in hosts if each.is_to_repeat(results[each.target.host])]
    if again:
        with _arrivals({each.source for each in again}) as arrivals:
            results.update(_pass(again, asked, via.kernel, arrivals))
    _end_without_verdict(hosts)
    return [results[target.host] for target in targets]


def require_mark() -> None:
    """See to it that this process may mark packets. PrivilegeError says what would allow it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, 0)
        except PermissionError:
            raise PrivilegeError(
                "--via: no CAP_NET_ADMIN to mark packets: be root, or for mon:"
                " lvs-director install --systemd"
            ) from None


def _resolved(
    virtual: Virtual, targets: Sequence[Target], timeout: float
) -> tuple[dict[str, str], dict[str, Result]]:
    """Return the address of each host, and the result of those that have none."""
    # The kernel tunnels to either family.
    is_tunnel = virtual.forwarding is Forwarding.TUNNELLING
    family = socket.AF_UNSPEC if is_tunnel else family_of(virtual.address)
    found = {each.host: canonical_address(each.name) for each in targets}
    names = {each.name for each in targets if found[each.host] is None}
    looked_up = addresses_of(names, family, timeout=timeout) if names else {}
    results: dict[str, Result] = {}
    addresses: dict[str, str] = {}
    for each in targets:
        address = found[each.host] or min(looked_up[each.name], default=None)
        if address is None:
            reason = f"{each.name}: no address found"
            results[each.host] = Result(each.host, State.FAILED, reason, 0.0)
        elif family not in (socket.AF_UNSPEC, family_of(address)):
            doubt = Doubt(f"is of another address family than {virtual.address}", "see --via")
            raise CannotTellError(each.host, doubt)
        else:
            addresses[each.host] = address
    return addresses, results


class _Source(NamedTuple):
    """The address to ask from, and the hops that packets have, None for as many as ever."""

    address: str
    hops: int | None


class _Ports:
    """Ports to ask from, each once as long as there are others.

    A connection from a port that was used a moment ago takes the place of the one before in the
    kernel's list, and that one could not be proved any more.
    """

    def __init__(self) -> None:
        try:
            low, high = map(int, _PORT_RANGE.read_text().split())
        except (OSError, ValueError):
            low, high = _USUAL_PORTS
        self._low, self._count = low, high - low + 1
        # From anywhere, so that runs that follow each other are apart.
        self._numbers = itertools.count(int.from_bytes(os.urandom(4), "big"))

    def bind(self, sock: socket.socket, source: str) -> int:
        """Bind a socket to a port of the source address that is free, and return it."""
        for left in reversed(range(_TRIES)):
            port = self._low + next(self._numbers) % self._count
            try:
                sock.bind((source, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not left:
                    raise
            else:
                break
        return port


class _Host:
    """A host on its way: where its packets go, and the connections that were begun."""

    def __init__(
        self, target: Target, virtual: Virtual, way: Way, source: _Source, ports: _Ports
    ) -> None:
        self.way = way
        self._ports = ports
        self.source, self._hops = source
        is_mapped = virtual.forwarding is Forwarding.MASQUERADING and virtual.port is not None
        port = virtual.port if is_mapped and virtual.port is not None else target.port
        self.target = Target(target.host, virtual.address, port, self._prepare)
        self._real = way.address, target.port
        self.mark = 0
        self.trouble: Doubt | None = None
        self.connections: list[Connection] = []

    def begin(self) -> None:
        """Be asked anew."""
        self.trouble = None
        self.connections.clear()

    def _prepare(self, sock: socket.socket) -> None:
        """Have a socket's packets go to this real server, and note the connection to be."""
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, self.mark)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            if self._hops is not None and ":" in self.source:
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_UNICAST_HOPS, self._hops)
            elif self._hops is not None:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, self._hops)
            port = self._ports.bind(sock, self.source)
        except OSError as error:
            found = f"cannot be asked from {self.source}: {error.strerror}"
            self.trouble = Doubt(found, "see lvs-director check --via")
            raise
        virtual = self.target.name, self.target.port
        self.connections.append(Connection((self.source, port), virtual, self._real))

    def is_to_repeat(self, result: Result) -> bool:
        """Return whether a result is not yet to be believed."""
        return result.state is State.FAILED or self.trouble is not None


def _hosts(via: Via, targets: Sequence[Target], addresses: Mapping[str, str]) -> list[_Host]:
    """Return the hosts with their marks in the kernel's table."""
    virtual = via.virtual
    virtuals = {virtual.address, *via.kernel.virtuals()}
    setting = setting_of(virtuals, [addresses[each.host] for each in targets])
    # All that are reached by one route are asked from one address.
    sources: dict[Route | None, _Source] = {}
    ports = _Ports()
    hosts = []
    for target in targets:
        address = addresses[target.host]
        route = setting.routes.get(address)
        if route not in sources:
            doubt = doubt_of(virtual, address, setting)
            if doubt is not None:
                raise CannotTellError(target.host, doubt)
            hops = _HOPS if route is not None and route.is_direct else None
            sources[route] = _Source(source_of(virtual, address, setting), hops)
        is_nat = virtual.forwarding is Forwarding.MASQUERADING
        is_mapped = is_nat and virtual.port not in (None, target.port)
        way = Way(
            family_of(virtual.address),
            address,
            target.port if is_mapped else 0,
            virtual.forwarding,
            virtual.flags,
        )
        hosts.append(_Host(target, virtual, way, sources[route], ports))
    marks = via.kernel.marks(list(dict.fromkeys(each.way for each in hosts)))
    for each in hosts:
        each.mark = marks[each.way]
    return hosts


class _Proof:
    """Sees the kernel's list of connections while hosts are asked, so that none is forgotten."""

    def __init__(self, kernel: Kernel, hosts: Sequence[_Host]) -> None:
        self._made = kernel.made
        self._hosts = hosts
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self.seen: set[Connection] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        for _each in range(_LOOKS):
            if not self._look():
                break

    def _go_on(self) -> None:
        while not self._is_over.wait(_LOOK_SECONDS):
            # What is wrong is told at the end.
            with contextlib.suppress(LvsalertError):
                self._look()

    def _look(self) -> bool:
        """Look for connections that were not seen yet; return whether some are still missing."""
        begun = {each for host in self._hosts for each in tuple(host.connections)} - self.seen
        found = self._made(begun)
        self.seen |= found
        return found != begun


class _Arrivals:
    """What comes in for the addresses that are asked from, and why that is not seen."""

    def __init__(self, sources: Iterable[str], stack: contextlib.ExitStack) -> None:
        from lvsalert.checks.arrivals import Arrivals

        self.lacking = ""
        self._each = []
        try:
            for source in sources:
                self._each.append(Arrivals(source))
                stack.callback(self._each[-1].close)
        except PrivilegeError as error:
            self.lacking = str(error)

    def answered(self, connections: Iterable[Connection]) -> bool:
        """Return whether an answer to one of them has come in, from whichever address."""
        seen = {ends for each in self._each for ends in each.seen()}
        return any(
            (end, each.source) in seen for each in connections for end in (each.virtual, each.real)
        )


@contextlib.contextmanager
def _arrivals(sources: Iterable[str]) -> Iterator[_Arrivals]:
    with contextlib.ExitStack() as stack:
        yield _Arrivals(sources, stack)


def _pass(
    hosts: Sequence[_Host], ask: Ask, kernel: Kernel, arrivals: _Arrivals | None
) -> dict[str, Result]:
    """Ask hosts once, and return their results; ``trouble`` is why one says nothing of its host."""
    for host in hosts:
        host.begin()
    with _Proof(kernel, hosts) as proof:
        results = ask([host.target for host in hosts])
    for host, result in zip(hosts, results):
        if result.state is not State.UNKNOWN:
            host.trouble = host.trouble or _astray(host, proof.seen)
        if result.state is State.FAILED and arrivals is not None:
            host.trouble = host.trouble or _dropped(host, result, arrivals)
    return {host.target.host: result for host, result in zip(hosts, results)}


def _astray(host: _Host, seen: set[Connection]) -> Doubt | None:
    """Return why a host's answer is none of its own, None where the kernel had sent us there."""
    if host.connections and seen.issuperset(host.connections):
        return None
    found = "the kernel did not send the check there"
    if sysctl("vs/backup_only"):
        reason = "net.ipv4.vs.backup_only is 1, by which a backup director balances nothing"
        return Doubt(f"{found}: {reason}", "as root: sysctl -w net.ipv4.vs.backup_only=0")
    return Doubt(
        f"{found} by its firewall mark {host.mark}",
        "somebody removed that from the table meanwhile (ipvsadm -C), and the next check sets it;"
        " or a rule of the firewall's OUTPUT changes marks, and must not",
    )


def _dropped(host: _Host, result: Result, arrivals: _Arrivals) -> Doubt | None:
    """Return why a silence is none of the host's, None where it is."""
    if not result.reason.endswith(_SILENT):
        return None
    if arrivals.lacking:
        return Doubt(
            f"is silent, and {arrivals.lacking}", "for mon: lvs-director install --systemd"
        )
    if not arrivals.answered(host.connections):
        return None
    ends = f"TCP from {host.target.name} port {host.target.port} to {host.source}"
    return Doubt("its answer came in and was dropped here", f"let the firewall's INPUT take {ends}")


def _end_without_verdict(hosts: Sequence[_Host]) -> None:
    """Raise CannotTellError where a host could not be judged."""
    troubled = [(host.target.host, host.trouble) for host in hosts if host.trouble is not None]
    if troubled:
        raise CannotTellError(*troubled[0], len(troubled) - 1)
