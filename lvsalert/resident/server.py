"""The loop of the resident process: a connection is a run, which a worker makes.

The connection is shared with the worker: it answers by itself, also when this process has ended,
and its death is the end of the connection, so that the plug-in runs the command. Alerts have to
wait for each other, since all of them change one table: those that come while one is made are
handed over together, to be made in one step.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import signal
import socket
import time
from collections.abc import Container, Sequence
from typing import Callable, NoReturn

from lvsalert import __version__
from lvsalert.resident import wire
from lvsalert.resident.child import Child
from lvsalert.resident.notes import Notes
from lvsalert.resident.notify import Notifier
from lvsalert.resident.pool import Load, Pool, Worker
from lvsalert.resident.worker import MOST_TOGETHER, Execute, user_of

_BACKLOG = 1024
# More than the head of a call has.
_HEAD_BYTES = 256
# So many plug-ins may wait until it is known what they call; those behind them run by themselves.
_MOST_WAITING = 256
# So long alerts wait for those before them, which may look for a name that does not come.
_TURN_SECONDS = 1.0


def listen(path: str, mask: int = 0o177) -> socket.socket:
    """Return a socket that listens at ``path``; by its ``mask`` only this user may connect to it.

    One that a resident before left behind is replaced; OSError where another one listens.
    """
    if _answers(path):
        raise FileExistsError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        before = os.umask(mask)
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


def in_order(ready: Sequence[int], new: Container[int], opening: Container[int]) -> Sequence[int]:
    """Return descriptors in the order in which they are to be taken: those last that open others.

    One that is closed on the way may have its number given to another one, which its news would be
    taken for: a process that has just begun was waited for, and everybody with it. What is ``new``
    makes processes, and ``opening`` are those over which connections, and what is watched, come.
    """
    return sorted(ready, key=lambda each: 2 if each in opening else 1 if each in new else 0)


class Server:
    """A resident process. ``execute`` runs plug-ins in the process that calls it.

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
        self._calls = calls
        self._watch = watch
        self._notes = Notes(None)
        self._noted = 0, Load()
        self._export: Callable[[], NoReturn] | None = None
        self._watcher: Child | None = None
        self._exporter: Child | None = None
        # By descriptor: what has not called yet, and the alerts that wait for their turn.
        self._new: dict[int, socket.socket] = {}
        self._alerts: dict[int, socket.socket] = {}
        self._turn: Worker | None = None
        self._turn_ends = 0.0
        self._poll = select.poll()
        self._pool = Pool(self._poll, execute, self._leave_as_worker)
        self._notifier = Notifier()
        self._is_ending = False
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self, notes: Notes, export: Callable[[], NoReturn] | None = None) -> None:
        """Serve until TERM or INT, or until a plug-in of another version calls; end when idle.

        ``export`` shows in a process of its own what is noted, where that is asked for.
        """
        self._notes, self._export = notes, export
        self._listener.setblocking(False)
        signal.set_wakeup_fd(self._waker)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda _signum, _frame: self._stop_listening())
        for descriptor in (self._listener.fileno(), self._woken, self._calls.fileno()):
            self._poll.register(descriptor, select.POLLIN)
        # What is there now is shared with every worker, as long as nobody writes to it.
        gc.collect()
        gc.freeze()
        self._start_exporter()
        self._notifier.tell("READY=1")
        while self._alerts or self._pool.is_busy or not self._is_ending:
            ready = [descriptor for descriptor, _ in self._poll.poll(self._pause())]
            opening = (self._listener.fileno(), self._calls.fileno())
            for descriptor in in_order(ready, self._new, opening):
                self._take(descriptor)
            self._start_alerts()
            self._note_load()
            self._notifier.still_alive()
        for child in (self._watcher, self._exporter):
            if child is not None:
                os.kill(child.pid, signal.SIGTERM)

    def _note_load(self) -> None:
        """Note how much there is to do, where that has changed."""
        load = len(self._alerts), self._pool.load
        if load != self._noted:
            self._noted = load
            self._notes.load(*load)

    def _pause(self) -> float | None:
        """Return the milliseconds until something is to be done, whatever comes."""
        pauses = [self._notifier.pause()]
        if self._alerts:
            pauses.append(max(0.0, self._turn_ends - time.monotonic()) * 1000)
        return min((each for each in pauses if each is not None), default=None)

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
        elif descriptor == self._calls.fileno():
            self._start_watcher()
        elif self._watcher is not None and descriptor == self._watcher.ended:
            self._bury_watcher(self._watcher)
        elif self._exporter is not None and descriptor == self._exporter.ended:
            self._bury_exporter(self._exporter)
        elif descriptor in self._new:
            self._dispatch(self._let_go(self._new, descriptor))
        elif descriptor in self._alerts:
            # Its plug-in has ended, and nobody wants to know any more.
            self._let_go(self._alerts, descriptor).close()
        elif descriptor == self._listener.fileno():
            self._accept()
        else:
            self._pool.take(descriptor)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        self._start_exporter()
        is_trusted = user_of(connection) in (0, os.geteuid())
        if not is_trusted or len(self._new) >= _MOST_WAITING:
            connection.close()
            return
        self._wait_for(self._new, connection, select.POLLIN)

    def _wait_for(
        self, waiting: dict[int, socket.socket], connection: socket.socket, event: int
    ) -> None:
        waiting[connection.fileno()] = connection
        self._poll.register(connection.fileno(), event)

    def _let_go(self, waiting: dict[int, socket.socket], descriptor: int) -> socket.socket:
        self._poll.unregister(descriptor)
        return waiting.pop(descriptor)

    def _dispatch(self, connection: socket.socket) -> None:
        """See to it that a call is run, or have its plug-in run it."""
        try:
            flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
            version, program = wire.head(connection.recv(_HEAD_BYTES, flags))
            if version == __version__:
                connection.send(wire.TAKEN)
            else:
                self._stop_listening()
        except (OSError, wire.Broken):
            version = ""
        if version != __version__:
            connection.close()
        elif program.endswith(".alert"):
            self._wait_for(self._alerts, connection, select.POLLRDHUP)
        else:
            self._pool.hand_over([connection])

    def _start_alerts(self) -> None:
        """Hand over the alerts that wait, unless those before them are still being made."""
        if self._turn is not None and not self._turn.connections:
            self._turn = None
        now = time.monotonic()
        if not self._alerts or (self._turn is not None and now < self._turn_ends):
            return
        first = list(self._alerts)[:MOST_TOGETHER]
        self._turn = self._pool.hand_over([self._let_go(self._alerts, each) for each in first])
        self._turn_ends = now + _TURN_SECONDS

    def _leave_as_worker(self) -> None:
        """Let go of all that is the loop's, in a worker that it has made."""
        self._leave()
        self._calls.close()

    def _leave(self) -> None:
        """Let go of all that is the loop's, in a process that it has made."""
        signal.set_wakeup_fd(-1)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        self._listener.close()
        self._pool.close()
        for connection in (*self._new.values(), *self._alerts.values()):
            connection.close()
        os.close(self._woken)
        os.close(self._waker)

    def _start_watcher(self) -> None:
        """Start the process that takes what has come for it."""
        child = Child.start(self._leave, self._watch)
        if child is not None:
            self._poll.unregister(self._calls.fileno())
            self._watcher = child
            self._poll.register(child.ended, select.POLLIN)

    def _bury_watcher(self, child: Child) -> None:
        """Take note of its end; another one is started when there is something for it."""
        self._poll.unregister(child.ended)
        child.bury()
        self._watcher = None
        self._notes.watches(0)
        self._poll.register(self._calls.fileno(), select.POLLIN)

    def _start_exporter(self) -> None:
        """Start the process that shows how things stand, unless there is one."""
        if self._export is None or self._exporter is not None:
            return
        self._exporter = Child.start(self._leave, self._export)
        if self._exporter is not None:
            self._poll.register(self._exporter.ended, select.POLLIN)
            self._notes.load(*self._noted)

    def _bury_exporter(self, child: Child) -> None:
        """Take note of its end; another one is started with the next run."""
        self._poll.unregister(child.ended)
        child.bury()
        self._exporter = None
