"""What lvs.alert makes of what mon says: event, group or real server, and the table afterwards."""

from __future__ import annotations

import contextlib
import itertools
import syslog
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lvsalert.commands import lvs_director, table_options
from lvsalert.ledger.ledger import Ledger
from tests.harness.alerts import Director

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO, THREE = "192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"
ALL = {ONE: "-g -w 5", TWO: "-g -w 5", THREE: "-g -w 5"}
EVENTS = ("failure", "up", "startup", "ack", "disable", "trap", "traptimeout", "test")
IDLE = ("startup", "ack", "disable", "test")
SUMMARIES = {
    "names one": "192.0.2.1",
    "names none": "something went wrong",
    "empty": "",
    "names strangers": "192.0.2.8 198.51.100.1",
    "names another": "192.0.2.2",
    "names two": "192.0.2.1 192.0.2.3",
}


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Director:
    """A director whose web service has three real servers."""
    made = Director(tmp_path, monkeypatch)
    made.kernel.fill("-A -t 10.0.0.3:80 -s wlc")
    fill(made, ALL)
    return made


def fill(director: Director, servers: dict[str, str]) -> None:
    """Put real servers into the web service, and only these."""
    rules = [f"-a -t 10.0.0.3:80 -r {place} {words}\n" for place, words in servers.items()]
    director.kernel.fill("-A -t 10.0.0.3:80 -s wlc\n" + "".join(rules))


def _named(summary: str) -> set[str]:
    return {f"{word}:80" for word in summary.split()} & set(ALL)


def expected_of_group(event: str, retval: str | None, summary: str) -> dict[str, str] | None:
    """Return what a group of three, all in, is to become; None where nothing may happen."""
    if event == "up":
        return ALL
    named = _named(summary)
    # With 3 our monitors name nobody; another's status may be how many it names.
    if event in IDLE or (retval == "3" and not named):
        return None
    if not named:
        return None if event == "failure" else {}
    return {place: words for place, words in ALL.items() if place not in named}


def expected_alone(event: str, retval: str | None, summary: str) -> dict[str, str] | None:
    """Return what becomes of the three where the alert is for the first alone."""
    if event == "up":
        return ALL
    if event in IDLE or (retval == "3" and not _named(summary)):
        return None
    if event == "failure" and "192.0.2.1" not in summary.split():
        return None
    return {TWO: ALL[TWO], THREE: ALL[THREE]}


@pytest.mark.parametrize("flag", [None, "-u"])
@pytest.mark.parametrize("retval", [None, "1", "3"])
@pytest.mark.parametrize("summary", SUMMARIES.values(), ids=list(SUMMARIES))
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("options", [(), ("-R", "192.0.2.1")], ids=["group", "alone"])
def test_event_decides(
    *,
    director: Director,
    options: tuple[str, ...],
    event: str,
    summary: str,
    retval: str | None,
    flag: str | None,
) -> None:
    """MON_ALERTTYPE, the monitor's status and the summary decide; a flag beside them does not."""
    environ = {} if retval is None else {"MON_RETVAL": retval}
    done = director.by_mon(event, summary, "-W", "5", *options, environ=environ, flag=flag)
    expect = expected_alone if options else expected_of_group
    expected = expect(event, retval, summary)
    assert (done.status, done.stderr) == (0, "")
    assert director.servers == (ALL if expected is None else expected)
    if expected is None:
        assert done.stdout.startswith("www/http: tcp 10.0.0.3:80: ")
        assert done.stdout.endswith(", nothing changed\n")
        assert [(each.level, f"{each.text}\n") for each in director.log] == [
            (syslog.LOG_INFO, done.stdout)
        ]
        assert director.batches == 0


@pytest.mark.parametrize(
    ("event", "retval", "summary", "remark"),
    [
        ("test", "1", "192.0.2.1", "test alert for 192.0.2.1 192.0.2.2 192.0.2.3"),
        ("ack", "1", "192.0.2.1", "ack alert for 192.0.2.1 192.0.2.2 192.0.2.3"),
        ("disable", "1", "192.0.2.1", "disable alert for 192.0.2.1 192.0.2.2 192.0.2.3"),
        ("startup", "1", "192.0.2.1", "startup alert for 192.0.2.1 192.0.2.2 192.0.2.3"),
        ("failure", "3", "", "the monitor could not tell (exit status 3)"),
        ("failure", "1", "", "the summary names no host in question"),
    ],
)
def test_remark_says_what_was_seen(
    director: Director, event: str, retval: str, summary: str, remark: str
) -> None:
    """An alert that changes nothing says why, in these words."""
    done = director.by_mon(event, summary, environ={"MON_RETVAL": retval})
    assert done.stdout == f"www/http: tcp 10.0.0.3:80: {remark}, nothing changed\n"


@pytest.mark.parametrize("event", EVENTS)
def test_up_of_an_upalert_puts_in_whatever_stdin_says(director: Director, event: str) -> None:
    """An upalert's stdin is the last failure's output: it names hosts that are well again."""
    fill(director, {})
    done = director.by_mon(event, "192.0.2.1 192.0.2.2 192.0.2.3", "-W", "5")
    assert done.status == 0
    assert director.servers == (ALL if event == "up" else {})


def test_up_trap_puts_in(director: Director) -> None:
    """An up trap arrives with -T and without -u; only MON_ALERTTYPE tells."""
    fill(director, {})
    director.by_mon("up", "192.0.2.1", "-W", "5", flag="-T")
    assert director.servers == ALL


