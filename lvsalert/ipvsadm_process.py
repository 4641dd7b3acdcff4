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
from typing import NamedTuple

_CHUNK = 1 << 16
# A process that has closed its output ends within that many seconds; one that does not is asked
# less and less often.
_FIRST_NAP, _LONGEST_NAP = 0.00005, 0.02
# poll(2) takes no more milliseconds than fit into an int.
_LONGEST_POLL = 3600.0
# Python ignores them, and a program would go on doing so.
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)


class Answer(NamedTuple):
    """How a process ended, by its exit status or minus the signal that killed it, and its words."""

    status: int
    stdout: str
    stderr: str


def run(
    argv: list[str],
    environ: Mapping[str, str],
    timeout: float,
    *,
    stdin: int | None = None,
    kept: Sequence[int] = (),
) -> Answer:
    """Run a program that is looked up in the PATH of ``environ``, and return its answer.

    It reads from the descriptor ``stdin``, or has nothing to read, and keeps those in ``kept``.
    It leads a session of its own, which is killed after ``timeout`` seconds if it has not ended and
    given up its output: TimeoutError. OSError or ValueError where it cannot be run.
    """
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        readers = []
        with contextlib.ExitStack() as others:
            writers = []
            for ends in (os.pipe(), os.pipe()):
                stack.callback(os.close, ends[0])
                others.callback(os.close, ends[1])
                readers.append(ends[0])
                writers.append(ends[1])
            if stdin is None:
                stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
                others.callback(os.close, stdin)
            moved = [*zip((stdin, *writers), range(3)), *zip(kept, kept)]
            pid = _start(argv, environ, [(os.POSIX_SPAWN_DUP2, *pair) for pair in moved])
        try:
            texts = _read(readers, deadline)
            status = _wait(pid, deadline)
        except BaseException:
            # What it may have started itself would otherwise keep the pipes, and the lock.
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            raise
    return Answer(status, *texts)


def _start(
    argv: list[str], environ: Mapping[str, str], actions: Sequence[tuple[int, int, int]]
) -> int:
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


def _read(readers: Sequence[int], deadline: float) -> list[str]:
    """Return what comes out of pipes until all their writers are gone; TimeoutError if later."""
    texts = {reader: bytearray() for reader in readers}
    poll = select.poll()
    for reader in readers:
        poll.register(reader, select.POLLIN)
    left = len(texts)
    while left:
        for reader, _ in poll.poll(min(_until(deadline), _LONGEST_POLL) * 1000):
            data = os.read(reader, _CHUNK)
            texts[reader] += data
            if not data:
                poll.unregister(reader)
                left -= 1
    return [text.decode(errors="replace") for text in texts.values()]


def _wait(pid: int, deadline: float) -> int:
    """Return the status of a process that has ended by ``deadline``; TimeoutError otherwise."""
    nap = _FIRST_NAP
    while True:
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            # With SIGCHLD ignored the kernel tells nobody how its children ended.
            return 0
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(min(nap, _until(deadline)))
        nap = min(2 * nap, _LONGEST_NAP)


def _until(deadline: float) -> float:
    """Return the seconds until ``deadline``; TimeoutError where it is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
