"""The stand-in for ipvsadm, called in the test's own process: fast, with a table in a file."""

from __future__ import annotations

import io
import socket
from typing import TYPE_CHECKING, NamedTuple

from lvsalert import standin
from lvsalert.ipvs.plan import put_in, take_out
from lvsalert.ipvs.table import Endpoint, Service, Table, parse
from lvsalert.model import Protocol, RealServer, VirtualService

if TYPE_CHECKING:
    from pathlib import Path


def tcp(address: str, port: int) -> VirtualService:
    """Return the name of a TCP service."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return VirtualService(Protocol.TCP, address, port, 0, family)


def placed_in(
    service: Service, asked: RealServer, *, upper: int | None = None, lower: int | None = None
) -> Service:
    """Return a service with `asked` among its entries."""
    entries = dict(service.real_servers)
    put_in(entries, service.virtual, asked, upper=upper, lower=lower)
    return service._replace(real_servers=entries)


def taken_out(service: Service, endpoint: Endpoint, *, quiesce: bool) -> Service:
    """Return a service with an entry out."""
    entries = dict(service.real_servers)
    take_out(entries, endpoint, quiesce=quiesce)
    return service._replace(real_servers=entries)


class Answer(NamedTuple):
    """What a run of ipvsadm gave."""

    status: int
    stdout: str
    stderr: str


class TableFile:
    """The table that the stand-in keeps in the file `path`."""

    def __init__(self, path: Path) -> None:
        """Name the file; an empty table needs none."""
        self.path = path

    def ask(self, *argv: str, stdin: str = "") -> Answer:
        """Run one command of ipvsadm, and return how it went."""
        stdout, stderr = io.StringIO(), io.StringIO()
        environ = {standin.VARIABLE: str(self.path)}
        status = standin.main(list(argv), environ, io.StringIO(stdin), stdout, stderr)
        return Answer(status, stdout.getvalue(), stderr.getvalue())

    def fill(self, batch: str) -> None:
        """Make the table what the lines of `batch` ask for, from an empty one."""
        self.change(f"-C\n{batch}")

    def change(self, batch: str) -> None:
        """Run the lines of `batch`, none of which may be refused."""
        answer = self.ask("-R", stdin=batch)
        assert answer == (0, "", ""), f"{batch}: {answer}"

    @property
    def rules(self) -> list[str]:
        """The lines that -Sn prints."""
        return self.ask("-Sn").stdout.splitlines()

    @property
    def thresholds(self) -> str:
        """The text that -Ln --thresholds prints."""
        return self.ask("-Ln", "--thresholds").stdout

    @property
    def table(self) -> Table:
        """The table as the suite reads it."""
        return parse("\n".join(self.rules), self.thresholds)