@pytest.mark.parametrize("name", ["", "UP", "upalert", "nonsense"])
def test_unknown_event_changes_nothing(director: Director, name: str) -> None:
    """An alert of a kind that mon does not have is no failure."""
    done = director.by_mon(name, "192.0.2.1", flag="")
    assert (done.status, done.stdout) == (3, "")
    assert done.stderr == f"lvs.alert: MON_ALERTTYPE: {name!r} is not an alert of mon's\n"
    assert director.servers == ALL


def test_startup_puts_in_where_that_is_asked_for(director: Director) -> None:
    """With --startup-in a startupalert fills the table before the first check."""
    fill(director, {})
    done = director.by_mon("startup", "", "-W", "5", "--startup-in")
    assert (done.status, director.servers) == (0, ALL)


@pytest.mark.parametrize("event", ["ack", "disable", "test"])
def test_startup_in_is_for_startup_alone(director: Director, event: str) -> None:
    """The other idle events stay idle with it."""
    fill(director, {})
    director.by_mon(event, "", "--startup-in")
    assert director.servers == {}


def test_partial_recovery_puts_the_recovered_back(director: Director) -> None:
    """With two of three down and one of them well again, the failure's summary is the new truth."""
    director.by_mon("failure", "192.0.2.1 192.0.2.2", "-W", "5")
    assert set(director.servers) == {THREE}
    done = director.by_mon("failure", "192.0.2.2", "-W", "5")
    assert set(director.servers) == {ONE, THREE}
    assert (
        done.stdout
        == "www/http: tcp 10.0.0.3:80: 192.0.2.1:80 was out, is dr weight 5: passed its check\n"
    )


def test_group_that_fails_whole_goes_out_whole(director: Director) -> None:
    """Three verdicts are three servers out."""
    director.by_mon("failure", "192.0.2.1 192.0.2.2 192.0.2.3")
    assert director.servers == {}


def test_others_of_the_table_are_left_alone(director: Director) -> None:
    """What is in the service but not in the group is not the alert's business."""
    director.kernel.change("-a -t 10.0.0.3:80 -r 192.0.2.9:80 -g -w 7")
    director.kernel.change("-A -t 10.0.0.3:81 -s rr\n-a -t 10.0.0.3:81 -r 192.0.2.1:81 -g -w 1")
    director.by_mon("failure", "192.0.2.1", "-W", "5")
    assert director.servers == {TWO: "-g -w 5", THREE: "-g -w 5", "192.0.2.9:80": "-g -w 7"}
    assert director.servers_of("-t 10.0.0.3:81") == {"192.0.2.1:81": "-g -w 1"}


def test_disabled_host_is_left_as_it_is(director: Director) -> None:
    """A host with a star is not checked by mon: neither its failure nor its recovery is known."""
    director.by_mon("failure", "192.0.2.1 192.0.2.2", hosts="*192.0.2.1 192.0.2.2 192.0.2.3")
    assert set(director.servers) == {ONE, THREE}
    director.by_mon("up", "", hosts="192.0.2.1 *192.0.2.2 192.0.2.3")
    assert set(director.servers) == {ONE, THREE}


def test_empty_group_changes_nothing(director: Director) -> None:
    """A group without hosts has nobody to put in."""
    done = director.by_mon("up", "", hosts="")
    assert (done.status, done.stderr) == (0, "")
    assert director.servers == ALL


STATES = {
    "as it is": {ONE: "-g -w 5"},
    "out": {},
    "quiesced": {ONE: "-g -w 0"},
    "other weight": {ONE: "-g -w 77"},
    "other method": {ONE: "-i -w 5 --tun-type ipip"},
    "thresholds": {ONE: "-g -w 5 -x 10 -y 5"},
    "weight and thresholds": {ONE: "-g -w 1 -x 10 -y 5"},
}


def thresholds(director: Director) -> tuple[int, int]:
    """Return the thresholds of the first real server."""
    for service in director.kernel.table.values():
        for real in service.real_servers.values():
            return real.upper, real.lower
    return 0, 0


@pytest.mark.parametrize("standing", STATES.values(), ids=list(STATES))
@pytest.mark.parametrize("again", [1, 2, 3])
def test_in_is_idempotent(director: Director, standing: dict[str, str], again: int) -> None:
    """Whatever stands, the entry is as asked for afterwards, thresholds kept, once and for all."""
    fill(director, standing)
    limits = thresholds(director)
    for _ in range(again):
        done = director.by_mon("up", "", "-W", "5", hosts="192.0.2.1")
        assert (done.status, done.stderr) == (0, "")
        assert director.servers == {ONE: "-g -w 5"}
        assert thresholds(director) == limits
    assert director.batches <= 1


@pytest.mark.parametrize("quiesce", [False, True])
@pytest.mark.parametrize("standing", STATES.values(), ids=list(STATES))
@pytest.mark.parametrize("again", [1, 2, 3])
def test_out_is_idempotent(
    director: Director, standing: dict[str, str], again: int, quiesce: bool
) -> None:
    """Whatever stands, the entry is gone or quiesced afterwards, and what is not there stays so."""
    fill(director, standing)
    limits = thresholds(director)
    options = ["--quiesce"] if quiesce else []
    for _ in range(again):
        done = director.by_mon("failure", "192.0.2.1", *options, hosts="192.0.2.1")
        assert (done.status, done.stderr) == (0, "")
        weights = {place: words.split(" -w ")[1][0] for place, words in director.servers.items()}
        assert weights == (dict.fromkeys(standing, "0") if quiesce else {})
        assert thresholds(director) == (limits if quiesce else (0, 0))
    assert director.batches <= 1


