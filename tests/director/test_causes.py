"""lvs.alert with a ledger: causes, counts, floor, fallback, slow start, quiescing, by event."""

from __future__ import annotations

import syslog
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import lvs_alert
from lvsalert.commands.entry import Outcome
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ledger.ledger import Ledger
from lvsalert.model import Protocol, VirtualService
from tests.harness.alerts import Director

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from lvsalert.ipvs.table import Columns

ONE, TWO, THREE = (f"192.0.2.{number}:80" for number in (1, 2, 3))
HOSTS = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
IN = "-g -w 50"
SERVICE = "tcp 10.0.0.3:80"
ALERT = syslog.LOG_ALERT


class Mon:
    """A director, and mon's checks of it with a clock that the test moves."""

    def __init__(self, director: Director, monkeypatch: pytest.MonkeyPatch) -> None:
        """Begin at a fixed time, with a web service of three real servers."""
        self.director = director
        self.now = 1_700_000_000.0
        self.active: dict[str, int] = {}
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(Ipvsadm, "connections", lambda _door: self._connections())
        rules = "".join(f"-a -t 10.0.0.3:80 -r {each} -g -w 50\n" for each in (ONE, TWO, THREE))
        director.kernel.fill(f"-A -t 10.0.0.3:80 -s wlc\n{rules}")

    def check(
        self,
        failed: str,
        *options: str,
        service: str = "http",
        group: str = "www",
        hosts: str = " ".join(HOSTS),
        after: float = 10,
        at: float | None = None,
        environ: Mapping[str, str] | None = None,
        detail: str = "",
    ) -> Outcome:
        """Report a check, `after` seconds later, in which the hosts `failed`; none is a success."""
        self.now += after
        event = "failure" if failed else "up"
        when = str(int(self.now if at is None else at))
        argv = ["-s", service, "-g", group, "-h", hosts, "-t", when]
        argv += [] if failed else ["-u"]
        told = {"MON_ALERTTYPE": event, "MON_RETVAL": "1" if failed else "0", **(environ or {})}
        done = self.director.alert(
            *argv,
            *("-V", "10.0.0.3:80", "-W", "50"),
            *options,
            environ=told,
            stdin=f"{failed}\n{detail}",
        )
        assert done.status == 0, done
        return done

    def upalert(self, *options: str, at: float | None = None) -> Outcome:
        """Report a success as mon's upalert does: the check before it failed."""
        return self.check("", *options, at=at, environ={"MON_FIRST_FAILURE": "1699999990"})

    def by_hand(self, *options: str) -> Outcome:
        """Run lvs.alert as a person would."""
        self.now += 1
        return self.director.alert("-V", "10.0.0.3:80", "-W", "50", *options)

    @property
    def servers(self) -> dict[str, int]:
        """The weight of each real server in the table."""
        return {place: int(words.split()[2]) for place, words in self.director.servers.items()}

    @property
    def ledger(self) -> Ledger:
        """The ledger, for a look."""
        return Ledger.open(str(self.director.state))

    def causes(self, address: str) -> list[str]:
        """The causes of a real server, the oldest first."""
        ledger = self.ledger
        found = [each.cause for each in ledger.causes_of(SERVICE, (address, 80))]
        ledger.close()
        return found

    def journal(self) -> list[tuple[str, ...]]:
        """Who, why, which, before and after of each line of the journal."""
        ledger = self.ledger
        found = [tuple(map(str, each[2:8])) for each in ledger.journal.history()]
        assert ledger.journal.unfinished() == []
        ledger.close()
        return [(who, why, real, before, after) for who, why, _, real, before, after in found]

    def alarms(self) -> list[str]:
        """What syslog was told at alert level."""
        return [each.text for each in self.director.log if each.level == ALERT]

    def _connections(self) -> Columns:
        address = VirtualService(Protocol.TCP, "10.0.0.3", 80, 0, _family())
        return {
            address: {
                (place.partition(":")[0], 80): (count, 0) for place, count in self.active.items()
            }
        }


def _family() -> socket.AddressFamily:
    from socket import AF_INET

    return AF_INET


@pytest.fixture
def mon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mon:
    """A director whose web service has three real servers of weight 50."""
    return Mon(Director(tmp_path, monkeypatch), monkeypatch)


# Causes


