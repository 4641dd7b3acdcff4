"""Files that a command writes for other programs to read at any moment."""

from __future__ import annotations

import os

from lvsalert.errors import NotDoneError


def write_whole(path: str, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one whole; NotDoneError else."""
    data = text.encode()
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            # A pipe or a device is not to be replaced by a file.
            with open(path, "wb") as stream:
                stream.write(data)
            return
        whole = os.path.realpath(path)
        beside = f"{whole}.{os.getpid()}.new"
        try:
            with open(beside, "xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(beside, whole)
        except BaseException:
            if os.path.exists(beside):
                os.unlink(beside)
            raise
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise NotDoneError(f"{path}: {reason.lower()}") from None