def test_thresholds_come_back_with_the_server(director: Director) -> None:
    """What the kernel forgets with a deleted entry is put back with it."""
    fill(director, {ONE: "-g -w 5 -x 10 -y 5"})
    director.by_mon("failure", "192.0.2.1", "-W", "5", hosts="192.0.2.1")
    assert director.servers == {}
    director.by_mon("up", "", "-W", "5", hosts="192.0.2.1")
    assert thresholds(director) == (10, 5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--u-threshold", "20"), (20, 5)),
        (("--u-threshold", "0", "--l-threshold", "0"), (0, 0)),
        (("--l-threshold", "0"), (10, 0)),
        (("--u-threshold", "2147483647", "--l-threshold", "2147483646"), (2147483647, 2147483646)),
    ],
)
def test_thresholds_are_set_where_asked_for(
    director: Director, options: tuple[str, ...], expected: tuple[int, int]
) -> None:
    """A threshold of 0 is a value, and one that is not asked for stays."""
    fill(director, {ONE: "-g -w 5 -x 10 -y 5"})
    director.by_mon("up", "", "-W", "5", *options, hosts="192.0.2.1")
    assert thresholds(director) == expected


@pytest.mark.parametrize("weight", ["0", "1", "65535"])
def test_weight_is_taken_as_it_is(director: Director, weight: str) -> None:
    """From 0 to 65535, and 0 is a value."""
    director.by_mon("up", "", "-W", weight, hosts="192.0.2.1")
    assert director.servers[ONE] == f"-g -w {weight}"


def test_nothing_to_do_says_nothing(director: Director) -> None:
    """A run that finds all as it should be is silent, on stdout and in syslog."""
    for event, summary in (("up", ""), ("failure", "192.0.2.1"), ("up", "")):
        director.by_mon(event, summary, "-W", "5")
        changes = len(director.log)
        again = director.by_mon(event, summary, "-W", "5")
        assert (again.status, again.stdout, again.stderr) == (0, "", "")
        assert len(director.log) == changes


def test_nothing_to_do_says_nothing_without_a_state_directory(director: Director) -> None:
    """Nor does the missing state directory of a machine without install fill syslog each minute."""
    director.state.rmdir()
    director.by_mon("failure", "192.0.2.1", "-W", "5")
    changes = len(director.log)
    again = director.by_mon("failure", "192.0.2.1", "-W", "5")
    assert (again.status, again.stdout, again.stderr) == (0, "", "")
    assert len(director.log) == changes


def test_change_is_one_line_on_stdout_and_in_syslog(director: Director) -> None:
    """Who asked, the virtual service, the real server, what it was and is, why: facility local0."""
    director.kernel.change("-e -t 10.0.0.3:80 -r 192.0.2.2:80 -m -w 3 -x 10 -y 5")
    done = director.by_mon(
        *("failure", "192.0.2.1", "-W", "5"),
        detail="HOST 192.0.2.1: Connection refused (0.001 s, 192.0.2.1:80)",
    )
    about = "www/http: tcp 10.0.0.3:80"
    assert done.stdout == (
        f"{about}: 192.0.2.2:80 was nat weight 3 thresholds 10/5, is dr weight 5 thresholds 10/5:"
        " passed its check\n"
        f"{about}: 192.0.2.1:80 was dr weight 5, is out: Connection refused\n"
    )
    assert [each[:3] for each in director.log] == [
        ("lvs.alert", syslog.LOG_LOCAL0, syslog.LOG_NOTICE)
    ] * 2
    assert director.told == done.stdout.splitlines()


def test_error_goes_to_syslog_and_stderr(director: Director) -> None:
    """An error is told in both places, and the status is 1."""
    director.kernel.fill("")
    done = director.by_mon("up", "")
    message = "tcp 10.0.0.3:80: no such virtual service (--scheduler would create it)"
    assert (done.status, done.stdout, done.stderr) == (1, "", f"lvs.alert: {message}\n")
    assert director.log == [("lvs.alert", syslog.LOG_LOCAL0, syslog.LOG_ERR, message)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-V", "10.0.0.3:81"), "tcp 10.0.0.3:81"),
        (("-V", "10.0.0.3:80", "-P", "udp"), "udp 10.0.0.3:80"),
        (("-V", "10.0.0.3:80", "-P", "SCTP"), "sctp 10.0.0.3:80"),
        (("-V", "[2001:db8::3]:80"), "tcp [2001:db8::3]:80"),
        (("-V", "7"), "fwm 7"),
        (("-V", "7", "-P", "fwm", "--ipv6-fwmark"), "fwm 7 -6"),
    ],
)
@pytest.mark.parametrize("event", ["up", "failure"])
def test_missing_service_is_named(
    director: Director, event: str, options: tuple[str, ...], message: str
) -> None:
    """The error names the service, as the log does."""
    done = director.by_mon(event, "192.0.2.1", *options)
    assert done.status == 1
    assert done.stderr == (
        f"lvs.alert: {message}: no such virtual service (--scheduler would create it)\n"
    )


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        (
            ("-V", "10.0.0.3:81"),
            ["-A -t 10.0.0.3:81 -s rr", "-a -t 10.0.0.3:81 -r 192.0.2.1:81 -g -w 1"],
        ),
        (
            ("-V", "10.0.0.3:81", "-P", "udp", "-F", "nat", "--real-port", "53"),
            ["-A -u 10.0.0.3:81 -s rr", "-a -u 10.0.0.3:81 -r 192.0.2.1:53 -m -w 1"],
        ),
        (("-V", "7"), ["-A -f 7 -s rr", "-a -f 7 -r 192.0.2.1:0 -g -w 1"]),
    ],
)
def test_missing_service_is_created_with_a_scheduler(
    director: Director, options: tuple[str, ...], rules: list[str]
) -> None:
    """With --scheduler the service is made, then the real server put in."""
    director.kernel.fill("")
    done = director.by_mon("up", "", *options, "--scheduler", "rr", hosts="192.0.2.1")
    assert (done.status, done.stderr) == (0, "")
    assert director.kernel.rules == rules
    first, second = done.stdout.splitlines()
    assert first.endswith(": virtual service created")
    assert second.endswith(" weight 1: passed its check")


