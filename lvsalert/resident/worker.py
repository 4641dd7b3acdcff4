"""A process that makes one turn after the other for plug-ins, as the loop hands them over.

A turn is a run, or several alerts that are made together. The surroundings that came over a
connection become the process's own. A turn that hangs, crashes, fills its memory or is killed
touches no other, since each process makes one at a time; one that left anything behind is its
process's last.
"""

from __future__ import annotations

import os
import resource
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence
from typing import Callable, NamedTuple, NoReturn

from lvsalert.resident import wire

DONE = b"."
"""What a process tells the loop just before its last answer: it is ready for another turn then.

Since the plug-in ends with the answer, its end so cannot be mistaken for that of one that gave up.
"""
MOST_TOGETHER = 64
"""How many calls may come at once."""

# A plug-in has it all ready when it connects.
_MESSAGE_SECONDS = 5.0
# After so many turns, or with so much more memory than at its start, a process makes room.
_MOST_TURNS = 1000
_MOST_KIB = 32768
_CREDENTIALS = struct.Struct("3i")


def user_of(connection: socket.socket) -> int:
    """Return the number of the user on the other side (unix(7), SO_PEERCRED)."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(data)[1]
    return uid


class Call:
    """A plug-in's call: its program, its words and its standard input, and the way to answer it."""

    def __init__(self, message: bytes, uid: int, answer: Callable[[bytes | None], bool]) -> None:
        """Take the message of a user apart; ``answer`` sends an answer, None to give it up."""
        self.uid = uid
        _, program, self._folder, self.stdin, count, *rest = wire.unpack(message)
        self.program = program.decode()
        self._words, self._environ = rest[: int(count)], rest[int(count) :]
        self._answer = answer

    @property
    def argv(self) -> list[str]:
        """Return the words behind the program's name."""
        return [os.fsdecode(word) for word in self._words[1:]]

    def text(self) -> str:
        """Return its standard input as text."""
        return self.stdin.decode("utf-8", "surrogateescape")

    @property
    def place(self) -> tuple[bytes, list[bytes]]:
        """Return what a process has but once: the folder, and what sets its clock."""
        return self._folder, [each for each in self._environ if each.startswith(b"TZ=")]

    def enter(self) -> None:
        """Make its environment and its folder this process's own."""
        os.environb.clear()
        for each in self._environ:
            name, _, value = each.partition(b"=")
            os.environb[name] = value
        time.tzset()
        os.chdir(self._folder)
        sys.argv[:] = [os.fsdecode(word) for word in self._words]

    def answer(self, status: int, stdout: bytes, stderr: bytes) -> bool:
        """Answer it; return whether the answer was taken."""
        return self._answer(wire.pack([str(status).encode(), stdout, stderr]))

    def give_up(self) -> None:
        """Have the plug-in run the command itself."""
        self._answer(None)


Execute = Callable[[Sequence[Call]], None]
"""Runs plug-ins, several of which are alerts, and answers each."""


def work(channel: socket.socket, execute: Execute) -> NoReturn:
    """Make turns of the connections that come over the channel, until it ends."""
    limits = _Limits(_MOST_TURNS, _memory() + _MOST_KIB)
    is_fit = True
    while is_fit:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, MOST_TOGETHER)
        if not descriptors:
            break
        limits = limits._replace(turns=limits.turns - 1)
        turn = _Turn([socket.socket(fileno=each) for each in descriptors], channel, limits)
        execute(turn.calls())
        is_fit = turn.is_fit
    os._exit(0)


class _Limits(NamedTuple):
    """How many turns a process still makes, and with how much memory (KiB)."""

    turns: int
    memory: int

    def are_kept(self) -> bool:
        """Return whether the process is good for another turn."""
        return self.turns > 0 and threading.active_count() == 1 and _memory() <= self.memory


def _memory() -> int:
    """Return the most memory (KiB) that the process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class _Turn:
    """The connections of a turn, and whether the process is fit for another one behind it."""

    def __init__(
        self, connections: Sequence[socket.socket], channel: socket.socket, limits: _Limits
    ) -> None:
        # In the order in which they came.
        self._left = dict.fromkeys(connections)
        self._channel = channel
        self._limits = limits
        self.is_fit = False

    def calls(self) -> list[Call]:
        """Return the calls that came over the connections; one that breaks off is given up."""
        found = []
        for connection in list(self._left):
            try:
                uid = user_of(connection)
                found.append(Call(_received(connection), uid, self._answering(connection)))
            except (OSError, ValueError, wire.Broken):
                self._close(connection)
        return found

    def _answering(self, connection: socket.socket) -> Callable[[bytes | None], bool]:
        def answer(message: bytes | None) -> bool:
            if len(self._left) == 1:
                self._end()
            try:
                if message is not None:
                    connection.sendall(message)
            except OSError:
                return False
            finally:
                self._close(connection)
            return True

        return answer

    def _end(self) -> None:
        """Tell the loop that the turn is over, if there may be another one."""
        if self._limits.are_kept():
            try:
                self._channel.send(DONE)
            except OSError:
                # The loop has ended, and the answer is due all the same.
                return
            self.is_fit = True

    def _close(self, connection: socket.socket) -> None:
        self._left.pop(connection, None)
        connection.close()


def _received(connection: socket.socket) -> bytes:
    connection.settimeout(_MESSAGE_SECONDS)
    data = b""
    while wanted := wire.missing(data):
        piece = connection.recv(wanted)
        if not piece:
            raise wire.Broken("a message that breaks off")
        data += piece
    connection.settimeout(None)
    return data
