"""lvs-director start, stop, reload and status with a file: what they make of the table."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Callable

import pytest

from lvsalert.commands import probing
from lvsalert.director import lifecycle
from lvsalert.director.setup import FirstCheck
from lvsalert.ledger.ledger import Ledger
from tests.harness.director_file import WEB, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lvsalert.ldirectord.watches import Watch

RULES = [
    "-A -t 10.0.0.3:80 -s wlc",
    "-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 5",
    "-a -t 10.0.0.3:80 -r 192.0.2.2:80 -g -w 3",
]
OTHERS = ["-A -t 10.0.0.4:80 -s rr", "-a -t 10.0.0.4:80 -r 192.0.2.7:80 -g -w 1"]
CHECKED = WEB.replace("checktype = on", "checktype = connect")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A director with an empty table and a file for one web service."""
    return Machine(tmp_path, monkeypatch)


def test_start_sets_up_the_services_of_the_file(machine: Machine) -> None:
    """A virtual service is made with its real servers and their weights, in one batch."""
    done = machine.with_file("start")
    assert (done.status, done.stderr) == (0, "")
    assert machine.kernel.rules == RULES
    assert machine.batches == 1


def test_what_was_set_up_is_shown(machine: Machine) -> None:
    """A service that was created has no weight of its own, and is shown all the same."""
    machine.with_file("start")
    status = machine.run("status")
    assert (status.status, status.stderr) == (0, "")
    assert status.stdout.count(" in ") == 2
    assert machine.run("why", "192.0.2.1").status == 0


class Network:
    """What the checks at a start find, in place of checks: who is dead, and who was asked."""

    def __init__(self) -> None:
        """Let everybody be alive."""
        self.dead: set[str] = set()
        self.speechless = False
        self.asked: list[str] = []
        self.slow: list[str] = []
        self.on_pause: Callable[[], object] = lambda: None

    def probe(self, watches: Sequence[Watch]) -> Iterator[Sequence[tuple[int, FirstCheck]]]:
        """Answer for each host of all watches, at once but for the slow ones: these one by one."""
        self.asked += [host for watch in watches for host in watch.hosts]
        parts = [
            (number, watch._replace(hosts={host: watch.hosts[host]}))
            for number, watch in enumerate(watches)
            for host in watch.hosts
        ]
        late = [(number, part) for number, part in parts if set(part.hosts) & set(self.slow)]
        yield [(number, self._check(part)) for number, part in parts if (number, part) not in late]
        for number, part in sorted(late, key=lambda each: self.slow.index(*each[1].hosts)):
            self.on_pause()
            yield [(number, self._check(part))]

    def _check(self, watch: Watch) -> FirstCheck:
        failed = {
            server.endpoint: "Connection refused"
            for server in watch.servers
            if server.real.address in self.dead and not self.speechless
        }
        return FirstCheck(watch, failed, is_told=not self.speechless, remark="no verdict")


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network whose real servers are all alive."""
    made = Network()
    monkeypatch.setattr(probing, "probe", made.probe)
    return made


def test_a_dead_server_gets_no_traffic(machine: Machine, network: Network) -> None:
    """Every real server is checked before the table is written, and a dead one stays out of it."""
    machine.write(CHECKED)
    network.dead = {"192.0.2.2"}
    done = machine.with_file("start")
    assert done.status == 0
    assert done.stderr == (
        "lvs-director: tcp 10.0.0.3:80: 192.0.2.2:80 stays out: Connection refused\n"
    )
    assert network.asked == ["192.0.2.1", "192.0.2.2"]
    assert machine.kernel.rules == RULES[:2]


def test_a_reason_is_told_of_the_service_that_it_is_of(machine: Machine, network: Network) -> None:
    """A server that fails one service's check may be changed in another for no such reason."""
    other = WEB.replace("10.0.0.3", "10.0.0.4")
    machine.write(CHECKED + other)
    machine.with_file("start")
    machine.write(CHECKED + other.replace("gate 3", "gate 4"))
    network.dead = {"192.0.2.2"}
    machine.with_file("start")
    ledger = Ledger.open(str(machine.state))
    told = [(each.virtual, each.after, each.why) for each in ledger.journal.history()[-2:]]
    ledger.close()
    assert sorted(told) == [
        ("tcp 10.0.0.3:80", "out", "Connection refused"),
        ("tcp 10.0.0.4:80", "dr weight 4", "start"),
    ]


