"""mon's checks made once by the director itself: the same monitors, all watches at once."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Sequence
from importlib import import_module

from lvsalert.director import Checked
from lvsalert.mon import reasons
from lvsalert.plugins import DEFAULT_PREFIX, PLUGINS
from lvsalert.table import Endpoint
from lvsalert.watches import Watch
from lvsalert.workers import Workers

_OURS = frozenset(PLUGINS["mondir"])
# Where mon's own monitors are.
_FOLDERS = (f"{DEFAULT_PREFIX}/mon.d", "/usr/lib/mon/mon.d")
_CANNOT_TELL = 3
# A run of a monitor that is not ours has no deadline of its own.
_FOREIGN_SECONDS = 60.0
_THREADS = 64


def probe(watches: Sequence[Watch]) -> list[Checked]:
    """Run the monitor of each watch and return what it found."""
    runs: Workers[int, tuple[int, str]] = Workers(
        lambda number: _run(watches[number]), range(len(watches)), _THREADS
    )
    found: dict[int, Checked] = {}
    try:
        poll = select.poll()
        poll.register(runs, select.POLLIN)
        while len(found) < len(watches):
            poll.poll()
            for answer in runs.take():
                if isinstance(answer.value, BaseException):
                    raise answer.value
                found[answer.job] = _checked(watches[answer.job], *answer.value)
    finally:
        runs.close()
    return [found[number] for number in range(len(watches))]


def _run(watch: Watch) -> tuple[int, str]:
    """Return the exit status and the output of the watch's monitor."""
    program, *words = watch.monitor
    if program not in _OURS:
        return _run_foreign(watch)
    module = import_module(f"lvsalert.commands.{program.replace('.', '_')}")
    outcome = module.run([*words, *watch.hosts], watch.variables, lambda: "")
    return outcome.status, outcome.stdout


def _run_foreign(watch: Watch) -> tuple[int, str]:
    import subprocess

    program, *words = watch.monitor
    path = next(
        (p for p in (f"{each}/{program}" for each in _FOLDERS) if os.access(p, os.X_OK)), ""
    )
    if not path:
        return _CANNOT_TELL, f"\n{program}: not found\n"
    with subprocess.Popen(
        [path, *words, *watch.hosts],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            stdout, _ = process.communicate(timeout=_FOREIGN_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return _CANNOT_TELL, f"\n{program}: did not end in {_FOREIGN_SECONDS:g} s\n"
    status = process.returncode if process.returncode >= 0 else _CANNOT_TELL
    return status, stdout.decode("utf-8", "backslashreplace")


def _checked(watch: Watch, status: int, output: str) -> Checked:
    summary, _, detail = output.partition("\n")
    named = set(summary.split())
    if status == _CANNOT_TELL or (status and not named & set(watch.hosts)):
        return Checked(watch, {}, is_told=False, remark=detail.strip().partition("\n")[0])
    why = reasons(detail)
    failed: dict[Endpoint, str] = {}
    for host in named if status else ():
        for server in watch.hosts.get(host, ()):
            failed[server.endpoint] = why.get(host, "failed its check")
    return Checked(watch, failed, is_told=True, remark="")
