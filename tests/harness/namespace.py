"""Network namespaces of a test's own, apart from the machine's network."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, TypeVar

import pytest

from tests.harness.places import is_root

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_CLONE_NEWNS = 0x00020000


class Namespace:
    """A network namespace, in which functions are run; it is gone when the test is over.

    It belongs to one thread (unshare(2) changes the calling thread alone), and to the threads and
    processes that this one starts.
    """

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        """Keep the thread that lives in the namespace, and bring its loopback up."""
        self._thread = thread
        self.ip("link set lo up")

    def run(self, function: Callable[[], T]) -> T:
        """Call `function` in the namespace, and return or raise what it does."""
        return self._thread.submit(function).result()

    def ip(self, words: str) -> None:
        """Run ip(8) with these words."""
        argv = ["ip", *words.split()]
        done = self.run(lambda: subprocess.run(argv, capture_output=True, text=True, check=False))
        assert done.returncode == 0, f"ip {words}: {done.stderr}"

    def sysctl(self, name: str, value: str) -> None:
        """Set one of the namespace's values below /proc/sys/net."""
        self.run(lambda: Path("/proc/sys/net", name).write_text(value))

    @property
    def thread_id(self) -> int:
        """The thread by which ip(8) is told of the namespace."""
        return self.run(threading.get_native_id)


def unshare_network(flags: int = _CLONE_NEWNET) -> None:
    """Put the calling thread, and what it starts, into a new network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare: " + os.strerror(ctypes.get_errno()))


def _unshare_mounts() -> None:
    """Put the calling thread into a new network namespace, with mounts that nobody else sees."""
    unshare_network(_CLONE_NEWNET | _CLONE_NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


@contextmanager
def network_namespace(*, mounts: bool = False) -> Iterator[Namespace]:
    """Give a new network namespace with nothing in it but loopback; needs root.

    With `mounts` what is mounted in it is seen in it alone, and gone with it.
    """
    if not is_root():
        pytest.skip("a network namespace of the test's own needs root")
    begin = _unshare_mounts if mounts else unshare_network
    with ThreadPoolExecutor(1, initializer=begin) as thread:
        yield Namespace(thread)