def test_a_silent_server_holds_up_nobody(machine: Machine, network: Network) -> None:
    """Servers come in as their verdicts come, and at the end it is said how many are in."""
    machine.write(CHECKED)
    network.slow, network.dead = ["192.0.2.2"], {"192.0.2.2"}
    seen: list[list[str]] = []
    network.on_pause = lambda: seen.append(machine.kernel.rules)
    done = machine.with_file("start")
    assert seen == [RULES[:2]]
    assert machine.kernel.rules == RULES[:2]
    assert done.stderr == (
        "lvs-director: tcp 10.0.0.3:80: 192.0.2.2:80 stays out: Connection refused\n"
    )
    assert done.stdout.splitlines()[-1] == "1 of 2 in"


TWO_SERVICES = CHECKED.replace("192.0.2.1", "192.0.2.3").replace("10.0.0.3", "10.0.0.4") + CHECKED


@pytest.mark.parametrize("slow", [[], ["192.0.2.2"]], ids=["at once", "step by step"])
def test_a_service_that_is_refused_keeps_no_other_out(
    machine: Machine, network: Network, slow: list[str]
) -> None:
    """It is an error that ipvsadm tells, all else is done, and at the end is how many are in."""
    machine.write(TWO_SERVICES)
    network.slow = slow
    refuse = '[ "$1" != -R ] || exec sh -c "grep -v 10.0.0.4 | $honest -R && exit 2"'
    machine.use(refuse, 'exec $honest "$@"')
    done = machine.with_file("start")
    assert (done.status, machine.kernel.rules) == (1, RULES)
    assert "first '-A -t 10.0.0.4:80 -s wlc'" in done.stderr
    assert done.stdout == "2 of 4 in\n"
    assert done.stderr.splitlines()[-1].removeprefix("lvs-director: ") in machine.told
    reloaded = machine.with_file("reload")
    assert (reloaded.status, reloaded.stdout) == (1, "2 of 4 in\n")


def test_a_service_waits_for_its_first_good_server(machine: Machine, network: Network) -> None:
    """Until then it does not stand, so that its fallback gets nobody who need not go there."""
    machine.write(CHECKED + "    fallback = 192.0.2.9:80 gate\n")
    network.slow, network.dead = ["192.0.2.2"], {"192.0.2.1"}
    seen: list[list[str]] = []
    network.on_pause = lambda: seen.append(machine.kernel.rules)
    machine.with_file("start")
    assert seen == [[]]
    assert machine.kernel.rules == [RULES[0], RULES[2]]


def test_what_stands_stays_until_it_is_judged(machine: Machine, network: Network) -> None:
    """A start over a table with traffic takes nobody out before there is a verdict."""
    machine.write(CHECKED)
    machine.with_file("start")
    network.slow, network.dead = ["192.0.2.1", "192.0.2.2"], {"192.0.2.1"}
    seen: list[list[str]] = []
    network.on_pause = lambda: seen.append(machine.kernel.rules)
    done = machine.with_file("start")
    assert seen == [RULES, [RULES[0], RULES[2]]]
    assert machine.kernel.rules == [RULES[0], RULES[2]]
    assert done.stdout.splitlines()[-1] == "1 of 2 in"


def test_a_check_counts_once_however_many_steps_there_are(
    machine: Machine, network: Network
) -> None:
    """A server that failed at the start has failed once, and is out for one cause."""
    machine.write(CHECKED)
    network.slow, network.dead = ["192.0.2.2"], {"192.0.2.1"}
    machine.with_file("start")
    ledger = Ledger.open(str(machine.state))
    (source,) = {each.cause for each in ledger.causes("tcp 10.0.0.3:80")["192.0.2.1", 80]}
    noted = ledger.verdicts.by("tcp 10.0.0.3:80", source)
    ledger.close()
    assert {endpoint: each.in_a_row for endpoint, each in noted.items()} == {
        ("192.0.2.1", 80): 1,
        ("192.0.2.2", 80): 1,
    }


def test_unchecked_lets_traffic_to_all(machine: Machine, network: Network) -> None:
    """--unchecked asks nobody."""
    machine.write(CHECKED)
    network.dead = {"192.0.2.2"}
    machine.with_file("start", "--unchecked")
    assert (machine.kernel.rules, network.asked) == (RULES, [])


def test_a_check_that_cannot_tell_takes_nobody_out(machine: Machine, network: Network) -> None:
    """Without a verdict the real servers come in, and that is said."""
    machine.write(CHECKED)
    network.speechless = True
    done = machine.with_file("start")
    assert machine.kernel.rules == RULES
    assert done.stderr == (
        "lvs-director: tcp-10.0.0.3-80/connect: could not be checked: no verdict\n"
    )


