"""From where a virtual address is asked, and what would keep its answers from coming back here."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from lvsalert.checks import rtnetlink
from lvsalert.checks.rtnetlink import OwnAddress, Route
from lvsalert.model import Forwarding, family_of

_SYSCTLS = "/proc/sys/net/ipv4"
_HOST_PREFIX: dict[int, int] = {socket.AF_INET: 32, socket.AF_INET6: 128}


class Doubt(NamedTuple):
    """Why the path to a real server cannot be judged from here, and what to do about it."""

    found: str
    todo: str

    def __str__(self) -> str:
        """Return both as a sentence."""
        return f"{self.found}: {self.todo}"


class Virtual(NamedTuple):
    """A virtual address, and how the kernel sends to its real servers.

    ``port`` is the virtual service's where masquerading maps it, None where it is the real
    servers'. ``flags`` are the words of a tunnel.
    """

    address: str
    port: int | None
    forwarding: Forwarding
    flags: tuple[str, ...] = ()


class Setting(NamedTuple):
    """What this machine is like: its addresses, those that are virtual, routes to real servers."""

    own: Sequence[OwnAddress]
    virtuals: Collection[str]
    routes: Mapping[str, Route]


def setting_of(virtuals: Collection[str], addresses: Iterable[str]) -> Setting:
    """Return what this machine is like, with its virtual addresses, as seen from real servers."""
    routes = rtnetlink.routes(list(dict.fromkeys(addresses)))
    return Setting(rtnetlink.own_addresses(), virtuals, routes)


def source_of(virtual: Virtual, real: str, setting: Setting) -> str:
    """Return this machine's own address to ask a real server from, empty where there is none.

    Never a virtual one, which the real server would take for its own. With masquerading one off the
    real server's link is better, since only then its way back is by the director, as a client's is.
    """
    is_nat = virtual.forwarding is Forwarding.MASQUERADING
    route = setting.routes.get(real)
    family = family_of(virtual.address)

    def rank(own: OwnAddress) -> tuple[bool, ...]:
        is_near = _holds(own, real)
        is_usual = route is not None and own.address == route.source
        return (
            not own.is_chosen,
            # As what moves from machine to machine has it.
            own.prefix == _HOST_PREFIX[family],
            is_nat and is_near,
            not is_nat and not is_usual,
            not _holds(own, virtual.address),
        )

    usable = [
        each
        for each in setting.own
        if family_of(each.address) == family and each.address not in setting.virtuals
    ]
    return min(usable, key=rank).address if usable else ""


def _holds(own: OwnAddress, address: str) -> bool:
    """Return whether an address is in the network of one of ours."""
    family = family_of(own.address)
    if family_of(address) != family:
        return False
    shift = _HOST_PREFIX[family] - own.prefix
    ours, theirs = (
        int.from_bytes(socket.inet_pton(family, each.partition("%")[0]), "big") >> shift
        for each in (own.address, address)
    )
    return ours == theirs


def doubt_of(virtual: Virtual, real: str, setting: Setting) -> Doubt | None:
    """Return why the path to a real server could not be judged from here, None where it can."""
    route = setting.routes.get(real)
    if route is None:
        return Doubt(f"there is no route to {real}", "see ip route get")
    if route.is_local:
        return Doubt(f"{real} is this director itself", "check it without --via")
    if not source_of(virtual, real, setting):
        found = f"this director has no address of its own to ask {virtual.address} from"
        return Doubt(found, "give it one beside its virtual ones")
    if ":" in virtual.address or virtual.forwarding is Forwarding.MASQUERADING:
        return None
    return _dropped_as_own(virtual.address, route.interface, setting)


def _dropped_as_own(address: str, interface: str, setting: Setting) -> Doubt | None:
    """Return why answers from a virtual IPv4 address would be dropped as martians.

    They come in with a source that is this machine's own (ip-sysctl, accept_local and rp_filter).
    """
    at = next((each.interface for each in setting.own if each.address == address), None)
    if at is None:
        return None
    lost = f"answers from {address} would be dropped here, since net.ipv4.conf.{interface}"
    if not _conf(interface, "accept_local"):
        todo = f"as root: lvs-director install --via {interface}, and what that says to run"
        return Doubt(f"{lost}.accept_local is 0", todo)
    if at != interface and _conf(interface, "rp_filter") == 1:
        todo = f"as root: sysctl -w net/ipv4/conf/{interface}/rp_filter=2"
        return Doubt(f"{lost}.rp_filter is 1 and the address is on {at}", todo)
    return None


def _conf(interface: str, name: str) -> int:
    """Return the larger of an interface's value and that of all, by which the kernel goes."""
    values = [sysctl(f"conf/{each}/{name}") for each in ("all", interface)]
    return max(each or 0 for each in values)


def sysctl(name: str) -> int | None:
    """Return a number below net.ipv4, None where there is none."""
    try:
        with open(os.path.join(_SYSCTLS, name), encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
