"""How a monitor ends as a process: mon takes a killed one for a success, so it ends by itself."""

from __future__ import annotations

import array
import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import entry, stub
from lvsalert.commands.entry import Outcome, watchdog
from tests.harness import misbehaving
from tests.harness.misbehaving import OK, Misbehaving, refusing, replies
from tests.harness.places import CHECKOUT, loopback
from tests.harness.waiting import patience, wait_until
from tests.monitors import PASSWORD, run, start

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = replies(OK + b"\r\ntest page\n")
HARMLESS = {
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGPIPE,
    signal.SIGURG,
    signal.SIGWINCH,
}
STOPS = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
ENDING = sorted(signal.valid_signals() - HARMLESS - STOPS - {signal.SIGKILL})
EVERY_WAY = {
    "http.monitor": ("http.monitor",),
    "http.monitor through requests": ("http.monitor", "--user", "me"),
    "ftp.monitor": ("ftp.monitor",),
    "ftp.monitor through ftplib": ("ftp.monitor", "--user", "me"),
}


def _name(signum: int) -> str:
    return next((each.name for each in signal.Signals if each == signum), f"signal {signum}")


@pytest.fixture(scope="module")
def silent() -> Iterator[Misbehaving]:
    """A server that accepts and says nothing."""
    with Misbehaving(misbehaving.silent) as server:
        yield server


def _waiting(silent: Misbehaving, *command: str) -> subprocess.Popen[bytes]:
    """Start a monitor, and return when it waits for the silent server."""
    before = silent.connections
    process = start(*command, silent.place, env=PASSWORD)
    wait_until(lambda: silent.connections > before, "the monitor has connected")
    return process


def _ends(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    with process:
        try:
            out, err = process.communicate(timeout=patience())
        finally:
            process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize("signum", ENDING, ids=_name)
def test_signal_that_would_kill_ends_a_waiting_monitor_with_3(
    silent: Misbehaving, signum: int
) -> None:
    """No signal but KILL makes a monitor that waits look like a success."""
    process = _waiting(silent, "http.monitor")
    process.send_signal(signum)
    assert _ends(process) == (3, f"\nhttp.monitor: ended by {_name(signum)}\n".encode(), b"")


@pytest.mark.parametrize("way", EVERY_WAY)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=_name)
def test_signal_ends_every_kind_of_run(silent: Misbehaving, way: str, signum: int) -> None:
    """On the sweep and in threads, for http and ftp, a signal ends the run with 3."""
    command = EVERY_WAY[way]
    process = _waiting(silent, *command)
    process.send_signal(signum)
    assert _ends(process) == (3, f"\n{command[0]}: ended by {_name(signum)}\n".encode(), b"")


def test_harmless_signals_leave_a_monitor_at_work(silent: Misbehaving) -> None:
    """Signals that end no process end no monitor."""
    process = _waiting(silent, "http.monitor")
    for signum in HARMLESS:
        process.send_signal(signum)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert _ends(process)[0] == 3


def test_signal_before_probing_ends_a_monitor_with_3(folder: Path) -> None:
    """A monitor that still reads its options' files ends like any other."""
    password = folder / "password"
    os.mkfifo(password)
    process = start("http.monitor", "--user", "me", "--password-file", str(password), "127.0.0.1")
    writer = wait_until(lambda: _open_writer(password), "the monitor opens its password's file")
    # In the kernel, that is: a signal between Python's last step and read(2) would wait with it.
    where = Path(f"/proc/{process.pid}/wchan")
    wait_until(lambda: "pipe_read" in where.read_text(), "the monitor reads its password")
    process.send_signal(signal.SIGTERM)
    assert _ends(process) == (3, b"\nhttp.monitor: ended by SIGTERM\n", b"")
    os.close(writer)


