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
import signal
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Callable, NamedTuple, NoReturn

from lvsalert.commands.stub import CANNOT_TELL, NOT_CAUGHT, is_monitor, name_of, write

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

# How long after its deadline a run is ended by force.
_GRACE_SECONDS = 2.0
# What click takes for a flag that is set.
_YES = frozenset(("1", "true", "t", "yes", "y", "on"))
# As many objects as fill some ten megabytes.
_GARBAGE = 100_000


def __getattr__(name: str) -> Callable[[], NoReturn]:
    """Return what runs a monitor as a process: ``http_monitor`` runs http.monitor (PEP 562)."""
    if not name.endswith("_monitor"):
        raise AttributeError(name)
    return functools.partial(run_process, name.replace("_monitor", ".monitor"))


def lvs_alert() -> NoReturn:
    """Run lvs.alert as a process."""
    run_process("lvs.alert")


def run_process(name: str, stdin: bytes | None = None) -> NoReturn:
    """Run a command as a process, with its words, environment and standard streams.

    ``stdin`` is what was read of standard input already, None where nothing was. A standard output
    that cannot be written ends with status 3.
    """
    # Modules and hosts are many and stay to the end: to look for garbage among them is in vain. An
    # installed plug-in puts it off before it imports this.
    gc.set_threshold(_GARBAGE)
    gc.enable()
    stdout_open = _fill_standard_streams()
    if is_monitor(name):
        # mon reads it as one with standard output, where it would become the summary.
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 2)
        os.close(null)
    read = _read_stdin if stdin is None else functools.partial(_text, stdin)

    def emit(outcome: Outcome) -> bool:
        return _emit(outcome) and stdout_open

    os._exit(_run(name, sys.argv[1:], read, emit, signal.valid_signals() - NOT_CAUGHT))


def run_for(name: str, argv: Sequence[str], stdin: bytes, emit: Callable[[Outcome], bool]) -> None:
    """Run a plug-in for another process, to which ``emit`` hands its outcome.

    The environment and the working directory are this process's own. Where a signal ends it there
    is no outcome, but for the watchdog's, so that the other process runs the plug-in again. Inside
    is raised where it has to run it.
    """
    _run(name, argv, functools.partial(_text, stdin), emit, {signal.SIGALRM})


def _run(
    name: str,
    argv: Sequence[str],
    read_stdin: Callable[[], str],
    emit: Callable[[Outcome], bool],
    caught: Iterable[int],
) -> int:
    """Import ``run`` of a command's module, run it, and return the status of the process.

    mon takes a monitor that was killed by a signal for a success, so every signal in ``caught``
    ends the process with status 3. The same goes for a bug and for an outcome that nobody takes:
    one line says what it was, on standard output for a monitor (mon reads it from there, after an
    empty summary), on standard error otherwise. Threads are not waited for, as they may hang in a
    look-up.
    """
    told: list[Outcome] = []
    is_its_stdout = is_monitor(name)
    # Nagios shows the first line, and reads nothing of an empty one.
    head = "UNKNOWN: " if is_its_stdout and is_for_nagios(argv, os.environ) else "\n"

    def end(signum: int, _frame: FrameType | None) -> NoReturn:
        if not told:
            emit(_apology(f"{name}: ended by {name_of(signum)}", is_its_stdout, head))
        os._exit(CANNOT_TELL)

    for each in caught:
        signal.signal(each, end)
    try:
        module = name.replace(".", "_").replace("-", "_")
        command: Command = import_module(f"lvsalert.commands.{module}").run
        outcome = _follow(command(argv, os.environ, read_stdin), emit)
    except BaseException as error:
        if isinstance(error, import_module("lvsalert.director.outside").Inside):
            raise
        outcome = _apology(f"{name}: a bug: {_where(error)}", is_its_stdout, head)
    told.append(outcome)
    return outcome.status if emit(outcome) else CANNOT_TELL


@contextlib.contextmanager
def watchdog(seconds: float) -> Iterator[None]:
    """End the process as ``run_process`` ends it on a signal, where a deadline is overrun.

    The sweep keeps its deadline by itself; this is for what cannot be interrupted otherwise, such
    as a regular expression that explodes. It does nothing in a process of another kind, where
    SIGALRM and its timer are somebody else's, nor in a thread that is one of many.
    """
    import threading

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or getattr(signal.getsignal(signal.SIGALRM), "__module__", None) != __name__:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def end_quietly() -> None:
    """Let Ctrl-C end the process without a word, with the status that a shell gives it: 130.

    It does nothing in a process of another kind, as ``watchdog`` does.
    """
    if getattr(signal.getsignal(signal.SIGINT), "__module__", None) == __name__:
        signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(128 + signal.SIGINT))


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


def is_for_nagios(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Return whether a monitor is called for Nagios; mon is not Nagios, whatever it hands on."""
    given = "--nagios" in argv or environ.get("LVSALERT_NAGIOS", "").lower() in _YES
    return given and "MON_SERVICE" not in environ


def _apology(line: str, is_its_stdout: bool, head: str) -> Outcome:
    if is_its_stdout:
        return Outcome(CANNOT_TELL, stdout=f"{head}{line}\n")
    return Outcome(CANNOT_TELL, stderr=f"{line}\n")


def _where(error: BaseException) -> str:
    """Return an error and the place it came from in one line."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    line = " ".join(f"{type(error).__name__}: {error}{at}".split())
    return "".join(each if each.isprintable() else "?" for each in line)


def _follow(outcome: Outcome, emit: Callable[[Outcome], bool]) -> Outcome:
    """Print what a command yields as it comes, and return the outcome that is left to print."""
    stream = outcome.stream
    while stream is not None:
        if not emit(outcome):
            return Outcome(CANNOT_TELL)
        try:
            outcome = Outcome(0, next(stream))
        except StopIteration as end:
            outcome = end.value
            stream = outcome.stream
    return outcome


def _emit(outcome: Outcome) -> bool:
    """Write the outcome; return whether its standard output was taken whole."""
    stdout, stderr = encoded(outcome)
    write(2, stderr)
    return write(1, stdout)


def encoded(outcome: Outcome) -> tuple[bytes, bytes]:
    """Return standard output and standard error of an outcome as bytes."""
    return (
        outcome.stdout.encode("utf-8", "backslashreplace"),
        outcome.stderr.encode("utf-8", "backslashreplace"),
    )


def _read_stdin() -> str:
    """Return the whole of standard input; nobody is made to type it at a terminal."""
    if os.isatty(0):
        return ""
    with open(0, "rb", closefd=False) as stream:
        return _text(stream.read())


def _text(stdin: bytes) -> str:
    return stdin.decode("utf-8", "surrogateescape")
