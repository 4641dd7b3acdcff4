"""lvs-director check: how clients get to the real servers, and what checks by that path would find.

Two things: a real server that answers ARP for a virtual address takes clients past the director.
And with --via each real server in the table is connected to by way of its virtual address, or over
UDP sent an empty datagram, since there is no question that all would answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lvsalert.checks import tcp
from lvsalert.checks.arp import owners
from lvsalert.checks.monitor import Limits, by_sweep
from lvsalert.checks.path import CannotTellError, Kernel, Via
from lvsalert.checks.path_setting import Setting, Virtual, setting_of, source_of
from lvsalert.checks.sweep import WRITE, Conversation, Target, Verdict
from lvsalert.errors import LvsalertError, PrivilegeError
from lvsalert.host.finding import Finding
from lvsalert.ipvs.table import Service, Table
from lvsalert.model import Forwarding, Protocol, RealServer, State, join_endpoint

if TYPE_CHECKING:
    import socket

    from lvsalert.checks.sweep import Probe

# A neighbour answers in less, and one that is not there keeps nobody waiting.
_ARP_SECONDS = 1.0
_CONNECT_SECONDS = 3.0
_AT_ONCE = 512
_BY_ADDRESS = frozenset((Forwarding.GATEWAYING, Forwarding.TUNNELLING))


def arp(table: Table) -> Iterator[Finding]:
    """Ask on each link whether a real server answers for a virtual address (arp_ignore)."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for virtual, service in table.items():
        if virtual.protocol is not Protocol.FWMARK and ":" not in virtual.address:
            wanted[virtual.address] |= {
                real.address
                for real in service.real_servers.values()
                if real.forwarding in _BY_ADDRESS and ":" not in real.address
            }
    reals = {address for each in wanted.values() for address in each}
    if not reals:
        return
    try:
        answers = _answers(wanted, setting_of(set(wanted), reals))
        if not answers:
            return
    except PrivilegeError as error:
        yield Finding("ARP", str(error), "be root, or for mon: lvs-director install --systemd")
        return
    except OSError as error:
        yield Finding("ARP", f"cannot be asked: {error.strerror}", "see ip address")
        return
    found = [
        f"{real} answers for {virtual}"
        for virtual, addresses in wanted.items()
        for real in sorted(addresses)
        if answers.get(virtual, set()) & answers.get(real, set())
    ]
    if found:
        todo = (
            "there: sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2, and"
            " for every boot in /etc/sysctl.d"
        )
        yield Finding("ARP", "; ".join(found), todo)
    else:
        yield Finding(
            "ARP", f"no real server on a link here answers for {', '.join(sorted(wanted))}"
        )


def _answers(wanted: dict[str, set[str]], setting: Setting) -> dict[str, set[str]]:
    """Return who answers for each address, on the links to the real servers."""
    asked: dict[tuple[str, str], set[str]] = defaultdict(set)
    for virtual, reals in wanted.items():
        for real in reals:
            route = setting.routes.get(real)
            source = source_of(Virtual(virtual, None, Forwarding.GATEWAYING), real, setting)
            if route is not None and route.is_direct and not route.is_local and source:
                asked[route.interface, source] |= {virtual, real}
    found: dict[str, set[str]] = defaultdict(set)
    for (interface, source), addresses in asked.items():
        for address, hardware in owners(interface, source, addresses, _ARP_SECONDS).items():
            found[address] |= hardware
    return found


class _Group(NamedTuple):
    """Real servers of a service that the kernel reaches alike."""

    virtual: Virtual
    is_udp: bool
    targets: list[Target]


def by_way(table: Table, kernel: Kernel) -> Iterator[Finding]:
    """Try each real server by way of its virtual address, and say whether that tells."""
    groups = [each for service in table.values() for each in _groups(service)]
    if not groups:
        yield Finding(
            "--via", "no virtual service over TCP or UDP has a real server to try it with, so far"
        )
    for group in groups:
        yield _tried(group, kernel)


def _groups(service: Service) -> Sequence[_Group]:
    virtual = service.virtual
    if virtual.protocol not in (Protocol.TCP, Protocol.UDP) or not virtual.port:
        return ()
    is_udp = virtual.protocol is Protocol.UDP
    alike: dict[Virtual, list[RealServer]] = defaultdict(list)
    for real in service.real_servers.values():
        is_mapped = real.forwarding is Forwarding.MASQUERADING
        port = virtual.port if is_mapped else None
        alike[Virtual(virtual.address, port, real.forwarding, real.flags)].append(real)
    return [
        _Group(each, is_udp, [Target(real.endpoint, real.address, real.port) for real in reals])
        for each, reals in alike.items()
    ]


def _tried(group: _Group, kernel: Kernel) -> Finding:
    import functools
    import time

    limits = Limits(_CONNECT_SECONDS, None, _AT_ONCE, prefer_ipv6=False)
    probe: Probe = _send if group.is_udp else functools.partial(tcp.probe, tcp.Check())
    via = Via(group.virtual, kernel)
    run = by_sweep(group.targets, probe, limits, datagrams=group.is_udp, via=via)
    name = join_endpoint(group.virtual.address, group.virtual.port or group.targets[0].port)
    try:
        results = run.probe(time.monotonic() + run.seconds)
    except CannotTellError as error:
        return Finding("--via", f"{name}: {error.about}: {error.doubt.found}", error.doubt.todo)
    except LvsalertError as error:
        return Finding("--via", f"{name}: {error}", "see the lines above")
    good = sum(each.state is State.GOOD for each in results)
    bad = [f"{each.host} ({each.reason})" for each in results if each.state is not State.GOOD]
    are = "are sent to over UDP" if group.is_udp else "answer"
    told = f"{name}: {good} of {len(results)} real servers {are} by way of it"
    return Finding("--via", "; ".join([told, *(f"not {each}" for each in bad)]))


def _send(sock: socket.socket, _target: Target) -> Conversation:
    """Send an empty datagram; what the kernel's list shows of it is all that is told."""
    yield WRITE
    sock.send(b"")
    return Verdict("", b"")
