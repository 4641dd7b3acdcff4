"""lvs-director as a process: what it writes as it goes on, its signals, its terminal, syslog."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import status_text
from lvsalert.commands.table_options import user_name
from lvsalert.ledger.database import FILE_NAME
from lvsalert.ledger.ledger import Ledger
from lvsalert.standin import write_executable
from tests.harness.processes import Program
from tests.harness.syslog import Syslog
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

TABLE = (
    "-A -t 10.0.0.3:21 -s rr\n"
    "-A -t 10.0.0.3:80 -s wlc\n"
    "-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 50\n"
    "-a -t 10.0.0.3:80 -r 192.0.2.2:80 -g -w 50\n"
    "-a -t 10.0.0.3:80 -r 192.0.2.3:80 -g -w 50\n"
    "-a -t 10.0.0.3:80 -r 192.0.2.4:80 -g -w 50\n"
)
DIRECTOR = [
    sys.executable,
    "-c",
    "from lvsalert.commands.stub import lvs_director; lvs_director()",
]


class Machine:
    """A director for real processes: an ipvsadm with connections, and a state directory."""

    def __init__(self, folder: Path) -> None:
        """Write an ipvsadm whose connections are what a script for sed makes of its list."""
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir()
        self.sed = folder / "sed"
        self.honest, program = folder / "honest", folder / "ipvsadm"
        write_executable(str(self.honest), str(folder / "table"))
        program.write_text(
            f'#!/bin/sh\nif [ "$*" = -Ln ]; then {self.honest} -Ln | sed -f {self.sed}\n'
            f'else exec {self.honest} "$@"; fi\n'
        )
        program.chmod(0o755)
        self.connect(0)
        self.change(TABLE)
        self.environ = {
            **os.environ,
            "LVSALERT_IPVSADM": str(program),
            "LVSALERT_STATE_DIR": str(self.state),
            "PYTHONUNBUFFERED": "1",
            "TERM": "xterm",
        }
        self.environ.pop("NO_COLOR", None)

    def connect(self, count: int) -> None:
        """Give the first real server so many active connections."""
        new = self.folder / "sed.new"
        new.write_text(f"/192.0.2.1:80/s/ 0  *0 *$/ {count} 0/\n")
        new.replace(self.sed)

    def change(self, batch: str) -> None:
        """Change the table behind the back of the suite."""
        subprocess.run([str(self.honest), "-R"], input=batch, text=True, check=True)

    def program(self, *argv: str) -> Program:
        """Return lvs-director with these words, to be started."""
        return Program([*DIRECTOR, *argv], self.folder / "output", self.environ)


def ended(program: Program) -> int | None:
    """Return the status that a program ends with."""
    wait_until(lambda: not program.runs, lambda: program.output)
    return program.status


@pytest.fixture
def machine(folder: Path) -> Machine:
    """A director for real processes."""
    return Machine(folder)


@pytest.mark.parametrize(
    ("number", "status", "last"),
    [
        (signal.SIGINT, 130, r".* quiesced .*|.*: No such file or directory"),
        (signal.SIGTERM, 3, "lvs-director: ended by SIGTERM"),
    ],
)
def test_watch_shows_changes_until_a_signal(
    machine: Machine, number: signal.Signals, status: int, last: str
) -> None:
    """A table is written with every change; Ctrl-C ends it without a word, others with one."""
    with machine.program("status", "--watch") as watch:
        wait_until(lambda: "192.0.2.4:80" in watch.output, lambda: watch.output)
        machine.change("-d -t 10.0.0.3:80 -r 192.0.2.4:80\n-e -t 10.0.0.3:80 -r 192.0.2.3 -w 0\n")
        wait_until(lambda: "quiesced" in watch.output, lambda: watch.output)
        watch.signal(number)
        assert ended(watch) == status
    lacking = f"{machine.state / FILE_NAME}: No such file or directory"
    lines = watch.output.splitlines()
    assert lines.count(lacking) == watch.output.count("SERVICE  ") >= 2
    assert re.fullmatch(last, lines[-1])
    assert "Traceback" not in watch.output
    assert not list(machine.state.iterdir())


def test_watch_for_a_program_is_a_line_a_change(machine: Machine) -> None:
    """Each line of --watch --json is a document of its own."""
    with machine.program("status", "--watch", "--json") as watch:
        wait_until(lambda: watch.output.count("\n") == 1, lambda: watch.output)
        machine.connect(7)
        wait_until(lambda: watch.output.count("\n") == 2, lambda: watch.output)
    first, second = map(json.loads, watch.output.splitlines()[:2])
    active = [each["services"][1]["servers"][0]["active"] for each in (first, second)]
    assert active == [0, 7]


def test_watch_ends_with_its_reader(machine: Machine) -> None:
    """A reader that goes away ends it with status 3, at the next change at the latest."""
    argv = [*DIRECTOR, "status", "--watch"]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=machine.environ
    ) as watch:
        assert watch.stdout is not None
        watch.stdout.readline()
        watch.stdout.close()
        machine.connect(7)
        assert watch.wait(20) == 3
        assert watch.stderr is not None
        assert watch.stderr.read() == b""


def test_watch_on_a_terminal_paints_over(machine: Machine) -> None:
    """On a terminal each table begins on an empty screen, with the time, its states coloured."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*DIRECTOR, "status", "--watch"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=machine.environ,
    ) as watch:
        os.close(follower)
        text = b""
        while b"No such file" not in text:
            text += os.read(leader, 4096)
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(20) == 3
    os.close(leader)
    clear = re.escape(status_text.CLEAR)
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.match(rf"{clear}{when}\r\nSERVICE ", text.decode())
    assert b"\x1b[32min\x1b[0m " in text


