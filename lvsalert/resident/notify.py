"""What systemd is told of this process (sd_notify(3)): that it is ready, and still alive."""

from __future__ import annotations

import contextlib
import os
import socket
import time

_MILLION = 1_000_000


class Notifier:
    """Tells systemd where that asked to be told, and nobody otherwise."""

    def __init__(self) -> None:
        self._path = os.environ.pop("NOTIFY_SOCKET", "")
        # It kills what was silent for so long.
        interval = os.environ.pop("WATCHDOG_USEC", "")
        self._every = int(interval) / _MILLION / 3 if interval.isdigit() else None
        self._next = time.monotonic()

    def tell(self, state: str) -> None:
        """Tell a state."""
        if not self._path:
            return
        # An abstract name begins with an at sign (sd_notify(3)).
        address = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with sock, contextlib.suppress(OSError):
            sock.sendto(state.encode(), address)

    def pause(self) -> float | None:
        """Return the milliseconds until it has to be told again, None for never."""
        if self._every is None:
            return None
        return max(0.0, self._next - time.monotonic()) * 1000

    def still_alive(self) -> None:
        """Tell that the loop goes round, as often as is asked for."""
        if self._every is not None and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every
            self.tell("WATCHDOG=1")
