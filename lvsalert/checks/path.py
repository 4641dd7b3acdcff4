"""Checks by way of the virtual address: through the kernel's own table, to one real server.

With direct routing and tunnels a real server can answer at its own address and still serve nobody:
the virtual address is missing there, its program listens elsewhere, the tunnel is down. A check by
way of the virtual address takes the path of a client. Its packets carry a firewall mark, for which
the kernel's table has a service with that one real server (socket(7), SO_MARK; ipvsadm(8), -f).

Three things keep it from a false word. A verdict counts only if the kernel's list of connections
shows that very connection at that very real server: without the mark's service any one answers, or
none. A failure is repeated from another port before it counts, since an entry that an earlier check
left would lead the first one astray. And after a silence we look whether this machine dropped the
question or the answer. What cannot be judged ends the run without a verdict on anybody: mon takes
a host that is not named for a good one.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Callable, NamedTuple

from lvsalert.checks.path_host import SO_MARK, Host, Ports, Source
from lvsalert.checks.path_proof import Proof, Watch, astray, dropped, watching
from lvsalert.checks.path_setting import Doubt, Virtual, doubt_of, setting_of, source_of
from lvsalert.checks.resolve import addresses_of
from lvsalert.checks.rtnetlink import Route
from lvsalert.checks.sweep import Target
from lvsalert.errors import LvsalertError, PrivilegeError
from lvsalert.model import (
    Connection,
    Endpoint,
    Forwarding,
    Protocol,
    Result,
    State,
    Way,
    canonical_address,
    family_of,
)

# IPVS takes one off. A real server on the link that lacks the virtual address, and forwards,
# would send the packet back, round and round.
_HOPS = 2


class CannotTellError(LvsalertError):
    """The path cannot be judged; the message says of which host, why, and what to do."""

    def __init__(self, host: str, doubt: Doubt, more: int = 0) -> None:
        self.about = f"{host} (and {more} more)" if more else host
        self.doubt = doubt
        super().__init__(f"{self.about}: {doubt}")


class Kernel(NamedTuple):
    """What is lent of the kernel's table, which is not ours to reach.

    ``marks`` returns a mark for each way, each with its service in the table. ``made`` returns
    those of the connections that are in the kernel's list. ``taken`` returns the ports of an
    address that the list holds over UDP to a virtual address and port. ``virtuals`` returns the
    addresses of the virtual services.
    """

    marks: Callable[[Sequence[Way]], Mapping[Way, int]]
    made: Callable[[Iterable[Connection]], set[Connection]]
    taken: Callable[[str, Endpoint], set[int]]
    virtuals: Callable[[], Collection[str]]


class Via(NamedTuple):
    """By way of which virtual address hosts are asked, and through which kernel."""

    virtual: Virtual
    kernel: Kernel


Ask = Callable[..., Sequence[Result]]
"""Asks targets, as ``sweep.sweep`` and ``threads.probe_in_threads`` do with their probe."""


def by_way(
    via: Via,
    protocol: Protocol,
    ask: Ask,
    targets: Sequence[Target],
    *,
    timeout: float,
    **limits: object,
) -> list[Result]:
    """Ask every target by way of the virtual address; the results are in their order.

    ``ask`` does so over ``protocol``.

    ``timeout`` is the seconds for one host each time it is asked, which is twice where it fails;
    the other limits are those of ``ask``. CannotTellError where a host could not be judged.
    """
    require_mark()
    addresses, unknown = _resolved(via.virtual, targets, timeout)
    results = dict(unknown)
    hosts = _hosts(via, protocol, [each for each in targets if each.host in addresses], addresses)
    asked = functools.partial(ask, timeout=timeout, **limits)
    results.update(_pass(hosts, asked, via.kernel, None))
    again = [each for each in hosts if each.is_to_repeat(results[each.target.host])]
    if again:
        with watching(again) as watch:
            results.update(_pass(again, asked, via.kernel, watch))
    _end_without_verdict(hosts)
    return [results[target.host] for target in targets]


def require_mark() -> None:
    """See to it that this process may mark packets. PrivilegeError says what would allow it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_MARK, 0)
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


def _hosts(
    via: Via, protocol: Protocol, targets: Sequence[Target], addresses: Mapping[str, str]
) -> list[Host]:
    """Return the hosts with their marks in the kernel's table."""
    virtual = via.virtual
    virtuals = {virtual.address, *via.kernel.virtuals()}
    setting = setting_of(virtuals, [addresses[each.host] for each in targets])
    # All that are reached by one route are asked from one address.
    sources: dict[Route | None, Source] = {}
    ports = Ports(via.kernel.taken)
    hosts = []
    for target in targets:
        address = addresses[target.host]
        route = setting.routes.get(address)
        if route not in sources:
            doubt = doubt_of(virtual, address, setting)
            if doubt is not None:
                raise CannotTellError(target.host, doubt)
            hops = _HOPS if route is not None and route.is_direct else None
            sources[route] = Source(source_of(virtual, address, setting), hops)
        is_nat = virtual.forwarding is Forwarding.MASQUERADING
        is_mapped = is_nat and virtual.port not in (None, target.port)
        way = Way(
            family_of(virtual.address),
            address,
            target.port if is_mapped else 0,
            virtual.forwarding,
            virtual.flags,
        )
        hosts.append(Host(target, virtual, way, sources[route], ports, protocol=protocol))
    marks = via.kernel.marks(list(dict.fromkeys(each.way for each in hosts)))
    for each in hosts:
        each.mark = marks[each.way]
    return hosts


def _pass(
    hosts: Sequence[Host], ask: Ask, kernel: Kernel, watch: Watch | None
) -> dict[str, Result]:
    """Ask hosts once, and return their results; ``trouble`` is why one says nothing of its host."""
    for host in hosts:
        host.begin()
    with Proof(kernel.made, hosts) as proof:
        results = ask([host.target for host in hosts])
    for host, result in zip(hosts, results):
        if result.state is not State.UNKNOWN:
            host.trouble = host.trouble or astray(host, proof.seen)
        if result.state is State.FAILED and watch is not None:
            host.trouble = host.trouble or dropped(host, result, watch)
    return {host.target.host: result for host, result in zip(hosts, results)}


def _end_without_verdict(hosts: Sequence[Host]) -> None:
    """Raise CannotTellError where a host could not be judged."""
    troubled = [(host.target.host, host.trouble) for host in hosts if host.trouble is not None]
    if troubled:
        raise CannotTellError(*troubled[0], len(troubled) - 1)
