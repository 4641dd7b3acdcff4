"""Hosts as network namespaces on one bridge, inside the guest."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

CLONE_NEWNET = 0x40000000
BRIDGE = "lan"
# Set before the interface comes up: addresses are there at once, and nobody filters by return path.
SYSCTLS = {
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv6/conf/all/accept_dad": 0,
    "ipv6/conf/default/accept_dad": 0,
}

_libc = ctypes.CDLL(None, use_errno=True)


class Host:
    """A host of its own: a network namespace with an interface eth0 on the bridge.

    Give `addresses` with their prefix lengths and `routes` in the words of ip-route(8).
    """

    def __init__(self, name: str, addresses: Sequence[str], routes: Iterable[str] = ()) -> None:
        self.name = name
        self.addresses = [address.partition("/")[0] for address in addresses]
        ip([f"netns add {name}", f"link add {name} type veth peer name eth0 netns {name}"])
        ip([f"link set {name} master {BRIDGE} up"])
        self.set_sysctls(SYSCTLS)
        self.ip(["link set lo up", "link set eth0 up"])
        self.ip([_address_line(address) for address in addresses])
        self.ip([f"route add {route}" for route in routes])

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Move the calling thread, and what it starts, to this host for a while.

        Sockets opened here stay here, and so do programs that were started here.
        """
        with Path("/proc/thread-self/ns/net").open("rb") as home:
            with Path("/run/netns", self.name).open("rb") as there:
                _enter(there)
            try:
                yield
            finally:
                _enter(home)

    def run(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program here to its end and return how it went, whatever its status is."""
        with self.inside():
            return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)

    def do(self, *argv: str, stdin: str = "") -> str:
        """Run a program here that has to succeed, and return its stdout."""
        done = self.run(*argv, stdin=stdin)
        assert done.returncode == 0, f"{argv} on {self.name}: {done.returncode}\n{done.stderr}"
        return done.stdout

    def ip(self, lines: Iterable[str]) -> None:
        """Run commands of ip(8) here."""
        ip(lines, "-n", self.name)

    def set_sysctls(self, values: Mapping[str, int | str]) -> None:
        """Set values below /proc/sys/net, which shows each host its own."""
        with self.inside():
            for name, value in values.items():
                Path("/proc/sys/net", name).write_text(f"{value}\n")

    def filter_packets(self, *commands: str) -> None:
        """Have exactly these rules of nft(8), instead of those that stood."""
        self.do("nft", "-f", "-", stdin="\n".join(["flush ruleset", *commands]))

    def unplug(self) -> None:
        """Pull the cable."""
        ip([f"link set {self.name} down"])

    def plug_in(self) -> None:
        """Put the cable back."""
        ip([f"link set {self.name} up"])


def make_bridge() -> None:
    """Make the switch that all hosts are plugged into."""
    ip([f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up"])


def ip(lines: Iterable[str], *options: str) -> None:
    """Run commands of ip(8) in one go; all of them have to succeed."""
    batch = "\n".join(lines)
    if batch:
        done = subprocess.run(
            ["ip", *options, "-batch", "-"],
            input=batch,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"ip {' '.join(options)}: {done.stderr}\n{batch}"


def _address_line(address: str) -> str:
    """Return the command that gives eth0 an address."""
    return f"address add {address} dev eth0{' nodad' if ':' in address else ''}"


def _enter(namespace: IO[bytes]) -> None:
    """Move the calling thread, see setns(2)."""
    if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), namespace.name)
