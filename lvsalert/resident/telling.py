"""How mon hears of a change: by a trap with the monitor's report, until mon's opstatus shows it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import NamedTuple

from lvsalert.errors import LvsalertError
from lvsalert.mon import client
from lvsalert.mon.trap import Trap
from lvsalert.resident.notes import Notes
from lvsalert.resident.service import Service

# mon answers between its own works, and not for a while after a HUP.
_ASK_SECONDS = 2.0
_AGAIN_SECONDS = 1.0


class Mon(NamedTuple):
    """Where mon takes commands and traps."""

    commands: tuple[str, int]
    traps: tuple[str, int]


class Said(NamedTuple):
    """What mon was told to have failed, and until when (epoch) that second may last."""

    failed: frozenset[str] = frozenset()
    until: int = 0


class Teller:
    """Tells mon of services, each in a thread that lasts until mon knows."""

    def __init__(self, mon: Mon, notes: Notes) -> None:
        self._mon = mon
        self._notes = notes
        self._lock = threading.Lock()
        self._telling: set[Service] = set()
        self._said: dict[tuple[str, str], Said] = {}

    def heard(self, service: Service, failed: frozenset[str]) -> None:
        """Note what mon hears now; it may be a second until it looks at it."""
        self._said[service.key] = Said(failed, int(time.time()) + 1)

    def forget(self, service: Service) -> None:
        """Forget a service."""
        self._said.pop(service.key, None)

    def tell(self, service: Service) -> None:
        """Have mon know what has changed of a service."""
        with self._lock:
            if service in self._telling:
                return
            self._telling.add(service)
        threading.Thread(target=self._tell, args=(service,), daemon=True).start()

    def _tell(self, service: Service) -> None:
        """Send mon what it is to know, until it knows that.

        mon takes up to a second to let a client in, so that it is asked only behind the trap.
        """
        while not service.is_dropped:
            told = service.watch.told
            said = self._said.get(service.key, Said())
            # Of two words in one second the failure stands, so that a recovery comes later.
            while not told >= said.failed and int(time.time()) <= said.until:
                time.sleep(0.05)
            self._send(service, told)
            self.heard(service, told)
            if not self.knows(service, told) and service.watch.told == told:
                time.sleep(_AGAIN_SECONDS)
                continue
            with self._lock:
                # Something may have changed while mon was asked.
                if service.watch.told == told:
                    self._telling.discard(service)
                    return
        with self._lock:
            self._telling.discard(service)

    def knows(self, service: Service, told: frozenset[str]) -> bool:
        """Return whether mon's opstatus has these hosts for failed, or nobody wants to know."""
        try:
            state = client.ask(self._mon.commands, None, (), _ASK_SECONDS)
        except LvsalertError:
            return False
        group, name = service.key
        now = state.services.get(service.key)
        if now is None or not state.disabled.isdisjoint({(group, name), (group, "")}):
            service.is_dropped = True
            return True
        if now.status == client.OK:
            return not told
        return now.status == client.FAIL and frozenset(now.summary.split()) == told

    def _send(self, service: Service, told: frozenset[str]) -> None:
        group, name = service.key
        trap = Trap(group, name, int(bool(told)), " ".join(sorted(told)), service.detail)
        host, port = self._mon.traps
        with contextlib.suppress(OSError):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.sendto(trap.datagram(time.time()), (host, port))
                self._notes.trap("/".join(service.key))