def test_a_right_table_is_left_alone(machine: Machine) -> None:
    """A second start and a reload write nothing."""
    machine.with_file("start")
    for command in ("start", "reload"):
        said = "nothing to change\n2 of 2 in\n"
        assert machine.with_file(command) == (0, said, "", None)
    assert machine.batches == 1


def test_other_services_are_left_alone(machine: Machine) -> None:
    """start, reload and stop touch no service that the file does not name."""
    machine.kernel.fill("\n".join(OTHERS))
    machine.with_file("start")
    machine.write(WEB.replace("wlc", "rr"))
    machine.with_file("reload")
    assert machine.kernel.rules[:2] == ["-A -t 10.0.0.3:80 -s rr", RULES[1]]
    assert machine.with_file("stop").status == 0
    assert machine.kernel.rules == OTHERS
    assert machine.batches == 3


def test_reload_changes_the_least(machine: Machine, network: Network) -> None:
    """A server more is checked and comes in, one less goes out, and the rest is not asked."""
    machine.write(CHECKED)
    machine.with_file("start")
    network.asked.clear()
    more = CHECKED.replace("192.0.2.1:80 gate 5", "192.0.2.9:80 gate 7")
    machine.write(more)
    done = machine.with_file("reload")
    assert network.asked == ["192.0.2.9"]
    assert done.stdout.splitlines() == [
        "director root: tcp 10.0.0.3:80: 192.0.2.9:80 was out, is dr weight 7",
        "director root: tcp 10.0.0.3:80: 192.0.2.1:80 was dr weight 5, is out",
        "2 of 2 in",
    ]
    machine.write(CHECKED)
    network.dead = {"192.0.2.1"}
    machine.with_file("reload")
    assert machine.servers == {"192.0.2.2:80": "-g -w 3"}


def test_reload_drops_a_service_that_left_the_file(machine: Machine) -> None:
    """A service of the last start that the file has no more goes, and no other does."""
    machine.kernel.fill("\n".join(OTHERS))
    machine.write(WEB + WEB.replace("10.0.0.3:80", "10.0.0.3:81"))
    machine.with_file("start")
    machine.write(WEB)
    machine.with_file("reload")
    assert machine.kernel.rules == [*RULES, *OTHERS]


def test_reload_leaves_a_drain_alone(machine: Machine) -> None:
    """What an operator drained stays at weight 0 through reload and start, until it is resumed."""
    machine.with_file("start")
    assert machine.run("drain", "192.0.2.1").status == 0
    for command in ("reload", "start"):
        machine.with_file(command)
        assert machine.servers["192.0.2.1:80"] == "-g -w 0"
    machine.run("resume", "192.0.2.1")
    assert machine.kernel.rules == RULES


