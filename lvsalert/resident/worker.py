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
"""What a process tells the loop when it is ready for another run."""

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
    for _ in range(_MOST_RUNS):
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        if not descriptors:
            break
        with socket.socket(fileno=descriptors[0]) as connection:
            _answer(connection, execute)
        if threading.active_count() > 1 or _memory() > limit:
            break
        channel.send(DONE)
    os._exit(0)


def _memory() -> int:
    """Return the most memory (KiB) that the process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _answer(connection: socket.socket, execute: Execute) -> None:
    """Read a call from the connection, run it, and answer.

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

    def told(status: int, stdout: bytes, stderr: bytes) -> bool:
        try:
            connection.sendall(wire.pack([str(status).encode(), stdout, stderr]))
        except OSError:
            return False
        return True

    execute(program.decode(), sys.argv[1:], stdin, told)


def _received(connection: socket.socket) -> bytes:
    data = b""
    while wanted := wire.missing(data):
        piece = connection.recv(wanted)
        if not piece:
            raise wire.Broken("a message that breaks off")
        data += piece
    return data