def test_scheduler_of_a_standing_service_stays(director: Director) -> None:
    """--scheduler is for a service that is missing."""
    director.by_mon("up", "", "-W", "5", "--scheduler", "rr")
    assert director.kernel.rules[0] == "-A -t 10.0.0.3:80 -s wlc"
    assert director.batches == 0


def test_unknown_scheduler_is_an_error_in_ipvsadms_words(director: Director) -> None:
    """What the kernel does not know is refused there, and the error says so."""
    director.kernel.fill("")
    done = director.by_mon("up", "", "--scheduler", "nosuch", hosts="192.0.2.1")
    assert done.status == 1
    assert "first '-A -t 10.0.0.3:80 -s nosuch': Scheduler or persistence engine not found" in (
        done.stderr
    )


@pytest.mark.parametrize(
    ("options", "place"),
    [
        (("-R", "192.0.2.9"), "192.0.2.9:80"),
        (("-R", "192.0.2.9:8080"), "192.0.2.9:80"),
        (("-R", "192.0.2.9", "--real-port", "8080"), "192.0.2.9:80"),
        (("-R", "192.0.2.9", "-F", "nat"), "192.0.2.9:80"),
        (("-R", "192.0.2.9:8080", "-F", "nat"), "192.0.2.9:8080"),
        (("-R", "192.0.2.9", "-F", "nat", "--real-port", "8080"), "192.0.2.9:8080"),
        (("-R", "192.0.2.9:8081", "-F", "nat", "--real-port", "8080"), "192.0.2.9:8081"),
        (("-R", "192.0.2.9:http", "-F", "masq"), "192.0.2.9:80"),
        (("-R", "192.0.2.9", "-F", "nat", "--real-port", "http"), "192.0.2.9:80"),
        (("-R", "192.0.2.9:8080", "-F", "tun"), "192.0.2.9:80"),
    ],
)
def test_port_of_the_real_server(director: Director, options: tuple[str, ...], place: str) -> None:
    """Only with NAT is a port of the real server's own; it goes in and out under the same."""
    done = director.by_mon("up", "", *options)
    assert (done.status, done.stderr) == (0, "")
    assert set(director.servers) - set(ALL) == {place}
    director.by_mon("failure", "192.0.2.1", *options)
    assert director.servers == ALL


def test_hosts_of_the_group_may_have_ports(director: Director) -> None:
    """host:port counts with NAT, and beside it hosts without take --real-port."""
    fill(director, {})
    hosts = "192.0.2.1:8001 192.0.2.2:8002 192.0.2.3"
    options = ("-F", "nat", "--real-port", "8000")
    director.by_mon("up", "", *options, hosts=hosts)
    assert set(director.servers) == {"192.0.2.1:8001", "192.0.2.2:8002", "192.0.2.3:8000"}
    director.by_mon("failure", "192.0.2.2:8002 192.0.2.3", *options, hosts=hosts)
    assert set(director.servers) == {"192.0.2.1:8001"}


def test_two_ports_of_one_host_are_two_real_servers(director: Director) -> None:
    """With NAT one machine may serve on several ports."""
    fill(director, {})
    hosts = "192.0.2.1:8001 192.0.2.1:8002"
    director.by_mon("up", "", "-F", "nat", hosts=hosts)
    director.by_mon("failure", "192.0.2.1:8001", "-F", "nat", hosts=hosts)
    assert set(director.servers) == {"192.0.2.1:8002"}


def test_names_are_looked_up(director: Director) -> None:
    """A host may be a name, and the summary names it as it is spelled."""
    director.names = {"web1": ["192.0.2.1"], "web2": ["192.0.2.2"]}
    director.by_mon("failure", "web2", "-W", "5", hosts="web1 web2")
    assert set(director.servers) == {ONE, THREE}


def test_name_means_the_address_that_stands(director: Director) -> None:
    """Of a name's addresses the one in the table is meant, whatever order the look-up gives."""
    director.names = {"web2": ["198.51.100.1", "192.0.2.2", "203.0.113.9"]}
    director.by_mon("failure", "web2", "-W", "5", hosts="web2")
    assert set(director.servers) == {ONE, THREE}


