"""The resident process on a host of the lab."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.harness.mon import as_user
from tests.harness.waiting import wait_until
from tests.lab.configuration import LVS_DIRECTOR
from tests.lab.realserver import There

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.mon import Mon
    from tests.harness.syslog import Syslog
    from tests.lab.network import Host


class HostResident(There):
    """The resident process on a host, as mon's user, in a folder of its own."""

    def __init__(
        self,
        host: Host,
        folder: Path,
        *,
        syslog: Syslog | None = None,
        mon: Mon | None = None,
    ) -> None:
        """Make the folder; what it logs goes to `syslog`, and what it finds to `mon`."""
        folder.mkdir()
        folder.chmod(0o777)
        self.path = folder / "socket"
        argv = [*as_user(), LVS_DIRECTOR, "serve", "--socket", str(self.path)]
        if mon is not None:
            argv += ["--mon", mon.place, "--trap", mon.trap_place]
        argv = argv if syslog is None else syslog.for_program(argv)
        super().__init__(argv, folder / "output")
        self.host = host

    def start(self) -> None:
        """Start it, and wait until it takes calls."""
        super().start()
        wait_until(self.path.exists, lambda: f"it listens\n{self.output}")
