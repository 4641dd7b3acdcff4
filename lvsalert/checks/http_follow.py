"""Redirects of web servers: met on the sweep, followed through a library in threads."""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING, Callable

from lvsalert.checks.http import Redirect, Redirected

if TYPE_CHECKING:
    import socket

    from lvsalert.checks.sweep import Probe, Roaming, Target
    from lvsalert.checks.threads import Judge, Reach

    Follow = Callable[[Reach, Redirect], Judge]

# A thread's own connection, and the two ends of a socket that tells when it is done.
DESCRIPTORS = 3


class Follower:
    """Asks each host as ``ask`` does on the sweep, and goes on in a thread where it redirects.

    Few real servers redirect, and what follows takes longer to import than hundreds of them to ask:
    ``load`` is called for it, in a thread, when the first one does. ``timeout`` is the seconds for
    one host; what it waits for that import comes on top.
    """

    def __init__(self, ask: Probe, load: Callable[[], Follow], timeout: float) -> None:
        self._ask = ask
        self._load = load
        self._timeout = timeout
        self._loaded: Follow | None = None
        self._loading = threading.Lock()

    def probe(self, sock: socket.socket, target: Target) -> Roaming:
        """Ask one host and return the verdict on the page that it leads to."""
        try:
            return (yield from self._ask(sock, target))
        except Redirected as redirected:
            redirect = redirected.redirect
        from lvsalert.checks.threads import Errand

        errand = Errand(functools.partial(self._follow, redirect), target, self._timeout)
        yield errand.begin
        return errand.verdict()

    def _follow(self, redirect: Redirect, reach: Reach) -> Judge:
        began = time.monotonic()
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load()
        late = time.monotonic() - began
        reach = reach._replace(connect_by=reach.connect_by + late, limit=reach.limit + late)
        return self._loaded(reach, redirect._replace(started=redirect.started + late))