def _catches(pid: int, signum: int) -> bool:
    """Say whether a process has a handler for a signal (proc(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask.split()[1], 16) >> (signum - 1) & 1)


@pytest.mark.parametrize("name", ["http.monitor", "ftp.monitor"])
def test_signal_that_comes_early_finds_its_handler(silent: Misbehaving, name: str) -> None:
    """A monitor can be ended long before it knows what it is to do."""
    process = start(name, silent.place)
    wait_until(lambda: _catches(process.pid, signal.SIGTERM), "the handler is there", pause=0.0005)
    process.send_signal(signal.SIGTERM)
    assert _ends(process) == (3, f"\n{name}: ended by SIGTERM\n".encode(), b"")


def _open_writer(fifo: Path) -> int | None:
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def _filled(reader: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(reader, termios.FIONREAD, count)
    return count[0]


def test_signal_while_the_report_is_stuck_ends_a_monitor_with_3() -> None:
    """A monitor whose output nobody reads can be ended, and adds nothing to a summary begun."""
    reader, writer = os.pipe()
    with refusing() as place:
        port = place.rpartition(":")[2]
        process = start("http.monitor", "-p", port, *loopback(0, 1500), stdout=writer)
        os.close(writer)
        wait_until(lambda: _filled(reader) >= 4096, "the report has begun")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 3
    with process, open(reader, "rb") as stream:
        assert b"ended by" not in stream.read()


def test_output_that_nobody_takes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing into a pipe that stays full ends after a time."""
    monkeypatch.setattr(stub, "_STUCK_SECONDS", 0.1)
    reader, writer = os.pipe()
    assert not stub.write(writer, b"x" * 100_000)
    assert stub.write(writer, b"")
    os.close(reader)
    os.close(writer)


def test_output_goes_whole_into_a_pipe_that_does_not_block() -> None:
    """A pipe in non-blocking mode takes all of a long report, at its reader's pace."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    text = b"x" * 300_000
    with subprocess.Popen(["cat"], stdin=reader, stdout=subprocess.PIPE) as cat:
        os.close(reader)
        pid = os.fork()
        if pid == 0:
            os._exit(0 if stub.write(writer, text) else 1)
        os.close(writer)
        out, _ = cat.communicate(timeout=patience())
    assert os.waitpid(pid, 0)[1] == 0
    assert out == text


@pytest.mark.parametrize("closed", [(1,), (0, 1, 2), (0, 1), (1, 2)])
def test_closed_stdout_ends_a_monitor_with_3(closed: tuple[int, ...]) -> None:
    """A report that cannot be given is no verdict, and does not go to a server instead."""

    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    with Misbehaving(PAGE) as server:
        done = run("http.monitor", server.place, preexec_fn=close)
        assert done.returncode == 3
        assert bytes(server.heard).endswith(b"Connection: close\r\n\r\n")
        assert server.heard.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize("closed", [0, 2])
def test_other_closed_streams_do_not_matter(closed: int) -> None:
    """A monitor needs nothing but its standard output."""
    with Misbehaving(PAGE) as server:
        done = run("http.monitor", server.place, preexec_fn=lambda: os.close(closed))
    assert done.returncode == 0
    assert done.stdout.startswith(b"\nHOST ")


def test_full_device_ends_a_monitor_with_3() -> None:
    """A report that finds no room is no verdict."""
    with Misbehaving(PAGE) as server, open("/dev/full", "wb") as full:
        assert run("http.monitor", server.place, stdout=full).returncode == 3


def test_broken_pipe_ends_a_monitor_with_3() -> None:
    """A report that nobody can read any more is no verdict, and no signal either."""
    reader, writer = os.pipe()
    os.close(reader)
    with Misbehaving(PAGE) as server:
        done = run("http.monitor", server.place, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (3, b"")


BUG = """
import sys
sys.path.insert(0, {checkout!r})
import lvsalert.commands.{module} as command
from lvsalert.commands.entry import {module}
def run(*_):
    print("never seen", file=sys.stderr)
    raise {error}
