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


def probe(watches: Sequence[Watch]) -> Iterator[Sequence[tuple[int, FirstCheck]]]:
    """Run the monitors of all watches, and yield what they find in batches, as it comes.

    That is the number of a watch with a check of some of its hosts. They are spread over so many
    processes as run at once, so that a silent host keeps few others waiting.
    """
    for program in {watch.monitor[0] for watch in watches}:
        import_module(f"lvsalert.commands.{_function(program)}")
    waiting = deque(_parts(watches))
    running: list[tuple[int, _Process]] = []
    found: list[tuple[int, FirstCheck]] = []
    due = time.monotonic() + _BATCH_SECONDS
    try:
        while waiting or running:
            while waiting and len(running) < _AT_ONCE:
                number, part = waiting.popleft()
                running.append((number, _Process(part)))
            _wait([process for _, process in running], due - time.monotonic() if found else None)
            for each in [each for each in running if each[1].is_done]:
                running.remove(each)
                found.append((each[0], each[1].end()))
            if found and time.monotonic() >= due:
                yield found
                found, due = [], time.monotonic() + _BATCH_SECONDS
        if found:
            yield found
    finally:
        for _, process in running:
            process.end()


def _parts(watches: Sequence[Watch]) -> Iterator[tuple[int, Watch]]:
    """Yield watches of some hosts each, together all, with the numbers of those they are part of.

    A watch without hosts is a part as it is, and so is one whose hosts are compared.
    """
    size = max(1, math.ceil(sum(len(watch.hosts) for watch in watches) / _AT_ONCE))
    for number, watch in enumerate(watches):
        if watch.is_compared:
            yield number, watch
            continue
        hosts = list(watch.hosts.items())
        for begin in range(0, len(hosts), size) or (0,):
            yield number, watch._replace(hosts=dict(hosts[begin : begin + size]), others=())


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


def _wait(processes: Collection[_Process], seconds: float | None) -> None:
    """Wait for news of any process, for so many seconds where that is not None."""
    poll = select.poll()
    for each in processes:
        poll.register(each.ended, select.POLLIN)
        if each.is_talking:
            poll.register(each.output, select.POLLIN)
    pause = None if seconds is None else max(0.0, seconds) * 1000
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
