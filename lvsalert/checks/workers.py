"""Blocking calls in daemon threads, whose answers need not be awaited.

For what cannot run on the sweep: look-ups of names, and libraries with sockets of their own. A
thread that hangs is given up and replaced; it ends with the process.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Callable, Generic, TypeVar

# A thread costs more than a socket of the sweep, so fewer hosts are asked at once in threads.
MAX_THREADS = 64

Job = TypeVar("Job")
Value = TypeVar("Value")


class Answer(Generic[Job, Value]):
    """What became of a job: its value or the exception that it raised, and the seconds it took."""

    def __init__(self, job: Job, value: Value | BaseException, seconds: float) -> None:
        self.job = job
        self.value = value
        self.seconds = seconds


class Workers(Generic[Job, Value]):
    """Runs ``work`` on each job in up to ``limit`` threads at once."""

    def __init__(self, work: Callable[[Job], Value], jobs: Iterable[Job], limit: int) -> None:
        self._work = work
        self._limit = limit
        self._threads = 0
        self._waiting = deque(jobs)
        self._running: dict[Job, float] = {}
        self._answers: deque[Answer[Job, Value]] = deque()
        self._lock = threading.Lock()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._open = True
        for _ in range(min(limit, len(self._waiting))):
            self._start_thread()

    def fileno(self) -> int:
        """Return a descriptor that is readable when there are answers to take."""
        return self._reader

    def add(self, job: Job) -> None:
        """Have one more job done, when a thread is free for it."""
        with self._lock:
            self._waiting.append(job)
        self._start_thread()

    def take(self) -> list[Answer[Job, Value]]:
        """Return the answers that came since the last call, without waiting."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 65536)
        with self._lock:
            answers = list(self._answers)
            self._answers.clear()
        return answers

    def overdue(self, timeout: float) -> list[Job]:
        """Give up the jobs that have run for ``timeout`` seconds and return them.

        Their answers are dropped, and other threads take the places of theirs.
        """
        latest = time.monotonic() - timeout
        with self._lock:
            late = [job for job, started in self._running.items() if started <= latest]
            for job in late:
                del self._running[job]
            self._threads -= len(late)
        for _ in late:
            self._start_thread()
        return late

    def next_overdue(self, timeout: float) -> float:
        """Return in how many seconds the next job will be overdue; ``timeout`` where none runs."""
        with self._lock:
            first = min(self._running.values(), default=None)
        return timeout if first is None else max(0.0, first + timeout - time.monotonic())

    def close(self) -> None:
        """Drop what waits and runs. Threads that are busy end by themselves."""
        with self._lock:
            self._open = False
            self._waiting.clear()
            self._running.clear()
            os.close(self._reader)
            os.close(self._writer)

    def _start_thread(self) -> None:
        """Start a thread where there is work for one more."""
        with self._lock:
            if not self._waiting or self._threads >= self._limit:
                return
            self._threads += 1
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                job = self._waiting.popleft()
                self._running[job] = started = time.monotonic()
            try:
                value: Value | BaseException = self._work(job)
            except BaseException as error:
                value = error
            with self._lock:
                # A job that was given up has no place here any more, nor has its thread.
                if not self._open or self._running.get(job) != started:
                    return
                del self._running[job]
                self._answers.append(Answer(job, value, time.monotonic() - started))
                # A full pipe is readable, which is all that the byte is for.
                with contextlib.suppress(BlockingIOError):
                    os.write(self._writer, b"\0")


def gathered(
    work: Callable[[Job], Value], jobs: Sequence[Job], limit: int, seconds: float
) -> dict[Job, Value]:
    """Return what each job came to in ``seconds``, none of those that failed or took longer.

    ``limit`` is how many are done at once.
    """
    found: dict[Job, Value] = {}
    deadline, left = time.monotonic() + seconds, len(jobs)
    workers = Workers(work, jobs, limit)
    poll = select.poll()
    try:
        poll.register(workers, select.POLLIN)
        while left and (wait := deadline - time.monotonic()) > 0:
            poll.poll(wait * 1000)
            for answer in workers.take():
                left -= 1
                if not isinstance(answer.value, BaseException):
                    found[answer.job] = answer.value
    finally:
        workers.close()
    return found
