"""Alerts that come while another one is made: one step, and each with an answer of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lvsalert import standin
from tests.harness.places import open_folder
from tests.harness.resident import Call, Resident
from tests.harness.table_file import TableFile
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

# With it, those that wait do so until the turn before is over, however slow the machine is.
PATIENT = "from lvsalert.resident import server; server._TURN_SECONDS = 1e6"
SERVICES = [f"10.0.0.3:{port}" for port in range(80, 100)]
# Lets nobody read the table while there is no gate, and notes each batch.
GATE = """#!/bin/sh
echo "$*" >>{folder}/calls
[ "$1" != -Sn ] || while [ ! -e {folder}/gate ]; do sleep 0.01; done
exec {folder}/honest "$@"
"""


@pytest.fixture
def resident() -> Iterator[Resident]:
    """A resident process whose alerts wait for each other without end."""
    with open_folder() as folder, Resident(folder, before=PATIENT) as made:
        yield made


class Director:
    """A table of many services, whose ipvsadm waits for a gate to be opened."""

    def __init__(self, folder: Path, resident: Resident) -> None:
        """Begin with services that have nobody in."""
        self.folder = folder
        self.resident = resident
        self.kernel = TableFile(folder / "table")
        self.kernel.fill("\n".join(f"-A -t {each} -s wlc" for each in SERVICES))
        standin.write_executable(str(folder / "honest"), str(self.kernel.path))
        program = folder / "ipvsadm"
        program.write_text(GATE.format(folder=folder))
        program.chmod(0o755)
        (folder / "state").mkdir()
        self.descriptors = self._descriptors()

    def alert(
        self, service: str, *words: str, stdin: str = "", environment: dict[str, str] | None = None
    ) -> Call:
        """Start an alert: what has failed of 192.0.2.1 and 192.0.2.2 is in ``stdin``."""
        call = ["-s", service, "-g", "www", "-h", "192.0.2.1 192.0.2.2", "-t", "1000"]
        return Call(
            self.resident,
            "lvs.alert",
            *call,
            *words,
            stdin=stdin,
            environment={
                "LVSALERT_IPVSADM": str(self.folder / "ipvsadm"),
                "LVSALERT_STATE_DIR": str(self.folder / "state"),
                "LVSALERT_VIRTUAL_SERVICE": service,
                "LVSALERT_LOCK_TIMEOUT": "300",
                "LVSALERT_IPVSADM_TIMEOUT": "300",
                "MON_ALERTTYPE": "failure" if stdin else "up",
                "MON_RETVAL": "1",
                **(environment or {}),
            },
        )

    def hold(self) -> Call:
        """Start an alert that waits at the gate, so that others wait for it."""
        before = self.calls.count("-Sn")
        call = self.alert(SERVICES[0], "-u")
        wait_until(
            lambda: self.calls.count("-Sn") > before,
            lambda: f"it asks for the table: {self.calls}",
        )
        self.descriptors = self._descriptors()
        return call

    def wait_for(self, count: int) -> None:
        """Wait until so many alerts wait for their turn."""
        wait_until(
            lambda: self._descriptors() >= self.descriptors + count,
            lambda: f"{count} wait: {self._descriptors() - self.descriptors}",
        )

    def open(self) -> None:
        """Open the gate."""
        (self.folder / "gate").touch()

    @property
    def calls(self) -> list[str]:
        """Return how ipvsadm was called."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def _descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.resident.program.pid}/fd"))


@pytest.fixture
def director(tmp_path: Path, resident: Resident) -> Director:
    """A director whose gate is closed."""
    return Director(tmp_path, resident)


