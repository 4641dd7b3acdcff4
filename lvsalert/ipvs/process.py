"""ipvsadm(8) as a process: started, read to its end, and ended with all it started when it hangs.

The subprocess module would do the same, but it takes longer to import than an ipvsadm to run, and
waits for its end in naps of half a millisecond and more; an alert runs up to five.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_CHUNK = 1 << 16
# poll(2) takes no more milliseconds than fit into an int.
_LONGEST_POLL = 3600.0
# Python ignores them, and a program would go on doing so.
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)


class Answer(NamedTuple):
    """How a process ended, by its exit status or minus the signal that killed it, and its words."""

    status: int
    stdout: str
    stderr: str


class HungError(Exception):
    """A process did not end in time; ``argv`` is what it was started with."""

    def __init__(self, argv: Sequence[str]) -> None:
        super().__init__(*argv)
        self.argv = argv


def run(
    commands: Sequence[list[str]],
    environ: Mapping[str, str],
    timeout: float,
    *,
    stdin: int | None = None,
    kept: Sequence[int] = (),
) -> list[Answer]:
    """Run programs at once, looked up in the PATH of ``environ``, and return their answers.

    They read from the descriptor ``stdin``, or have nothing to read, and keep those in ``kept``.
    Each leads a session of its own, which is killed where one of them has not ended and given up
    its output after ``timeout`` seconds: HungError. OSError or ValueError where one cannot be run.
    """
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        processes = []
        for argv in commands:
            processes.append(_Process(argv, environ, stdin, kept))
            stack.callback(processes[-1].end)
        _read(processes, deadline)
        return [process.answer(deadline) for process in processes]


class _Process:
    """A process that runs, its two outputs, and what has been read of them."""

    def __init__(
        self,
        argv: list[str],
        environ: Mapping[str, str],
        stdin: int | None,
        kept: Sequence[int],
    ) -> None:
        self.argv = argv
        self._has_ended = False
        (stdout, its_stdout), (stderr, its_stderr) = os.pipe(), os.pipe()
        self.texts = {stdout: bytearray(), stderr: bytearray()}
        moved = [(its_stdout, 1), (its_stderr, 2), *zip(kept, kept)]
        actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_DUP2, *pair) for pair in moved]
        actions.append(
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
            if stdin is None
            else (os.POSIX_SPAWN_DUP2, stdin, 0)
        )
        try:
            self._pid = _spawn(argv, environ, actions)
        except BaseException:
            self._close()
            raise
        finally:
            os.close(its_stdout)
            os.close(its_stderr)

    def _close(self) -> None:
        for reader in self.texts:
            os.close(reader)

    def end(self) -> None:
        """Close what is open of the process, and kill it where its answer was not had."""
        self._close()
        if not self._has_ended:
            # What it may have started itself would otherwise keep the lock.
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.killpg(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)

    def answer(self, deadline: float) -> Answer:
        """Return the answer of a process that ends by ``deadline``; HungError otherwise."""
        self._wait(deadline)
        self._has_ended = True
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        except ChildProcessError:
            # With SIGCHLD ignored the kernel tells nobody how its children ended.
            status = 0
        return Answer(status, *(text.decode(errors="replace") for text in self.texts.values()))

    def _wait(self, deadline: float) -> None:
        """Wait until it has ended; HungError if not in time."""
        try:
            ended = os.pidfd_open(self._pid)
        except ProcessLookupError:
            # It has, with SIGCHLD ignored.
            return
        try:
            poll = select.poll()
            poll.register(ended, select.POLLIN)
            _ready(poll, deadline, self.argv)
        finally:
            os.close(ended)


def _spawn(argv: list[str], environ: Mapping[str, str], actions: Sequence[tuple[Any, ...]]) -> int:
    """Start a program as a session's leader, and return its number."""
    folders = [""] if "/" in argv[0] else [f"{each}/" for each in environ["PATH"].split(":")]
    trouble = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for folder in folders:
        try:
            return os.posix_spawn(
                folder + argv[0],
                argv,
                environ,
                file_actions=actions,
                setsid=True,
                setsigdef=_IGNORED,
            )
        except OSError as error:
            if trouble.errno == errno.ENOENT:
                trouble = error
    raise trouble


def _read(processes: Sequence[_Process], deadline: float) -> None:
    """Read what processes print until all who could print are gone; HungError if not in time."""
    readers = {reader: process for process in processes for reader in process.texts}
    poll = select.poll()
    for reader in readers:
        poll.register(reader, select.POLLIN)
    while readers:
        for reader in _ready(poll, deadline, next(iter(readers.values())).argv):
            data = os.read(reader, _CHUNK)
            readers[reader].texts[reader] += data
            if not data:
                poll.unregister(reader)
                del readers[reader]


def _ready(poll: select.poll, deadline: float, argv: Sequence[str]) -> list[int]:
    """Return the descriptors that are ready, once one is; HungError if none is in time."""
    while (left := deadline - time.monotonic()) > 0:
        if found := poll.poll(min(left, _LONGEST_POLL) * 1000):
            return [descriptor for descriptor, _ in found]
    raise HungError(argv)
