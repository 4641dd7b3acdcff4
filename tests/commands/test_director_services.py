"""lvs-director start, stop, reload and status FILE: what heartbeat and a person get to see."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import director_services, ip_forward, lvs_director
from lvsalert.director import outside
from lvsalert.director.outside import Inside
from lvsalert.ipvs import ipvsadm
from tests.harness.director_file import WEB, Machine
from tests.harness.misbehaving import Misbehaving, refusing, replies
from tests.harness.places import split

if TYPE_CHECKING:
    from pathlib import Path

WHEN = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
NO_KERNEL = 'echo "Can\'t initialize ipvs: Protocol not available" >&2; exit 1'
OTHERS = ["-A -t 10.0.0.4:80 -s rr", "-a -t 10.0.0.4:80 -r 192.0.2.7:80 -g -w 1"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A director with an empty table and a file for one web service."""
    return Machine(tmp_path, monkeypatch)


def test_status_tells_running_from_stopped(machine: Machine) -> None:
    """One word on stdout, and status 0 or 3 (LSB)."""
    assert machine.with_file("status")[:3] == (3, "stopped\n", "")
    machine.with_file("start")
    assert machine.with_file("status")[:3] == (0, "running\n", "")
    machine.kernel.change("-d -t 10.0.0.3:80 -r 192.0.2.1:80")
    assert machine.with_file("status")[:3] == (0, "running\n", "")
    machine.with_file("stop")
    assert machine.with_file("status")[:3] == (3, "stopped\n", "")


@pytest.mark.parametrize("option", ["--json", "--watch"])
def test_status_of_a_file_is_one_word_whatever_is_asked(machine: Machine, option: str) -> None:
    """What goes for the whole table alone is told, and word and status are as without it."""
    idle = f"lvs-director: {option} has no effect with a file\n"
    assert machine.with_file("status", option)[:3] == (3, "stopped\n", idle)


def test_status_of_a_table_without_one_service_is_stopped(machine: Machine) -> None:
    """All of the file's services have to stand."""
    machine.write(WEB + WEB.replace("10.0.0.3:80", "10.0.0.3:81"))
    machine.with_file("start")
    machine.kernel.change("-D -t 10.0.0.3:81")
    assert machine.with_file("status")[:2] == (3, "stopped\n")


def test_status_without_a_file_is_unknown(machine: Machine) -> None:
    """A file that is not there and never was accepted tells nothing: status 4 (LSB)."""
    machine.file.unlink()
    status, out, error, _ = machine.with_file("status")
    assert (status, out) == (4, "unknown\n")
    assert error.startswith(f"lvs-director: {machine.file}: no such file: tried ")


def test_status_of_a_file_that_is_gone_is_as_it_was_accepted(machine: Machine) -> None:
    """What was accepted runs on, and that the file is gone is told."""
    machine.with_file("start")
    machine.file.unlink()
    status, out, error, _ = machine.with_file("status")
    assert (status, out) == (0, "running\n")
    assert re.fullmatch(
        rf"lvs-director: {machine.file}: No such file or directory:"
        rf" what was accepted at {WHEN} goes on\n",
        error,
    )


def test_status_of_a_faulty_file_is_that_of_the_last_start(machine: Machine) -> None:
    """A slip in the file of a running director is told, and is no reason to fail over."""
    machine.write("nonsense\n")
    status, out, error, _ = machine.with_file("status")
    assert (status, out) == (4, "unknown\n")
    assert error.startswith(f"lvs-director: {machine.file}:1: 'nonsense' has no =")
    machine.write(WEB)
    machine.with_file("start")
    machine.write("nonsense\n")
    status, out, error, _ = machine.with_file("status")
    assert (status, out) == (0, "running\n")
    assert error.startswith(f"lvs-director: {machine.file}:1: 'nonsense' has no =")


def test_a_kernel_without_ipvs_is_stopped(machine: Machine) -> None:
    """There status is stopped, stop succeeds, and start fails."""
    machine.use(NO_KERNEL)
    assert machine.with_file("status")[:2] == (3, "stopped\n")
    done = machine.with_file("stop", "--sync-interface", "eth0")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.endswith("nothing to stop\n")
    assert machine.with_file("start")[:2] == (1, "0 of 2 in\n")


