"""mon's checks made once by the director itself: the same monitors, all watches at once.

Each monitor is a process of its own, as under mon. A regular expression that explodes would else
stop every thread here, and nothing but KILL would end it; a monitor's watchdog ends its process.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import sys
import time
import warnings
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from importlib import import_module
from typing import NoReturn

from lvsalert.commands import entry
from lvsalert.director.setup import FirstCheck
from lvsalert.ipvs.table import Endpoint
from lvsalert.ldirectord.watches import Watch
from lvsalert.mon.report import reasons_of

_CANNOT_TELL = 3
_AT_ONCE = 64
# What is found comes in batches, so that the table is not written anew for each host.
_BATCH_SECONDS = 0.5
# A process with several hosts is late then: one that is well answers before.
_LATE_SECONDS = 1.0


def probe(watches: Sequence[Watch]) -> Iterator[Sequence[tuple[int, FirstCheck]]]:
    """Run the monitors of all watches, and yield what they find in batches, as it comes.

    That is the number of a watch with a check of some of its hosts. They are spread over so many
    processes as run at once. Where that makes several hosts a process, those of one that is late
    are asked one by one as well, so that a silent host keeps nobody waiting.
    """
    for program in {watch.monitor[0] for watch in watches}:
        import_module(f"lvsalert.commands.{_function(program)}")
    waiting, late = deque(_parts(watches)), deque[_Part]()
    running: list[_Part] = []
    found: list[tuple[int, FirstCheck]] = []
    due = time.monotonic() + _BATCH_SECONDS
    try:
        while waiting or running:
            _start(waiting, late, running)
            until = [each.late_at for each in running if each.late_at is not None]
            until += [due] if found else []
            _wait([each.process for each in running], min(until, default=None))
            for each in [each for each in running if each.process.is_done]:
                running.remove(each)
                found += each.end()
            for each in [each for each in running if not each.open]:
                running.remove(each)
                each.process.end()
            for each in running:
                late.extend(each.split())
            if found and time.monotonic() >= due:
                yield found
                found, due = [], time.monotonic() + _BATCH_SECONDS
        if found:
            yield found
    finally:
        for each in running:
            each.process.end()


class _Part:
    """Some hosts of the watch of a number, asked in one process.

    ``open`` are those without a verdict. They are shared with the part that it was split from.
    ``late_at`` is when it is late (time.monotonic()), None where it cannot be split.
    """

    process: _Process
    late_at: float | None = None

    def __init__(self, number: int, watch: Watch, open_: set[str] | None = None) -> None:
        self._number = number
        self._watch = watch
        self._is_whole = open_ is None
        self._open = set(watch.hosts) if open_ is None else open_
        # A watch without hosts has its verdict as any other.
        self._is_empty = not watch.hosts

    @property
    def open(self) -> bool:
        """Return whether any of its hosts has no verdict yet."""
        return self._is_empty or not self._open.isdisjoint(self._watch.hosts)

    def start(self) -> None:
        """Ask its hosts."""
        self.process = _Process(self._watch)
        if self._is_whole and len(self._watch.hosts) > 1 and not self._watch.is_compared:
            self.late_at = time.monotonic() + _LATE_SECONDS

    def split(self) -> Iterator[_Part]:
        """Yield its hosts as parts of their own where it is late."""
        if self.late_at is None or time.monotonic() < self.late_at:
            return
        self.late_at = None
        for host, servers in self._watch.hosts.items():
            yield _Part(self._number, self._watch._replace(hosts={host: servers}), self._open)

    def end(self) -> list[tuple[int, FirstCheck]]:
        """Return what it found of those that had no verdict."""
        check = self.process.end()
        hosts = {host: each for host, each in check.watch.hosts.items() if host in self._open}
        if not (hosts or self._is_empty):
            return []
        self._open.difference_update(hosts)
        meant = {server.endpoint for servers in hosts.values() for server in servers}
        failed = {each: reason for each, reason in check.failed.items() if each in meant}
        return [
            (self._number, check._replace(watch=check.watch._replace(hosts=hosts), failed=failed))
        ]


def _start(waiting: deque[_Part], late: deque[_Part], running: list[_Part]) -> None:
    """Start so many parts as may run; those that were split have places of their own."""
    for parts, most in ((waiting, _AT_ONCE), (late, 2 * _AT_ONCE)):
        while parts and len(running) < most:
            part = parts.popleft()
            if part.open:
                part.start()
                running.append(part)


def _parts(watches: Sequence[Watch]) -> Iterator[_Part]:
    """Yield parts of watches, of some hosts each, together all.

    A watch without hosts is a part as it is, and so is one whose hosts are compared. So at first is
    one by way of a virtual address: its marks are set in one go, and its parts find them there.
    """
    size = max(1, math.ceil(sum(len(watch.hosts) for watch in watches) / _AT_ONCE))
    for number, watch in enumerate(watches):
        if watch.is_compared or watch.is_by_way:
            yield _Part(number, watch)
            continue
        hosts = list(watch.hosts.items())
        for begin in range(0, len(hosts), size) or (0,):
            part = dict(hosts[begin : begin + size])
            yield _Part(number, watch._replace(hosts=part, others=()))


def _function(program: str) -> str:
    """Return the name of the function, and of the module, that is a monitor."""
    return program.replace(".", "_")


class _Process:
    """A monitor at work, with the descriptors that tell what it says and that it has ended.

    ``is_talking`` is whether more may come of its output. Each ends by itself: it keeps a deadline.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._said = b""
        self._has_ended = False
        self.is_talking = True
        self.output, writer = os.pipe()
        os.set_blocking(self.output, False)
        with warnings.catch_warnings():
            # The only threads that there can be are look-ups of names that were given up.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if not self._pid:
            _become(watch, writer)
        os.close(writer)
        self.ended = os.pidfd_open(self._pid)

    @property
    def is_done(self) -> bool:
        """Return whether it has ended."""
        return self._has_ended

    def take(self, ready: set[int]) -> None:
        """Read what it says, and note its end; ``ready`` are the descriptors with news."""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self.output, 65536):
                self._said += piece
            self.is_talking = False
        self._has_ended = self.ended in ready

    def end(self) -> FirstCheck:
        """Kill it with all that it started, unless it has ended; return what it found.

        Death by a signal is no verdict.
        """
        if not self._has_ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
        _, how = os.waitpid(self._pid, 0)
        os.close(self.output)
        os.close(self.ended)
        if os.WIFSIGNALED(how):
            program = self._watch.monitor[0]
            said = f"\n{program}: killed by signal {os.WTERMSIG(how)}\n"
            return _checked(self._watch, _CANNOT_TELL, said)
        said = self._said.decode("utf-8", "backslashreplace")
        return _checked(self._watch, os.WEXITSTATUS(how), said)


