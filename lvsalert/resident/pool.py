"""The processes of the resident that make runs: made by a fork, idle for the next, killed."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Sequence
from typing import Callable, NamedTuple, NoReturn

from lvsalert.resident.worker import DONE, Execute, work

# A machine that has so many at once is better served by plug-ins that wait for it themselves.
MOST_WORKERS = 256
"""How many turns may be under way."""
_MOST_IDLE = 4


class Load(NamedTuple):
    """How many runs are under way, in how many processes; how many were refused and lost so far."""

    active: int = 0
    workers: int = 0
    refused: int = 0
    lost: int = 0


class Worker:
    """A process for runs: the descriptor that tells of its end, and the connections of its turn."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.ended = os.pidfd_open(pid)
        self.channel = channel
        channel.setblocking(False)
        self.connections: dict[int, socket.socket] = {}

    def take(self, connections: Sequence[socket.socket]) -> bool:
        """Give it a turn; return whether it takes it."""
        by_descriptor = {each.fileno(): each for each in connections}
        try:
            socket.send_fds(self.channel, [b"r"], list(by_descriptor))
        except OSError:
            return False
        self.connections = by_descriptor
        return True

    def close(self) -> None:
        """Close what this process has of it."""
        os.close(self.ended)
        self.channel.close()
        for each in self.connections.values():
            each.close()


class Pool:
    """The workers of a loop, which waits with ``poll``.

    ``execute`` makes a turn, and ``leave`` lets a new process go of all that is the loop's.
    """

    def __init__(self, poll: select.poll, execute: Execute, leave: Callable[[], None]) -> None:
        self._poll = poll
        self._execute = execute
        self._leave = leave
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []
        self._refused = self._lost = 0
        # By the descriptors that are waited for.
        self._by_end: dict[int, Worker] = {}
        self._by_channel: dict[int, Worker] = {}
        self._by_connection: dict[int, Worker] = {}

    @property
    def is_busy(self) -> bool:
        """Return whether any worker has a turn."""
        return bool(self._by_connection)

    @property
    def load(self) -> Load:
        """Return how much there is to do, and what did not come to its end."""
        return Load(len(self._by_connection), len(self._workers), self._refused, self._lost)

    def hand_over(self, connections: Sequence[socket.socket]) -> Worker | None:
        """Return the worker that has a turn of these connections now, None where there is none.

        Then they are closed: a plug-in that hears no answer runs the command itself.
        """
        worker = self._idle.pop() if self._idle else self._made(connections)
        if worker is None or not worker.take(connections):
            for each in connections:
                each.close()
            self._refused += len(connections)
            return None
        for descriptor in worker.connections:
            self._by_connection[descriptor] = worker
            self._poll.register(descriptor, select.POLLRDHUP)
        return worker

    def take(self, descriptor: int) -> None:
        """Take what a descriptor of a worker's tells of; one may be closed by now."""
        if descriptor in self._by_end:
            self._bury(self._by_end[descriptor])
        elif descriptor in self._by_channel:
            self._rest(self._by_channel[descriptor])
        elif descriptor in self._by_connection:
            self._give_up(self._by_connection[descriptor], descriptor)

    def close(self) -> None:
        """Close what this process has of the workers."""
        for worker in self._workers:
            worker.close()

    def _made(self, connections: Sequence[socket.socket]) -> Worker | None:
        """Return a new worker, which has none of the connections yet; None where there is none."""
        if len(self._workers) >= MOST_WORKERS:
            return None
        ours, theirs = socket.socketpair()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            return None
        if not pid:
            self._become_worker([ours, *connections], theirs)
        theirs.close()
        with contextlib.suppress(OSError):
            # Before anybody may want to kill the group, whichever process comes first.
            os.setpgid(pid, pid)
        worker = Worker(pid, ours)
        self._workers.add(worker)
        self._by_end[worker.ended] = self._by_channel[ours.fileno()] = worker
        self._poll.register(worker.ended, select.POLLIN)
        self._poll.register(ours.fileno(), select.POLLIN)
        return worker

    def _become_worker(self, others: Sequence[socket.socket], channel: socket.socket) -> NoReturn:
        """Turn this process into a worker, which has nothing to do with any other."""
        try:
            os.setpgid(0, 0)
            self._leave()
            for each in others:
                each.close()
            work(channel, self._execute)
        finally:
            os._exit(1)

    def _give_up(self, worker: Worker, descriptor: int) -> None:
        """Let go of a call whose plug-in has ended: with the answer, or else by mon's TERM.

        Where it was the last of its turn, and the turn is not over, the worker is killed with all
        that its run has started.
        """
        self._rest(worker)
        if descriptor not in worker.connections:
            return
        self._forget(worker, descriptor)
        if not worker.connections:
            self._lost += 1
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)

    def _rest(self, worker: Worker) -> None:
        """Take a worker's word that its turn is over, where it has given that."""
        try:
            said = worker.channel.recv(1)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if said != DONE:
            # It ends, which it tells otherwise.
            with contextlib.suppress(KeyError):
                self._poll.unregister(worker.channel.fileno())
            return
        for descriptor in list(worker.connections):
            self._forget(worker, descriptor)
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(worker)
        else:
            worker.channel.shutdown(socket.SHUT_WR)

    def _bury(self, worker: Worker) -> None:
        """Take note of a worker's end."""
        os.waitpid(worker.pid, 0)
        self._lost += len(worker.connections)
        for descriptor in list(worker.connections):
            self._forget(worker, descriptor)
        self._workers.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        del self._by_end[worker.ended], self._by_channel[worker.channel.fileno()]
        for descriptor in (worker.ended, worker.channel.fileno()):
            with contextlib.suppress(KeyError):
                self._poll.unregister(descriptor)
        worker.close()

    def _forget(self, worker: Worker, descriptor: int) -> None:
        del self._by_connection[descriptor]
        self._poll.unregister(descriptor)
        worker.connections.pop(descriptor).close()