@pytest.mark.parametrize("first", ["ping", "http"])
@pytest.mark.parametrize("alone", [False, True], ids=["group", "alone"])
def test_recovery_of_one_source_leaves_what_the_other_says(
    mon: Mon, first: str, alone: bool
) -> None:
    """Where ping and http guard a server, it is back only when both say so, in either order."""
    options = ("-R", "192.0.2.1") if alone else ()
    second = {"ping": "http", "http": "ping"}[first]
    mon.check("192.0.2.1", *options, service="ping")
    mon.check("192.0.2.1", *options, service="http")
    assert mon.causes("192.0.2.1") == ["www/ping", "www/http"]
    mon.check("", *options, service=first)
    assert mon.causes("192.0.2.1") == [f"www/{second}"]
    assert ONE not in mon.servers
    mon.check("", *options, service=second)
    assert mon.servers[ONE] == 50
    assert mon.causes("192.0.2.1") == []


def test_same_service_of_two_groups_are_two_sources(mon: Mon) -> None:
    """A source is a group and a service: another group's check does not speak for it."""
    mon.check("192.0.2.1", "-R", "192.0.2.1", group="www1")
    mon.check("", "-R", "192.0.2.1", group="www2")
    assert ONE not in mon.servers
    mon.check("", "-R", "192.0.2.1", group="www1")
    assert ONE in mon.servers


def test_services_do_not_share_causes(mon: Mon) -> None:
    """What is said of a server of one virtual service is not said of its entry in another."""
    mon.director.kernel.change(f"-A -t 10.0.0.4:80 -s wlc\n-a -t 10.0.0.4:80 -r {ONE} -g -w 1")
    mon.check("192.0.2.1", "-V", "10.0.0.4:80")
    assert mon.servers[ONE] == 50
    mon.check("")
    assert ONE not in mon.director.servers_of("-t 10.0.0.4:80")


def test_server_out_by_hand_is_not_brought_back_by_mon(mon: Mon) -> None:
    """A manual run sets the operator's cause, and a success of any source leaves it."""
    assert mon.by_hand("-R", "192.0.2.1").status == 0
    assert mon.causes("192.0.2.1") == ["operator"]
    for service in ("http", "ping", "http"):
        mon.check("", service=service)
        assert ONE not in mon.servers


def test_up_by_hand_clears_every_cause(mon: Mon) -> None:
    """Whatever mon and operators said, a person who says up puts the server in."""
    mon.check("192.0.2.1", service="ping")
    mon.check("192.0.2.1", service="http")
    mon.by_hand("-R", "192.0.2.1")
    assert mon.causes("192.0.2.1") == ["www/ping", "www/http", "operator"]
    mon.by_hand("-R", "192.0.2.1", "-u")
    assert mon.causes("192.0.2.1") == []
    assert mon.servers[ONE] == 50


@pytest.mark.parametrize("newer", ["", "192.0.2.1"], ids=["up", "down"])
@pytest.mark.parametrize("alone", [False, True], ids=["group", "alone"])
def test_older_event_of_the_same_source_changes_nothing(mon: Mon, newer: str, alone: bool) -> None:
    """Alerts that overtake each other end as the newest says."""
    options = ("-R", "192.0.2.1") if alone else ()
    mon.check(newer, *options)
    before = mon.servers, mon.causes("192.0.2.1"), mon.journal()
    older = "" if newer else "192.0.2.1"
    mon.check(older, *options, at=mon.now - 1)
    assert (mon.servers, mon.causes("192.0.2.1"), mon.journal()) == before


def test_older_event_of_another_source_counts(mon: Mon) -> None:
    """Times are compared within a group and service, since others run on their own."""
    mon.check("192.0.2.1", service="ping")
    mon.check("192.0.2.1", service="http", at=mon.now - 100)
    mon.check("", service="ping")
    assert ONE not in mon.servers


@pytest.mark.parametrize("order", [("192.0.2.1", ""), ("", "192.0.2.1")])
def test_of_two_events_of_one_second_the_failure_stands(mon: Mon, order: tuple[str, str]) -> None:
    """Nobody can tell which came first, and a dead server harms more than a missing one."""
    for failed in order:
        mon.check(failed, at=1_700_000_100)
    assert ONE not in mon.servers
    mon.check("", at=1_700_000_101)
    assert ONE in mon.servers


