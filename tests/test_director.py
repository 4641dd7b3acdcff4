"""lvs-director start, stop, reload and status with a file: what they make of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import lvs_director
from tests.harness.alerts import Director

if TYPE_CHECKING:
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

WEB = """\
virtual = 10.0.0.3:80
    real = 192.0.2.1:80 gate 5
    real = 192.0.2.2:80 gate 3
    scheduler = wlc
    checktype = on
"""


class Machine(Director):
    """A director with a file for it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Write a file with one web service."""
        super().__init__(folder, monkeypatch)
        self.file = folder / "www.cf"
        self.file.write_text(WEB)

    def run(self, *argv: str) -> Outcome:
        """Run lvs-director with these words."""
        return lvs_director.run(argv, self.environ, lambda: "")

    def with_file(self, command: str, *options: str) -> Outcome:
        """Run a command of lvs-director on the file."""
        return self.run(command, *options, str(self.file))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A director with an empty table and a file for one web service."""
    return Machine(tmp_path, monkeypatch)


def test_start_sets_up_the_services_of_the_file(machine: Machine) -> None:
    """A virtual service is made with its real servers and their weights, in one batch."""
    done = machine.with_file("start")
    assert (done.status, done.stderr) == (0, "")
    assert machine.kernel.rules == [
        "-A -t 10.0.0.3:80 -s wlc",
        "-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 5",
        "-a -t 10.0.0.3:80 -r 192.0.2.2:80 -g -w 3",
    ]
    assert machine.batches == 1


def test_what_was_set_up_is_shown(machine: Machine) -> None:
    """A service that was created has no weight of its own, and is shown all the same."""
    machine.with_file("start")
    status = machine.run("status")
    assert (status.status, status.stderr) == (0, "")
    assert status.stdout.count(" in ") == 2
    assert machine.run("why", "192.0.2.1").status == 0