@pytest.mark.parametrize("failed", ["web1", "192.0.2.1", "web1 192.0.2.1"])
def test_server_under_two_names_is_out_when_either_fails(director: Director, failed: str) -> None:
    """A mistake in the group does not make a dead server come and go."""
    director.names = {"web1": ["192.0.2.1"]}
    for hosts in ("web1 192.0.2.1 192.0.2.2", "192.0.2.1 192.0.2.2 web1"):
        for _ in range(2):
            director.by_mon("failure", failed, "-W", "5", hosts=hosts)
            assert set(director.servers) == {TWO, THREE}
        assert director.by_mon("failure", failed, "-W", "5", hosts=hosts).stdout == ""
        director.by_mon("up", "", "-W", "5", hosts=hosts)
        assert director.servers == ALL


def test_look_up_that_hangs_holds_up_nobody(
    director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that is silent costs a bounded time, and the others are done."""
    monkeypatch.setattr(table_options, "_LOOKUP_SECONDS", 0.2)
    director.names = {"web1": ["192.0.2.1"]}
    with director.hanging("stuck"):
        done = director.by_mon("failure", "stuck web1", "-W", "5", hosts="stuck web1 192.0.2.2")
    assert (done.status, set(director.servers)) == (1, {TWO, THREE})
    assert done.stderr == "lvs.alert: stuck: no address found, left as it is\n"


@pytest.mark.parametrize(
    "flags", ["-p 300", "-p 600 -M 255.255.255.0", "-o", "-b sh-port,sh-fallback", "--pe sip -p 60"]
)
def test_service_that_is_created_anew_has_its_flags(director: Director, flags: str) -> None:
    """Persistence, one packet and the scheduler's flags are those that it had when it stood."""
    kind, port = ("-u", "5060") if flags in ("-o", "--pe sip -p 60") else ("-t", "80")
    service = f"{kind} 10.0.0.3:{port}"
    director.kernel.fill(f"-A {service} -s sh {flags}\n")
    options = ("-V", f"10.0.0.3:{port}", "-P", "udp" if kind == "-u" else "tcp")
    director.by_mon("up", "", *options, "--scheduler", "sh", hosts="192.0.2.1")
    before = director.kernel.rules
    director.kernel.fill("")
    director.by_mon("up", "", *options, "--scheduler", "sh", hosts="192.0.2.1")
    assert director.kernel.rules == before
    director.kernel.fill("")
    director.by_mon("up", "", *options, "--scheduler", "rr", hosts="192.0.2.1")
    assert director.kernel.rules[0] == f"-A {service} -s rr"


NAMED = ("-W", "5", "-F", "dr")


@pytest.mark.parametrize("event", ["up", "failure"])
def test_name_that_moved_leaves_no_old_address_behind(director: Director, event: str) -> None:
    """Nobody watches that any more; what mon says now is of the new one, and history says why."""
    director.kernel.change("-C\n-A -t 10.0.0.3:80 -s rr")
    director.names = {"web1": ["192.0.2.1"], "web2": ["192.0.2.2"]}
    director.by_mon("up", "", *NAMED, hosts="web1 web2")
    director.names["web2"] = ["192.0.2.9"]
    director.by_mon(event, "web2" if event == "failure" else "", *NAMED, hosts="web1 web2")
    assert set(director.servers) == {ONE, *(["192.0.2.9:80"] if event == "up" else [])}
    gone = f"www/http: tcp 10.0.0.3:80: {TWO} was dr weight 5, is out: web2 is 192.0.2.9 now"
    assert gone in director.told
    told = lvs_director.run(["why", "192.0.2.2"], director.environ, lambda: "").stdout
    assert "is out: web2 is 192.0.2.9 now" in told
    director.by_mon("up", "", *NAMED, hosts="web1 web2")
    assert set(director.servers) == {ONE, "192.0.2.9:80"}


def test_name_whose_server_is_out_moves_without_its_causes(director: Director) -> None:
    """What was said of the old address keeps nobody out, and nothing of it is left."""
    director.names = {"web2": ["192.0.2.2"]}
    director.by_mon("up", "", *NAMED, hosts="192.0.2.1 web2")
    director.by_mon("failure", "web2", *NAMED, hosts="192.0.2.1 web2")
    assert TWO not in director.servers
    director.names["web2"] = ["192.0.2.9"]
    director.by_mon("up", "", *NAMED, hosts="192.0.2.1 web2")
    assert "192.0.2.9:80" in director.servers
    assert "192.0.2.2" not in lvs_director.run(["status"], director.environ, lambda: "").stdout


@pytest.mark.parametrize("addresses", [[], ["192.0.2.0", "192.0.2.2"]])
def test_name_keeps_its_address_as_long_as_it_may(director: Director, addresses: list[str]) -> None:
    """A name server that is down keeps no dead server in, and a second address moves nobody."""
    director.names = {"web2": ["192.0.2.2"]}
    director.by_mon("up", "", *NAMED, hosts="192.0.2.1 web2")
    before = director.servers
    director.names["web2"] = addresses
    done = director.by_mon("failure", "web2", *NAMED, hosts="192.0.2.1 web2")
    assert (done.status, done.stderr, TWO in director.servers) == (0, "", False)
    director.by_mon("up", "", *NAMED, hosts="192.0.2.1 web2")
    assert director.servers == before


def test_person_means_the_address_in_the_table(director: Director) -> None:
    """A name that has moved since mon spoke last is taken out where it stands."""
    director.names = {"web2": ["192.0.2.2"]}
    director.by_mon("up", "", *NAMED, hosts="192.0.2.1 web2")
    director.names["web2"] = ["192.0.2.9"]
    assert director.by_hand("-R", "web2").status == 0
    assert TWO not in director.servers


def test_name_means_the_services_family(director: Director) -> None:
    """A name with both families goes into each service with the fitting one."""
    director.kernel.change("-A -t [2001:db8::3]:80 -s rr")
    director.names = {"web9": ["2001:db8::9", "192.0.2.9"]}
    director.by_mon("up", "", hosts="web9")
    director.by_mon("up", "", "-V", "[2001:db8::3]:80", hosts="web9")
    assert set(director.servers) == {*ALL, "192.0.2.9:80"}
    assert set(director.servers_of("-t [2001:db8::3]:80")) == {"[2001:db8::9]:80"}


@pytest.mark.parametrize("event", ["up", "failure"])
def test_host_that_does_not_resolve_holds_up_nobody(director: Director, event: str) -> None:
    """It is left as it is and told of, the others are done, and the status is 1."""
    director.names = {"web1": ["192.0.2.1"], "web9": ["192.0.2.9"]}
    done = director.by_mon(event, "gone web1", "-W", "5", hosts="gone web1 web9")
    assert done.status == 1
    assert done.stderr == "lvs.alert: gone: no address found, left as it is\n"
    assert set(director.servers) == {*ALL, "192.0.2.9:80"} - (
        {ONE} if event == "failure" else set()
    )
    assert director.told[-1] == "gone: no address found, left as it is"


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("2001:db8::11", "2001:db8::11 is of another address family than tcp 10.0.0.3:80"),
        ("web;id", "'web;id' is not an address: write host or host:port"),
        ("[192.0.2.1]", "'[192.0.2.1]' is not an address: '192.0.2.1' is not IPv6"),
        ("192.0.2.1:", "'192.0.2.1:' is not an address: write host or host:port"),
    ],
)
def test_host_that_is_none_holds_up_nobody(director: Director, host: str, message: str) -> None:
    """A mistake in the group is told of, with status 3, and the others are done all the same."""
    done = director.by_mon("failure", "192.0.2.2", "-W", "5", hosts=f"192.0.2.2 {host} 192.0.2.3")
    assert (done.status, done.stderr) == (3, f"lvs.alert: {message}\n")
    assert set(director.servers) == {ONE, THREE}