def test_stop_succeeds_without_ipvsadm(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is not there has set nothing up in a kernel without IPVS; else it fails."""
    monkeypatch.setattr(ipvsadm.Ipvsadm, "_run", machine._real_run)
    monkeypatch.setattr(director_services, "_KERNEL_TABLE", str(machine.folder / "none"))
    machine.environ["LVSALERT_IPVSADM"] = "/nowhere/ipvsadm"
    assert machine.with_file("stop").status == 0
    monkeypatch.setattr(director_services, "_KERNEL_TABLE", str(machine.file))
    assert machine.with_file("stop").status == 1


def test_stop_fails_where_the_table_stays(machine: Machine) -> None:
    """A table that could not be emptied is an error."""
    machine.with_file("start")
    machine.use('[ "$1" = -R ] && exit 1; exec $honest "$@"')
    assert machine.with_file("stop").status == 1


def test_stop_of_an_absent_table_succeeds(machine: Machine) -> None:
    """Twice as well as once."""
    nothing = (0, "nothing to change\n", "", None)
    assert machine.with_file("stop") == nothing
    machine.with_file("start")
    machine.kernel.change("-C")
    assert machine.with_file("stop") == nothing


@pytest.mark.parametrize("text", [None, "nonsense\n", "virtual = 10.0.0.9:80\n"])
def test_stop_takes_what_the_last_start_had(machine: Machine, text: str | None) -> None:
    """A missing, faulty or changed file leaves nothing behind, and takes nothing else."""
    machine.kernel.fill("\n".join(OTHERS))
    machine.with_file("start")
    machine.file.unlink() if text is None else machine.write(text)
    done = machine.with_file("stop")
    assert done.status == 0
    assert machine.kernel.rules == OTHERS


def test_the_file_is_found_without_its_ending(machine: Machine) -> None:
    """As ldirectord, www means www.cf too, and the first folder that has it wins."""
    name = str(machine.file).removesuffix(".cf")
    assert machine.run("start", name).status == 0
    assert machine.run("status", name).stdout == "running\n"
    machine.file.unlink()
    assert machine.run("stop", name).status == 0
    assert machine.kernel.rules == []


@pytest.mark.parametrize("command", ["start", "reload", "mon-config"])
def test_a_missing_file_names_where_it_was_looked_for(machine: Machine, command: str) -> None:
    """All of ldirectord's places are told."""
    machine.file.unlink()
    done = machine.with_file(command)
    path = str(machine.file)
    tried = ", ".join(dict.fromkeys([path, f"{path}.cf"]))
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr == f"lvs-director: {path}: no such file: tried {tried}\n"


def daemons(machine: Machine) -> list[str]:
    """Return the roles of the connection synchronisation in ipvsadm's words, sorted."""
    lines = machine.kernel.ask("-L", "--daemon").stdout.splitlines()
    return sorted(line.partition(", maxlen")[0] for line in lines)


def test_connections_are_synchronised_as_the_role_asks(machine: Machine) -> None:
    """After start the director sends and listens, after stop it only listens."""
    options = ("--sync-interface", "lo", "--sync-id", "7")
    for _ in range(2):
        assert machine.with_file("start", *options).status == 0
        assert daemons(machine) == [
            "backup sync daemon (mcast=lo, syncid=7",
            "master sync daemon (mcast=lo, syncid=7",
        ]
    for _ in range(2):
        assert machine.with_file("stop", *options).status == 0
        assert daemons(machine) == ["backup sync daemon (mcast=lo, syncid=7"]


@pytest.mark.parametrize("command", ["start", "stop"])
def test_a_missing_interface_is_told(machine: Machine, command: str) -> None:
    """It is no reason to refuse a service, or to fail a stop and have heartbeat reboot."""
    done = machine.with_file(command, "--sync-interface", "no-such")
    assert done.status == 0
    assert done.stderr == (
        "lvs-director: connections are not synchronised:"
        " ipvsadm --start-daemon backup: No such device\n"
    )


def test_options_come_from_the_environment(machine: Machine) -> None:
    """The resource script hands on LVSALERT_ variables."""
    machine.environ |= {"LVSALERT_SYNC_INTERFACE": "lo", "LVSALERT_UNCHECKED": "1"}
    assert machine.with_file("start").status == 0
    assert len(daemons(machine)) == 2


@pytest.mark.parametrize("value", ["0", "1"])
def test_packets_are_forwarded_for_masquerading(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """ip_forward is set where a real server is masqueraded, and only there."""
    switch = machine.folder / "ip_forward"
    switch.write_text(f"{value}\n")
    monkeypatch.setattr(ip_forward, "_SWITCHES", (str(switch), "/nowhere/ipv6"))
    machine.with_file("start")
    assert switch.read_text() == f"{value}\n"
    machine.write(WEB.replace("gate 5", "masq 5"))
    assert machine.with_file("reload").stderr == ""
    assert switch.read_text() == "1\n"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("fallbackcommand = /bin/true\n", WEB),
        ("maintenancedir = /nonexistent\n", WEB),
        ("", WEB.replace(" gate", " masq")),
        ("", WEB.replace("= on", "= external\n    checkcommand = /bin/true")),
    ],
    ids=["program", "closed folder", "forwarding", "external"],
)
def test_what_takes_root_is_not_begun_by_the_resident(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, head: str, body: str
) -> None:
    """A start that the resident has to give back changes nothing before."""
    switch = machine.folder / "ip_forward"
    switch.write_text("0\n")
    monkeypatch.setattr(ip_forward, "_SWITCHES", (str(switch),))
    monkeypatch.setattr(outside, "_inside", [""])
    machine.write(head + body)
    with pytest.raises(Inside):
        machine.with_file("start")
    assert machine.kernel.rules == []


