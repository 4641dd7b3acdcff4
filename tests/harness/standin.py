"""The stand-in for ipvsadm, as a program that mon's user can run, with a table of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.harness.mon import USER
from tests.harness.places import is_root
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_WRITE = """
import sys
from pathlib import Path
from lvsalert.standin import write_executable
write_executable(Path(sys.argv[1]), Path(sys.argv[2]))
"""


class StandIn:
    """An ipvsadm whose table is a file below `folder`, one that every user may enter."""

    def __init__(self, folder: Path, python: Path) -> None:
        """Write the program for the interpreter `python`, which has to know the package."""
        folder.mkdir()
        state = folder / "state"
        state.mkdir()
        if is_root():
            shutil.chown(state, USER, USER)
        self.program = folder / "ipvsadm"
        self.state = state
        self._listed: tuple[tuple[int, ...], str] | None = None
        argv = [str(python), "-c", _WRITE, str(self.program), str(state / "table")]
        subprocess.run(argv, check=True, cwd=folder)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that make the suite use it, and keep its lock beside the table."""
        return {"LVSALERT_IPVSADM": str(self.program), "LVSALERT_STATE_DIR": str(self.state)}

    def run(self, *arguments: str) -> str:
        """Run it with these arguments, and return what it prints."""
        done = subprocess.run(
            [str(self.program), *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"ipvsadm {arguments}: {done.stderr}"
        return done.stdout

    def servers(self, virtual: str) -> dict[str, tuple[str, int]]:
        """Return the real servers of a service: `address:port` to forwarding and weight.

        One of UDP is told by `udp` and a blank before its address.
        """
        protocol, at = ("-u", virtual[4:]) if virtual.startswith("udp ") else ("-t", virtual)
        rule = rf"^-a {protocol} {re.escape(at)} -r (\S+) -([gmi]) -w (\d+)"
        found = re.findall(rule, self._rules(), re.MULTILINE)
        return {place: (forwarding, int(weight)) for place, forwarding, weight in found}

    def _rules(self) -> str:
        """Return the table as `-Sn` has it, which is run only where the file has changed.

        While a test waits, an interpreter for every look would take a core.
        """
        table = self.state / "table"
        found = table.stat() if table.exists() else None
        state = (0,) if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)
        if self._listed is None or self._listed[0] != state:
            self._listed = state, self.run("-Sn")
        return self._listed[1]

    def wait_for(self, virtual: str, places: set[str], story: Callable[[], str]) -> None:
        """Wait until exactly `places` are the real servers of a service."""
        wait_until(
            lambda: set(self.servers(virtual)) == places,
            lambda: f"{virtual} is served by {sorted(places)}\n{self.run('-Sn')}\n{story()}",
            pause=0.1,
        )
