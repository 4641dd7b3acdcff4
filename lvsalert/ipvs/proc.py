"""The kernel's table and its connections as /proc/net shows them: read in a moment, by anybody."""

from __future__ import annotations

from collections.abc import Iterable

from lvsalert.errors import NoKernelError
from lvsalert.ipvs import marks
from lvsalert.model import Connection, Endpoint

_TABLE = "/proc/net/ip_vs"
_CONNECTIONS = "/proc/net/ip_vs_conn"


def standing() -> marks.Standing:
    """Return the marks of our checks that stand. NoKernelError where there is no IPVS."""
    return marks.standing(_read(_TABLE))


def virtual_addresses() -> set[str]:
    """Return the addresses of all virtual services. NoKernelError where there is no IPVS."""
    return marks.virtual_addresses(_read(_TABLE))


def made(asked: Iterable[Connection]) -> set[Connection]:
    """Return those of the connections that the kernel has led where they were to go.

    It knows one for 10 seconds after its end by a reset, and longer after any other (ip_vs's
    time-outs), whatever state it was in; over UDP for 300 seconds after its last packet.
    NoKernelError where there is no IPVS.
    """
    return marks.made(_read(_CONNECTIONS), asked)


def udp_ports(source: str, virtual: Endpoint) -> set[int]:
    """Return the ports of a source that the list has over UDP to a virtual address and port.

    What is sent from one goes where it went before, whatever its mark. NoKernelError where there
    is no IPVS.
    """
    return marks.udp_ports(_read(_CONNECTIONS), source, virtual)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise NoKernelError(f"{path}: {error.strerror}: IPVS is not loaded") from None