def test_drain_writes_its_progress_as_it_comes(machine: Machine) -> None:
    """Changes, then the connections left, each written when it is known; status 0 with the last."""
    machine.connect(2)
    with machine.program("drain", "192.0.2.1", "--wait", "60") as waiting:
        wait_until(lambda: "has 2 active" in waiting.output, lambda: waiting.output)
        machine.connect(0)
        assert ended(waiting) == 0
    user = user_name()
    spot = "tcp 10.0.0.3:80: 192.0.2.1:80"
    assert waiting.output.splitlines() == [
        f"operator {user}: {spot} was dr weight 50, is dr weight 0",
        f"{spot} has 2 active connections left",
        f"{spot} has 0 active connections left",
    ]


def test_drain_and_resume_tell_syslog(machine: Machine, tmp_path: Path) -> None:
    """Each change is a line at level notice of local0, under the name of lvs-director."""
    user = user_name()
    with Syslog(machine.folder) as log:
        for verb in ("drain", "resume"):
            argv = log.for_program([*DIRECTOR, verb, "192.0.2.1"])
            subprocess.run(argv, check=True, env=machine.environ, stdout=subprocess.DEVNULL)
        log.wait_for("is dr weight 50")
    told = [
        (entry.facility, entry.severity, entry.text.partition("]: ")[2]) for entry in log.entries
    ]
    about = f"operator {user}: tcp 10.0.0.3:80: 192.0.2.1:80"
    assert told == [
        (16, 5, f"{about} was dr weight 50, is dr weight 0"),
        (16, 5, f"{about} was dr weight 0, is dr weight 50"),
    ]
    assert all(entry.text.startswith("lvs-director[") for entry in log.entries)


def test_drains_at_once_are_all_remembered(machine: Machine) -> None:
    """Processes that drain different real servers at the same time leave all of them drained."""
    servers = [f"192.0.2.{number}" for number in range(1, 5)]
    running = [
        subprocess.Popen([*DIRECTOR, "drain", each], env=machine.environ, stdout=subprocess.DEVNULL)
        for each in servers
    ]
    assert [each.wait(60) for each in running] == [0, 0, 0, 0]
    ledger = Ledger.open(str(machine.state))
    assert {address for address, _ in ledger.causes("tcp 10.0.0.3:80")} == set(servers)
    ledger.close()
