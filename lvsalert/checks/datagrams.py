"""A question and its answer in datagrams, the question sent again as long as no answer comes."""

from __future__ import annotations

import socket
from typing import Callable

from lvsalert.checks.sweep import READ, WRITE, Repeating, TimedOut, Verdict, Within

# As a resolver waits before it asks again (resolv.conf(5) has 5 s, others less).
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 4.0
# More than a datagram can hold.
_SIZE = 1 << 16

Judge = Callable[[bytes], "str | None"]
"""Returns why an answer is a failure ("": it is none), None where it is to another question."""


def ask(question: bytes, judge: Judge, sock: socket.socket) -> Repeating:
    """Send the question until an answer to it comes, and return the verdict on that."""
    pause, strangers = _FIRST_PAUSE, 0
    try:
        while True:
            try:
                sock.send(question)
            except BlockingIOError:
                yield WRITE
                continue
            yield Within(READ, pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            try:
                while True:
                    answer = sock.recv(_SIZE)
                    reason = judge(answer)
                    if reason is not None:
                        return Verdict(reason, b"")
                    strangers += 1
                    yield Within(READ, pause)
            except BlockingIOError:
                pass
    except TimedOut as late:
        return Verdict(f"{late}, {'no answer to the question' if strangers else 'no answer'}", b"")