def test_clock_that_was_set_back_holds_up_nobody(mon: Mon) -> None:
    """Events after that are older by -t than what was heard before, and count all the same."""
    mon.check("192.0.2.1")
    mon.check("", after=-3600)
    assert ONE in mon.servers
    mon.check("192.0.2.1")
    assert ONE not in mon.servers


def test_times_of_the_future_are_compared_too(mon: Mon) -> None:
    """An event is old by the events before it, not by this machine's clock."""
    mon.check("", at=2_000_000_000)
    mon.check("192.0.2.1", at=1_999_999_999)
    assert ONE in mon.servers
    mon.check("192.0.2.1", at=2_000_000_001)
    assert ONE not in mon.servers


def test_member_that_vanishes_loses_the_causes_of_its_group(mon: Mon) -> None:
    """A host removed from mon.cf is not kept out by a group that speaks of it no more."""
    mon.check("192.0.2.1", service="ping")
    mon.check("192.0.2.1", service="http")
    mon.check("", service="http", hosts="192.0.2.2 192.0.2.3")
    assert mon.causes("192.0.2.1") == ["www/ping"]
    mon.check("", service="ping")
    assert ONE in mon.servers


def test_older_event_makes_nobody_vanish(mon: Mon) -> None:
    """A late alert of the time before a host was added does not clear what was said of it since."""
    mon.check("192.0.2.3")
    mon.check("", hosts="192.0.2.1 192.0.2.2", at=mon.now - 1)
    assert mon.causes("192.0.2.3") == ["www/http"]


def test_run_for_one_server_makes_nobody_vanish(mon: Mon) -> None:
    """With -R mon's hosts are not the group that is spoken of."""
    for number in (1, 2):
        mon.check(f"192.0.2.{number}", "-R", f"192.0.2.{number}", hosts=f"192.0.2.{number}")
    assert mon.causes("192.0.2.1") == mon.causes("192.0.2.2") == ["www/http"]


def test_unresolved_host_makes_nobody_vanish(mon: Mon) -> None:
    """A member whose name has no address may be any of those that failed."""
    mon.check("192.0.2.3", hosts="192.0.2.1 192.0.2.3")
    mon.now += 10
    argv = ("-s", "http", "-g", "www", "-h", "192.0.2.1 web3", "-t", str(int(mon.now)), "-u")
    done = mon.director.alert(*argv, "-V", "10.0.0.3:80", environ={"MON_ALERTTYPE": "up"})
    assert done.stderr == "lvs.alert: web3: no address found, left as it is\n"
    assert mon.causes("192.0.2.3") == ["www/http"]


# Counts


def test_fall_and_rise_count_checks(mon: Mon) -> None:
    """With redistribute a server goes out and comes back after so many checks in a row."""
    options = ("--fall", "3", "--rise", "2")
    story = [("1", True), ("1", True), ("", True), ("1", True), ("1", True), ("1", False)]
    story += [("", False), ("1", False), ("", False), ("", True)]
    for number, (failed, is_in) in enumerate(story):
        mon.check(failed and "192.0.2.1", *options)
        assert (ONE in mon.servers) is is_in, number


@pytest.mark.parametrize("first", ["192.0.2.1", ""])
def test_one_check_counts_once(mon: Mon, first: str) -> None:
    """alert and redistribute report the same check with the same -t."""
    for _ in range(2):
        mon.check(first, "--fall", "2", "--rise", "2", at=1_700_000_100)
    assert ONE in mon.servers
    for _ in range(2):
        mon.check("192.0.2.1", "--fall", "2", "--rise", "2", at=1_700_000_200)
    assert (ONE in mon.servers) is (first == "")
    for when in (300, 300, 400, 400):
        mon.check("192.0.2.1", "--fall", "2", "--rise", "2", at=1_700_000_000 + when)
    assert ONE not in mon.servers
    for _ in range(2):
        mon.check("", "--fall", "2", "--rise", "2", at=1_700_000_500)
    assert ONE not in mon.servers
    mon.check("", "--fall", "2", "--rise", "2", at=1_700_000_600)
    assert ONE in mon.servers


def test_server_that_fails_not_often_enough_is_not_put_in(mon: Mon) -> None:
    """One that is not in the table and fails stays away, though nothing keeps it out yet."""
    mon.director.kernel.change(f"-d -t 10.0.0.3:80 -r {ONE}")
    mon.check("192.0.2.1", "--fall", "3")
    assert ONE not in mon.servers
    mon.check("", "--fall", "3")
    assert ONE in mon.servers


