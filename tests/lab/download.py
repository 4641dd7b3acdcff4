"""A slow download: numbers, one a line, from a server that never ends to a client that counts."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.processes import Program
from tests.harness.waiting import patience, wait_until
from tests.lab.client import Client
from tests.lab.network import Host

TRICKLE = Path(__file__).with_name("guest") / "trickle.py"


class Trickle(Program):
    """The server, on a real server."""

    def __init__(self, host: Host, port: int, log: Path) -> None:
        super().__init__([sys.executable, str(TRICKLE), str(port)], log)
        self._host = host

    def start(self) -> None:
        """Start it there, and wait until it listens."""
        with self._host.inside():
            super().start()
        wait_until(lambda: "ready" in self.output, lambda: f"it listens: {self.output}")


class Download:
    """A connection over which numbers come without a gap."""

    def __init__(self, connection: socket.socket) -> None:
        self.lines = 0
        self.broken: str | None = None
        self._connection = connection

    def go_on(self) -> None:
        """Read until the connection is closed or breaks."""
        try:
            with self._connection.makefile("rb") as stream:
                for number, line in enumerate(stream):
                    assert line == b"%d\n" % number
                    self.lines = number
            self.broken = "closed"
        except (OSError, AssertionError) as error:
            self.broken = repr(error)

    def wait_for_more(self, when: str) -> None:
        """Wait until something came that was sent from now on."""
        begun = self.lines
        wait_until(
            lambda: self.lines > begun + 10,
            lambda: f"the download goes on {when}: {self.lines} lines, {self.broken}",
        )
        assert self.broken is None


@contextmanager
def downloading(client: Client, address: str, port: int) -> Iterator[Download]:
    """Hold a slow download open."""
    with client.inside():
        connection = socket.create_connection((address, port), patience())
    connection.settimeout(None)
    download = Download(connection)
    thread = threading.Thread(target=download.go_on)
    thread.start()
    try:
        yield download
    finally:
        # What the other side has reset already needs no more.
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            assert download.broken is not None
        thread.join()
        connection.close()
