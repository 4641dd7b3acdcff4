"""A director under test: the real mon with one of the examples, and the table it keeps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.harness.mon import Mon
from tests.harness.places import join

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.installation import Installation
    from tests.harness.standin import StandIn

ADDRESSES = tuple(f"127.0.7.{number}" for number in range(1, 6))


@dataclass
class Director:
    """What a test of the whole needs: mon, the table, and where the real servers are."""

    mon: Mon
    table: StandIn
    http_port: int
    ftp_port: int = 21

    @property
    def web(self) -> str:
        """The virtual service for HTTP; with direct routing its port is the real servers'."""
        return join("10.0.0.3", self.http_port)

    @property
    def ftp(self) -> str:
        """The virtual service for FTP."""
        return join("10.0.0.3", self.ftp_port)

    def place(self, number: int) -> str:
        """Return where web server `number` (from 1) listens."""
        return join(ADDRESSES[number - 1], self.http_port)

    def places(self, *numbers: int) -> set[str]:
        """Return where these web servers listen."""
        return {self.place(number) for number in numbers}

    def serve(self, *numbers: int) -> None:
        """Wait until exactly these web servers are in the table."""
        self.table.wait_for(self.web, self.places(*numbers), lambda: self.mon.story)


def on_loopback(configuration: str, installation: Installation) -> str:
    """Return an example with the plugins' folder, addresses and intervals of the tests."""
    changed = configuration.replace("/usr/local/lib/mon", str(installation.prefix))
    changed = re.sub(r"192\.168\.0\.(\d)", r"127.0.7.\1", changed)
    changed = re.sub(r"^randstart .*$", "", changed, flags=re.MULTILINE)
    return changed.replace("interval 10s", "interval 1s")


def director(
    folder: Path, table: StandIn, configuration: str, http_port: int, ftp_port: int = 21
) -> Director:
    """Return a director whose mon has this configuration, with the ports of the real servers."""
    changed = configuration.replace("10.0.0.3:80", join("10.0.0.3", http_port))
    changed = changed.replace("10.0.0.3:21", join("10.0.0.3", ftp_port))
    changed = changed.replace("http.monitor", f"http.monitor -p {http_port}")
    changed = changed.replace("ftp.monitor", f"ftp.monitor -p {ftp_port}")
    mon = Mon(folder / "mon", changed, table.environment)
    return Director(mon, table, http_port, ftp_port)
