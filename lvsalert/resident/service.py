"""A service that is checked between mon's checks: in parts, and at once where there is a reason."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence

from lvsalert.resident import turns, wire
from lvsalert.resident.called import Called
from lvsalert.resident.watch import Watch, failed_of

# What a report says of a host, down to the next one.
_ABOUT = re.compile(r"^HOST (\S+): .*\n(?:    .*\n)*", re.MULTILINE)


class Check:
    """A check of some of a service's hosts: when it has its turn, and the run under way.

    ``turn`` is a fraction of the time between checks; one that is made once has none.
    """

    def __init__(self, service: Service, hosts: Sequence[str], turn: float = 0.0) -> None:
        self.service = service
        self.hosts = hosts
        self.turn = turn
        self.sock: socket.socket | None = None
        self._heard = b""
        # What mon called last, and the call for these hosts made of it.
        self._call: tuple[Called, bytes] | None = None
        # Of these hosts something has become known since the run began.
        self.outdated: set[str] = set()

    def begin(self, sock: socket.socket) -> None:
        """Take the connection of a run that has begun."""
        self.sock, self._heard = sock, b""
        self.outdated.clear()

    def call(self) -> bytes:
        """Return the call to make."""
        called = self.service.called
        if len(self.hosts) == called.hosts:
            return called.call
        if self._call is None or self._call[0] is not called:
            self._call = called, called.of(self.hosts)
        return self._call[1]

    def hear(self) -> tuple[int, str] | None:
        """Take a piece of the answer; return status and report where it is whole.

        EOFError where the run has been killed, or there was none: that tells nothing of the hosts.
        """
        if self.sock is None:
            return None
        try:
            piece = self.sock.recv(1 << 16)
        except BlockingIOError:
            return None
        except OSError:
            piece = b""
        if not piece:
            raise EOFError
        self._heard += piece
        answer = self._heard[len(wire.TAKEN) :]
        if not answer or wire.missing(answer) > 0:
            return None
        status, stdout, _ = wire.unpack(answer)
        return int(status), stdout.decode("utf-8", "surrogateescape")


class Service:
    """A service of mon's; ``number`` is one that no other has."""

    def __init__(self, key: tuple[str, str], number: int, called: Called) -> None:
        self.key = key
        self.called = called
        self.watch = Watch(called.between, called.environ)
        parts = turns.parts_of(called.names, are_apart=called.are_apart)
        self.checks = [
            Check(self, hosts, turns.turn_of(number, place, len(parts)))
            for place, hosts in enumerate(parts)
        ]
        # Those whose turn came while another one went on.
        self.waiting: list[Check] = []
        self.hurried: Check | None = None
        # Hosts whose connection has ended since the last hurried check began.
        self.rung: set[str] = set()
        self.detail = ""
        self._about_failed: dict[str, str] = {}
        # When an answer came last (time.monotonic()), None before the first.
        self.heard_at: float | None = None
        self.is_dropped = False

    def ring(self, hosts: Iterable[str]) -> None:
        """Note that there is a reason to check these hosts at once.

        What a run finds of them that has begun before does not count any more.
        """
        hosts = set(hosts)
        self.rung |= hosts
        for check in (*self.checks, *filter(None, [self.hurried])):
            check.outdated |= hosts

    def judge(self, check: Check, status: int, report: str) -> frozenset[str] | None:
        """Return the hosts of a check that have failed by its report; None where it cannot tell."""
        failed = failed_of(status, report)
        if failed is None:
            return None
        self.detail = report.partition("\n")[2]
        if not (failed or self._about_failed):
            return failed
        about = {match[1]: match[0] for match in _ABOUT.finditer(report)}
        for host in set(check.hosts) - check.outdated:
            self._about_failed.pop(host, None)
            if host in failed:
                self._about_failed[host] = about.get(host, "")
        others = [text for host, text in self._about_failed.items() if host not in check.hosts]
        self.detail = "\n".join([*others, self.detail])
        return failed
