"""How a command becomes a process: signals, standard streams, exit status.

A command is a function of its arguments, its environment and its standard input that returns an
``Outcome``; what makes a process of it is here alone. This module is imported before everything
else, so that a signal that comes early already finds its handler; it draws in as little as it can.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Callable, NoReturn

from lvsalert.startup import NamedTuple, imported, put_off_what_few_need, signals

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


if TYPE_CHECKING:
    Command = Callable[[Sequence[str], Mapping[str, str], Callable[[], str]], Outcome]
    """Arguments, environment, and a function that reads standard input, to an outcome."""

# KILL and STOP cannot be caught, Python ignores PIPE already, and the others end no process. SEGV
# and its like are caught as well: to mon, hanging in a fault is better than a false success.
_NOT_CAUGHT = frozenset(
    (
        signals.SIGKILL,
        signals.SIGSTOP,
        signals.SIGCHLD,
        signals.SIGCONT,
        signals.SIGURG,
        signals.SIGWINCH,
        signals.SIGTSTP,
        signals.SIGTTIN,
        signals.SIGTTOU,
        signals.SIGPIPE,
    )
)
CANNOT_TELL = 3
# How long after its deadline a run is ended by force.
_GRACE_SECONDS = 2.0
# As many objects as fill some ten megabytes.
_GARBAGE = 100_000
# How long a reader of the output may take no more of it.
_STUCK_SECONDS = 10.0
# So much goes into a pipe without waiting, once it has room for anything (pipe(7)).
_PIPE_BUF = 4096


def __getattr__(name: str) -> Callable[[], NoReturn]:
    """Return what runs a monitor as a process: ``http_monitor`` runs http.monitor (PEP 562)."""
    if not name.endswith("_monitor"):
        raise AttributeError(name)
    program = name.replace("_monitor", ".monitor")
    return functools.partial(_run_process, program, name, is_monitor=True)


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
    # Modules and hosts are many and stay to the end: to look for garbage among them is in vain. An
    # installed plug-in puts it off before it imports this.
    gc.set_threshold(_GARBAGE)
    gc.enable()
    stdout_open = _fill_standard_streams()
    if is_monitor:
        # mon reads it as one with standard output, where it would become the summary.
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 2)
        os.close(null)
    told: list[Outcome] = []

    def end(signum: int, _frame: FrameType | None) -> NoReturn:
        if not told:
            _emit(_apology(f"{name}: ended by {_name_of(signum)}", is_monitor))
        os._exit(CANNOT_TELL)

    for each in signals.valid_signals() - _NOT_CAUGHT:
        signals.signal(each, end)
    put_off_what_few_need()
    try:
        command: Command = imported(f"lvsalert.commands.{module}").run
        outcome = _follow(command(sys.argv[1:], os.environ, _read_stdin))
    except BaseException as error:
        outcome = _apology(f"{name}: a bug: {_where(error)}", is_monitor)
    told.append(outcome)
    written = _emit(outcome) and stdout_open
    os._exit(outcome.status if written else CANNOT_TELL)


@contextlib.contextmanager
def watchdog(seconds: float) -> Iterator[None]:
    """End the process as ``_run_process`` ends it on a signal, where a deadline is overrun.

    The sweep keeps its deadline by itself; this is for what cannot be interrupted otherwise, such
    as a regular expression that explodes. It does nothing in a process of another kind, where
    SIGALRM and its timer are somebody else's, nor in a thread that is one of many.
    """
    import threading

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or getattr(signals.getsignal(signals.SIGALRM), "__module__", None) != __name__:
        yield
        return
    signals.setitimer(signals.ITIMER_REAL, seconds + _GRACE_SECONDS)
    try:
        yield
    finally:
        signals.setitimer(signals.ITIMER_REAL, 0)


def end_quietly() -> None:
    """Let Ctrl-C end the process without a word, with the status that a shell gives it: 130.

    It does nothing in a process of another kind, as ``watchdog`` does.
    """
    if getattr(signals.getsignal(signals.SIGINT), "__module__", None) == __name__:
        signals.signal(signals.SIGINT, lambda _number, _frame: os._exit(128 + signals.SIGINT))


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


def _name_of(signum: int) -> str:
    from signal import Signals

    try:
        return Signals(signum).name
    except ValueError:  # a real-time signal between the first and the last
        return f"signal {signum}"


def _where(error: BaseException) -> str:
    """Return an error and the place it came from in one line."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    line = " ".join(f"{type(error).__name__}: {error}{at}".split())
    return "".join(each if each.isprintable() else "?" for each in line)


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
    """Write all of ``text``; return False where nobody takes it."""
    import select

    data = memoryview(text.encode("utf-8", "backslashreplace"))
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    try:
        while data:
            if not poll.poll(_STUCK_SECONDS * 1000):
                return False
            data = data[os.write(descriptor, data[:_PIPE_BUF]) :]
    except OSError:
        return False
    return True


def _read_stdin() -> str:
    """Return the whole of standard input; nobody is made to type it at a terminal."""
    if os.isatty(0):
        return ""
    with open(0, "rb", closefd=False) as stream:
        return stream.read().decode("utf-8", "surrogateescape")
