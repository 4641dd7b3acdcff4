"""Waiting that no signal can slip past.

Python runs a signal's handler between two of its own steps. A signal that comes after the last step
before poll(2) or epoll_wait(2) interrupts nothing, and its handler would wait for as long as they
do: with hosts that are silent, until their time-out.
"""

from __future__ import annotations

import contextlib
import os
import signal


class Waker:
    """A descriptor to wait for beside others: readable once a signal came.

    Only the main thread hears of signals; in any other it never becomes readable.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: int | None = None
        with contextlib.suppress(ValueError):
            self._before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._reader

    def drain(self) -> None:
        """Be readable no more, until the next signal."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)

    def close(self) -> None:
        """Leave signals as they were."""
        if self._before is not None:
            signal.set_wakeup_fd(self._before)
        os.close(self._reader)
        os.close(self._writer)