command.run = run
{module}()
"""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("ZeroDivisionError('by zero')", "ZeroDivisionError: by zero"),
        (
            "ValueError('two\\nlines \\x1b[31mand a colour')",
            "ValueError: two lines ?[31mand a colour",
        ),
        ("SystemExit(0)", "SystemExit: 0"),
        ("KeyboardInterrupt", "KeyboardInterrupt:"),
        ("RecursionError", "RecursionError:"),
        ("MemoryError", "MemoryError:"),
        (
            "UnicodeEncodeError('ascii', '\\ud800', 0, 1, 'odd')",
            "UnicodeEncodeError: 'ascii' codec",
        ),
        ("ValueError('\\ud800')", "ValueError: ?"),
    ],
)
@pytest.mark.parametrize("module", ["http_monitor", "ftp_monitor"])
def test_bug_is_one_line_and_3(module: str, error: str, line: str) -> None:
    """Whatever is raised, there is no traceback, and the summary is empty."""
    code = BUG.format(checkout=str(CHECKOUT), module=module, error=error)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=patience(), check=False
    )
    assert (done.returncode, done.stderr) == (3, b"")
    first, said, rest = done.stdout.decode().split("\n", 2)
    assert first == rest == ""
    assert said.startswith(f"{module.replace('_', '.')}: a bug: {line}")
    assert said.endswith(" at <string>:8")


def test_module_that_cannot_be_imported_is_a_bug_too() -> None:
    """A broken installation is told in one line."""
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); sys.modules['click'] = None\n"
        "from lvsalert.commands.entry import http_monitor\nhttp_monitor()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=patience(), check=False
    )
    assert (done.returncode, done.stderr) == (3, b"")
    assert done.stdout.startswith(b"\nhttp.monitor: a bug: ModuleNotFoundError: import of click")


@pytest.mark.parametrize("way", [(), ("--user", "me")], ids=["sweep", "requests"])
def test_regular_expression_that_explodes_ends_with_3(way: tuple[str, ...]) -> None:
    """An expression that would take years is broken off a little after the deadline."""
    body = replies(OK + b"\r\n" + b"a" * 64 + b"!")
    with Misbehaving(body) as server:
        options = ("--deadline", f"{patience(20):g}", "-m", "(a+)+$", *way)
        done = run("http.monitor", *options, server.place, env=PASSWORD)
    assert (done.returncode, done.stderr) == (3, b"")
    assert done.stdout == b"\nhttp.monitor: ended by SIGALRM\n"


def test_watchdog_leaves_other_threads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of many runs in a process, each in its thread, does not set the process's alarm."""
    monkeypatch.setattr(entry, "__name__", __name__)
    timers: list[float] = []

    def run_here() -> None:
        with watchdog(1000.0):
            timers.append(signal.getitimer(signal.ITIMER_REAL)[0])

    before = signal.signal(signal.SIGALRM, lambda *_: None)
    remaining = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        thread = threading.Thread(target=run_here)
        thread.start()
        thread.join()
        run_here()
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *remaining)
    assert timers[0] == 0.0
    assert timers[1] > 900.0


def test_watchdog_leaves_other_processes_alone() -> None:
    """Outside a plugin's own process, the alarm and its timer stay somebody else's."""
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1000)
        with watchdog(0.0):
            assert signal.getitimer(signal.ITIMER_REAL)[0] > 900
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    "environ",
    [
        {"PYTHONWARNINGS": "always"},
        {"PYTHONDEVMODE": "1"},
        {"LANG": "C", "LC_ALL": "C"},
        {"TZ": "No/Such/Zone"},
    ],
    ids=str,
)
def test_nothing_but_the_report_is_written(environ: dict[str, str]) -> None:
    """mon reads standard error as standard output, so there is none, whatever Python would say."""
    with Misbehaving(PAGE) as server:
        joined = run(
            "http.monitor", "-m", "[[t]", server.place, env=environ, stderr=subprocess.STDOUT
        )
    assert joined.returncode == 0
    assert joined.stdout.startswith(b"\nHOST ")


def test_output_of_any_text_is_written() -> None:
    """Text that no encoding has is written escaped."""
    reader, writer = os.pipe()
    stdout, _ = entry.encoded(Outcome(0, "a\ud800\udcff\u00e9"))
    assert stub.write(writer, stdout)
    os.close(writer)
    with open(reader, "rb") as stream:
        assert stream.read() == b"a\\ud800\\udcff\xc3\xa9"


def test_outcome_is_told_on_both_streams(capfd: pytest.CaptureFixture[str]) -> None:
    """Standard output and standard error each get their part."""
    assert entry._emit(Outcome(0, "out\n", "err\n"))
    assert capfd.readouterr() == ("out\n", "err\n")