def _wait(processes: Collection[_Process], until: float | None) -> None:
    """Wait for news of any process, until then (time.monotonic()) where that is not None."""
    poll = select.poll()
    for each in processes:
        poll.register(each.ended, select.POLLIN)
        if each.is_talking:
            poll.register(each.output, select.POLLIN)
    pause = None if until is None else max(0.0, until - time.monotonic()) * 1000
    ready = {descriptor for descriptor, _ in poll.poll(pause)}
    for each in processes:
        each.take(ready)


def _become(watch: Watch, stdout: int) -> NoReturn:
    """Turn this process into the monitor of a watch, as mon starts it."""
    program, *words = watch.monitor
    argv = [program, *words, *watch.hosts, *watch.others]
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor, number in ((null, 0), (stdout, 1), (null, 2)):
            os.dup2(descriptor, number)
        # What else is open is its parent's: a connection would live on with it.
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        for name in [name for name in os.environ if name.startswith(("LVSALERT_", "MON_"))]:
            del os.environ[name]
        os.environ.update(watch.variables, MON_GROUP=watch.group, MON_SERVICE=watch.service)
        sys.argv = argv
        getattr(entry, _function(program))()
    except OSError as error:
        os.write(1, f"\n{program}: {error.strerror}\n".encode())
    finally:
        os._exit(_CANNOT_TELL)


def _checked(watch: Watch, status: int, output: str) -> FirstCheck:
    summary, _, detail = output.partition("\n")
    named = set(summary.split())
    if status == _CANNOT_TELL or (status and not named & {*watch.hosts, *watch.others}):
        return FirstCheck(watch, {}, is_told=False, remark=detail.strip().partition("\n")[0])
    why = reasons_of(detail)
    failed: dict[Endpoint, str] = {}
    for host in named if status else ():
        # What mon says of the others it says itself.
        for server in watch.hosts.get(host, ()):
            failed[server.endpoint] = why.get(host, "failed its check")
    return FirstCheck(watch, failed, is_told=True, remark="")
