"""How a command becomes a process: signals, standard streams, exit status.

A command is a function of its arguments, its environment and its standard input that returns an
``Outcome``; what makes a process of it is here alone. This module is imported before everything
else, so that a signal that comes early already finds its handler; it draws in as little as it can.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Callable, NamedTuple, NoReturn

if TYPE_CHECKING:
    from types import FrameType


class Outcome(NamedTuple):
    """What a command prints and the status it ends with.

    With ``stream`` the command goes on: it yields what is printed as it comes, after ``stdout``,
    and returns the outcome that the process ends with.
    """

    status: int
    stdout: str = ""
    stderr: str = ""
    stream: Generator[str, None, Outcome] | None = None


Command = Callable[[Sequence[str], Mapping[str, str], "Callable[[], str]"], Outcome]
"""Arguments, environment, and a function that reads standard input, to an outcome."""

# Faults of the program itself keep their default; KILL and STOP cannot be caught, and CHLD, CONT,
# URG, WINCH and the terminal's stops do not end a process. PIPE is ignored by Python already.
_NOT_CAUGHT = frozenset(
    [
        "SIGKILL",
        "SIGSTOP",
        "SIGCHLD",
        "SIGCONT",
        "SIGURG",
        "SIGWINCH",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGPIPE",
        "SIGSEGV",
        "SIGBUS",
        "SIGFPE",
        "SIGILL",
        "SIGABRT",
    ]
)
CANNOT_TELL = 3
# How long after its deadline a run is ended by force.
_GRACE_SECONDS = 2.0


def fping_monitor() -> NoReturn:
    """Run fping.monitor as a process."""
    _run_process("fping.monitor", "fping_monitor", is_monitor=True)


def ftp_monitor() -> NoReturn:
    """Run ftp.monitor as a process."""
    _run_process("ftp.monitor", "ftp_monitor", is_monitor=True)


def http_monitor() -> NoReturn:
    """Run http.monitor as a process."""
    _run_process("http.monitor", "http_monitor", is_monitor=True)


def lvs_alert() -> NoReturn:
    """Run lvs.alert as a process."""
    _run_process("lvs.alert", "lvs_alert")


def lvs_director() -> NoReturn:
    """Run lvs-director as a process."""
    _run_process("lvs-director", "lvs_director")


def _run_process(name: str, module: str, *, is_monitor: bool = False) -> NoReturn:
    """Import ``run`` of a command's module, run it, and end the process with its status.

    mon takes a monitor that was killed by a signal for a success, so every signal that can be
    caught ends it with status 3. The same goes for a bug and for a standard output that cannot be
    written: one line says what it was, on standard output for a monitor (mon reads it from there,
    after an empty summary), on standard error otherwise. The process ends without waiting for
    threads, which may hang in a look-up.
    """
    stdout_open = _fill_standard_streams()

    def end(signum: int, _frame: FrameType | None) -> NoReturn:
        _emit(_apology(f"{name}: ended by {signal.Signals(signum).name}", is_monitor))
        os._exit(CANNOT_TELL)

    for each in signal.Signals:
        if each.name not in _NOT_CAUGHT:
            signal.signal(each, end)
    try:
        command: Command = import_module(f"lvsalert.commands.{module}").run
        outcome = _follow(command(sys.argv[1:], os.environ, _read_stdin))
    except BaseException as error:
        outcome = _apology(f"{name}: a bug: {_where(error)}", is_monitor)
    written = _emit(outcome) and stdout_open
    os._exit(outcome.status if written else CANNOT_TELL)


@contextlib.contextmanager
def watchdog(seconds: float) -> Iterator[None]:
    """End the process as ``run_process`` ends it on a signal, where a deadline is overrun.

    The sweep keeps its deadline by itself; this is for what cannot be interrupted otherwise, such
    as a regular expression that explodes. It does nothing in a process of another kind, where
    SIGALRM has no handler of ours.
    """
    if not callable(signal.getsignal(signal.SIGALRM)):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _fill_standard_streams() -> bool:
    """Open /dev/null for each standard descriptor that is closed; return whether stdout was open.

    A socket would otherwise take its number, and the report would go to a real server.
    """
    stdout_open = True
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            stdout_open = stdout_open and descriptor != 1
            os.open(os.devnull, os.O_RDWR)
    return stdout_open


def _apology(line: str, is_monitor: bool) -> Outcome:
    if is_monitor:
        return Outcome(CANNOT_TELL, stdout=f"\n{line}\n")
    return Outcome(CANNOT_TELL, stderr=f"{line}\n")


def _where(error: BaseException) -> str:
    """Return an error and the place it came from in one line."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return " ".join(f"{type(error).__name__}: {error}{at}".split())


def _follow(outcome: Outcome) -> Outcome:
    """Print what a command yields as it comes, and return the outcome that is left to print."""
    stream = outcome.stream
    while stream is not None:
        if not _emit(outcome):
            return Outcome(CANNOT_TELL)
        try:
            outcome = Outcome(0, next(stream))
        except StopIteration as end:
            outcome = end.value
            stream = outcome.stream
    return outcome


def _emit(outcome: Outcome) -> bool:
    """Write the outcome; return whether its standard output was taken whole."""
    _write(2, outcome.stderr)
    return _write(1, outcome.stdout)


def _write(descriptor: int, text: str) -> bool:
    data = text.encode("utf-8", "surrogateescape")
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return False
    return True


def _read_stdin() -> str:
    """Return the whole of standard input; nobody is made to type it at a terminal."""
    if os.isatty(0):
        return ""
    with open(0, "rb", closefd=False) as stream:
        return stream.read().decode("utf-8", "surrogateescape")
