"""A director: a host with an IPVS table, and what keeps it right."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.mon import Mon
from tests.harness.waiting import wait_until
from tests.lab.addresses import GATEWAY, VIP, VIP6
from tests.lab.keepalived import Keepalived
from tests.lab.ldirectord import Ldirectord
from tests.lab.network import Host
from tests.lab.resident import HostResident

if TYPE_CHECKING:
    from collections.abc import Mapping

FORWARDING = {
    "ipv4/ip_forward": 1,
    "ipv6/conf/all/forwarding": 1,
    "ipv4/conf/all/send_redirects": 0,
    "ipv4/conf/default/send_redirects": 0,
    "ipv4/conf/eth0/send_redirects": 0,
}
# How many of them a failure shows.
CONNECTIONS = 40


class Director(Host):
    """One of the two directors; the virtual address is on the active one."""

    def __init__(self, name: str, address: str, inner: str, address6: str) -> None:
        super().__init__(name, [f"{address}/24", f"{inner}/24", f"{address6}/64"])
        self.set_sysctls(FORWARDING)
        self._watchers: list[HostMon | Ldirectord | Keepalived] = []

    def take_addresses(self) -> None:
        """Become the active one."""
        self._addresses("add")

    def give_up_addresses(self) -> None:
        """Stop being the active one."""
        self._addresses("del")

    def _addresses(self, verb: str) -> None:
        """Add or delete what the active director has beside its own addresses."""
        # As the preferred source, it would be what the real servers see and take for their own.
        words = " nodad preferred_lft 0" if verb == "add" else ""
        self.ip(
            [
                f"address {verb} {VIP}/32 dev eth0",
                f"address {verb} {GATEWAY}/32 dev eth0",
                f"address {verb} {VIP6}/128 dev eth0{words}",
            ]
        )

    def ipvsadm(self, *argv: str, stdin: str = "") -> str:
        """Run an ipvsadm that has to succeed, and return what it printed."""
        return self.do("ipvsadm", *argv, stdin=stdin)

    def try_ipvsadm(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run ipvsadm and return how it went."""
        return self.run("ipvsadm", *argv, stdin=stdin)

    def lay(self, *lines: str) -> None:
        """Make the table consist of these rules, in ipvsadm's words."""
        self.ipvsadm("-C")
        for line in lines:
            self.ipvsadm(*line.split())

    @property
    def table(self) -> list[str]:
        """The table as `ipvsadm -Sn` has it."""
        return self.ipvsadm("-Sn").splitlines()

    @property
    def thresholds(self) -> str:
        """The table as `ipvsadm -Ln --thresholds` has it."""
        return self.ipvsadm("-Ln", "--thresholds")

    def thresholds_of(self, destination: str) -> list[tuple[str, str]]:
        """Return the upper and the lower threshold of each entry of this address and port."""
        rows = [line.split() for line in self.thresholds.splitlines()]
        return [(row[2], row[3]) for row in rows if row[:2] == ["->", destination]]

    def wait_for_table(self, *lines: str) -> None:
        """Wait until the table consists of these rules, in the order of `ipvsadm -Sn`."""
        wanted = list(lines)
        wait_until(
            lambda: self.table == wanted,
            lambda: "the table is\n" + "\n".join(wanted) + "\nit is\n" + "\n".join(self.table),
            pause=0.4,
        )

    def mon(
        self,
        folder: Path,
        configuration: str,
        environment: Mapping[str, str] | None = None,
        *,
        has_resident: bool = True,
    ) -> HostMon:
        """Return a mon of this director with its files below `folder`; start it by `with`.

        Without `has_resident` no resident process beside it does the plugins' work.
        """
        name = f"mon{len(self._watchers)}"
        kind = MonWithResident if has_resident else HostMon
        mon = kind(self, folder / name, configuration, environment or {})
        self._watchers.append(mon)
        return mon

    def ldirectord(self, file: Path) -> Ldirectord:
        """Return an ldirectord of this director for a www.cf; start it by `with`."""
        ldirectord = Ldirectord(self, file)
        self._watchers.append(ldirectord)
        return ldirectord

    def keepalived(self, folder: Path, text: str) -> Keepalived:
        """Return a keepalived of this director for virtual servers; start it by `with`."""
        keepalived = Keepalived(self, folder, text)
        self._watchers.append(keepalived)
        return keepalived

    def story(self) -> str:
        """Return the table, its connections and what looks after it said."""
        connections = self.ipvsadm("-Lcn").splitlines()[:CONNECTIONS]
        parts = [self.ipvsadm("-Sn"), self.ipvsadm("-Ln"), self.thresholds, *connections]
        parts += [watcher.story for watcher in self._watchers]
        return "\n".join(parts)

    def forget(self) -> None:
        """Empty the table and drop what looked after it, which has ended."""
        self.ipvsadm("-C")
        self._watchers.clear()


class HostMon(Mon):
    """A mon that runs on a host of the lab."""

    def __init__(
        self, host: Host, folder: Path, configuration: str, environment: Mapping[str, str]
    ) -> None:
        self._host = host
        self._last_words = ""
        with host.inside():
            super().__init__(folder, configuration, environment)

    def start(self) -> None:
        """Start it there."""
        with self._host.inside():
            super().start()

    def stop(self) -> None:
        """Ask it how it sees its services, for the story, and end it."""
        with contextlib.suppress(AssertionError, OSError):
            self._last_words = "\n".join(self.command("list opstatus"))
        super().stop()

    def command(self, line: str) -> list[str]:
        """Give it a command, there."""
        with self._host.inside():
            return super().command(line)

    @property
    def story(self) -> str:
        """What it and its plugins said, and how it saw its services in the end."""
        return f"{super().story}\nservices:\n{self._last_words}"


class MonWithResident(HostMon):
    """A mon on a host of the lab, and the resident process, which logs where mon does."""

    def __init__(
        self, host: Host, folder: Path, configuration: str, environment: Mapping[str, str]
    ) -> None:
        place = folder / "resident"
        surroundings = {**environment, "LVSALERT_SOCKET": str(place / "socket")}
        super().__init__(host, folder, configuration, surroundings)
        self._resident = HostResident(host, place, syslog=self.syslog, mon=self)

    def start(self) -> None:
        """Start both there; a resident that outlived a mon goes on."""
        if not self._resident.runs:
            self._resident.start()
        super().start()

    def stop(self) -> None:
        """End both."""
        super().stop()
        self._resident.stop()