@pytest.mark.parametrize("command", ["start", "reload"])
def test_a_faulty_file_changes_nothing(machine: Machine, command: str) -> None:
    """The fault is told in one line with its place, and the table stays."""
    machine.with_file("start")
    machine.write(WEB.replace("wlc", "wlc\n    chektype = x"))
    done = machine.with_file(command)
    assert (done.status, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith(f"lvs-director: {machine.file}:5: ")
    assert machine.kernel.rules == RULES


def test_a_name_without_an_address_is_left_out(machine: Machine) -> None:
    """All else is set up, the name is told with its line, and the exit status says so."""
    machine.write(WEB.replace("192.0.2.2:80", "web2:80"))
    done = machine.with_file("start")
    assert (done.status, machine.servers) == (1, {"192.0.2.1:80": "-g -w 5"})
    told = f"{machine.file}:3: web2: no address found: left out until it has one"
    assert done.stderr == f"lvs-director: {told}\n"
    assert done.stdout.splitlines()[-1] == "1 of 2 in"
    machine.names["web2"] = ["192.0.2.2"]
    assert machine.with_file("start").status == 0
    assert machine.kernel.rules == RULES


def test_a_reload_leaves_no_name_out_that_was_in(machine: Machine) -> None:
    """A file with a new name that has no address changes nothing."""
    machine.with_file("start")
    machine.write(WEB.replace("192.0.2.2:80", "web2:80"))
    done = machine.with_file("reload")
    assert (done.status, machine.kernel.rules) == (1, RULES)
    assert done.stderr == f"lvs-director: {machine.file}:3: web2: no address found\n"


def test_a_reload_goes_on_without_a_name_that_was_left_out(machine: Machine) -> None:
    """What could not be set up before keeps nothing else from being changed."""
    machine.write(WEB.replace("192.0.2.2:80", "web2:80"))
    machine.with_file("start")
    machine.write(WEB.replace("192.0.2.2:80", "web2:80").replace("gate 5", "gate 6"))
    assert machine.with_file("reload").status == 1
    assert machine.servers == {"192.0.2.1:80": "-g -w 6"}


def test_a_name_server_that_is_down_moves_nobody(machine: Machine) -> None:
    """At a start and at a reload a name has the address that it had."""
    machine.write(WEB.replace("192.0.2.2:80", "web2:80"))
    machine.names["web2"] = ["192.0.2.2"]
    machine.with_file("start")
    machine.names.clear()
    for command in ("reload", "start"):
        done = machine.with_file(command)
        assert (done.status, machine.kernel.rules) == (0, RULES)
        told = f"{machine.file}:3: web2: no address found: it stays 192.0.2.2"
        assert done.stderr == f"lvs-director: {told}\n"


FULL = """\
virtual = 10.0.0.3:80
    real = 192.0.2.1->192.0.2.2:80 gate 5 l:5 u:10
    real = 192.0.2.3:8080 masq 0
    fallback = 127.0.0.1:80 gate
    scheduler = sh
    persistent = 300
    netmask = 255.255.255.0
    schedflags = sh-port,sh-fallback
    checktype = on
virtual = 7
    real = 192.0.2.1 ipip 2
    checktype = on
virtual6 = [2001:db8::3]:443
    real6 = [2001:db8::1]:443 gate 2
    persistent = 300
    netmask = 64
    checktype = on
virtual = 10.0.0.3:53
    real = 192.0.2.1:53 masq
    protocol = udp
    ops = yes
    checktype = on
"""


def test_everything_of_the_file_is_in_the_table(machine: Machine) -> None:
    """Thresholds, flags, marks, IPv6 and all methods; and doing it again changes nothing."""
    machine.write(FULL)
    done = machine.with_file("start")
    assert done.status == 0
    assert "-A -t 10.0.0.3:80 -s sh -p 300 -M 255.255.255.0 -b sh-fallback,sh-port" in (
        machine.kernel.rules
    )
    assert "-a -t 10.0.0.3:80 -r 192.0.2.3:8080 -m -w 0" in machine.kernel.rules
    table = machine.kernel.table
    web = next(each for each in table.values() if each.virtual.port == 80)
    assert web.real_servers["192.0.2.2", 80][4:6] == (10, 5)
    for command in ("reload", "start"):
        assert machine.with_file(command).stdout == "nothing to change\n5 of 6 in\n"
    assert machine.batches == 1


def test_the_fallback_serves_while_nobody_else_does(
    machine: Machine, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every real server dead at the start the fallback comes in."""
    machine.write(
        CHECKED.replace("    scheduler", "    fallback = 127.0.0.1:80 gate\n    scheduler")
    )
    network.dead = {"192.0.2.1", "192.0.2.2"}
    machine.with_file("start")
    assert machine.servers == {"127.0.0.1:80": "-g -w 1"}
    network.dead = set()
    later = time.time() + 60
    monkeypatch.setattr(lifecycle, "time", SimpleNamespace(time=lambda: later))
    machine.with_file("start")
    assert machine.kernel.rules == RULES


def test_maintenance_keeps_a_server_out(machine: Machine) -> None:
    """A file in maintenancedir takes a real server out at a start or reload, and lets it back."""
    folder = machine.folder / "maintenance"
    folder.mkdir()
    machine.write(f"maintenancedir = {folder}\n{WEB}")
    (folder / "192.0.2.1").touch()
    machine.with_file("start")
    assert machine.servers == {"192.0.2.2:80": "-g -w 3"}
    (folder / "192.0.2.1").rename(folder / "192.0.2.2:80")
    machine.with_file("reload")
    assert machine.servers == {"192.0.2.1:80": "-g -w 5"}
    history = machine.run("history").stdout
    assert f"maintenance: {folder}/192.0.2.2:80" in history
    (folder / "192.0.2.2:80").unlink()
    machine.with_file("reload")
    assert machine.kernel.rules == RULES


def test_a_drain_by_hand_outlives_maintenance(machine: Machine) -> None:
    """The end of maintenance does not clear what an operator drained."""
    folder = machine.folder / "maintenance"
    folder.mkdir()
    machine.write(f"maintenancedir = {folder}\n{WEB}")
    machine.with_file("start")
    machine.run("drain", "192.0.2.1")
    (folder / "192.0.2.1").touch()
    machine.with_file("reload")
    (folder / "192.0.2.1").unlink()
    machine.with_file("reload")
    assert machine.servers["192.0.2.1:80"] == "-g -w 0"
    ledger = Ledger.open(str(machine.state))
    assert [each.cause for each in ledger.causes_of("tcp 10.0.0.3:80", ("192.0.2.1", 80))] == [
        "operator"
    ]
    ledger.close()
