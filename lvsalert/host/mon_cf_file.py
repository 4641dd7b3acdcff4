"""mon's configuration on the disk: whose it is, and how it is replaced."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat

from lvsalert.errors import NotDoneError

_NEW, _OLD = ".new", ".old"
# Passwords may stand in it.
_MODE = 0o640
_USER = "mon"


def replace(path: str, text: str) -> bool:
    """Write a mon.cf whole or not at all, and keep what it replaces; return whether it changed.

    It keeps owner and mode; a new one is mon's group's to read. NotDoneError where it cannot be
    written: then the old one stands.
    """
    data = text.encode("utf-8", "surrogateescape")
    new = path + _NEW
    try:
        before = _status_of(path)
        if before is not None:
            with open(path, "rb") as file:
                if file.read() == data:
                    return False
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(new, flags, 0o600), "wb") as file:
            file.write(data)
            _hand_over(file.fileno(), before)
            file.flush()
            os.fsync(file.fileno())
        if before is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + _OLD)
            os.link(path, path + _OLD)
        os.replace(new, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise NotDoneError(f"{path}: cannot be written: {error.strerror}") from None
    return True


def restore(path: str) -> None:
    """Put back what the last ``replace`` replaced; NotDoneError where that cannot be."""
    try:
        os.replace(path + _OLD, path)
    except OSError as error:
        raise NotDoneError(f"{path}: cannot be put back: {error.strerror}") from None


def _status_of(path: str) -> os.stat_result | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise NotDoneError(f"{path}: not a regular file")
    return found


def _hand_over(descriptor: int, before: os.stat_result | None) -> None:
    """Give a new file the owner, group and mode of the one before it, as far as that goes."""
    if before is not None:
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, before.st_uid, before.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
        return
    if os.geteuid() == 0:
        with contextlib.suppress(LookupError):
            shutil.chown(f"/proc/self/fd/{descriptor}", group=_USER)
    os.fchmod(descriptor, _MODE)
