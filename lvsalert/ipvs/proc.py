"""The kernel's table and its connections as /proc/net shows them: read in a moment, by anybody."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lvsalert.errors import NoKernelError
from lvsalert.ipvs import marks
from lvsalert.model import Connection

_TABLE = Path("/proc/net/ip_vs")
_CONNECTIONS = Path("/proc/net/ip_vs_conn")


def standing() -> marks.Standing:
    """Return the marks of our checks that stand. NoKernelError where there is no IPVS."""
    return marks.standing(_read(_TABLE))


def virtual_addresses() -> set[str]:
    """Return the addresses of all virtual services. NoKernelError where there is no IPVS."""
    return marks.virtual_addresses(_read(_TABLE))


def made(asked: Iterable[Connection]) -> set[Connection]:
    """Return those of the connections that the kernel has led where they were to go.

    It knows one for 10 seconds after its end by a reset, and longer after any other (ip_vs's
    time-outs), whatever state it was in. NoKernelError where there is no IPVS.
    """
    return marks.made(_read(_CONNECTIONS), asked)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError as error:
        raise NoKernelError(f"{path}: {error.strerror}: IPVS is not loaded") from None
