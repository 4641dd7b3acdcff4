"""The director's file is edited while it runs: what was accepted last counts."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Any, Callable

import pytest

from lvsalert.commands import lvs_alert
from lvsalert.ldirectord.mon_cf import comparison_in
from tests.harness.alerts import Logged
from tests.harness.director_file import WEB, Machine
from tests.harness.mon import Mon
from tests.harness.nginx import serving
from tests.harness.places import free_port, is_root
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lvsalert.commands.entry import Outcome
    from tests.harness.installation import Installation
    from tests.harness.standin import StandIn

WHEN = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
HOSTS = "192.0.2.1 192.0.2.2"
AUTOMATIC = f"autoreload = yes\n{WEB}"
MORE = "    real = 192.0.2.3:80 gate 7\n    scheduler"
SLIP = WEB.replace("wlc", "wlc\n    chektype = x")
CHANGES = {
    "a slip": (SLIP, r":5: chektype: .*"),
    "empty": ("", ": has no virtual service left"),
    "gone": (None, ": No such file or directory"),
    "another service": (WEB.replace("10.0.0.3:80", "10.0.0.4:80"), None),
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A director with an empty table and a file for one web service."""
    return Machine(tmp_path, monkeypatch)


def alert(machine: Machine, event: str, failed: str = "", hosts: str = HOSTS) -> Outcome:
    """Run lvs.alert as mon does, whatever the file says by now."""
    machine.time += 60
    environ = {
        "MON_ALERTTYPE": event,
        "MON_RETVAL": "1" if failed else "0",
        "LVSALERT_CONFIG": str(machine.file),
        "LVSALERT_VIRTUAL_SERVICE": "10.0.0.3:80",
    }
    argv = ["-s", "on", "-g", "tcp-10.0.0.3-80", "-h", hosts, "-t", str(machine.time)]
    argv += ["-u"] if event == "up" else []
    return machine.alert(*argv, environ=environ, stdin=f"{failed}\n")


def warnings(machine: Machine) -> list[str]:
    """What went to syslog at warning or worse."""
    return [each.text for each in machine.log if isinstance(each, Logged) and each.level <= 4]


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_done_to_the_file_stops_no_fail_over(machine: Machine, name: str) -> None:
    """A dead server goes out and comes back as the file had it when it was accepted."""
    text, _ = CHANGES[name]
    machine.with_file("start")
    before = machine.servers
    if text is None:
        machine.file.unlink()
    else:
        machine.write(text)
    done = alert(machine, "failure", "192.0.2.2")
    assert (done.status, done.stderr, machine.servers) == (0, "", {"192.0.2.1:80": "-g -w 5"})
    assert (alert(machine, "up").status, machine.servers) == (0, before)


@pytest.mark.parametrize("name", CHANGES)
def test_status_says_that_the_file_has_changed(machine: Machine, name: str) -> None:
    """With the fault and its place, or with what loads it; for a program too."""
    text, fault = CHANGES[name]
    machine.with_file("start")
    assert str(machine.file) not in machine.run("status").stdout
    if text is None:
        machine.file.unlink()
    else:
        machine.write(text)
    last = machine.run("status").stdout.splitlines()[-1]
    file = re.escape(str(machine.file))
    if fault is None:
        newer = rf"{file}: newer than what runs, which was accepted at {WHEN}:"
        assert re.fullmatch(f"{newer} lvs-director reload {file}", last)
    else:
        assert re.fullmatch(rf"{file}{fault}: what was accepted at {WHEN} goes on", last)
    status, out, error, _ = machine.with_file("status")
    assert (status, out, error) == (0, "running\n", f"lvs-director: {last}\n")
    (told,) = json.loads(machine.run("status", "--json").stdout)["files"]
    assert (told["file"], told["fault"] is None) == (str(machine.file), fault is None)


def test_a_file_that_is_taken_by_hand_is_taken_by_reload(machine: Machine) -> None:
    """Without autoreload an alert goes by what was accepted until then, and by the new after."""
    machine.with_file("start")
    before = machine.servers
    machine.write(WEB.replace("    scheduler", MORE))
    alert(machine, "up")
    assert machine.servers == before
    assert machine.with_file("reload").status == 0
    assert machine.servers == {**before, "192.0.2.3:80": "-g -w 7"}
    assert str(machine.file) not in machine.run("status").stdout
    alert(machine, "failure", "192.0.2.3", f"{HOSTS} 192.0.2.3")
    assert machine.servers == before


