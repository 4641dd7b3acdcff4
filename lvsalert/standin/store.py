"""The file that keeps the table between runs: one object a line, its fields parted by tabs."""

from __future__ import annotations

import fcntl
import os

from .kernel import RealServer, SyncDaemon, Table, VirtualService

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_HEAD = "ipvs table 1"
_SERVICE = "family protocol address port fwmark scheduler flags timeout netmask engine".split()
_SERVER = "address port forwarding weight upper lower tunnel_type tunnel_port tunnel_flags".split()
_DAEMON = "state interface syncid maxlen group port ttl".split()


class Locked:
    """One run at a time between `with Locked(path)` and its end: a lock on the file's folder.

    The folder is locked, as the file itself is replaced with each change and a lock file would have
    an owner. The lock goes with the process, killed or not. OSError when there is no such folder.
    """

    def __init__(self, path: str) -> None:
        self._folder = os.path.dirname(path) or "."
        self._descriptor = -1

    def __enter__(self) -> Locked:
        self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)


def load(path: str) -> str:
    """Return the file's text, an empty one when there is no file yet."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def save(path: str, text: str) -> None:
    """Put `text` into the file at once: whoever reads finds the old or the new. Under the lock."""
    new = f"{path}.new"
    try:
        os.unlink(new)
    except FileNotFoundError:
        pass
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o644)
        file.write(text)
    os.rename(new, path)


def dump(table: Table) -> str:
    """Return the text for a table."""
    lines = [_HEAD, "\t".join(["timeouts", *map(str, table.timeouts)])]
    for service in table.services.values():
        lines.append(_line("service", service, _SERVICE))
        lines += [_line("server", server, _SERVER) for server in service.destinations.values()]
    lines += [_line("daemon", daemon, _DAEMON) for daemon in table.daemons.values()]
    return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Table:
    """Return the table of a text from `dump`, an empty one for no text; ValueError for another."""
    table = Table()
    lines = text.splitlines()
    if lines and lines[0] != _HEAD:
        raise ValueError("no table")
    for line in lines[1:]:
        kind, *fields = line.split("\t")
        if kind == "service":
            service = VirtualService()
            _fill(service, _SERVICE, fields)
            table.services[service.key] = service
        elif kind == "server":
            server = RealServer()
            _fill(server, _SERVER, fields)
            service.destinations[server.address, server.port] = server
        elif kind == "daemon":
            daemon = SyncDaemon()
            _fill(daemon, _DAEMON, fields)
            table.daemons[daemon.state] = daemon
        elif kind == "timeouts":
            table.timeouts = [int(field) for field in fields]
        else:
            raise ValueError(f"no line of a table: {line!r}")
    return table


def _line(kind: str, thing: object, names: list[str]) -> str:
    values = [getattr(thing, name) for name in names]
    return "\t".join(
        [kind, *(value.hex() if isinstance(value, bytes) else str(value) for value in values)]
    )


def _fill(thing: object, names: list[str], fields: list[str]) -> None:
    if len(names) != len(fields):
        raise ValueError("a line of the table lacks fields")
    for name, field in zip(names, fields):
        blank = getattr(thing, name)
        if isinstance(blank, bytes):
            setattr(thing, name, bytes.fromhex(field))
        else:
            setattr(thing, name, type(blank)(field))
