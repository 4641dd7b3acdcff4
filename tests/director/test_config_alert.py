"""lvs.alert --config: what the director's file says, and what wins over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.director_file import WEB, Machine

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = "192.0.2.1 192.0.2.2"
RULES = [
    "-A -t 10.0.0.3:80 -s wlc",
    "-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 5",
    "-a -t 10.0.0.3:80 -r 192.0.2.2:80 -g -w 3",
]
CHECKED = WEB.replace("checktype = on", "checktype = connect")
FULL = """\
virtual = 10.0.0.3:80
    real = 192.0.2.1->192.0.2.2:80 gate 5 l:5 u:10
    real = 192.0.2.3:8080 masq 0
    scheduler = sh
    persistent = 300
    schedflags = sh-port,sh-fallback
    checkport = 80
virtual = 7
    real = 192.0.2.1 ipip 2
    checktype = connect
    checkport = 80
virtual6 = [2001:db8::3]:443
    real6 = [2001:db8::1]:443 gate 2
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A director with an empty table and a file for one web service."""
    made = Machine(tmp_path, monkeypatch)
    made.write(CHECKED)
    return made


def test_the_file_gives_everything(machine: Machine) -> None:
    """A success makes the missing service as the file has it, each server with its weight."""
    done = machine.told_by_mon("up", HOSTS)
    assert (done.status, done.stderr, machine.kernel.rules) == (0, "", RULES)


def test_the_first_report_after_a_start_changes_nothing(machine: Machine) -> None:
    """What start made is what mon's reports want, thresholds, flags, marks and IPv6 among it."""
    machine.write(FULL)
    assert machine.with_file("start", "--unchecked").status == 0
    for number, hosts in enumerate((f"{HOSTS} 192.0.2.3", "192.0.2.1", "2001:db8::1")):
        assert machine.told_by_mon("up", hosts, number=number) == (0, "", "", None)
    assert machine.batches == 1


def test_whatever_is_changed_by_hand_is_mended(machine: Machine) -> None:
    """Scheduler, flags, weights, methods and thresholds come back with the next report."""
    machine.write(FULL)
    machine.with_file("start", "--unchecked")
    before = machine.kernel.table
    machine.kernel.change(
        "-E -t 10.0.0.3:80 -s rr\n-e -t 10.0.0.3:80 -r 192.0.2.1:80 -i -w 9 -x 99\n"
        "-d -t 10.0.0.3:80 -r 192.0.2.2:80\n"
    )
    machine.told_by_mon("up", f"{HOSTS} 192.0.2.3")
    assert machine.kernel.table == before


def test_a_failed_host_goes_out(machine: Machine) -> None:
    """It is deleted, as quiescent is no by default."""
    machine.with_file("start", "--unchecked")
    machine.told_by_mon("failure", HOSTS, "192.0.2.2")
    assert machine.kernel.rules == RULES[:2]


@pytest.mark.parametrize(
    ("options", "weight"),
    [((), "-g -w 0"), (("--quiesce-first", "60"), "-g -w 0")],
)
def test_quiescent_is_weight_0(machine: Machine, options: tuple[str, ...], weight: str) -> None:
    """With quiescent = yes a failed server stays at weight 0."""
    machine.write(f"quiescent = yes\n{CHECKED}")
    machine.with_file("start", "--unchecked")
    machine.told_by_mon("failure", HOSTS, "192.0.2.2", *options)
    assert machine.servers["192.0.2.2:80"] == weight


def test_failurecount_is_fall(machine: Machine) -> None:
    """So many failures in a row take a server out; --fall wins."""
    machine.write(f"failurecount = 2\n{CHECKED}")
    machine.with_file("start", "--unchecked")
    machine.told_by_mon("failure", HOSTS, "192.0.2.2")
    assert machine.kernel.rules == RULES
    machine.told_by_mon("failure", HOSTS, "192.0.2.2")
    assert machine.kernel.rules == RULES[:2]
    machine.told_by_mon("failure", HOSTS, HOSTS, "--fall", "1")
    assert machine.kernel.rules == RULES[:1]


def test_the_fallback_is_the_files(machine: Machine) -> None:
    """It comes in with the last server's failure, and goes with the first success."""
    machine.write(CHECKED.replace("    scheduler", "    fallback = 127.0.0.1:80\n    scheduler"))
    machine.with_file("start", "--unchecked")
    machine.told_by_mon("failure", HOSTS, HOSTS)
    assert machine.servers == {"127.0.0.1:80": "-g -w 1"}
    machine.told_by_mon("up", HOSTS)
    assert machine.kernel.rules == RULES


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--weight", "7"), "-g -w 7"),
        (("--weight", "0"), "-g -w 0"),
        (("--forwarding", "tun"), "-i -w 5 --tun-type ipip"),
    ],
)
def test_an_option_wins(machine: Machine, options: tuple[str, ...], rule: str) -> None:
    """What the command line says goes for every server of the group."""
    machine.with_file("start", "--unchecked")
    machine.told_by_mon("up", HOSTS, "", *options)
    assert machine.servers["192.0.2.1:80"] == rule


