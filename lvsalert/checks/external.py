"""A check that is a program of its own, called as ldirectord calls its ``checkcommand``."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import NamedTuple

from lvsalert.checks.sweep import Verdict
from lvsalert.checks.threads import Judge, Reach
from lvsalert.model import split_endpoint

# As much is kept of what it says; it may say more.
_MAX_SAID = 1 << 16


class Check(NamedTuple):
    """The program with the words in front of its arguments, and the virtual service it is for.

    ``virtual`` is as ``parse_virtual`` returns it.
    """

    program: Sequence[str]
    virtual: tuple[str, str]


def parse_virtual(text: str) -> tuple[str, str]:
    """Return address and port as ldirectord hands them on: a firewall mark has port 0.

    An IPv6 address keeps its brackets. UsageError for what is no virtual service.
    """
    if text.isascii() and text.isdigit():
        return text, "0"
    host, port = split_endpoint(text)
    return _bracketed(host), port or "0"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def run(check: Check, reach: Reach) -> Judge:
    """Run the program for one real server, and return what judges its end.

    It gets four arguments (ldirectord(8), checkcommand): virtual address, virtual port, real
    address, real port. At the time-out it is killed with all that it started.
    """
    rip = _bracketed(reach.address.text)
    argv = [*check.program, *check.virtual, rip, str(reach.target.port)]
    verdict = run_program(argv, reach.limit, reach.late)
    return lambda: verdict


def run_program(argv: Sequence[str], limit: float, late: str) -> Verdict:
    """Run a program until ``limit`` (time.monotonic()), and return how it ended.

    ``late`` is the reason of one that is killed then, with all that it started. Status 0 is good.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Verdict(f"{argv[0]}: {error.strerror}", b"")
    with process:
        output = process.stdout.fileno() if process.stdout is not None else -1
        has_ended, said = _listen(process.pid, output, limit)
        if not has_ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return Verdict(late, said)
        status = process.wait()
    if status < 0:
        return Verdict(f"killed by {_name_of(-status)}", said)
    return Verdict(f"exit status {status}" if status else "", said)


def _listen(pid: int, output: int, limit: float) -> tuple[bool, bytes]:
    """Return whether the program itself ended in time, and the beginning of what it said.

    Something that it left behind may keep its output open, so that has no end to wait for.
    """
    os.set_blocking(output, False)
    said = b""
    ended = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(output, select.POLLIN)
        while (left := limit - time.monotonic()) > 0:
            ready = {descriptor for descriptor, _ in poll.poll(left * 1000)}
            if output in ready:
                piece = _read(output)
                said = (said + piece)[:_MAX_SAID]
                if not piece:
                    poll.unregister(output)
            elif ended in ready:
                return True, said
    finally:
        os.close(ended)
    return False, said


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""


def _name_of(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:  # a real-time signal between the first and the last
        return f"signal {signum}"
