"""The loop of the resident process: a connection is a run, which a worker makes.

The connection is shared with the worker: it answers by itself, also when this process has ended,
and its death is the end of the connection, so that the plug-in runs the command.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import signal
import socket
import struct
import traceback
from typing import Callable, NoReturn

from lvsalert.resident.notify import Notifier
from lvsalert.resident.worker import DONE, OTHER_VERSION, Execute, work

# A machine that has so many at once is better served by plug-ins that wait for it themselves.
_MOST_RUNS = 256
_MOST_IDLE = 4
_CREDENTIALS = struct.Struct("3i")
_BACKLOG = 1024


class _Worker:
    """A process for runs: the descriptor that tells of its end, and the connection of its run."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.ended = os.pidfd_open(pid)
        self.channel = channel
        channel.setblocking(False)
        self.connection: socket.socket | None = None

    def take(self, connection: socket.socket) -> bool:
        """Give it a run; return whether it takes it."""
        try:
            socket.send_fds(self.channel, [b"r"], [connection.fileno()])
        except OSError:
            return False
        self.connection = connection
        return True

    def close(self) -> None:
        """Close what this process has of it."""
        os.close(self.ended)
        self.channel.close()
        if self.connection is not None:
            self.connection.close()


def listen(path: str) -> socket.socket:
    """Return a socket that listens at ``path``, which only this user may connect to.

    One that a resident before left behind is replaced; OSError where another one listens.
    """
    if _answers(path):
        raise FileExistsError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        before = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        try:
            other.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