@pytest.mark.parametrize("command", ["reload", "stop"])
def test_an_alert_goes_by_what_is_accepted_when_its_turn_comes(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A real server that is taken out for good while an alert waits is not put back by it."""
    machine.with_file("start")
    machine.kernel.change("-d -t 10.0.0.3:80 -r 192.0.2.2:80\n")
    in_step = lvs_alert.run_together
    turns = iter([command])

    def behind_another_run(
        alerts: Sequence[lvs_alert.Understood],
    ) -> list[Callable[[], Outcome]]:
        for turn in turns:
            machine.write(WEB.replace("real = 192.0.2.2:80 gate 3", "real = 192.0.2.3:80 gate 7"))
            assert machine.with_file(turn).status == 0
        return in_step(alerts)

    monkeypatch.setattr(lvs_alert, "run_together", behind_another_run)
    done = alert(machine, "up")
    gone = f"192.0.2.2: {machine.file} has no such real server of tcp 10.0.0.3:80"
    assert (done.status, done.stderr) == (3, f"lvs.alert: {gone}\n")
    after = {"192.0.2.1:80": "-g -w 5", "192.0.2.3:80": "-g -w 7"}
    assert machine.servers == (after if command == "reload" else {})


def test_a_reload_of_a_slip_leaves_what_was_accepted(machine: Machine) -> None:
    """The command fails with the place of the fault, and alerts go on as before."""
    machine.with_file("start")
    machine.write(SLIP)
    done = machine.with_file("reload")
    assert (done.status, done.stderr.count("\n")) == (3, 1)
    alert(machine, "failure", "192.0.2.2")
    assert machine.servers == {"192.0.2.1:80": "-g -w 5"}


@pytest.mark.parametrize("command", ["start", "reload", "mon-config"])
def test_a_file_that_has_lost_all_of_its_services_is_refused(
    machine: Machine, command: str
) -> None:
    """What is to take all out is a stop."""
    machine.with_file("start")
    before = machine.servers
    machine.write("quiescent = no\n")
    done = machine.with_file(command)
    assert (done.status, done.stdout, machine.servers) == (3, "", before)
    assert done.stderr == f"lvs-director: {machine.file}: has no virtual service left\n"


def test_mon_goes_on_watching_what_a_file_that_is_emptied_had(machine: Machine) -> None:
    """With --accepted, as heartbeat's script writes it for all files that are started."""
    machine.with_file("start")
    before = machine.with_file("mon-config").stdout
    machine.write("")
    done = machine.with_file("mon-config", "--accepted")
    assert (done.status, done.stdout) == (0, before)


def test_a_stop_takes_out_what_a_file_that_is_emptied_had(machine: Machine) -> None:
    """And the next start goes by the file as it is by then."""
    machine.with_file("start")
    machine.write("")
    assert (machine.with_file("stop").status, machine.kernel.rules) == (0, [])
    assert machine.with_file("start")[:3] == (0, "nothing to change\n0 of 0 in\n", "")


def test_autoreload_waits_for_a_file_that_is_being_written(machine: Machine) -> None:
    """An editor has emptied it: all goes on, fail-over too, and what is written then is taken."""
    machine.write(AUTOMATIC)
    machine.with_file("start")
    machine.write("")
    for _ in range(2):
        assert alert(machine, "failure", "192.0.2.2").status == 0
        assert machine.servers == {"192.0.2.1:80": "-g -w 5"}
    gone = f"{machine.file}: has no virtual service left: what was accepted before goes on"
    assert warnings(machine).count(gone) == 1
    machine.write(AUTOMATIC.replace("gate 5", "gate 9"))
    alert(machine, "up")
    assert machine.servers["192.0.2.1:80"] == "-g -w 9"


def test_autoreload_takes_a_changed_file(machine: Machine) -> None:
    """The next alert brings the table to it: who came, who left, and who weighs more."""
    machine.write(AUTOMATIC)
    machine.with_file("start")
    changed = AUTOMATIC.replace("    real = 192.0.2.2:80 gate 3\n", "").replace("gate 5", "gate 9")
    machine.write(changed.replace("    scheduler", MORE))
    assert alert(machine, "up").status == 0
    assert machine.servers == {"192.0.2.1:80": "-g -w 9", "192.0.2.3:80": "-g -w 7"}
    added = "director autoreload: tcp 10.0.0.3:80: 192.0.2.3:80 was out, is dr weight 7"
    assert machine.told.count(added) == 1
    assert str(machine.file) not in machine.run("status").stdout


def test_autoreload_takes_back_a_service_that_mon_goes_on_watching(machine: Machine) -> None:
    """An alert for a service that the file has lost reads the file as well, and says what it is."""
    machine.write(AUTOMATIC)
    machine.with_file("start")
    before = machine.kernel.rules
    machine.write(AUTOMATIC.replace("10.0.0.3:80", "10.0.0.3:81"))
    assert alert(machine, "up").status == 0
    assert machine.servers_of("-t 10.0.0.3:80") == {}
    lost = (
        f"lvs.alert: {machine.file}: had no virtual service tcp 10.0.0.3:80 when it was accepted:"
        f" lvs-director reload {machine.file}\n"
    )
    assert alert(machine, "up")[:3] == (3, "", lost)
    machine.write(AUTOMATIC)
    assert alert(machine, "up")[:3] == (3, "", lost)
    assert machine.kernel.rules == before
    assert alert(machine, "up").status == 0


def test_autoreload_names_a_fault_once_and_takes_it_mended(machine: Machine) -> None:
    """A slip changes nothing, however often it is seen; another one is named again."""
    machine.write(AUTOMATIC)
    machine.with_file("start")
    before = machine.servers
    machine.write(AUTOMATIC.replace("wlc", "wlc\n    chektype = x"))
    for _ in range(3):
        assert alert(machine, "up").status == 0
    told = [each for each in warnings(machine) if "chektype" in each]
    assert len(told) == 1
    assert told[0].startswith(f"{machine.file}:6: chektype: ")
    assert told[0].endswith(": what was accepted before goes on")
    machine.write(AUTOMATIC.replace("wlc", "wlc\n    chcktype = x"))
    for _ in range(2):
        alert(machine, "up")
    assert len([each for each in warnings(machine) if "chcktype" in each]) == 1
    assert machine.servers == before
    machine.write(AUTOMATIC.replace("gate 5", "gate 6"))
    alert(machine, "up")
    assert machine.servers["192.0.2.1:80"] == "-g -w 6"


def test_autoreload_does_without_a_name_that_does_not_resolve(machine: Machine) -> None:
    """What the new text asks for has to be had; else it is a fault as well."""
    machine.write(AUTOMATIC)
    machine.with_file("start")
    machine.write(AUTOMATIC.replace("192.0.2.2", "web2.example.com"))
    assert alert(machine, "failure", "192.0.2.2").status == 0
    assert machine.servers == {"192.0.2.1:80": "-g -w 5"}
    told = f"{machine.file}:4: web2.example.com: no address found"
    assert f"{told}: what was accepted before goes on" in warnings(machine)


NAMED = WEB.replace("192.0.2.2", "web2")


def test_a_server_leaves_at_the_address_that_it_has_in_the_table(machine: Machine) -> None:
    """Though its name means another one by now, or none; mon's configuration names it as before."""
    machine.write(NAMED)
    machine.names["web2"] = ["192.0.2.2"]
    machine.with_file("start")
    before = machine.servers
    for addresses in (["192.0.2.9"], []):
        machine.names["web2"] = addresses
        printed = machine.with_file("mon-config").stdout
        assert alert(machine, "failure", "192.0.2.2").stderr == ""
        assert machine.servers == {"192.0.2.1:80": "-g -w 5"}
        alert(machine, "up")
        assert machine.servers == before
        assert printed == machine.with_file("mon-config").stdout
    assert machine.asked == ["web2"]


def test_an_edited_file_has_no_alert_wait_for_a_name_server(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for what the file has by now once the dead server is out."""
    machine.write(f"autoreload = yes\n{NAMED}")
    machine.names["web2"] = ["192.0.2.2"]
    machine.with_file("start")
    machine.write(f"autoreload = yes\n{NAMED.replace('gate 5', 'gate 9')}")
    served: list[set[str]] = []
    ask = socket.getaddrinfo

    def look_up(*words: Any) -> object:
        served.append(set(machine.servers))
        return ask(*words)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    alert(machine, "failure", "192.0.2.2")
    assert served == [{"192.0.2.1:80"}]
    assert machine.servers == {"192.0.2.1:80": "-g -w 9"}


def test_a_name_that_moved_is_taken_by_reload(machine: Machine) -> None:
    """The new address comes in, and the old one does not stay."""
    machine.write(NAMED)
    machine.names["web2"] = ["192.0.2.2"]
    machine.with_file("start")
    machine.names["web2"] = ["192.0.2.9"]
    machine.with_file("reload")
    assert machine.servers == {"192.0.2.1:80": "-g -w 5", "192.0.2.9:80": "-g -w 3"}


@pytest.mark.parametrize("head", ["", "autoreload = yes\n"])
def test_a_name_that_was_left_out_comes_in_with_its_address(machine: Machine, head: str) -> None:
    """An alert looks for it, and brings the table to the whole file once it is there."""
    machine.write(head + NAMED)
    assert machine.with_file("start").status == 1
    alert(machine, "up", hosts="192.0.2.1")
    assert machine.servers == {"192.0.2.1:80": "-g -w 5"}
    machine.names["web2"] = ["192.0.2.2"]
    assert alert(machine, "up", hosts="192.0.2.1").status == 0
    assert machine.servers == {"192.0.2.1:80": "-g -w 5", "192.0.2.2:80": "-g -w 3"}
    asked = len(machine.asked)
    alert(machine, "up", hosts="192.0.2.1")
    assert len(machine.asked) == asked


def test_a_stopped_service_is_not_reloaded(machine: Machine) -> None:
    """After a stop nothing is accepted, so that a mon that still runs sets nothing up."""
    machine.write(AUTOMATIC)
    machine.with_file("start")
    machine.with_file("stop")
    machine.write(AUTOMATIC.replace("gate 5", "gate 6"))
    alert(machine, "up")
    assert machine.servers == {}


def director(
    installation: Installation, standin: StandIn, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run lvs-director on the table of the stand-in."""
    return subprocess.run(
        [str(installation.bin / "lvs-director"), *words],
        env={"PATH": "/usr/bin:/bin", **standin.environment},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.skipif(
    shutil.which("mon") is None or shutil.which("nginx") is None,
    reason="mon or nginx is not installed",
)
@pytest.mark.skipif(not is_root(), reason="mon's files are handed to mon's user")
def test_mon_watches_what_was_added_while_it_runs(
    folder: Path, standin: StandIn, installation: Installation
) -> None:
    """A server that is written into the file is in the table and watched, without a command."""
    places = {number: f"127.0.6.{number}:{free_port(f'127.0.6.{number}')}" for number in (1, 2)}
    virtual, file = "10.0.0.3:80", folder / "www.cf"

    def write(*numbers: int) -> None:
        reals = "".join(f"    real = {places[each]} masq {each}\n" for each in numbers)
        file.write_text(
            "autoreload = yes\ncheckinterval = 1\nnegotiatetimeout = 60\n"
            f'virtual = {virtual}\n{reals}    service = http\n    receive = "test page"\n'
        )

    web = {number: serving(folder / f"web{number}", place) for number, place in places.items()}
    with web[1], web[2]:
        write(1)
        director(installation, standin, "start", str(file))
        prefix = str(installation.prefix)
        mon = Mon(folder / "mon", "", standin.environment)
        mon_cf = folder / "mon" / "mon.cf"
        mon_cf.unlink()
        options = ("--prefix", prefix, "--output", str(mon_cf), "--agree", "--agree-within", "60")
        assert director(installation, standin, "mon-config", str(file), *options).stdout == (
            f"wrote         {mon_cf}\n"
        )
        for path in (folder / "mon", mon_cf, *standin.state.iterdir()):
            shutil.chown(path, "mon", "mon")
        with mon:
            mon.wait_for_check("tcp-10.0.0.3-80", "http")
            write(1, 2)
            standin.wait_for(virtual, set(places.values()), lambda: mon.story)
            wait_until(
                lambda: places[2] in mon.command("list group tcp-10.0.0.3-80")[0],
                lambda: f"mon watches it\n{mon.story}",
            )
            assert (folder / "mon" / "mon.cf.old").exists()
            compared = {"LVSALERT_AGREE": "1", "LVSALERT_AGREE_WITHIN": "60"}
            assert comparison_in(mon_cf.read_text()) == compared
            web[2].kill()
            standin.wait_for(virtual, {places[1]}, lambda: mon.story)
            write(1)
            wait_until(
                lambda: places[2] not in mon.command("list group tcp-10.0.0.3-80")[0],
                lambda: f"mon watches it no more\n{mon.story}",
            )
            standin.wait_for(virtual, {places[1]}, lambda: mon.story)
        assert os.stat(mon_cf).st_mode & 0o777 == 0o640