def test_packets_that_cannot_be_forwarded_are_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch that cannot be set is told, and the table is set up all the same."""
    monkeypatch.setattr(ip_forward, "_SWITCHES", (str(machine.folder),))
    machine.write(WEB.replace("gate", "masq"))
    done = machine.with_file("start")
    assert done.status == 0
    assert done.stderr == (
        f"lvs-director: {machine.folder}: Is a directory, so nothing is masqueraded\n"
    )
    assert len(machine.servers) == 2


def test_real_checks_are_made_before_the_start(machine: Machine) -> None:
    """Web and plain servers are asked as mon would ask them, and the dead ones stay out."""
    page = b"HTTP/1.1 200 OK\r\n\r\ntest page\n"
    with (
        Misbehaving(replies(page), "127.0.0.1") as web,
        Misbehaving(replies(page.replace(b"test", b"some")), "127.0.0.2") as wrong,
        refusing("127.0.0.3") as dead,
    ):
        reals = "".join(f"    real = {place} masq\n" for place in (web.place, wrong.place, dead))
        machine.write(
            "negotiatetimeout = 60\n"
            f'virtual = 10.0.0.3:80\n{reals}    request = "index.html"\n    receive = "test p"\n'
            f"virtual = 10.0.0.3:81\n{reals}    checktype = connect\n"
            f"virtual = 10.0.0.3:82\n{reals}    checktype = external\n"
            '    checkcommand = "/bin/false"\n'
        )
        done = machine.with_file("start")
    assert (done.status, set(machine.servers)) == (0, {web.place})
    assert set(machine.servers_of("-t 10.0.0.3:81")) == {web.place, wrong.place}
    assert machine.servers_of("-t 10.0.0.3:82") == {}
    told = done.stderr
    assert f"tcp 10.0.0.3:80: {dead} stays out: Connection refused" in told
    assert f"tcp 10.0.0.3:82: {web.place} stays out: exit status 1" in told
    assert split(dead)[0] in told


@pytest.mark.parametrize("command", ["mon-config", "start"])
def test_what_is_checked_less_is_told(machine: Machine, command: str) -> None:
    """One line with file and line, before any traffic goes there."""
    machine.write(f"# two\n{WEB.replace('checktype = on', 'service = oracle')}")
    machine.environ["LVSALERT_UNCHECKED"] = "1"
    done = machine.with_file(command)
    about = f"{machine.file}:2: service = oracle"
    assert done.stderr == f"lvs-director: {about}: the real servers are only connected to\n"


def test_the_commands_are_named_in_the_help() -> None:
    """Who asks for help finds them."""
    text = lvs_director.run(["--help"], {}, str).stdout
    assert {"start", "stop", "reload", "status", "mon-config"} <= set(text.split())