class Server:
    """A resident process. ``execute`` runs a plug-in in the process that calls it.

    When something comes over ``calls``, ``watch`` is started in a process of its own, to take it.
    """

    def __init__(
        self,
        listener: socket.socket,
        execute: Execute,
        calls: socket.socket,
        watch: Callable[[], NoReturn],
    ) -> None:
        self._listener = listener
        self._execute = execute
        self._calls = calls
        self._watch = watch
        self._watcher: tuple[int, int] | None = None
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        # By the descriptors that are waited for.
        self._by_end: dict[int, _Worker] = {}
        self._by_channel: dict[int, _Worker] = {}
        self._by_connection: dict[int, _Worker] = {}
        self._poll = select.poll()
        self._notifier = Notifier()
        self._is_ending = False
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Serve until TERM or INT, or until a plug-in of another version calls; end when idle."""
        self._listener.setblocking(False)
        signal.set_wakeup_fd(self._waker)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda _signum, _frame: self._stop_listening())
        for descriptor in (self._listener.fileno(), self._woken, self._calls.fileno()):
            self._poll.register(descriptor, select.POLLIN)
        # What is there now is shared with every worker, as long as nobody writes to it.
        gc.collect()
        gc.freeze()
        self._notifier.tell("READY=1")
        while self._by_connection or not self._is_ending:
            for descriptor, _ in self._poll.poll(self._notifier.pause()):
                self._take(descriptor)
            self._notifier.still_alive()
        if self._watcher is not None:
            os.kill(self._watcher[0], signal.SIGTERM)

    def _stop_listening(self) -> None:
        if not self._is_ending:
            self._is_ending = True
            self._notifier.tell("STOPPING=1")
            self._poll.unregister(self._listener.fileno())
            self._listener.close()

    def _take(self, descriptor: int) -> None:
        """Take what a descriptor tells of."""
        if descriptor == self._woken:
            with contextlib.suppress(BlockingIOError):
                os.read(descriptor, 4096)
        elif descriptor in self._by_end:
            self._bury(self._by_end[descriptor])
        elif descriptor in self._by_channel:
            self._rest(self._by_channel[descriptor])
        elif descriptor == self._calls.fileno():
            self._start_watcher()
        elif self._watcher is not None and descriptor == self._watcher[1]:
            self._bury_watcher(*self._watcher)
        elif descriptor in self._by_connection:
            self._give_up(self._by_connection[descriptor])
        elif not self._is_ending and descriptor == self._listener.fileno():
            self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        worker = self._worker() if _is_trusted(connection) else None
        # Without a worker the plug-in hears no answer, and runs by itself.
        if worker is None or not worker.take(connection):
            connection.close()
            return
        self._by_connection[connection.fileno()] = worker
        self._poll.register(connection.fileno(), select.POLLRDHUP)

    def _worker(self) -> _Worker | None:
        """Return a worker that is idle, a new one where none is; None where there can be none."""
        if self._idle:
            return self._idle.pop()
        if len(self._workers) >= _MOST_RUNS:
            return None
        ours, theirs = socket.socketpair()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            return None
        if not pid:
            self._become_worker(ours, theirs)
        theirs.close()
        with contextlib.suppress(OSError):
            # Before anybody may want to kill the group, whichever process comes first.
            os.setpgid(pid, pid)
        worker = _Worker(pid, ours)
        self._workers.add(worker)
        self._by_end[worker.ended] = self._by_channel[ours.fileno()] = worker
        self._poll.register(worker.ended, select.POLLIN)
        self._poll.register(ours.fileno(), select.POLLIN)
        return worker

    def _become_worker(self, ours: socket.socket, channel: socket.socket) -> NoReturn:
        """Turn this process into a worker, which has nothing to do with any other."""
        try:
            os.setpgid(0, 0)
            self._leave()
            ours.close()
            self._calls.close()
            work(channel, self._execute)
        finally:
            os._exit(1)

    def _leave(self) -> None:
        """Let go of all that is the loop's, in a process that it has made."""
        signal.set_wakeup_fd(-1)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        self._listener.close()
        for worker in self._workers:
            worker.close()
        os.close(self._woken)
        os.close(self._waker)

    def _start_watcher(self) -> None:
        """Start the process that takes what has come for it."""
        try:
            pid = os.fork()
        except OSError:
            return
        if not pid:
            try:
                self._leave()
                self._watch()
            except BaseException:
                # There is nobody above to tell of a bug; the loop starts another one.
                traceback.print_exc()
            finally:
                os._exit(1)
        self._poll.unregister(self._calls.fileno())
        self._watcher = pid, os.pidfd_open(pid)
        self._poll.register(self._watcher[1], select.POLLIN)

    def _bury_watcher(self, pid: int, ended: int) -> None:
        """Take note of its end; another one is started when there is something for it."""
        os.waitpid(pid, 0)
        self._poll.unregister(ended)
        os.close(ended)
        self._watcher = None
        self._poll.register(self._calls.fileno(), select.POLLIN)

    def _give_up(self, worker: _Worker) -> None:
        """Kill a worker, with all that its run has started, unless its run is over.

        Its plug-in has ended: with the answer, or else by mon's TERM for one.
        """
        self._rest(worker)
        if worker.connection is not None:
            self._poll.unregister(worker.connection.fileno())
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)

    def _rest(self, worker: _Worker) -> None:
        """Take a worker's word that its run is over, where it has given that."""
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
        self._forget_connection(worker)
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(worker)
        else:
            worker.channel.shutdown(socket.SHUT_WR)

    def _bury(self, worker: _Worker) -> None:
        """Take note of a worker's end."""
        _, status = os.waitpid(worker.pid, 0)
        self._forget_connection(worker)
        self._workers.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        del self._by_end[worker.ended], self._by_channel[worker.channel.fileno()]
        for descriptor in (worker.ended, worker.channel.fileno()):
            with contextlib.suppress(KeyError):
                self._poll.unregister(descriptor)
        worker.close()
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == OTHER_VERSION:
            self._stop_listening()

    def _forget_connection(self, worker: _Worker) -> None:
        connection, worker.connection = worker.connection, None
        if connection is not None:
            del self._by_connection[connection.fileno()]
            with contextlib.suppress(KeyError):
                self._poll.unregister(connection.fileno())
            connection.close()


def _is_trusted(connection: socket.socket) -> bool:
    """Return whether the other side is this user or root (unix(7), SO_PEERCRED)."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(data)
    return uid in (0, os.geteuid())
