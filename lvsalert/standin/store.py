"""The file that keeps the table between runs: one object a line, its fields parted by tabs."""

from __future__ import annotations

import fcntl
import os

from .kernel import RealServer, SyncDaemon, Table, VirtualService

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_HEAD = "ipvs table 1"
_SERVICE = "family protocol address port fwmark scheduler flags timeout netmask engine"
_SERVER = "address port forwarding weight upper lower tunnel_type tunnel_port tunnel_flags"
_DAEMON = "state interface syncid maxlen group port ttl"


class Locked:
    """One run at a time between `with Locked(path)` and its end: a lock on the file's folder.

    The folder is locked, as the file itself is replaced with each change and a lock file would have
    an owner. The lock goes with the process, killed or not. OSError when there is no such folder.
    """

    def __init__(self, path: str) -> None:
        self._folder = os.path.dirname(path) or "."
        self._descriptor = -1

    def __enter__(self) -> None:
        self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)


def load(path: str) -> Table:
    """Return the table in the file, an empty one when there is no file yet.

    Raises OSError when it cannot be read, ValueError when something else is in it.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
    except FileNotFoundError:
        return Table()
    if lines[:1] != [_HEAD]:
        raise ValueError(f"the first line is not {_HEAD!r}")
    table = Table()
    for line in lines[1:-1]:
        _read(table, *line.split("\t"))
    return table


def save(path: str, table: Table) -> None:
    """Put a table into the file at once: whoever reads finds the old or the new. Under the lock."""
    lines = [_HEAD, "\t".join(["timeouts", *map(str, table.timeouts)])]
    for service in table.services.values():
        lines.append(_line("service", service, _SERVICE))
        lines += [_line("server", server, _SERVER) for server in service.destinations.values()]
    lines += [_line("daemon", daemon, _DAEMON) for daemon in table.daemons.values()]
    new = f"{path}.new"
    if os.path.lexists(new):
        os.unlink(new)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o644)
        file.writelines(f"{line}\n" for line in lines)
    os.rename(new, path)


def _read(table: Table, kind: str, *fields: str) -> None:
    if kind == "service":
        service = VirtualService()
        _fill(service, _SERVICE, fields)
        table.services[service.key] = service
    elif kind == "server":
        server = RealServer()
        _fill(server, _SERVER, fields)
        service = next(reversed(table.services.values()))
        service.destinations[server.address, server.port] = server
    elif kind == "daemon":
        daemon = SyncDaemon()
        _fill(daemon, _DAEMON, fields)
        table.daemons[daemon.state] = daemon
    elif kind == "timeouts":
        table.timeouts = [int(field) for field in fields]
    else:
        raise ValueError(f"not a line of a table: {kind!r}")


def _line(kind: str, thing: object, names: str) -> str:
    values = [getattr(thing, name) for name in names.split()]
    return "\t".join(
        [kind, *(value.hex() if isinstance(value, bytes) else str(value) for value in values)]
    )


def _fill(thing: object, names: str, fields: tuple[str, ...]) -> None:
    slots = names.split()
    if len(slots) != len(fields):
        raise ValueError("a line of the table has too many or too few fields")
    for name, field in zip(slots, fields):
        blank = getattr(thing, name)
        if isinstance(blank, bytes):
            setattr(thing, name, bytes.fromhex(field))
        else:
            setattr(thing, name, type(blank)(field))
