"""The real GlusterFS: one glusterd, a volume of two bricks, and clients that mount it.

To be used in a namespace whose mounts are its own: it keeps its state where Debian has it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.places import CHECKOUT
from tests.harness.processes import Program
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

ADDRESS = "192.0.2.1"
"""Where its programs find each other: it takes no address of loopback's for a brick."""
MAKE_VOLUME = CHECKOUT / "examples" / "content" / "make-volume"
_VOLUME = "www"
_STATE = ("/var/lib/glusterd", "/var/log/glusterfs", "/run/gluster")


class Gluster(Program):
    """A glusterd with a volume, made as the example makes it."""

    def __init__(self, folder: Path) -> None:
        """Keep the bricks below `folder`, which is to be one that every user may enter."""
        folder.mkdir()
        self._folder = folder
        super().__init__(["glusterd", "-N"], folder / "glusterd.log")

    def __enter__(self) -> Self:
        """Start it with a state of its own, and make the volume."""
        for state in _STATE:
            Path(state).mkdir(exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "gluster", state], check=True)
        self.start()
        wait_until(lambda: self._ask("volume", "info").returncode == 0, "glusterd answers")
        bricks = [f"{ADDRESS}:{self._folder}/brick{number}" for number in (1, 2)]
        argv = [str(MAKE_VOLUME), _VOLUME, *bricks, "force"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, with the bricks and the healer, which are no children of it."""
        self.stop()
        for file in Path("/run/gluster").rglob("*.pid"):
            _kill(file)

    def _ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = ["gluster", "--mode=script", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def kill_brick(self, number: int) -> None:
        """End one of the two bricks at once."""
        (file,) = Path("/run/gluster").rglob(f"*brick{number}.pid")
        _kill(file)


def _kill(file: Path) -> None:
    """Kill the process whose number a file holds, if there is one."""
    with contextlib.suppress(ProcessLookupError, ValueError):
        os.kill(int(file.read_text()), signal.SIGKILL)


class Mounted(Program):
    """The volume at a folder, by a client of its own; a signal to it stops the file system."""

    def __init__(self, at: Path) -> None:
        """Keep where it is to be."""
        self._at = at
        # What another client has written is to be seen at once.
        fresh = ("--attribute-timeout=0", "--entry-timeout=0")
        argv = ["glusterfs", "-N", "-s", ADDRESS, f"--volfile-id={_VOLUME}", *fresh, str(at)]
        super().__init__(argv, at.with_suffix(".log"))

    def start(self) -> None:
        """Mount it."""
        super().start()
        wait_until(lambda: os.path.ismount(self._at), lambda: f"it is mounted\n{self.output}")

    def stop(self) -> None:
        """Take it away, whoever uses it: what lies below the mount is seen again."""
        if not self.runs:
            return
        self.signal(signal.SIGCONT)
        subprocess.run(["umount", "--lazy", str(self._at)], check=True)
        self.kill()