def test_upalert_brings_back_at_once_where_nobody_reports_more(mon: Mon) -> None:
    """With alert and upalert alone there is one success to count, and --rise waits for no other."""
    for _ in range(2):
        mon.check("192.0.2.1", "--rise", "3")
        assert ONE not in mon.servers
        mon.upalert("--rise", "3")
        assert ONE in mon.servers


def test_recovery_is_counted_where_each_success_is_reported(mon: Mon) -> None:
    """redistribute's first success after a failure looks like an upalert, and others follow it."""
    mon.check("", "--rise", "3")
    mon.check("192.0.2.1", "--rise", "3")
    mon.upalert("--rise", "3")
    assert ONE not in mon.servers
    mon.check("", "--rise", "3")
    assert ONE not in mon.servers
    mon.check("", "--rise", "3")
    assert ONE in mon.servers


def test_upalert_beside_redistribute_does_not_cut_the_count_short(mon: Mon) -> None:
    """Both report the first success with the same -t, and it is one of three."""
    mon.check("", "--rise", "2")
    mon.check("192.0.2.1", "--rise", "2")
    for _ in range(2):
        mon.upalert("--rise", "2", at=1_700_000_100)
        assert ONE not in mon.servers
    mon.check("", "--rise", "2", after=100)
    assert ONE in mon.servers


def test_partial_recovery_is_counted_in_failure_alerts(mon: Mon) -> None:
    """Whom the summary names no more has had a good check; the upalert at the end is the last."""
    mon.check("192.0.2.1 192.0.2.2", "--rise", "2")
    mon.check("192.0.2.2", "--rise", "2")
    assert ONE not in mon.servers
    mon.check("192.0.2.2", "--rise", "2")
    assert ONE in mon.servers
    assert TWO not in mon.servers
    mon.upalert("--rise", "2")
    assert TWO in mon.servers


def test_trap_is_not_counted(mon: Mon) -> None:
    """A trap is one word, and there is no second one to wait for."""
    argv = ("-s", "http", "-g", "www", "-h", "192.0.2.1", "-t", "1700000001", "-T")
    environ = {"MON_ALERTTYPE": "trap"}
    mon.director.alert(*argv, "-V", "10.0.0.3:80", "--fall", "5", environ=environ, stdin="x\n")
    assert ONE not in mon.servers


# Out by weight first


def test_quiesce_first_deletes_after_its_time(mon: Mon) -> None:
    """Out is weight 0, and later gone, whichever source's run finds the time up."""
    mon.active = {ONE: 7}
    mon.check("192.0.2.1", "--quiesce-first", "30")
    assert mon.servers[ONE] == 0
    mon.check("192.0.2.1", "--quiesce-first", "30", after=29)
    assert mon.servers[ONE] == 0
    mon.check("", "--quiesce-first", "30", service="ping", after=1)
    assert ONE not in mon.servers


def test_quiesced_is_deleted_with_its_last_connection(mon: Mon) -> None:
    """Nobody waits for the time where no active connection is left, even a run of another host."""
    mon.active = {ONE: 7}
    mon.check("192.0.2.1", "-R", "192.0.2.1", "--quiesce-first", "300")
    mon.check("", "-R", "192.0.2.2")
    assert mon.servers[ONE] == 0
    mon.active = {ONE: 0}
    mon.check("", "-R", "192.0.2.2")
    assert ONE not in mon.servers


def test_quiesced_server_that_recovers_is_not_deleted_later(mon: Mon) -> None:
    """A server that comes back forgets that it was to go."""
    mon.active = {ONE: 7}
    mon.check("192.0.2.1", "--quiesce-first", "30")
    mon.check("", "--quiesce-first", "30")
    mon.check("", "--quiesce-first", "30", after=60)
    assert mon.servers[ONE] == 50
    mon.check("192.0.2.1", "--quiesce-first", "30")
    mon.check("192.0.2.1", "--quiesce-first", "30", after=29)
    assert mon.servers[ONE] == 0