def test_a_scheduler_and_thresholds_win(machine: Machine) -> None:
    """--scheduler and the thresholds are not taken back to the file's."""
    machine.write(FULL)
    machine.told_by_mon("up", HOSTS, "", "--scheduler", "mh", "--u-threshold", "77")
    assert machine.kernel.rules[0].startswith("-A -t 10.0.0.3:80 -s mh ")
    web = next(each for each in machine.kernel.table.values() if each.virtual.port == 80)
    assert web.real_servers["192.0.2.1", 80][4:6] == (77, 5)


def test_a_host_stands_for_all_at_its_address(machine: Machine) -> None:
    """An address means all of the file's servers there, with a port one of them."""
    machine.write(
        "virtual = 10.0.0.3:80\n    real = 192.0.2.1:81 masq\n    real = 192.0.2.1:82 masq\n"
        "    checktype = connect\n"
    )
    machine.with_file("start", "--unchecked")
    assert set(machine.servers) == {"192.0.2.1:81", "192.0.2.1:82"}
    machine.told_by_mon("failure", "192.0.2.1:81 192.0.2.1:82", "192.0.2.1:82")
    assert set(machine.servers) == {"192.0.2.1:81"}
    machine.told_by_mon("failure", "192.0.2.1", "192.0.2.1")
    assert machine.servers == {}


def test_a_server_that_is_not_in_the_file_is_named(machine: Machine) -> None:
    """The others are judged all the same."""
    machine.with_file("start", "--unchecked")
    done = machine.told_by_mon("failure", f"{HOSTS} 192.0.2.9", "192.0.2.2 192.0.2.9")
    assert done.status == 3
    assert done.stderr == (
        f"lvs.alert: 192.0.2.9: {machine.file} has no such real server of tcp 10.0.0.3:80\n"
    )
    assert machine.kernel.rules == RULES[:2]


def test_a_name_that_is_lost_harms_nobody_else(machine: Machine) -> None:
    """Where nothing was accepted, a real server whose name has no address stays as it is."""
    machine.write(CHECKED.replace("192.0.2.2", "web2"))
    machine.kernel.change("".join(f"{rule}\n" for rule in RULES[:3]))
    done = machine.alert(
        *("-s", "connect", "-g", "www", "-h", "192.0.2.1 web2", "-t", "1700000600"),
        environ={
            "MON_ALERTTYPE": "failure",
            "MON_RETVAL": "1",
            "LVSALERT_CONFIG": str(machine.file),
            "LVSALERT_VIRTUAL_SERVICE": "10.0.0.3:80",
        },
        stdin="192.0.2.1 web2\n",
    )
    assert done.status == 3
    assert set(machine.servers) == {"192.0.2.2:80"}


@pytest.mark.parametrize(
    ("spoil", "status", "line"),
    [
        (("wlc", "wlc\n    chektype = x"), 3, "{file}:5: chektype"),
        (("10.0.0.3:80", "10.0.0.4:80"), 3, "{file}: has no virtual service tcp 10.0.0.3:80\n"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(
    machine: Machine, spoil: tuple[str, str], status: int, line: str
) -> None:
    """Where it was never accepted, one line tells what is wrong, and the table stays."""
    machine.kernel.change("".join(f"{rule}\n" for rule in RULES))
    machine.write(CHECKED.replace(*spoil))
    done = machine.alert(
        *("-s", "connect", "-g", "www", "-h", HOSTS),
        environ={
            "MON_ALERTTYPE": "failure",
            "MON_RETVAL": "1",
            "LVSALERT_CONFIG": str(machine.file),
            "LVSALERT_VIRTUAL_SERVICE": "10.0.0.3:80",
        },
        stdin=f"{HOSTS}\n",
    )
    assert (done.status, done.stdout, done.stderr.count("\n")) == (status, "", 1)
    assert done.stderr.startswith(f"lvs.alert: {line.format(file=machine.file)}")
    assert machine.kernel.rules == RULES


NAMES = {"192.0.2.1": "web1.example.com"}


@pytest.mark.parametrize(
    "name", ["192.0.2.1", "192.0.2.1:80", "web1.example.com", "web1", "web1:80"]
)
def test_maintenance_is_an_operators_word(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The floor does not hold back maintenance, and a good check does not end it."""
    monkeypatch.setattr("lvsalert.director.maintenance._name_of", lambda address: NAMES[address])
    folder = machine.folder / "maintenance"
    folder.mkdir()
    machine.write(f"maintenancedir = {folder}\n{CHECKED}")
    machine.with_file("start", "--unchecked")
    (folder / name).touch()
    machine.told_by_mon("up", HOSTS, "", "--min-in", "2")
    assert machine.servers == {"192.0.2.2:80": "-g -w 3"}
    assert f"maintenance: {folder}/{name}" in machine.run("why", "192.0.2.1").stdout
    (folder / name).unlink()
    machine.told_by_mon("up", HOSTS, "", "--min-in", "2")
    assert machine.kernel.rules == RULES
    machine.run("drain", "192.0.2.1")
    machine.told_by_mon("up", HOSTS)
    assert machine.servers["192.0.2.1:80"] == "-g -w 0"


@pytest.mark.parametrize("folder", ["{folder}/none", "{folder}/state/lock"])
def test_a_maintenance_folder_that_is_none_names_nobody(machine: Machine, folder: str) -> None:
    """A folder that cannot be read keeps nobody out."""
    machine.write(f"maintenancedir = {folder.format(folder=machine.folder)}\n{CHECKED}")
    machine.told_by_mon("up", HOSTS)
    assert machine.kernel.rules == RULES
