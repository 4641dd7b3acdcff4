"""A stopped director stays stopped, though a mon that still runs goes on reporting."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import probing
from lvsalert.director.setup import FirstCheck
from lvsalert.ledger.ledger import Ledger
from tests.harness.director_file import WEB, Machine
from tests.harness.killing import Killed, kill_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lvsalert.ldirectord.watches import Watch

HOSTS = "192.0.2.1 192.0.2.2"
NAME = "tcp 10.0.0.3:80"
RULES = [
    "-A -t 10.0.0.3:80 -s wlc",
    "-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 5",
    "-a -t 10.0.0.3:80 -r 192.0.2.2:80 -g -w 3",
]
SAYS = "tcp-10.0.0.3-80/connect"
TOLD = f"{SAYS}: {NAME}: stopped by director root: noted, and not set up before it is started"


def alive(watches: Sequence[Watch]) -> list[list[tuple[int, FirstCheck]]]:
    """Find every real server well."""
    checks = [FirstCheck(watch, {}, is_told=True, remark="") for watch in watches]
    return [list(enumerate(checks))]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A director that was started, with a file for one web service."""
    monkeypatch.setattr(probing, "probe", alive)
    made = Machine(tmp_path, monkeypatch)
    # mon's reports are younger than the check at the start.
    made.time = int(time.time())
    made.write(WEB.replace("checktype = on", "checktype = connect"))
    assert made.with_file("start").status == 0
    return made


def causes(machine: Machine) -> dict[tuple[str, int], list[str]]:
    """Return who keeps each real server out."""
    ledger = Ledger.open(str(machine.state))
    try:
        found = ledger.causes(NAME)
    finally:
        ledger.close()
    return {endpoint: [each.cause for each in them] for endpoint, them in found.items()}


@pytest.mark.parametrize("options", [(), ("--scheduler", "wlc")])
@pytest.mark.parametrize(("event", "failed"), [("up", ""), ("failure", "192.0.2.2")])
def test_mon_does_not_set_up_what_was_stopped(
    machine: Machine, event: str, failed: str, options: tuple[str, ...]
) -> None:
    """Each report is noted, leaves the table alone, and says so in one line, as syslog does."""
    machine.with_file("stop")
    for _ in range(2):
        done = machine.told_by_mon(event, HOSTS, failed, *options)
        assert done[:3] == (0, f"{TOLD}\n", "")
        assert machine.kernel.rules == []
        assert machine.told[-1] == TOLD
    assert causes(machine) == ({("192.0.2.2", 80): [SAYS]} if failed else {})


def test_an_alert_that_names_no_scheduler_is_noted_too(machine: Machine) -> None:
    """Without the file the service's shape is not known, and need not be."""
    machine.with_file("stop")
    assert machine.by_mon("failure", "192.0.2.2").stdout.endswith("before it is started\n")
    assert causes(machine) == {("192.0.2.2", 80): ["www/http"]}


@pytest.mark.parametrize("command", ["start", "reload"])
def test_start_and_reload_end_the_stop(machine: Machine, command: str) -> None:
    """The service is set up, and from then on mon mends it again."""
    machine.with_file("stop")
    machine.told_by_mon("up", HOSTS)
    machine.with_file(command)
    assert machine.kernel.rules == RULES
    machine.kernel.change("-C")
    machine.told_by_mon("up", HOSTS)
    assert machine.kernel.rules == RULES


def test_what_mon_said_meanwhile_counts(machine: Machine) -> None:
    """A real server that another check took out while the director was stopped is not let in."""
    machine.with_file("stop")
    machine.by_mon("failure", "192.0.2.2", hosts=HOSTS)
    machine.with_file("start")
    assert machine.kernel.rules == RULES[:2]


def test_undo_of_a_stop_ends_it(machine: Machine) -> None:
    """What an operator puts back is looked after again."""
    machine.with_file("stop")
    machine.run("undo", "--yes")
    assert machine.kernel.rules == RULES
    machine.kernel.change("-C")
    machine.told_by_mon("up", HOSTS)
    assert machine.kernel.rules == RULES


def test_only_stop_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that was emptied by other hands is set up again, lvs-director used or not."""
    machine = Machine(tmp_path, monkeypatch)
    for _ in range(2):
        machine.by_mon("up", "", "--scheduler", "wlc", hosts=HOSTS)
        assert machine.kernel.rules[:1] == RULES[:1]
        machine.kernel.change("-C")


def test_a_table_that_others_set_up_is_looked_after(machine: Machine) -> None:
    """After a stop a script of the administrator's own may set up the service, and mon keeps it."""
    machine.with_file("stop")
    machine.kernel.change("\n".join(RULES))
    machine.told_by_mon("failure", HOSTS, "192.0.2.2")
    assert machine.kernel.rules == RULES[:2]


