"""The real ldirectord on a host of the lab, to hold ours against."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.lab.realserver import There

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.network import Host


class Ldirectord(There):
    """One ldirectord for one file, which has to say `supervised = yes`: it stays with its starter.

    What it logs goes beside the file.
    """

    def __init__(self, host: Host, file: Path) -> None:
        super().__init__(["ldirectord", str(file), "start"], file.with_suffix(".log"))
        self.host = host

    def reload(self) -> None:
        """Have it read its file anew."""
        self.signal(signal.SIGHUP)

    @property
    def story(self) -> str:
        """What it logged."""
        return self.output
