"""A process that the resident makes of itself for one thing, beside those for runs."""

from __future__ import annotations

import os
import traceback
from typing import Callable, NoReturn


class Child:
    """Such a process: its number, and the descriptor that tells of its end (pidfd_open(2))."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended = os.pidfd_open(pid)

    @classmethod
    def start(cls, leave: Callable[[], None], become: Callable[[], NoReturn]) -> Child | None:
        """Start one, which lets go of what is not its own and becomes it; None where none can be.

        It has no way back into what its parent does.
        """
        try:
            pid = os.fork()
        except OSError:
            return None
        if not pid:
            try:
                leave()
                become()
            except BaseException:
                # There is nobody above to tell of a bug; the loop starts another one.
                traceback.print_exc()
            finally:
                os._exit(1)
        return cls(pid)

    def bury(self) -> None:
        """Take note of its end."""
        os.waitpid(self.pid, 0)
        os.close(self.ended)