def test_a_stop_of_an_absent_table_stops(machine: Machine) -> None:
    """heartbeat stops a standby that has nothing set up; a mon there leaves it so."""
    machine.kernel.change("-C")
    assert machine.with_file("stop").status == 0
    machine.told_by_mon("up", HOSTS)
    assert machine.kernel.rules == []


def test_a_service_that_the_file_had_is_stopped_too(machine: Machine) -> None:
    """Without the file, those of the last start are stopped."""
    text = machine.file.read_text()
    machine.file.unlink()
    machine.with_file("stop")
    machine.write(text)
    machine.told_by_mon("up", HOSTS)
    assert machine.kernel.rules == []


@pytest.mark.parametrize(
    "text",
    [
        "cleanstop = no\n{}",
        "cleanstop = yes\n{}    cleanstop = no\n",
    ],
    ids=["global", "below"],
)
def test_cleanstop_no_leaves_a_service(machine: Machine, text: str) -> None:
    """It stays in the table and mon looks after it, but only a start makes it running again."""
    web = machine.file.read_text()
    machine.write(web.replace("10.0.0.3:80", "10.0.0.3:81") + "    cleanstop = yes\n")
    clean = machine.file.read_text()
    machine.write(text.format(web) + clean)
    machine.with_file("start")
    machine.with_file("stop")
    machine.told_by_mon("failure", HOSTS, "192.0.2.2")
    assert machine.kernel.rules == RULES[:2]
    machine.write(text.format(web))
    assert machine.with_file("status").stdout == "stopped\n"
    machine.with_file("start")
    assert machine.with_file("status").stdout == "running\n"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", range(1, 10))
def test_a_stop_that_is_killed_anywhere_leaves_nothing_unwatched(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, point: int, after: bool
) -> None:
    """A table that still stands is kept right by mon, one that is gone stays away; stop ends it."""
    with monkeypatch.context() as context:
        kill_at(context, point, after=after)
        with contextlib.suppress(Killed):
            machine.with_file("stop")
    stands = bool(machine.kernel.rules)
    machine.told_by_mon("failure", HOSTS, "192.0.2.2")
    assert machine.kernel.rules == (RULES[:2] if stands else [])
    assert machine.with_file("stop").status == 0
    machine.told_by_mon("up", HOSTS)
    assert machine.kernel.rules == []


def test_status_shows_a_stop(machine: Machine) -> None:
    """The table names who stopped the service and whom causes keep out; JSON says the same."""
    machine.told_by_mon("failure", HOSTS, "192.0.2.2")
    machine.kernel.change("-C")
    machine.with_file("stop")
    heading, first, second = machine.run("status").stdout.splitlines()
    assert heading.startswith("SERVICE ")
    assert first.split()[:4] == ["tcp", "10.0.0.3:80", "-", "stopped"]
    assert first.endswith("  stopped by director root")
    assert second.split()[2:4] == ["192.0.2.2:80", "out"]
    (service,) = json.loads(machine.run("status", "--json").stdout)["services"]
    assert (service["missing"], service["stopped"]["by"]) == (False, "director root")
    assert "  director root stopped its virtual service at " in (
        machine.run("why", "192.0.2.1").stdout
    )
    machine.kernel.change("\n".join(RULES))
    assert [line.split()[3] for line in machine.run("status").stdout.splitlines()[1:]] == [
        *("stopped", "in", "in"),
    ]
    machine.with_file("start")
    assert "stopped" not in machine.run("status").stdout
    (service,) = json.loads(machine.run("status", "--json").stdout)["services"]
    assert service["stopped"] is None


def test_a_stop_without_a_ledger_is_told(machine: Machine) -> None:
    """Where it cannot be remembered the table goes all the same, and that is said."""
    ledger = machine.state / "ledger.db"
    for each in machine.state.iterdir():
        each.unlink()
    ledger.mkdir()
    done = machine.with_file("stop")
    assert (done.status, machine.kernel.rules) == (0, [])
    assert done.stderr == f"lvs-director: not remembered: {ledger}: not a regular file\n"


@pytest.mark.parametrize("command", ["start", "reload"])
def test_what_nobody_will_remember_is_not_done(machine: Machine, command: str) -> None:
    """The table is set up all the same, and the status is 1: the next check may undo it."""
    ledger = machine.state / "ledger.db"
    for each in machine.state.iterdir():
        each.unlink()
    ledger.mkdir()
    done = machine.with_file(command, "--unchecked")
    assert (done.status, machine.kernel.rules) == (1, RULES)
    assert done.stderr == f"lvs-director: not remembered: {ledger}: not a regular file\n"
