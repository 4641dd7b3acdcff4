"""The resident process, and plug-ins that find it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.places import CHECKOUT
from tests.harness.processes import Program
from tests.harness.waiting import patience, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

_SERVE = "from lvsalert.commands.stub import lvs_director; lvs_director()"
_FOLDERS = {"monitor": "mon.d", "alert": "alert.d"}


class Resident:
    """A resident process that listens in a folder; it can be stopped, killed and started again."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        python: str = sys.executable,
        before: str = "",
        options: Sequence[str] = (),
    ) -> None:
        """Keep where it listens, and a statement of Python to execute before it begins."""
        self.path = folder / "socket"
        argv = [python, "-c", f"{before}\n{_SERVE}", "serve", "--socket", str(self.path)]
        argv += options
        self.program = Program(argv, folder / "output", {**os.environ, **(environment or {})})

    def start(self) -> None:
        """Start it, and wait until it takes calls."""
        self.program.start()
        wait_until(self._is_up, lambda: f"it listens\n{self.program.output}")

    def _is_up(self) -> bool:
        assert self.program.runs, f"it ended\n{self.program.output}"
        # The file is there before anybody listens (unix(7); the flag is __SO_ACCEPTCON).
        lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
        return any(line[-1] == str(self.path) and line[3] == "00010000" for line in lines)

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.program.stop()
        for pid in self.workers():
            assert not Path(f"/proc/{pid}").exists()

    def workers(self) -> list[int]:
        """Return the processes that it has for runs."""
        if not self.program.runs:
            return []
        pid = self.program.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return [int(word) for word in text.split()]

    def cpu(self) -> float:
        """Return the seconds of CPU of the process and those that it has for runs (proc(5))."""
        nanoseconds = 0
        for pid in (self.program.pid, *self.workers()):
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii")
                nanoseconds += int(text.split()[0])
        return nanoseconds / 1e9

    def wait_for_workers(self, count: int) -> list[int]:
        """Wait until it has so many processes for runs, and return them."""
        wait_until(lambda: len(self.workers()) == count, lambda: f"{self.workers()}")
        return self.workers()


class Call:
    """A plug-in of the checkout as mon starts it, with the resident at a socket; "" for none."""

    def __init__(
        self,
        resident: Resident | None,
        program: str,
        *words: str,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Start it, in a folder of its own where one is given."""
        path = CHECKOUT / _FOLDERS[program.rpartition(".")[2]] / program
        where = "" if resident is None else str(resident.path)
        self.process = subprocess.Popen(
            [sys.executable, str(path), *words],
            env={"PATH": "/usr/bin:/bin", "LVSALERT_SOCKET": where, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(stdin)
        self.process.stdin.close()
        self.process.stdin = None

    @property
    def result(self) -> tuple[int, str, str]:
        """Wait for its end, and return its status and what it printed."""
        stdout, stderr = self.process.communicate(timeout=patience())
        return self.process.returncode, stdout, stderr
