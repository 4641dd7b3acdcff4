"""The firewall marks by which our checks choose a real server. No I/O.

Each mark is a virtual service of its own (ipvsadm(8), -f) with one real server, port 0: the kernel
sends there what carries the mark, with the port that it had. All lie in one range, by which they
are told from the services of people, and below 2^31, above which ipvsadm prints them negative.
"""

from __future__ import annotations

import functools
import re
import socket
from collections.abc import Iterable, Mapping

from lvsalert.ipvs.table import Service, Table
from lvsalert.model import (
    Connection,
    Endpoint,
    Forwarding,
    Protocol,
    RealServer,
    VirtualService,
    Way,
)

# The lowest is one above; 0x4C56 is "LV". Kubernetes and Tailscale use other bits.
_BASE = 0x4C560000
_COUNT = 0x4000
MARKS = range(_BASE + 1, _BASE + _COUNT)
"""The marks that are ours."""

# What /proc/net/ip_vs calls them.
_METHODS = {
    "Route": Forwarding.GATEWAYING,
    "Masq": Forwarding.MASQUERADING,
    "Tunnel": Forwarding.TUNNELLING,
}


def is_ours(virtual: VirtualService) -> bool:
    """Return whether a virtual service is a mark of our checks."""
    return virtual.protocol is Protocol.FWMARK and virtual.fwmark in MARKS


def table_of(marks: Mapping[int, Way]) -> Table:
    """Return the table that holds just these marks."""
    return dict(_service_of(mark, way) for mark, way in marks.items())


def _service_of(mark: int, way: Way) -> tuple[VirtualService, Service]:
    virtual = VirtualService(Protocol.FWMARK, "", 0, mark, way.family)
    real = RealServer(way.address, way.port, way.forwarding, flags=way.flags)
    return virtual, Service(virtual, "rr", (), {(way.address, way.port): real})


Standing = Mapping[int, tuple[str, int, Forwarding]]
"""The real server of each mark of ours: address, port, method."""


def standing(text: str) -> Standing:
    """Return the marks of ours in the text of /proc/net/ip_vs.

    It is read in a moment however long the table is, and so before every check. One without its
    real server is left out.
    """
    found: dict[int, tuple[str, int, Forwarding]] = {}
    mark = 0
    for line in text.splitlines():
        words = line.split()
        if line.startswith("FWM"):
            mark = int(words[1], 16)
        elif line[:1] != " ":
            mark = 0
        elif mark in MARKS and words[0] == "->" and words[2] in _METHODS:
            address, _, port = words[1].rpartition(":")
            found[mark] = _address(address), int(port, 16), _METHODS[words[2]]
    return found


def virtual_addresses(text: str) -> set[str]:
    """Return the addresses of the virtual services in the text of /proc/net/ip_vs."""
    found = re.findall(r"^(?:TCP|UDP|SCTP) +(\S+):\w+ ", text, re.MULTILINE)
    return {_address(each) for each in found}


def made(text: str, asked: Iterable[Connection]) -> set[Connection]:
    """Return those of the connections that are in the text of /proc/net/ip_vs_conn."""
    lines = {_line(each): each for each in asked}
    starts = "|".join({" ".join(line.split(" ", 2)[:2]) for line in lines})
    if not starts:
        return set()
    # A director in the middle of its work has many that are others'.
    found = re.findall(rf"^((?:{starts})(?: \S+){{5}})", text, re.MULTILINE)
    return {lines[each] for each in lines.keys() & set(found)}


def _line(connection: Connection) -> str:
    """Return a connection as the kernel prints it, up to its state."""
    return " ".join((connection.protocol.name, *map(_end, connection[1:])))


def udp_ports(text: str, source: str, virtual: Endpoint) -> set[int]:
    """Return the ports of a source that the text of /proc/net/ip_vs_conn has over UDP.

    They are those of connections to a virtual address and port.
    """
    start = f"UDP +{_hexadecimal(source)}"
    found = re.findall(rf"^{start} (\w+) {_end(virtual)} ", text, re.MULTILINE)
    return {int(each, 16) for each in found}


def _end(endpoint: Endpoint) -> str:
    return f"{_hexadecimal(endpoint[0])} {endpoint[1]:04X}"


@functools.lru_cache(maxsize=64)
def _hexadecimal(address: str) -> str:
    if ":" not in address:
        return socket.inet_aton(address).hex().upper()
    return socket.inet_pton(socket.AF_INET6, address).hex(":", 2)


def _address(text: str) -> str:
    """Return an address of /proc/net/ip_vs as inet_ntop(3) writes it."""
    if ":" in text:
        bare = text.strip("[]")
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, bare))
    return socket.inet_ntoa(bytes.fromhex(text))
