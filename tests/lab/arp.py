"""What tcpdump sees of the directors: heartbeats, and gratuitous ARP for an address."""

from __future__ import annotations

import re
from pathlib import Path

from tests.harness.processes import Program
from tests.harness.waiting import wait_until
from tests.lab.managers import Manager
from tests.lab.network import Host


class Watcher(Program):
    """A tcpdump on a neighbour of the directors."""

    def __init__(self, host: Host, address: str, manager: Manager, log: Path) -> None:
        argv = ["tcpdump", "-Z", "root", "-l", "-n", "-e", "-t", "-i", "eth0"]
        wanted = [f"(arp host {address})", *([f"({manager.beat})"] if manager.beat else [])]
        super().__init__([*argv, " or ".join(wanted)], log)
        self._host = host
        self._address = address
        self._beat = manager.shown

    def start(self) -> None:
        """Start it there, and wait until it sees packets."""
        with self._host.inside():
            super().start()
        wait_until(lambda: "listening on" in self.output, lambda: self.output)

    def has_heard(self, hardware: str, since: int) -> bool:
        """Say whether the owner of a hardware address has told everybody that it has the address.

        It is an ARP request or reply of an address about itself (RFC 5227); what counts is in the
        output behind its first `since` letters.
        """
        address = re.escape(self._address)
        about = rf"Request who-has {address} .*tell {address}|Reply {address} is-at {hardware}"
        return (
            re.search(rf"^{hardware} > .*(?:{about})", self.output[since:], re.MULTILINE)
            is not None
        )

    def wait_for_beat(self, hardware: str) -> None:
        """Wait until the owner of a hardware address sends a heartbeat, where those are heard."""
        if self._beat:
            heard = self._beats(hardware)
            wait_until(lambda: self._beats(hardware) > heard, f"{hardware} sends a heartbeat")

    def _beats(self, hardware: str) -> int:
        return len(re.findall(rf"^{hardware} > .*{self._beat}", self.output, re.MULTILINE))
