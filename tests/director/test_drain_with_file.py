"""Draining and resuming where the director's file says how the service is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lvsalert.ledger.ledger import Ledger
from tests.harness.director_file import WEB, Machine

if TYPE_CHECKING:
    from pathlib import Path

RULES = [
    "-A -t 10.0.0.3:80 -s wlc",
    "-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 5",
    "-a -t 10.0.0.3:80 -r 192.0.2.2:80 -g -w 3",
]
SORRY = (
    WEB.replace("checktype = on", "checktype = connect")
    .replace("    scheduler", "    fallback = 192.0.2.9:8080 masq\n    scheduler")
    .replace("gate", "masq")
)
SORRY_IS_IN = {
    "192.0.2.1:80": "-m -w 0",
    "192.0.2.2:80": "-m -w 0",
    "192.0.2.9:8080": "-m -w 1",
}
HOSTS = "192.0.2.1 192.0.2.2"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A director with an empty table and a file for one web service."""
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize("reports", [0, 1], ids=["before mon reports", "after it"])
@pytest.mark.parametrize("started", [False, True], ids=["by mon alone", "started"])
def test_a_drain_knows_the_fallback_of_the_file(
    machine: Machine, reports: int, started: bool
) -> None:
    """It goes in as the file has it with the last drain, and out with the first resume."""
    machine.write(SORRY)
    if started:
        machine.with_file("start", "--unchecked")
    for _ in range(reports if started else 1):
        machine.told_by_mon("up", HOSTS)
    for server in HOSTS.split():
        assert machine.run("drain", server).status == 0
    assert machine.servers == SORRY_IS_IN
    assert machine.told_by_mon("up", HOSTS).stdout == ""
    machine.run("resume", "192.0.2.1")
    assert machine.servers == {"192.0.2.1:80": "-m -w 5", "192.0.2.2:80": "-m -w 0"}


def test_a_drain_does_without_a_file_that_is_gone(machine: Machine) -> None:
    """The real server is drained in each of its services, and the file is told once.

    A ledger of a version before knows no accepted file.
    """
    machine.write(WEB + WEB.replace("10.0.0.3:80", "10.0.0.3:81"))
    machine.with_file("start")
    machine.file.unlink()
    ledger = Ledger.open(str(machine.state))
    ledger.files.drop([str(machine.file)])
    ledger.close()
    done = machine.run("drain", "192.0.2.1")
    assert (done.status, machine.servers["192.0.2.1:80"]) == (1, "-g -w 0")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"lvs-director: {machine.file}: no such file: tried ")


def test_a_resume_without_a_journal_goes_by_the_file(machine: Machine) -> None:
    """Where nobody saw the real server serve, its weight is the file's."""
    machine.with_file("start")
    machine.run("drain", "192.0.2.1")
    ledger = Ledger.open(str(machine.state))
    ledger._db.execute("DELETE FROM journal")
    ledger.close()
    machine.run("resume", "192.0.2.1")
    assert machine.kernel.rules == RULES