def test_connections_are_asked_for_only_where_somebody_waits(
    mon: Mon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with nothing quiesced pays for no further ipvsadm."""

    def refuse(_door: object) -> Columns:
        raise AssertionError("asked for the connections")

    monkeypatch.setattr(Ipvsadm, "connections", refuse)
    mon.check("192.0.2.1", "--quiesce-first", "30")
    mon.now += 1
    with pytest.raises(AssertionError, match="asked for"):
        mon.check("192.0.2.1", "--quiesce-first", "30")


def test_quiesce_and_quiesce_first_exclude_each_other(mon: Mon) -> None:
    """One keeps the entry and the other deletes it."""
    done = mon.director.alert("-V", "10.0.0.3:80", "--quiesce", "--quiesce-first", "1")
    assert done.status == 3
    assert done.stderr == "lvs.alert: --quiesce and --quiesce-first exclude each other\n"


# Back by steps


def test_slow_start_climbs_a_step_a_run(mon: Mon) -> None:
    """A server that comes back climbs from a tenth of its weight to all of it."""
    mon.check("192.0.2.1", "--slow-start", "100")
    weights = []
    for _ in range(7):
        mon.check("", "--slow-start", "100", after=20)
        weights.append(mon.servers[ONE])
    assert weights == [5, 14, 23, 32, 41, 50, 50]
    assert mon.servers == {ONE: 50, TWO: 50, THREE: 50}


def test_slow_start_that_is_interrupted_begins_anew(mon: Mon) -> None:
    """A server that fails while it climbs goes out, and starts from a tenth again."""
    mon.check("192.0.2.1", "--slow-start", "100")
    mon.check("", "--slow-start", "100")
    mon.check("", "--slow-start", "100", after=50)
    assert mon.servers[ONE] == 27
    mon.check("192.0.2.1", "--slow-start", "100")
    assert ONE not in mon.servers
    mon.check("", "--slow-start", "100")
    assert mon.servers[ONE] == 5


def test_quiesced_server_climbs_too(mon: Mon) -> None:
    """One that was at weight 0 was out as well."""
    mon.check("192.0.2.1", "--quiesce", "--slow-start", "100")
    mon.check("", "--quiesce", "--slow-start", "100")
    assert mon.servers[ONE] == 5


@pytest.mark.parametrize(("weight", "first"), [("0", 0), ("1", 1), ("9", 1), ("19", 1), ("20", 2)])
def test_slow_start_of_a_small_weight(mon: Mon, weight: str, first: int) -> None:
    """A tenth is at least 1, as 0 would let no connection through; a weight of 0 stays."""
    options = ("--slow-start", "100", "-W", weight)
    mon.check("192.0.2.1", *options)
    mon.check("", *options)
    assert mon.servers[ONE] == first
    mon.check("", *options, after=100)
    assert mon.servers[ONE] == int(weight)


# The floor


@pytest.mark.parametrize(
    ("floor", "left"),
    [("0", 0), ("1", 1), ("2", 2), ("3", 3), ("9", 3), ("0%", 0), ("34%", 2), ("100%", 3)],
)
def test_checks_leave_so_many_in(mon: Mon, floor: str, left: int) -> None:
    """A check that is wrong for all does not empty the service; a group is never too small."""
    mon.check(" ".join(HOSTS), "--min-in", floor)
    assert len(mon.servers) == left
    assert len(mon.alarms()) == (left > 0)
    assert mon.causes("192.0.2.1") == ["www/http"]
    mon.check("", "--min-in", floor)
    assert mon.servers == {ONE: 50, TWO: 50, THREE: 50}


@pytest.mark.parametrize("alone", [False, True], ids=["group", "alone"])
def test_those_that_failed_last_stay_in(mon: Mon, alone: bool) -> None:
    """The first failures go out while the floor allows, and syslog names who stays."""
    failed = []
    for number in (2, 3, 1):
        failed.append(f"192.0.2.{number}")
        options = ("-R", failed[-1], "--min-in", "2") if alone else ("--min-in", "2")
        hosts = failed[-1] if alone else " ".join(HOSTS)
        mon.check(" ".join(failed[-1:] if alone else failed), *options, hosts=hosts)
    assert set(mon.servers) == {ONE, THREE}
    assert mon.alarms() == [
        f"www/http: {SERVICE}: kept in by --min-in though they fail: {THREE}",
        f"www/http: {SERVICE}: kept in by --min-in though they fail: "
        + (ONE if alone else f"{ONE} {THREE}"),
    ]


def test_who_stays_is_told_once_though_nothing_changes(mon: Mon) -> None:
    """Where all fail at once and stay, nothing changes: syslog is told, and not each time."""
    for _ in range(3):
        done = mon.check(" ".join(HOSTS), "--min-in", "100%")
        assert len(mon.servers) == 3
    assert len(mon.alarms()) == 1
    assert done.stdout == ""
    mon.check("", "--min-in", "100%")
    mon.check("192.0.2.1", "--min-in", "100%")
    assert len(mon.alarms()) == 2


def test_dry_run_tells_syslog_nothing(mon: Mon) -> None:
    """Nothing is written anywhere, the log and the state directory included."""
    done = mon.check(" ".join(HOSTS), "--min-in", "1", "-n")
    assert done.stdout.count("\n") == 3
    assert mon.director.log == []
    assert {each.name for each in mon.director.state.iterdir()} == {"lock"}


def test_operator_is_not_held_back(mon: Mon) -> None:
    """A person takes out what he wants, and the floor does not put that back in."""
    for number in (1, 2, 3):
        mon.by_hand("-R", f"192.0.2.{number}", "--min-in", "2")
    assert mon.servers == {}
    mon.check(" ".join(HOSTS), "--min-in", "2")
    assert mon.servers == {}
    mon.by_hand("-R", "192.0.2.1", "-u")
    assert set(mon.servers) == {ONE}
    mon.check(" ".join(HOSTS), "--min-in", "2")
    assert set(mon.servers) == {ONE}


def test_floor_brings_back_the_last_to_fail_when_another_is_drained(mon: Mon) -> None:
    """A server out by a check comes back when an operator takes one of the last that were in."""
    mon.check("192.0.2.1", "--min-in", "2")
    mon.by_hand("-R", "192.0.2.2")
    mon.check("192.0.2.1", "--min-in", "2")
    assert set(mon.servers) == {ONE, THREE}


# The fallback

FALLBACK = "192.0.2.9:80"


@pytest.mark.parametrize("alone", [False, True], ids=["group", "alone"])
@pytest.mark.parametrize("floor", [(), ("--min-in", "0")])
def test_fallback_is_in_while_nobody_else_is(mon: Mon, alone: bool, floor: tuple[str, ...]) -> None:
    """With weight 1 where no real server is in, and out as soon as one is back."""
    options = ("--fallback", "192.0.2.9", *floor)
    hosts = [[each] for each in HOSTS] if alone else [list(HOSTS)]
    for some in hosts:
        assert FALLBACK not in mon.servers
        only = ("-R", some[0]) if alone else ()
        mon.check(" ".join(some), *only, *options, hosts=" ".join(some))
    assert mon.servers == {FALLBACK: 1}
    for some in hosts:
        only = ("-R", some[0]) if alone else ()
        mon.check(" ".join(some), *only, *options, hosts=" ".join(some))
        assert mon.servers == {FALLBACK: 1}
    only = ("-R", "192.0.2.2") if alone else ()
    mon.check("" if alone else "192.0.2.1 192.0.2.3", *only, *options)
    assert mon.servers == {TWO: 50}
    assert mon.journal()[-1][1:] == (
        *("the fallback, for when no real server is in", FALLBACK),
        *("dr weight 1", "out"),
    )


def test_fallback_is_in_where_the_others_are_quiesced(mon: Mon) -> None:
    """A server at weight 0 takes no new connection."""
    mon.check(" ".join(HOSTS), "--quiesce", "--fallback", "192.0.2.9")
    assert mon.servers == {ONE: 0, TWO: 0, THREE: 0, FALLBACK: 1}


def test_fallback_for_those_an_operator_took_out(mon: Mon) -> None:
    """Nobody is in whoever took them out, and the next run of any kind helps."""
    for number in (1, 2, 3):
        mon.by_hand("-R", f"192.0.2.{number}", "--fallback", "192.0.2.9")
    assert mon.servers == {FALLBACK: 1}


def test_fallback_with_a_port_of_its_own(mon: Mon) -> None:
    """Masquerading maps the port; the fallback's own comes before --real-port."""
    mon.director.kernel.fill("-A -t 10.0.0.3:80 -s wlc")
    options = ("-F", "nat", "--real-port", "8080", "--fallback", "192.0.2.9:8000")
    mon.check(" ".join(HOSTS), *options)
    assert mon.director.servers["192.0.2.9:8000"] == "-m -w 1"


def test_fallback_in_ipv6(mon: Mon) -> None:
    """An address in brackets, and the port is the service's."""
    mon.director.kernel.change(
        "-A -t [2001:db8::3]:80 -s wlc\n-a -t [2001:db8::3]:80 -r [2001:db8::11]:80 -g -w 1"
    )
    options = ("-V", "[2001:db8::3]:80", "--fallback", "[2001:db8::19]")
    mon.check("2001:db8::11", *options, hosts="2001:db8::11")
    assert mon.director.servers_of("-t [2001:db8::3]:80") == {"[2001:db8::19]:80": "-g -w 1"}
    mon.check("", *options, hosts="2001:db8::11")
    assert list(mon.director.servers_of("-t [2001:db8::3]:80")) == ["[2001:db8::11]:80"]


@pytest.mark.parametrize(
    ("fallback", "status", "message"),
    [
        ("192.0.2.1", 3, "--fallback: 192.0.2.1:80 is a real server of the group itself"),
        ("nowhere", 1, "nowhere: no address found, left as it is"),
        ("2001:db8::9", 3, "2001:db8::9 is of another address family than tcp 10.0.0.3:80"),
        ("a b", 3, "'a b' is not an address: write host or host:port"),
    ],
)
@pytest.mark.parametrize("alone", [False, True], ids=["group", "alone"])
def test_run_survives_a_fallback_that_is_none(
    mon: Mon, fallback: str, status: int, message: str, alone: bool
) -> None:
    """The error says what is wrong, and the rest of the run is done all the same."""
    argv = ["-s", "http", "-g", "www", "-h", " ".join(HOSTS), "-t", "1700000001"]
    only = ["-R", "192.0.2.1"] if alone else []
    environ = {"MON_ALERTTYPE": "failure", "MON_RETVAL": "1"}
    options = ("-V", "10.0.0.3:80", "-W", "50", "--fallback", fallback)
    done = mon.director.alert(*argv, *only, *options, environ=environ, stdin="192.0.2.1\n")
    assert (done.status, done.stderr) == (status, f"lvs.alert: {message}\n")
    assert set(mon.servers) == {TWO, THREE}


# The witness


@pytest.mark.parametrize("answers", [False, True])
def test_more_than_one_goes_out_only_where_a_witness_answers(
    mon: Mon, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """Where none answers the director is cut off: nothing changes, nothing is remembered."""
    asked: list[list[str]] = []

    def answer(witnesses: list[str]) -> bool:
        asked.append(list(witnesses))
        return answers

    monkeypatch.setattr(lvs_alert, "_any_answers", answer)
    options = ("--witness", "192.0.2.254", "--witness", "198.51.100.1:53")
    done = mon.check("192.0.2.1 192.0.2.2", *options)
    assert asked == [["192.0.2.254", "198.51.100.1:53"]]
    assert len(mon.servers) == (1 if answers else 3)
    said = f"www/http: {SERVICE}: no witness answers, so this director is cut off: nothing changed"
    assert mon.alarms() == ([] if answers else [said])
    if not answers:
        assert done.stdout == f"{said}\n"
        assert mon.causes("192.0.2.1") == []
        assert mon.journal() == []
        assert mon.ledger.runs.all() == []


@pytest.mark.parametrize(
    "run",
    [
        lambda mon: mon.check("192.0.2.1", "--witness", "192.0.2.254"),
        lambda mon: mon.check("", "--witness", "192.0.2.254"),
        lambda mon: mon.check(" ".join(HOSTS), "--min-in", "2", "--witness", "192.0.2.254"),
        lambda mon: mon.by_hand("-R", "192.0.2.1", "--witness", "192.0.2.254"),
        lambda mon: mon.check(" ".join(HOSTS)),
    ],
    ids=["one goes", "none goes", "the floor holds", "by hand", "no witness"],
)
def test_witness_is_asked_only_where_that_matters(
    mon: Mon, monkeypatch: pytest.MonkeyPatch, run: Callable[[Mon], Outcome]
) -> None:
    """One server that fails is no sign of a cable pulled, and a person knows what he does."""

    def refuse(_witnesses: list[str]) -> bool:
        raise AssertionError("asked a witness")

    monkeypatch.setattr(lvs_alert, "_any_answers", refuse)
    assert run(mon).status == 0


def test_servers_already_out_do_not_ask_the_witness_again(
    mon: Mon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that only finds what is so pays for no witness."""
    monkeypatch.setattr(lvs_alert, "_any_answers", lambda _witnesses: True)
    mon.check("192.0.2.1 192.0.2.2", "--witness", "192.0.2.254")
    monkeypatch.setattr(lvs_alert, "_any_answers", lambda _witnesses: False)
    mon.check("192.0.2.1 192.0.2.2", "--witness", "192.0.2.254")
    assert mon.alarms() == []


# What comes back, and what is written down


def test_thresholds_come_back_with_the_entry(mon: Mon) -> None:
    """The kernel forgets them with the entry, the ledger does not."""
    mon.director.kernel.change(f"-e -t 10.0.0.3:80 -r {ONE} -g -w 50 -x 100 -y 80")
    mon.check("192.0.2.1")
    mon.check("")
    assert mon.director.kernel.table.popitem()[1].real_servers["192.0.2.1", 80][4:6] == (100, 80)


def test_journal_tells_who_why_before_and_after(mon: Mon) -> None:
    """A line a change, with the monitor's reason for that host."""
    detail = "HOST 192.0.2.1: Connection refused (0.001 s, 192.0.2.1:80)\n"
    mon.check("192.0.2.1", detail=detail)
    mon.check("")
    mon.by_hand("-R", "192.0.2.2", "--quiesce")
    person = mon.journal()[-1][0]
    assert person.startswith("operator ")
    assert mon.journal() == [
        ("www/http", "Connection refused", ONE, "dr weight 50", "out"),
        ("www/http", "passed its check", ONE, "out", "dr weight 50"),
        (person, "taken out by hand", TWO, "dr weight 50", "dr weight 0"),
    ]


def test_deletion_by_another_source_tells_the_cause(mon: Mon) -> None:
    """The run that finds a quiesced server done with is not the reason why it goes."""
    mon.active = {ONE: 1}
    detail = "HOST 192.0.2.1: timed out (1.000 s)\n"
    mon.check("192.0.2.1", "--quiesce-first", "60", detail=detail)
    mon.check("", service="ping", after=60)
    assert mon.journal()[-1] == ("www/ping", "timed out", ONE, "dr weight 0", "out")


@pytest.mark.parametrize("odd", ["\x1b[31m", "\udcff", "\u2028", "\r"])
def test_reason_is_one_printable_line(mon: Mon, odd: str) -> None:
    """What a server said is escaped: the journal is shown in terminals, and SQLite takes UTF-8."""
    mon.check("192.0.2.1", detail=f"HOST 192.0.2.1: bad{odd} (0.001 s)\n", group=f"www{odd}")
    escaped = odd.encode("unicode_escape").decode()
    assert mon.journal() == [(f"www{escaped}/http", f"bad{escaped}", ONE, "dr weight 50", "out")]


def test_journal_is_trimmed_in_small_steps(mon: Mon) -> None:
    """A run removes some of what is too old, also one that changes nothing."""
    ledger = mon.ledger
    ledger.begin()
    for day in range(300):
        ledger.journal._db.execute(
            "INSERT INTO journal (time, who, why, virtual, real, before, after)"
            " VALUES (?, '', '', '', '', '', '')",
            (mon.now - day * 86400,),
        )
    ledger.journal.confirm(300)
    ledger.commit()
    counts = []
    for _ in range(3):
        mon.check("", "--journal-days", "30")
        counts.append(len(ledger.journal.history()))
    ledger.close()
    assert counts == [100, 30, 30]


def test_last_options_of_each_source_are_kept(mon: Mon) -> None:
    """They are what lvs-director sync works with after a restart."""
    mon.check("", "--rise", "2", service="ping")
    mon.check("", "-R", "192.0.2.1", "--scheduler", "rr")
    mon.check("", "-R", "192.0.2.1", "--scheduler", "wlc")
    runs = {(run.source, run.real): run.options for run in mon.ledger.runs.all()}
    common = {"LVSALERT_VIRTUAL_SERVICE": "10.0.0.3:80", "LVSALERT_WEIGHT": "50"}
    state = {"LVSALERT_STATE_DIR": str(mon.director.state)}
    assert runs == {
        ("www/ping", ""): {**common, **state, "LVSALERT_RISE": "2"},
        ("www/http", "192.0.2.1"): {
            **common,
            **state,
            "LVSALERT_REAL_SERVER": "192.0.2.1",
            "LVSALERT_SCHEDULER": "wlc",
        },
    }
