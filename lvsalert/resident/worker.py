"""A process that makes one run after the other for plug-ins, as the loop hands them over.

What came over the connection becomes the process's own surroundings. A run that hangs, crashes,
fills its memory or is killed touches no other, since each process makes one at a time; one that
left anything behind is its process's last.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Callable, NoReturn

from lvsalert import __version__
from lvsalert.resident import wire

OTHER_VERSION = 17
"""The exit status of a process that was asked by a plug-in of another version."""
DONE = b"."
"""What a process tells the loop just before it answers: it is ready for another run then.

Since the plug-in ends with the answer, its end so cannot be mistaken for that of one that gave up.
"""

# A plug-in has it all ready when it connects.
_MESSAGE_SECONDS = 5.0
# After so many runs, or with so much more memory than at its start, a process makes room.
_MOST_RUNS = 1000
_MOST_KIB = 32768

Answer = Callable[[int, bytes, bytes], bool]
"""Gets status, standard output and standard error; returns whether they were taken."""
Execute = Callable[[str, Sequence[str], bytes, Answer], None]
"""Runs a program with its words and its standard input."""


def work(channel: socket.socket, execute: Execute) -> NoReturn:
    """Make runs for the connections that come over the channel, until it ends."""
    limit = _memory() + _MOST_KIB
    left = _MOST_RUNS

    def goes_on() -> bool:
        nonlocal left
        left -= 1
        if left <= 0 or threading.active_count() > 1 or _memory() > limit:
            return False
        try:
            channel.send(DONE)
        except OSError:
            # The loop has ended, and the answer is due all the same.
            return False
        return True

    is_fit = True
    while is_fit:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        if not descriptors:
            break
        with socket.socket(fileno=descriptors[0]) as connection:
            is_fit = _answer(connection, execute, goes_on)
    os._exit(0)


def _memory() -> int:
    """Return the most memory (KiB) that the process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _answer(connection: socket.socket, execute: Execute, goes_on: Callable[[], bool]) -> bool:
    """Read a call from the connection, run it, and answer; return what ``goes_on`` says then.

    Where that cannot be the process ends without an answer.
    """
    connection.settimeout(_MESSAGE_SECONDS)
    version, program, folder, stdin, count, *rest = wire.unpack(_received(connection))
    if version.decode() != __version__:
        os._exit(OTHER_VERSION)
    words, environ = rest[: int(count)], rest[int(count) :]
    os.environb.clear()
    for each in environ:
        name, _, value = each.partition(b"=")
        os.environb[name] = value
    time.tzset()
    os.chdir(folder)
    sys.argv[:] = [os.fsdecode(word) for word in words]
    connection.sendall(wire.TAKEN)
    connection.settimeout(None)

    is_fit = False

    def told(status: int, stdout: bytes, stderr: bytes) -> bool:
        nonlocal is_fit
        is_fit = goes_on()
        try:
            connection.sendall(wire.pack([str(status).encode(), stdout, stderr]))
        except OSError:
            return False
        return True

    execute(program.decode(), sys.argv[1:], stdin, told)
    return is_fit


def _received(connection: socket.socket) -> bytes:
    data = b""
    while wanted := wire.missing(data):
        piece = connection.recv(wanted)
        if not piece:
            raise wire.Broken("a message that breaks off")
        data += piece
    return data
