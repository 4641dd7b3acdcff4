"""The demonstration shows what it promises, and leaves nothing behind however it ends."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

from tests.harness.places import CHECKOUT, is_root
from tests.harness.processes import Program
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMO = CHECKOUT / "examples" / "demo"
BOTH = r"-> 127\.0\.0\.11:8081 .*\n *-> 127\.0\.0\.12:8081 "
ONE = r"-> 127\.0\.0\.11:8081 .*\n(?! *-> )"
STORY = (
    rf"are started\n.*put both into the table.*\n.*\n *{BOTH}.*\n.*127\.0\.0\.12 is killed\n"
    rf".*is out of the table.*\n.*\n *{ONE}.*127\.0\.0\.12 is started again\n"
    rf".*is in again.*\n.*\n *{BOTH}"
)

needs_root = pytest.mark.skipif(
    not is_root() or shutil.which("mon") is None, reason="needs root, and mon installed"
)


@pytest.fixture
def left_behind(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What tells of folders that a demonstration leaves, and of processes it began (environ(5)).

    Somebody else may have one on the same machine.
    """
    token = f"LVSALERT_TESTS_DEMO={uuid.uuid4()}"
    monkeypatch.setenv(*token.split("="))
    before = set(_folders())

    def found() -> list[str]:
        left = [each for each in _folders() if each not in before]
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if token.encode() in (process / "environ").read_bytes().split(b"\0"):
                    left.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return left

    return found


def _folders() -> list[str]:
    return [str(path) for path in Path("/tmp").glob("lvsalert-demo.*")]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Program]:
    """The demonstration with `--keep`, to be started by the test."""
    # A shell that was started with a signal ignored, as by nohup, could not be interrupted by it.
    heeding = ["env", "--default-signal=INT,TERM,HUP"]
    program = Program([*heeding, str(DEMO), "--keep"], tmp_path / "output")
    yield program
    program.kill()


def _says(demo: Program, pattern: str) -> str:
    """Wait until the demo's output matches, and return the first group, or the match."""

    def found() -> re.Match[str] | None:
        return re.search(pattern, demo.output)

    match = wait_until(found, lambda: f"{pattern!r} in: {demo.output}")
    assert match is not None
    return match[match.re.groups and 1]


def _ends_with(demo: Program, status: int) -> None:
    wait_until(lambda: not demo.runs, lambda: f"the demo ends: {demo.output}")
    assert demo.status == status, demo.output


@needs_root
def test_demo_tells_its_story(left_behind: Callable[[], list[str]]) -> None:
    """A server is in the table, dies, is out, comes back; the demo ends by itself."""
    done = subprocess.run([str(DEMO)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(STORY, done.stdout), done.stdout
    assert re.search(r"^Table: the (kernel|stand-in)'s", done.stdout, re.MULTILINE)
    assert left_behind() == []


@needs_root
def test_demo_can_be_played_with(demo: Program, left_behind: Callable[[], list[str]]) -> None:
    """With --keep it goes on: the command that it names kills a server, Ctrl-C ends it all."""
    demo.start()
    group = int(_says(demo, r"\n    kill -KILL -(\d+)\n"))
    os.killpg(group, signal.SIGKILL)
    _says(demo, rf"the table has changed:\n.*\n *{ONE}")
    os.killpg(demo.pid, signal.SIGINT)
    _ends_with(demo, 130)
    assert left_behind() == []


@needs_root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_demo_leaves_nothing(
    demo: Program, number: signal.Signals, left_behind: Callable[[], list[str]]
) -> None:
    """Ended in its midst, it takes everything with it that it started."""
    demo.start()
    _says(demo, "is killed")
    os.killpg(demo.pid, number)
    _ends_with(demo, 128 + number)
    assert left_behind() == []


@needs_root
def test_failing_demo_says_why_and_leaves_nothing(
    demo: Program, left_behind: Callable[[], list[str]]
) -> None:
    """Where a port is taken, the demo says so and fails."""
    with socket.create_server(("127.0.0.12", 8081)):
        demo.start()
        _ends_with(demo, 1)
    assert "demo: the table should hold '127.0.0.11 127.0.0.12'" in demo.output
    assert "bind() to 127.0.0.12:8081 failed" in demo.output
    assert left_behind() == []


def test_demo_without_root_says_what_it_needs(folder: Path) -> None:
    """Another user than root gets one line."""
    copy = folder / "demo"
    shutil.copy(DEMO, copy)
    argv = [str(copy)]
    if is_root():
        argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    expected = "demo: this needs root on Debian, where it installs mon, nginx and ipvsadm\n"
    assert done.stderr == expected


def test_demo_does_not_guess() -> None:
    """An argument that it does not know is answered with its usage."""
    done = subprocess.run([str(DEMO), "--kep"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "usage: demo [--keep]\n")
