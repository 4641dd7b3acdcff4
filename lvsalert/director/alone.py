"""What one process does for all, while the others go on without it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator


@contextlib.contextmanager
def alone(state_dir: str, name: str) -> Iterator[bool]:
    """Tell whether no other process is about it; ``name`` is the lock's in the state directory.

    False too where there can be no lock.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(os.path.join(state_dir, name), flags, 0o660)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