def test_alerts_that_wait_are_one_step(director: Director) -> None:
    """One batch serves them all, and each tells of its own servers, in order of their coming."""
    first = director.hold()
    others = []
    for number, service in enumerate(SERVICES[1:], 1):
        # The last one of a service decides, as when they run one after the other.
        others.append(director.alert(service, "-u"))
        director.wait_for(len(others))
        others.append(director.alert(service, "-t", "1001", stdin="192.0.2.2\n"))
        director.wait_for(2 * number)
    director.open()
    assert first.result[0] == 0
    for number, (up, down) in enumerate(zip(others[::2], others[1::2]), 1):
        status, stdout, stderr = up.result
        about = f"www/{SERVICES[number]}: tcp {SERVICES[number]}: 192.0.2."
        assert (status, stdout.count(about), stderr) == (0, 2, "")
        assert down.result == (0, f"{about}2:{80 + number} was dr weight 1, is out: failure\n", "")
    assert director.calls.count("-R") == 2
    rules = [rule for rule in director.kernel.rules if "192.0.2.2" in rule]
    assert len(rules) == 1
    assert sum("192.0.2.1:" in rule for rule in director.kernel.rules) == len(SERVICES)


def test_a_check_as_before_counts_behind_a_failure(director: Director) -> None:
    """It looks at what the failure does, which waited before it, and undoes that."""
    director.open()
    for _ in range(2):
        assert director.alert(SERVICES[1], "-u").result[0] == 0
    (director.folder / "gate").unlink()
    first = director.hold()
    down = director.alert(SERVICES[1], "-t", "1001", stdin="192.0.2.2\n")
    director.wait_for(1)
    up = director.alert(SERVICES[1], "-u", "-t", "1002")
    director.wait_for(2)
    director.open()
    assert [each.result[0] for each in (first, down, up)] == [0, 0, 0]
    assert "is out" in down.result[1]
    assert "passed its check" in up.result[1]
    assert sum(f"-a -t {SERVICES[1]} " in rule for rule in director.kernel.rules) == 2


def test_one_that_cannot_be_done_spoils_no_other(director: Director) -> None:
    """Bad usage, a service that is not there, another ledger: each says so itself."""
    first = director.hold()
    good = director.alert(SERVICES[1], "-u")
    director.wait_for(1)
    bad = director.alert(SERVICES[2], "-W", "heavy")
    director.wait_for(2)
    absent = director.alert("10.0.0.4:80", "-u")
    director.wait_for(3)
    (director.folder / "other").mkdir()
    environment = {"LVSALERT_STATE_DIR": str(director.folder / "other")}
    apart = director.alert(SERVICES[3], "-u", environment=environment)
    director.wait_for(4)
    last = director.alert(SERVICES[4], "-u")
    director.wait_for(5)
    director.open()
    assert [each.result[0] for each in (first, good, bad, absent, apart, last)] == [
        *(0, 0, 3, 1, 0, 0)
    ]
    assert absent.result[2] == (
        "lvs.alert: tcp 10.0.0.4:80: no such virtual service (--scheduler would create it)\n"
    )
    assert (director.folder / "other" / "ledger.db").exists()
    for service in (*SERVICES[:2], *SERVICES[3:5]):
        assert sum(f"-a -t {service} " in rule for rule in director.kernel.rules) == 2


def test_a_step_that_goes_wrong_is_made_one_by_one(director: Director) -> None:
    """What the kernel refuses of one alert is that one's fault, and the others are done."""
    first = director.hold()
    good = director.alert(SERVICES[1], "-u")
    director.wait_for(1)
    # The stand-in refuses it as the kernel does.
    refused = director.alert("10.0.0.9:80", "-u", "--scheduler", "nosuch")
    director.wait_for(2)
    last = director.alert(SERVICES[3], "-u")
    director.wait_for(3)
    director.open()
    assert [each.result[0] for each in (first, good, refused, last)] == [0, 0, 1, 0]
    for service in (SERVICES[1], SERVICES[3]):
        assert sum(f"-a -t {service} " in rule for rule in director.kernel.rules) == 2


def test_one_that_is_killed_while_it_waits_is_not_made(director: Director) -> None:
    """Its plug-in has ended, so that nobody wants it; the others go on."""
    first = director.hold()
    killed = director.alert(SERVICES[1], "-u")
    director.wait_for(1)
    good = director.alert(SERVICES[2], "-u")
    director.wait_for(2)
    killed.process.kill()
    assert killed.result[0] < 0
    wait_until(lambda: director._descriptors() < director.descriptors + 2, "it has heard of it")
    director.open()
    assert (first.result[0], good.result[0]) == (0, 0)
    assert not any(f"-a -t {SERVICES[1]} " in rule for rule in director.kernel.rules)
