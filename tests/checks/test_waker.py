"""Signals that come while a monitor is about to wait."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from lvsalert.checks import http
from lvsalert.checks.icmp import ping
from lvsalert.checks.sweep import Target, Verdict, sweep
from lvsalert.checks.threads import Judge, Reach, probe_in_threads
from lvsalert.checks.waker import Waker
from tests.harness.waiting import wait_until
from tests.monitors import knowing, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNAL = signal.SIGUSR1
SECONDS = 20.0
NAME = "hangs.example.com"
LIMITS: dict[str, Any] = {"timeout": SECONDS, "concurrency": 1}


class Ended(Exception):
    """Raised by the signal's handler."""


def _fetch(_: Reach) -> Judge:
    return lambda: Verdict("", b"")


def _swept() -> None:
    probe = functools.partial(http.probe, http.Check())
    sweep([Target(NAME, NAME, 80)], probe, deadline=time.monotonic() + SECONDS, **LIMITS)


def _in_threads() -> None:
    target = Target(NAME, NAME, 80)
    probe_in_threads([target], _fetch, deadline=time.monotonic() + SECONDS, **LIMITS)


def _pinged() -> None:
    deadline = time.monotonic() + SECONDS
    ping([NAME], retries=0, wait=SECONDS, deadline=deadline, lookup_timeout=SECONDS)


@pytest.fixture
def ending() -> Iterator[None]:
    """A handler for the signal, and a main thread that the kernel does not interrupt with it.

    That is what a signal is to a thread that has looked for signals, and is about to wait.
    """

    def end(_signum: int, _frame: object) -> None:
        raise Ended

    before = signal.signal(SIGNAL, end)
    yield
    signal.signal(SIGNAL, before)


def _sends(thread: int, asked: list[str]) -> None:
    """Send the signal to this process when a thread of it waits for the name's addresses."""
    wait_until(lambda: NAME in asked, "the name is looked up")
    state = Path(f"/proc/self/task/{thread}/stat")
    wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "S", "it waits")
    os.kill(os.getpid(), SIGNAL)


@pytest.mark.usefixtures("ending")
@pytest.mark.parametrize("waits", [_swept, _in_threads, _pinged])
def test_signal_just_before_a_wait_ends_it(waits: Callable[[], None]) -> None:
    """The handler runs at once, and not when the host's time is up."""
    begun = time.monotonic()
    with knowing({}, [NAME]) as names:
        sender = threading.Thread(target=_sends, args=(threading.get_native_id(), names.asked))
        sender.start()
        # The sender, who began before, still takes the signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
        try:
            with pytest.raises(Ended):
                waits()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})
            sender.join()
    assert time.monotonic() - begun < SECONDS / 2


def test_waker_leaves_nothing_behind() -> None:
    """Signals wake whom they woke before, and no descriptor stays open."""
    before = open_descriptors()
    outer = Waker()
    Waker().close()
    assert signal.set_wakeup_fd(-1) != -1
    outer.close()
    assert signal.set_wakeup_fd(-1) == -1
    assert open_descriptors() == before


def test_waker_is_for_the_main_thread() -> None:
    """In another thread it waits for nothing, and is no error."""
    made: list[Waker] = []
    thread = threading.Thread(target=lambda: made.append(Waker()))
    thread.start()
    thread.join()
    assert signal.set_wakeup_fd(-1) == -1
    made[0].close()
