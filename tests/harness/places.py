"""Folders, ports and addresses for servers under test."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.waiting import patience

CHECKOUT = Path(__file__).resolve().parents[2]

# Below those that the kernel gives to clients (ip_local_port_range, ip(7)), so that none of these
# takes one before its server has; and those of each process that shares the tests for itself.
_FIRST_PORT = 12000
_SHARE = 2500


def _ports() -> Iterator[int]:
    """Go round in this process's share, from somewhere else than the one before it."""
    first = _FIRST_PORT + worker() % 8 * _SHARE
    return itertools.cycle(first + (os.getpid() + each) % _SHARE for each in range(_SHARE))


def worker() -> int:
    """Return which of the processes that share the tests this is; 0 where there is only one."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


_PORTS = _ports()


def _all_may_enter(folder: Path) -> bool:
    return all(at.stat().st_mode & stat.S_IXOTH for at in (folder, *folder.parents))


@contextmanager
def open_folder() -> Iterator[Path]:
    """Give a new folder that every user may enter and read, and remove it afterwards.

    pytest's own tmp_path lies below a folder of mode 0700, and TMPDIR may too; the user mon has
    to get in here.
    """
    candidates = (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))
    parent = next(folder for folder in candidates if _all_may_enter(folder))
    folder = Path(tempfile.mkdtemp(prefix="lvsalert-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        remove_tree(folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, unless something is mounted there (proc(5)).

    A removal would go on into what is mounted, which may be anybody's.
    """
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [each for each in mounts if Path(each).is_relative_to(folder)]
    assert not below, f"not removed, since something is mounted there: {' '.join(below)}"
    shutil.rmtree(folder)


def free_port(address: str = "127.0.0.1") -> int:
    """Return a TCP port that nothing uses on `address` (IPv4 or IPv6, without brackets)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(_SHARE):
        port = next(_PORTS)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(sockaddr(address, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port
    raise AssertionError(f"no port is free on {address}")


def sockaddr(address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return what bind(2) takes, with the zone of an address, which Python passes over."""
    bare, percent, zone = address.partition("%")
    return (bare, port, 0, socket.if_nametoindex(zone)) if percent else (bare, port)


def join(address: str, port: int) -> str:
    """Write address and port the way URLs, ipvsadm and nginx do: IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def split(spelling: str) -> tuple[str, int]:
    """Undo `join`."""
    address, _, port = spelling.rpartition(":")
    return address.strip("[]"), int(port)


def answers(spelling: str) -> bool:
    """Say whether something accepts TCP connections at `address:port`."""
    try:
        with socket.create_connection(split(spelling), timeout=patience(50)):
            return True
    except OSError:
        return False


def loopback(first: int, count: int) -> list[str]:
    """Return `count` addresses 127.1.x.y of this machine, from number `first` on.

    The whole of 127.0.0.0/8 answers on lo without being configured.
    """
    return [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(first, first + count)]


def is_root() -> bool:
    """Say whether the tests run as root."""
    return os.geteuid() == 0
