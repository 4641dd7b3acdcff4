"""Threads for blocking calls: so many at once, given up when they hang, gone when they are done."""

from __future__ import annotations

import select
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lvsalert.checks.workers import Answer, Workers
from tests.harness.waiting import wait_until
from tests.monitors import open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator

FOR_EVER = 3600.0


class Bench:
    """Work that waits: each job hangs until it is let go."""

    def __init__(self) -> None:
        """Begin with nothing let go."""
        self.begun: list[int] = []
        self._gates: dict[int, threading.Event] = {}
        self._lock = threading.Lock()

    def gate(self, job: int) -> threading.Event:
        """Return what a job waits for."""
        with self._lock:
            return self._gates.setdefault(job, threading.Event())

    def work(self, job: int) -> int:
        """Hang until the job is let go, and return its square."""
        self.begun.append(job)
        self.gate(job).wait()
        return job * job


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A bench whose jobs all end with the test."""
    made = Bench()
    yield made
    for job in range(100):
        made.gate(job).set()


def _taken(workers: Workers[int, int], count: int) -> list[Answer[int, int]]:
    answers: list[Answer[int, int]] = []
    wait_until(lambda: answers.extend(workers.take()) or len(answers) >= count, "answers")
    return answers


def _readable(workers: Workers[Any, Any]) -> bool:
    poll = select.poll()
    poll.register(workers, select.POLLIN)
    return bool(poll.poll(0))


def test_all_jobs_are_done() -> None:
    """Each job has its answer, those that are added later too."""
    workers: Workers[int, int] = Workers(lambda job: job * job, range(50), 4)
    workers.add(50)
    answers = _taken(workers, 51)
    workers.close()
    assert sorted((each.job, each.value) for each in answers) == [(n, n * n) for n in range(51)]


def test_no_more_threads_than_the_limit(bench: Bench) -> None:
    """So many jobs are begun at once, and one more for each that ends."""
    workers = Workers(bench.work, range(5), 2)
    wait_until(lambda: len(bench.begun) == 2, "two jobs are begun")
    bench.gate(0).set()
    _taken(workers, 1)
    wait_until(lambda: len(bench.begun) == 3, "a third one is")
    assert sorted(bench.begun) == [0, 1, 2]
    workers.close()


def test_answers_make_it_readable(bench: Bench) -> None:
    """The descriptor is readable when there is an answer to take, and only then."""
    workers = Workers(bench.work, [1], 1)
    assert not _readable(workers)
    bench.gate(1).set()
    wait_until(lambda: _readable(workers), "the answer is there")
    assert [each.value for each in workers.take()] == [1]
    assert not _readable(workers)
    assert workers.take() == []
    workers.close()


def test_job_that_hangs_is_given_up_and_replaced(bench: Bench) -> None:
    """An overdue job's thread makes room for another one, and its late answer is dropped."""
    workers = Workers(bench.work, [1, 2], 1)
    wait_until(lambda: bench.begun == [1], "the first job is begun")
    assert workers.overdue(FOR_EVER) == []
    assert workers.overdue(0.0) == [1]
    wait_until(lambda: bench.begun == [1, 2], "the second job is begun")
    bench.gate(1).set()
    bench.gate(2).set()
    assert [each.job for each in _taken(workers, 1)] == [2]
    workers.close()


def test_next_overdue_is_that_of_the_oldest_job(bench: Bench) -> None:
    """Where nothing runs, nothing is overdue before the whole time has passed."""
    workers = Workers(bench.work, [], 2)
    assert workers.next_overdue(5.0) == 5.0
    workers.add(1)
    wait_until(lambda: bench.begun == [1], "the job is begun")
    assert workers.next_overdue(FOR_EVER) < FOR_EVER
    assert workers.next_overdue(0.0) == 0.0
    workers.close()


def test_what_a_job_raises_is_its_answer() -> None:
    """No exception of a job is lost, nor ends its thread."""

    def fails(job: int) -> int:
        raise KeyboardInterrupt if job else ValueError("no")

    workers = Workers(fails, range(2), 1)
    kinds = [type(each.value) for each in _taken(workers, 2)]
    workers.close()
    assert kinds == [ValueError, KeyboardInterrupt]


def test_close_leaves_nothing_behind(bench: Bench) -> None:
    """After close no descriptor is open, what waits is dropped, and threads end when they can."""
    threads, descriptors = threading.active_count(), open_descriptors()
    workers = Workers(bench.work, range(10), 3)
    wait_until(lambda: len(bench.begun) == 3, "three jobs are begun")
    workers.close()
    assert open_descriptors() == descriptors
    for job in range(10):
        bench.gate(job).set()
    wait_until(lambda: threading.active_count() <= threads, "the threads have ended")
    assert len(bench.begun) == 3
