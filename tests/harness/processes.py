"""Programs that a test starts: an argv list, output in a file, stopped by the test's own handle."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.waiting import patience, wait_until

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

# How many starts of the interpreter a program may take to end when it is asked to.
_FAREWELL = 300


class Program:
    """One program that can be started, stopped, killed and started again.

    Its stdout and stderr go to the file `log`. It leads a process group of its own, so that the
    children which a daemon forks end with it. `ends_on` is the signal that asks it to end.
    """

    ends_on = signal.SIGTERM

    def __init__(
        self, argv: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Keep what to run; `environment` is the whole environment, by default the test's own."""
        self.argv = list(argv)
        self.log = log
        self.environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with stdin from the null device."""
        assert self._process is None, f"{self.argv[0]} runs already"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id of the running program."""
        assert self._process is not None, f"{self.argv[0]} does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status of the program that has ended, negative for a signal's number."""
        return None if self._process is None else self._process.poll()

    @property
    def output(self) -> str:
        """What it wrote to stdout and stderr in all its lives."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def signal(self, number: int) -> None:
        """Send a signal to the program itself, not to its children."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """Ask it to end, and kill what is left of it and its children."""
        if self._process is not None and self.runs:
            self.signal(self.ends_on)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience(_FAREWELL))
        self.kill()

    def kill(self) -> None:
        """End it and its children at once (KILL), as a power failure would."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        group = self._process.pid
        wait_until(lambda: not _members(group), f"all of {self.argv[0]} has ended", pause=0.005)
        self._process = None

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
        self.stop()


def _members(group: int) -> list[str]:
    """Return the processes of a group that still have files open: zombies have none (proc(5))."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of_group = stat.read_text().rpartition(")")[2].split()[:3]
            if of_group == str(group) and state not in "ZX":
                members.append(stat.parent.name)
    return members
