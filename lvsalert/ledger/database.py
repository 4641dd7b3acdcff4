"""The file of the ledger: made, opened, told apart from a broken one, and moved aside."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Sequence

from lvsalert.errors import NotDoneError

FILE_NAME = "ledger.db"
_VERSION = 10
# How long a writer waits for a reader that has to recover the file after a kill, in seconds.
_BUSY_SECONDS = 2.0

_holders: list[Holder] = []

# What SQLite says of a file whose tables are not those that its version promises.
_MISFITS = ("no such table", "no such column", "has no column named", "Could not decode to UTF-8")


class LedgerError(NotDoneError):
    """The ledger cannot be used; the message names the file and says why."""


class CorruptError(LedgerError):
    """The file is no database, or a broken one."""


def connect(state_dir: str, schemas: Sequence[str]) -> sqlite3.Connection:
    """Open the database in ``state_dir`` to write, or make one there.

    ``schemas`` are the tables that each version added: one that an lvsalert before made gets those
    that it lacks.

    LedgerError where that cannot be, or where a newer lvsalert has made it; CorruptError for a file
    that is no database or a broken one.
    """
    path = os.path.join(state_dir, FILE_NAME)
    try:
        _create(path, state_dir)
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            version = _version_of(connection, path)
            if version == 0:
                connection.execute("PRAGMA journal_mode = WAL")
            if version < _VERSION:
                tables = "".join(schemas[version:])
                connection.executescript(
                    f"BEGIN IMMEDIATE; {tables} PRAGMA user_version = {_VERSION}; COMMIT;"
                )
        except BaseException:
            connection.close()
            raise
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise ledger_error(path, error) from None
    for each in _holders:
        each.hold(state_dir)
    return connection


class Holder:
    """Keeps a database open to read, for a process that opens it again and again to write.

    SQLite writes the -wal back, syncs and deletes it with the last connection that closes, which is
    most of what a short transaction costs. Nothing is read over this one.
    """

    def __init__(self) -> None:
        self._held: tuple[sqlite3.Connection, tuple[int, int]] | None = None

    def hold(self, state_dir: str) -> None:
        """Keep the database in ``state_dir`` open, and no other; none where it cannot be read."""
        file = _identity(os.path.join(state_dir, FILE_NAME))
        if self._held is not None:
            connection, held = self._held
            if held == file:
                return
            # Being read-only, it deletes nothing by a name that is another file's now.
            connection.close()
            self._held = None
        if file is not None:
            with contextlib.suppress(LedgerError):
                found = connect_to_read(state_dir)
                self._held = None if found is None else (found, file)


def hold_what_is_opened() -> None:
    """Hold the last database that is opened to write, in each process that this one becomes."""
    _holders.append(Holder())


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def connect_to_read(state_dir: str) -> sqlite3.Connection | None:
    """Open the database in ``state_dir`` for a reader, who needs no lock and changes nothing.

    None where it is just being made. Errors are those of ``connect``; a file that is not there is
    one of them.
    """
    from urllib.parse import quote

    path = os.path.join(state_dir, FILE_NAME)
    try:
        os.stat(path)
        connection = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro", uri=True)
        try:
            if _version_of(connection, path):
                return connection
        except BaseException:
            connection.close()
            raise
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise ledger_error(path, error) from None
    connection.close()
    return None


def _create(path: str, state_dir: str) -> None:
    """Make an empty file that the state directory's owner and group may write, whoever runs this.

    SQLite gives its -wal and -shm files the mode and, as root, the owner of the database. A run
    that was killed here leaves an empty file, of which the next one takes care.
    """
    with contextlib.suppress(FileNotFoundError):
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            # mon's user may lay a link here for root to write through.
            raise LedgerError(f"{path}: not a regular file")
        if found.st_size:
            return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
    try:
        folder = os.stat(state_dir)
        if os.geteuid() == 0:
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        elif (made := os.fstat(descriptor)).st_uid != os.geteuid():
            return
        elif made.st_gid != folder.st_gid and folder.st_gid in os.getgroups():
            # A sandbox may forbid the call, whatever it would do.
            os.fchown(descriptor, -1, folder.st_gid)
        os.fchmod(descriptor, 0o660)
    finally:
        os.close(descriptor)


def _version_of(connection: sqlite3.Connection, path: str) -> int:
    """Return the version of the tables, 0 where there are none yet; a newer one is an error."""
    version: int
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise LedgerError(f"{path}: made by a newer lvsalert (version {version} of its tables)")
    return version


def ledger_error(path: str, error: sqlite3.Error) -> LedgerError:
    """Return SQLite's error as ours."""
    # Python tells a broken file by the very class, and all else by those derived from it.
    broken = type(error) is sqlite3.DatabaseError or any(text in str(error) for text in _MISFITS)
    return (CorruptError if broken else LedgerError)(f"{path}: {error}")


def set_aside(state_dir: str, now: float) -> str:
    """Move a broken database out of the way; return its new name. OSError where that fails.

    ``now`` (epoch) becomes a part of the name.
    """
    path = os.path.join(state_dir, FILE_NAME)
    aside = f"{path}.broken-{time.strftime('%Y%m%dT%H%M%S', time.localtime(now))}"
    # The file itself comes last: a new one beside an old -wal would be as broken.
    for suffix in ("-shm", "-wal", ""):
        with contextlib.suppress(FileNotFoundError):
            os.replace(path + suffix, aside + suffix)
    return aside


def has_table(connection: sqlite3.Connection, table: str) -> bool:
    """Return whether there is a table: a reader may be the first to see an older ledger."""
    asked = "SELECT 1 FROM sqlite_master WHERE name = ?"
    return connection.execute(asked, (table,)).fetchone() is not None