@pytest.mark.parametrize("reserve", ["192.0.2.33", "192.0.2.3:80", "web3", "evil\n"])
def test_reserve_that_is_none_of_the_group_is_told(director: Director, reserve: str) -> None:
    """The one that was meant would serve all the time; the alert is done all the same."""
    done = director.by_mon("failure", "192.0.2.2", "--reserve", reserve, "-W", "5")
    said = f"lvs.alert: --reserve: {reserve!r} is no host of the group\n"
    assert (done.status, done.stderr) == (3, said)
    assert set(director.servers) == {ONE, THREE}


@pytest.mark.parametrize("hosts", ["192.0.2.1 192.0.2.2 192.0.2.3", "192.0.2.1 *192.0.2.3"])
def test_reserve_of_the_group_is_no_slip(director: Director, hosts: str) -> None:
    """Though mon checks it no more, as somebody has disabled it."""
    done = director.by_mon("up", "", "--reserve", "192.0.2.3", "-W", "5", hosts=hosts)
    assert (done.status, done.stderr) == (0, "")


def test_mistake_in_the_group_does_not_touch_a_real_server_of_its_own(director: Director) -> None:
    """With -R the group's other hosts need not make sense."""
    done = director.by_mon("failure", "192.0.2.1", "-R", "192.0.2.1", hosts="we;b 192.0.2.1")
    assert (done.status, done.stderr) == (0, "")
    assert set(director.servers) == {TWO, THREE}


