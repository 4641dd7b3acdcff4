"""A real server: a host with the virtual address on lo, a real nginx, a real vsftpd and an echo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.nginx import Nginx, Site
from tests.harness.places import join
from tests.harness.processes import Program
from tests.harness.vsftpd import Vsftpd
from tests.harness.waiting import wait_until
from tests.lab.addresses import GATEWAY, VIP, VIP6
from tests.lab.network import Host

if TYPE_CHECKING:
    from collections.abc import Sequence

ECHO = Path(__file__).with_name("guest") / "echo.py"
WEB_PORTS = (80, 443, 8080)
ECHO_PORT = 7
# The virtual address is nobody's business but the director's on the wire.
QUIET = {"ipv4/conf/all/arp_ignore": 1, "ipv4/conf/all/arp_announce": 2}
# What goes out as the server's own address was masqueraded and has to go back by the director; what
# goes out as the virtual address goes straight to the client.
BY_DIRECTOR = 100


class RealServer(Host):
    """One real server, reached in all three ways: direct routing, masquerading and tunnelling."""

    def __init__(self, name: str, address: str, address6: str, folder: Path) -> None:
        super().__init__(name, [f"{address}/24", f"{address6}/64"], ["10.0.0.0/24 dev eth0"])
        self.address = address
        self.address6 = address6
        self.set_sysctls(QUIET)
        self.ip(
            [
                f"address add {VIP}/32 dev lo",
                f"address add {VIP6}/128 dev lo nodad",
                "link set tunl0 up",
                f"rule add from {address} to 10.0.0.0/24 lookup {BY_DIRECTOR}",
                f"route add 10.0.0.0/24 via {GATEWAY} table {BY_DIRECTOR}",
            ]
        )
        self.folder = folder / name
        self.folder.mkdir()
        self.say(name)
        self.asked = self.folder / "asked"
        self.web = HostNginx(self, self.folder / "nginx", [self._site()])
        self.ftp = HostVsftpd(self, self.folder / "vsftpd", join(address, 21))
        self.echo = Echo(self, self.folder / "echo", [address, address6, VIP, VIP6])

    @property
    def programs(self) -> tuple[Program, ...]:
        """All servers of this host."""
        return (self.web, self.ftp, self.echo)

    def say(self, text: str) -> None:
        """Have the web server's page hold this, which is the server's name at first."""
        # No reader shall find half of it.
        new = self.folder / "new"
        new.write_text(f"{text}\n")
        new.replace(self.folder / "page")

    def _site(self) -> Site:
        """The same page at every port and path."""
        places = [join(address, port) for port in WEB_PORTS for address in ("0.0.0.0", "::")]
        page = "default_type text/plain; rewrite ^ /page break;"
        log = f"access_log {self.asked};"
        return Site(places, f"location / {{ root {self.folder}; {log} {page} }}")


class There(Program):
    """A program that starts on a host of the lab."""

    host: Host

    def start(self) -> None:
        """Start it there."""
        with self.host.inside():
            super().start()


class HostNginx(There, Nginx):
    """An nginx on a host of the lab."""

    def __init__(self, host: Host, folder: Path, sites: Sequence[Site]) -> None:
        super().__init__(folder, *sites)
        self.host = host


class HostVsftpd(There, Vsftpd):
    """A vsftpd on a host of the lab."""

    def __init__(self, host: Host, folder: Path, place: str) -> None:
        super().__init__(folder, place)
        self.host = host


class Echo(There):
    """The UDP echo server on a host of the lab."""

    def __init__(self, host: Host, folder: Path, addresses: Sequence[str]) -> None:
        folder.mkdir()
        argv = [sys.executable, str(ECHO), host.name, str(ECHO_PORT), *addresses]
        super().__init__(argv, folder / "output")
        self.host = host

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.log.unlink(missing_ok=True)
        super().start()
        wait_until(lambda: "ready" in self.output, lambda: f"echo answers: {self.output}")
