"""Virtual services that have a check in common: one watch, one check, one step for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import probing
from tests.director.test_lifecycle import Network
from tests.harness.director_file import Machine

if TYPE_CHECKING:
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

HOSTS = "192.0.2.1 192.0.2.2"
SERVICE = """\
virtual = 10.0.0.{number}:80
    real = 192.0.2.1 gate 5
    real = 192.0.2.2 gate {number}
    checktype = connect
    checkport = 8080
"""
THREE = "".join(SERVICE.format(number=number) for number in (3, 4, 5))
OF_ALL = "10.0.0.3:80 10.0.0.4:80 10.0.0.5:80"
SOURCE = "tcp-10.0.0.3-80/connect"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A director with an empty table and a file for three services of the same web servers."""
    made = Machine(tmp_path, monkeypatch)
    made.write(THREE)
    return made


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network whose real servers are all alive."""
    made = Network()
    monkeypatch.setattr(probing, "probe", made.probe)
    return made


def alert(
    machine: Machine,
    event: str,
    failed: str = "",
    *,
    virtual: str = OF_ALL,
    group: str = "tcp-10.0.0.3-80",
    file: bool = True,
) -> Outcome:
    """Run lvs.alert as mon does for a watch of several services."""
    machine.time += 60
    environ = {"MON_ALERTTYPE": event, "MON_RETVAL": "1" if failed else "0"}
    environ |= {"LVSALERT_VIRTUAL_SERVICE": virtual}
    environ |= {"LVSALERT_CONFIG": str(machine.file)} if file else {"LVSALERT_WEIGHT": "5"}
    argv = ["-s", "connect", "-g", group, "-h", HOSTS, "-t", str(machine.time)]
    argv += ["-u"] if event == "up" else []
    detail = f"HOST {failed}: Connection refused (0.001 s, {failed}:8080)"
    return machine.alert(*argv, environ=environ, stdin=f"{failed}\n{detail}\n")


def weights(machine: Machine) -> list[list[str]]:
    """Return the weights of the second server and the first one in each service."""
    found = [machine.servers_of(f"-t 10.0.0.{number}:80") for number in (3, 4, 5)]
    return [[word.split()[-1] for word in servers.values()] for servers in found]


def test_an_equal_check_is_made_once_at_a_start(machine: Machine, network: Network) -> None:
    """What it finds goes for every service, and each has its own weights."""
    network.dead = {"192.0.2.2"}
    done = machine.with_file("start")
    assert network.asked == ["192.0.2.1", "192.0.2.2"]
    assert weights(machine) == [["5"], ["5"], ["5"]]
    assert done.stderr.count("192.0.2.2:80 stays out: Connection refused") == 3


def test_one_alert_serves_all_services_in_one_step(machine: Machine) -> None:
    """One reading of the table, one batch, one line of syslog for each change, and back."""
    machine.with_file("start", "--unchecked")
    before, machine.commands[:] = machine.kernel.rules, []
    done = alert(machine, "failure", "192.0.2.2")
    assert (done.status, done.stderr, weights(machine)) == (0, "", [["5"], ["5"], ["5"]])
    assert machine.batches == 1
    assert done.stdout.splitlines() == [
        f"{SOURCE}: tcp 10.0.0.{number}:80: 192.0.2.2:80 was dr weight {number}, is out:"
        " Connection refused"
        for number in (3, 4, 5)
    ]
    assert alert(machine, "up").status == 0
    assert sorted(machine.kernel.rules) == sorted(before)
    assert machine.batches == 2


def test_sync_knows_the_watch_of_each_service(machine: Machine) -> None:
    """What is remembered of a service is that service's own, under mon's name of the watch."""
    machine.with_file("start", "--unchecked")
    alert(machine, "failure", "192.0.2.2")
    for number in (3, 4, 5):
        told = machine.run("why", "192.0.2.2", "--service", f"10.0.0.{number}:80").stdout
        assert f"{SOURCE} says since" in told


def test_a_service_that_is_gone_keeps_the_others_from_nothing(machine: Machine) -> None:
    """It is told with the file, the status says so, and the others are done."""
    machine.with_file("start", "--unchecked")
    done = alert(machine, "failure", "192.0.2.2", virtual=f"{OF_ALL} 10.0.0.9:80")
    assert (done.status, weights(machine)) == (3, [["5"], ["5"], ["5"]])
    assert done.stderr == (
        f"lvs.alert: {machine.file}: had no virtual service tcp 10.0.0.9:80 when it was accepted:"
        f" lvs-director reload {machine.file}\n"
    )


def test_services_may_be_named_without_a_file(machine: Machine) -> None:
    """mon.cf's own LVSALERT_VIRTUAL_SERVICE takes several; one that is missing is told."""
    machine.with_file("start", "--unchecked")
    virtual = "10.0.0.3:80 10.0.0.9:80 10.0.0.5:80"
    done = alert(machine, "failure", "192.0.2.1", virtual=virtual, group="www", file=False)
    assert weights(machine) == [["5"], ["5", "4"], ["5"]]
    assert done.status == 1
    assert done.stderr == (
        "lvs.alert: tcp 10.0.0.9:80: no such virtual service (--scheduler would create it)\n"
    )


@pytest.mark.parametrize("file", [True, False], ids=["file", "options"])
def test_a_service_that_is_misspelled_is_named(machine: Machine, file: bool) -> None:
    """A slip in one of several is told, with the status of bad usage; the others are done."""
    machine.with_file("start", "--unchecked")
    virtual = "10.0.0.3:80 10.0.0.5:hhtp nowhere.example:80"
    done = alert(machine, "failure", "192.0.2.1", virtual=virtual, group="www", file=file)
    assert not [place for place in machine.servers if place.startswith("192.0.2.1:")]
    said = (
        "lvs.alert: 'hhtp' is not a port: 1 to 65535 or a tcp name of /etc/services\n"
        "lvs.alert: nowhere.example: no address found\n"
    )
    assert (done.status, done.stderr) == (3, said)


def test_a_watch_of_another_name_takes_back_what_was_said_before(machine: Machine) -> None:
    """A service whose check was edited is no longer kept out by the word of the watch it had."""
    machine.with_file("start", "--unchecked")
    alert(machine, "failure", "192.0.2.2")
    machine.write(THREE + "    checktimeout = 3\n")
    machine.with_file("reload", "--unchecked")
    alert(machine, "up", virtual="10.0.0.5:80", group="tcp-10.0.0.5-80")
    assert weights(machine) == [["5"], ["5"], ["5", "5"]]
    told = machine.run("why", "192.0.2.2", "--service", "10.0.0.5:80").stdout
    assert "Nobody says that it should be out." in told


def test_a_watch_of_ones_own_is_not_taken_back(machine: Machine) -> None:
    """What a group of the user's own says stands beside the file's watch."""
    machine.with_file("start", "--unchecked")
    alert(machine, "failure", "192.0.2.2", group="www", virtual="10.0.0.3:80")
    alert(machine, "up")
    assert weights(machine) == [["5"], ["5", "4"], ["5", "5"]]