@pytest.mark.parametrize(
    ("real", "hosts", "failed", "is_out"),
    [
        ("192.0.2.1", "192.0.2.1 we;b", "we;b", False),
        ("192.0.2.1", "192.0.2.1 192.0.2.2", "192.0.2.2", False),
        ("192.0.2.1", "192.0.2.1 192.0.2.2", "192.0.2.1", True),
        ("192.0.2.1:80", "192.0.2.1 192.0.2.2", "192.0.2.2", False),
        ("192.0.2.1:80", "192.0.2.1 192.0.2.2", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.1:80 192.0.2.2:80", "192.0.2.2:80", False),
        ("192.0.2.1", "192.0.2.1:80 192.0.2.2:80", "192.0.2.1:80", True),
        ("192.0.2.1:80", "192.0.2.1:80 192.0.2.2:80", "192.0.2.2:80", False),
        ("web1", "web1 web2", "web2", False),
        ("web1:80", "web1 web2", "web1", True),
        # A real server that is none of the hosts goes with all of them: one watch a server.
        ("192.0.2.1", "web1", "web1", True),
        ("192.0.2.1", "web1 web2", "web2", True),
        ("192.0.2.1", "web1", "web9", False),
    ],
)
def test_real_server_goes_with_its_own_host(
    director: Director, real: str, hosts: str, failed: str, is_out: bool
) -> None:
    """Where -R is one of the group's hosts, another host's failure does not take it out."""
    director.names = {"web1": ["192.0.2.1"], "web2": ["192.0.2.2"]}
    director.by_mon("failure", failed, "-R", real, hosts=hosts)
    assert (ONE not in director.servers) is is_out


@pytest.mark.parametrize(("failed", "is_out"), [("8001", True), ("8002", False)])
def test_real_server_with_a_port_is_not_its_neighbour(
    director: Director, failed: str, is_out: bool
) -> None:
    """Two ports of one machine are two hosts, and -R with a port is one of them."""
    fill(director, {"192.0.2.1:8001": "-m -w 1", "192.0.2.1:8002": "-m -w 1"})
    hosts = "192.0.2.1:8001 192.0.2.1:8002"
    director.by_mon(
        "failure", f"192.0.2.1:{failed}", "-R", "192.0.2.1:8001", "-F", "nat", hosts=hosts
    )
    assert ("192.0.2.1:8001" not in director.servers) is is_out


SIX = "-V", "[2001:db8::3]:80"
SIX_IN = {f"[2001:db8::1{number}]:80": "-g -w 5" for number in (1, 2)}


@pytest.fixture
def six(director: Director) -> Director:
    """The director with an IPv6 service of two real servers."""
    director.kernel.change(
        "-A -t [2001:db8::3]:80 -s rr\n"
        + "".join(f"-a -t [2001:db8::3]:80 -r {place} -g -w 5\n" for place in SIX_IN)
    )
    return director


@pytest.mark.parametrize(
    ("real", "hosts", "failed", "is_out"),
    [
        ("2001:db8::11", "2001:db8::11 2001:db8::12", "2001:db8::11", True),
        ("2001:db8::11", "2001:db8::11 2001:db8::12", "2001:db8::12", False),
        ("[2001:db8::11]", "2001:db8::11 2001:db8::12", "2001:db8::12", False),
        ("[2001:db8::11]:80", "[2001:db8::11]:80 [2001:db8::12]:80", "[2001:db8::12]:80", False),
        ("[2001:db8::11]:80", "[2001:db8::11]:80 [2001:db8::12]:80", "[2001:db8::11]:80", True),
        ("2001:DB8::11", "2001:db8::11 2001:db8::12", "2001:db8::12", False),
        ("2001:db8:0::11", "2001:db8::11 2001:db8::12", "2001:db8::11", True),
    ],
)
def test_real_server_goes_with_its_own_host_in_ipv6(
    six: Director, real: str, hosts: str, failed: str, is_out: bool
) -> None:
    """However an address is spelled, it is the same host."""
    six.by_mon("failure", failed, *SIX, "-R", real, hosts=hosts)
    assert ("[2001:db8::11]:80" not in six.servers_of("-t [2001:db8::3]:80")) is is_out


@pytest.mark.parametrize(
    "hosts",
    [
        "2001:db8::11 2001:db8::12",
        "[2001:db8::11] [2001:db8::12]",
        "[2001:db8::11]:80 [2001:DB8::12]:8080",
        "2001:db8:0:0::11 2001:DB8::12",
    ],
)
def test_group_of_ipv6(six: Director, hosts: str) -> None:
    """IPv6 hosts in brackets or without, with and without a port."""
    first, second = hosts.split()
    six.by_mon("failure", first, *SIX, "-W", "5", hosts=hosts)
    assert six.servers_of("-t [2001:db8::3]:80") == {"[2001:db8::12]:80": "-g -w 5"}
    six.by_mon("failure", f"{first} {second}", *SIX, "-W", "5", hosts=hosts)
    assert six.servers_of("-t [2001:db8::3]:80") == {}
    six.by_mon("up", "", *SIX, "-W", "5", hosts=hosts)
    assert six.servers_of("-t [2001:db8::3]:80") == SIX_IN


@pytest.mark.parametrize(
    ("options", "service", "place"),
    [
        (("-V", "7"), "-f 7", "192.0.2.1:0"),
        (("-V", "7", "-P", "FWM"), "-f 7", "192.0.2.1:0"),
        (("-V", "1"), "-f 1", "192.0.2.1:0"),
        (("-V", "7", "-F", "nat", "--real-port", "8080"), "-f 7", "192.0.2.1:8080"),
        (("-V", "7", "-F", "nat", "--real-port", "http"), "-f 7", "192.0.2.1:80"),
        (("-V", "8", "--ipv6-fwmark", "-R", "2001:db8::11"), "-f 8 -6", "[2001:db8::11]:0"),
        (("-V", "4294967295"), "-f -1", "192.0.2.1:0"),
    ],
)
def test_firewall_mark(
    director: Director, options: tuple[str, ...], service: str, place: str
) -> None:
    """A service of a firewall mark is served as any other."""
    services = "-A -f 1 -s rr\n-A -f 7 -s rr\n-A -f 8 -6 -s rr\n-A -f 4294967295 -s rr\n"
    director.kernel.change(services)
    done = director.by_mon("up", "", *options, hosts="192.0.2.1")
    assert (done.status, done.stderr) == (0, "")
    assert set(director.servers_of(service)) == {place}
    director.by_mon("failure", "192.0.2.1", *options, hosts="192.0.2.1")
    assert director.servers_of(service) == {}


def test_service_of_all_ports(director: Director) -> None:
    """A persistent service may have port 0, which stands for all of them."""
    director.kernel.change("-A -t 10.0.0.3:0 -s rr -p 300")
    done = director.by_mon("up", "", "-V", "10.0.0.3:0", hosts="192.0.2.1")
    assert (done.status, done.stderr) == (0, "")
    assert set(director.servers_of("-t 10.0.0.3:0")) == {"192.0.2.1:0"}


def test_service_by_name(director: Director) -> None:
    """A virtual service may be told by a name, which means its lowest address, and a port's."""
    director.names = {"www.example.com": ["192.0.2.200", "10.0.0.3"]}
    done = director.by_mon("up", "", "-V", "www.example.com:http", hosts="192.0.2.9")
    assert (done.status, done.stderr) == (0, "")
    assert set(director.servers) == {*ALL, "192.0.2.9:80"}


def test_service_whose_name_does_not_resolve(director: Director) -> None:
    """Without an address of the service nothing can be done."""
    done = director.by_mon("failure", "192.0.2.1", "-V", "www.example.com:80")
    assert (done.status, done.stderr) == (1, "lvs.alert: www.example.com: no address found\n")
    assert director.servers == ALL


def test_out_by_hand(director: Director) -> None:
    """A person takes a real server out by naming it, and the log says who it was."""
    done = director.by_hand("-R", "192.0.2.1")
    assert (done.status, set(director.servers)) == (0, {TWO, THREE})
    assert done.stdout.startswith("operator ")
    assert done.stdout.endswith(
        ": tcp 10.0.0.3:80: 192.0.2.1:80 was dr weight 5, is out: taken out by hand\n"
    )


def test_in_by_hand(director: Director) -> None:
    """With -u it is put in."""
    done = director.by_hand("-R", "192.0.2.9", "-u", "-W", "7")
    assert (done.status, director.servers) == (0, {**ALL, "192.0.2.9:80": "-g -w 7"})


@pytest.mark.parametrize("flag", ["-a", "-D"])
def test_idle_flags_by_hand(director: Director, flag: str) -> None:
    """An acknowledgement changes nothing by hand either."""
    done = director.by_hand("-R", "192.0.2.1", flag)
    assert (done.status, director.servers) == (0, ALL)
    assert done.stdout.endswith(" alert for 192.0.2.1, nothing changed\n")


@pytest.mark.parametrize("flag", ["-T", "-O"])
def test_trap_flags_by_hand(director: Director, flag: str) -> None:
    """A trap takes out by hand too."""
    director.by_hand("-R", "192.0.2.1", flag)
    assert set(director.servers) == {TWO, THREE}


@pytest.mark.parametrize("options", [(), ("-u",), ("-h", "192.0.2.1 192.0.2.2")])
def test_by_hand_needs_a_real_server(director: Director, options: tuple[str, ...]) -> None:
    """A person who names nobody does not empty the service."""
    done = director.by_hand(*options)
    assert (done.status, done.stdout) == (3, "")
    assert done.stderr == (
        "lvs.alert: Missing option '-R': a real server is needed where mon does not call.\n"
    )
    assert director.servers == ALL


def test_by_hand_reads_no_stdin(director: Director) -> None:
    """A person is not made to type a summary."""

    def ask() -> str:
        raise AssertionError("stdin was read")

    from lvsalert.commands import lvs_alert

    argv = ["-V", "10.0.0.3:80", "-R", "192.0.2.1", "--state-dir", str(director.state)]
    assert lvs_alert.run(argv, {}, ask).status == 0


@pytest.mark.parametrize(
    ("event", "summary", "commands"),
    [
        ("failure", "192.0.2.1", ["ipvsadm -d -t 10.0.0.3:80 -r 192.0.2.1:80"]),
        ("up", "", ["ipvsadm -a -t 10.0.0.3:80 -r 192.0.2.4:80 -g -w 5"]),
        ("failure", "nobody", []),
    ],
)
def test_dry_run_prints_and_changes_nothing(
    director: Director, event: str, summary: str, commands: list[str]
) -> None:
    """The commands are printed; table, ledger and syslog stay as they are."""
    before = director.kernel.rules
    hosts = "192.0.2.1 192.0.2.2 192.0.2.3" + (" 192.0.2.4" if event == "up" else "")
    done = director.by_mon(event, summary, "-W", "5", "-n", hosts=hosts)
    assert done.status == 0
    printed = [line for line in done.stdout.splitlines() if line.startswith("ipvsadm")]
    assert printed == commands
    assert director.kernel.rules == before
    assert director.batches == 0
    assert [each for each in director.log if each.level != syslog.LOG_INFO] == []
    with contextlib.closing(Ledger.open(str(director.state))) as ledger:
        assert ledger.virtual_services() == []


STORIES = st.lists(st.sets(st.sampled_from([1, 2, 3])), min_size=1, max_size=8)


@given(story=STORIES, quiesce=st.booleans(), twice=st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_table_follows_every_story_of_a_group(
    director: Director, story: list[set[int]], quiesce: bool, twice: bool
) -> None:
    """After each check exactly the good ones serve, whether redistribute, alert or both say so."""
    fill(director, {})
    options = ["-W", "5", *(["--quiesce"] if quiesce else [])]
    for failed in story:
        summary = " ".join(f"192.0.2.{number}" for number in sorted(failed))
        event = "failure" if failed else "up"
        for _ in range(1 + twice):
            assert director.by_mon(event, summary, *options).status == 0
        serving = {place for place, words in director.servers.items() if words == "-g -w 5"}
        assert serving == {f"192.0.2.{number}:80" for number in {1, 2, 3} - failed}


def test_order_of_events_is_that_of_their_times(director: Director) -> None:
    """Of two alerts that overtake each other the later check counts, whichever runs last."""
    for order in itertools.permutations(["up", "failure"]):
        for event in order:
            director.time = 1_700_001_000 if event == "failure" else 1_700_002_000
            director.by_mon(event, "192.0.2.1", "-W", "5")
        assert director.servers == ALL
