"""Draining a real server and putting it back: causes, weights, and what keeps it out."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import lvs_director
from lvsalert.commands.entry import Outcome
from lvsalert.commands.table_options import user_name
from lvsalert.director import drain
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ledger.database import FILE_NAME
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import OPERATOR, Cause
from lvsalert.model import Protocol, VirtualService
from tests.harness.alerts import Director

if TYPE_CHECKING:
    from pathlib import Path

TABLE = (
    "-A -t 10.0.0.3:80 -s wlc\n"
    "-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 5\n"
    "-a -t 10.0.0.3:80 -r 192.0.2.2:80 -g -w 5 -x 10 -y 5\n"
    "-A -t 10.0.0.3:21 -s wlc -p 300\n"
    "-a -t 10.0.0.3:21 -r 192.0.2.1:21 -m -w 2\n"
    "-A -f 7 -s rr\n"
    "-a -f 7 -r 192.0.2.3:0 -i -w 0\n"
)
WEB, FTP = "tcp 10.0.0.3:80", "tcp 10.0.0.3:21"
ONE, TWO = ("192.0.2.1", 80), ("192.0.2.2", 80)


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Director:
    """A director with a web and an FTP service, whose clock is that of its alerts."""
    made = Director(tmp_path, monkeypatch)
    made.kernel.fill(TABLE)
    monkeypatch.setattr(time, "time", lambda: float(made.time))
    monkeypatch.setattr("lvsalert.commands.director_servers.user_name", lambda: "ann")
    return made


def told(director: Director, *argv: str) -> Outcome:
    """Run lvs-director with these words."""
    return lvs_director.run(argv, director.environ, str)


def causes(director: Director, virtual: str = WEB) -> dict[tuple[str, int], list[str]]:
    """Return who keeps each real server of a service out."""
    ledger = Ledger.open(str(director.state))
    try:
        found = ledger.causes(virtual)
    finally:
        ledger.close()
    return {endpoint: [each.cause for each in them] for endpoint, them in found.items()}


def test_drain_sets_weight_0_in_every_service(director: Director) -> None:
    """A drained real server keeps its entry in each service that has it; a line tells of each."""
    lines = [
        f"operator ann: {FTP}: 192.0.2.1:21 was nat weight 2, is nat weight 0",
        f"operator ann: {WEB}: 192.0.2.1:80 was dr weight 5, is dr weight 0",
    ]
    assert told(director, "drain", "192.0.2.1") == Outcome(0, "".join(f"{x}\n" for x in lines))
    assert director.servers == {"192.0.2.1:80": "-g -w 0", "192.0.2.2:80": "-g -w 5"}
    assert director.servers_of("-t 10.0.0.3:21") == {"192.0.2.1:21": "-m -w 0"}
    assert [(each.ident, each.text) for each in director.log] == [
        ("lvs-director", line) for line in lines
    ]
    ledger = Ledger.open(str(director.state))
    cause = Cause(OPERATOR, float(director.time), "drained by ann", drain=True)
    assert ledger.causes(WEB) == {ONE: [cause]}
    (entry,) = ledger.journal.history(virtual=WEB)
    assert (entry.who, entry.why, entry.before, entry.after) == (
        *("operator ann", "drained by hand"),
        *("dr weight 5", "dr weight 0"),
    )
    ledger.close()


@pytest.mark.parametrize(
    "words",
    [
        ("192.0.2.1:80",),
        ("192.0.2.1", "--service", "10.0.0.3:80"),
        ("--service", "tcp 10.0.0.3:80", "192.0.2.1"),
        ("web1", "--service=10.0.0.3:80"),
    ],
)
def test_drain_is_narrowed_by_port_or_service(director: Director, words: tuple[str, ...]) -> None:
    """Only the entries that are meant are drained, wherever the options stand."""
    director.names = {"web1": ["192.0.2.1"]}
    assert told(director, "drain", *words).status == 0
    assert director.servers["192.0.2.1:80"] == "-g -w 0"
    assert director.servers_of("-t 10.0.0.3:21") == {"192.0.2.1:21": "-m -w 2"}


def test_resume_gives_the_weight_back(director: Director) -> None:
    """What was drained comes back with weight, method and thresholds, and its cause is gone."""
    before = director.kernel.rules, director.kernel.thresholds
    told(director, "drain", "192.0.2.1")
    told(director, "drain", "192.0.2.2")
    assert told(director, "resume", "192.0.2.1").stdout == (
        f"operator ann: {FTP}: 192.0.2.1:21 was nat weight 0, is nat weight 2\n"
        f"operator ann: {WEB}: 192.0.2.1:80 was dr weight 0, is dr weight 5\n"
    )
    assert told(director, "resume", "192.0.2.2").stdout == (
        f"operator ann: {WEB}: 192.0.2.2:80 was dr weight 0 thresholds 10/5,"
        " is dr weight 5 thresholds 10/5\n"
    )
    assert (director.kernel.rules, director.kernel.thresholds) == before
    assert causes(director) == {}


def test_checks_leave_a_drained_server_alone(director: Director) -> None:
    """While an operator drains a real server, good checks do not put it in, nor delete it."""
    told(director, "drain", "192.0.2.1:80")
    director.by_mon("up", "", "-W", "5", hosts="192.0.2.1 192.0.2.2")
    assert director.servers["192.0.2.1:80"] == "-g -w 0"
    told(director, "resume", "192.0.2.1:80")
    assert director.servers["192.0.2.1:80"] == "-g -w 5"


def test_what_else_keeps_it_out_still_does(director: Director) -> None:
    """Resuming takes away the operator's cause alone, and says what is left."""
    told(director, "drain", "192.0.2.2")
    director.by_mon("failure", "192.0.2.2", "-W", "5", hosts="192.0.2.1 192.0.2.2")
    standing = director.servers
    done = told(director, "resume", "192.0.2.2")
    said = f"operator ann: {WEB}: 192.0.2.2:80 is still kept out by www/http (failure)\n"
    assert done == Outcome(0, said)
    assert director.servers == standing
    assert causes(director) == {TWO: ["www/http"]}
    director.by_mon("up", "", "-W", "5", hosts="192.0.2.1 192.0.2.2")
    assert director.servers["192.0.2.2:80"] == "-g -w 5"


def test_a_server_taken_out_by_hand_is_resumed(director: Director) -> None:
    """An entry that lvs.alert deleted by hand comes back as it was, thresholds and all."""
    before = director.kernel.rules, director.kernel.thresholds
    director.by_hand("-R", "192.0.2.2")
    assert set(director.servers) == {"192.0.2.1:80"}
    assert told(director, "resume", "192.0.2.2").status == 0
    assert (director.kernel.rules, director.kernel.thresholds) == before


def test_a_server_that_is_out_stays_out_when_drained(director: Director) -> None:
    """Draining what checks have taken out adds a cause, and changes nothing in the table."""
    director.by_mon("failure", "192.0.2.2", "-W", "5", hosts="192.0.2.1 192.0.2.2")
    said = f"operator ann: {WEB}: 192.0.2.2:80 is out, and stays out until it is resumed\n"
    assert told(director, "drain", "192.0.2.2", "--wait", "5") == Outcome(0, said)
    director.by_mon("up", "", "-W", "5", hosts="192.0.2.1 192.0.2.2")
    assert set(director.servers) == {"192.0.2.1:80"}
    assert told(director, "resume", "192.0.2.2").status == 0
    assert director.servers["192.0.2.2:80"] == "-g -w 5"


def test_a_drain_with_an_end_says_until_when_whatever_stands(director: Director) -> None:
    """One that is out, and one that is at weight 0 already, are told with the time."""
    director.by_mon("failure", "192.0.2.2", hosts="192.0.2.1 192.0.2.2")
    told(director, "drain", "192.0.2.1")
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(director.time + 900))
    stays = {
        "192.0.2.1": "at weight 0 already, and stays so",
        "192.0.2.2": "out, and stays out",
    }
    for address, what in stays.items():
        said = f"operator ann: {WEB}: {address}:80 is {what} until {until}\n"
        assert told(director, "drain", f"{address}:80", "--for", "15m") == Outcome(0, said)


def test_doing_it_again_changes_nothing(director: Director) -> None:
    """A second drain and a second resume say that it is so already."""
    told(director, "drain", "192.0.2.2")
    assert told(director, "drain", "192.0.2.2") == Outcome(
        0,
        f"operator ann: {WEB}: 192.0.2.2:80 is at weight 0 already,"
        " and stays so until it is resumed\n",
    )
    told(director, "resume", "192.0.2.2")
    assert told(director, "resume", "192.0.2.2") == Outcome(
        0, f"operator ann: {WEB}: 192.0.2.2:80 is in already\n"
    )


def test_weight_comes_from_the_last_run_where_the_journal_has_none(director: Director) -> None:
    """A real server that was quiesced by other hands gets the weight that mon's runs give it."""
    director.by_mon("up", "", "-W", "9", "-F", "nat", hosts="192.0.2.4")
    ledger = Ledger.open(str(director.state))
    ledger._db.execute("DELETE FROM journal")
    ledger.close()
    director.kernel.change("-d -t 10.0.0.3:80 -r 192.0.2.4:80\n")
    told(director, "drain", "192.0.2.1")
    director.kernel.change("-a -t 10.0.0.3:80 -r 192.0.2.4:80 -m -w 0\n")
    assert told(director, "resume", "192.0.2.4").status == 0
    assert director.servers["192.0.2.4:80"] == "-m -w 9"


def test_weight_that_nobody_knows_is_not_made_up(director: Director) -> None:
    """A real server that never served as far as anybody knows stays, and status is 1."""
    assert told(director, "resume", "192.0.2.3") == Outcome(
        1,
        stderr="lvs-director: fwm 7: 192.0.2.3:0: the weight that it had is not known:"
        " put it in with lvs.alert -u\n",
    )
    assert director.servers_of("-f 7") == {"192.0.2.3:0": "-i -w 0 --tun-type ipip"}


def test_resume_in_a_service_that_is_gone(director: Director) -> None:
    """The cause is cleared, though there is no virtual service to put the real server into."""
    told(director, "drain", "192.0.2.2")
    director.kernel.change("-D -t 10.0.0.3:80\n")
    assert told(director, "drain", "192.0.2.2").stdout == (
        f"operator ann: {WEB}: 192.0.2.2:80 is out, and stays out until it is resumed\n"
    )
    assert told(director, "resume", "192.0.2.2") == Outcome(
        1, stderr=f"lvs-director: {WEB}: no such virtual service\n"
    )
    assert causes(director) == {}


def test_resume_climbs_where_servers_start_slowly(director: Director) -> None:
    """A slow start begins at a tenth, and drained half-way it still climbs to the whole weight."""
    options = ("-W", "20", "--slow-start", "600")
    director.by_mon("failure", "192.0.2.2", *options, hosts="192.0.2.1 192.0.2.2")
    director.by_mon("up", "", *options, hosts="192.0.2.1 192.0.2.2")
    assert director.servers["192.0.2.2:80"] == "-g -w 2"
    told(director, "drain", "192.0.2.2")
    assert director.servers["192.0.2.2:80"] == "-g -w 0"
    told(director, "resume", "192.0.2.2")
    assert director.servers["192.0.2.2:80"] == "-g -w 2"
    director.time += 600
    director.by_mon("up", "", *options, hosts="192.0.2.1 192.0.2.2")
    assert director.servers["192.0.2.2:80"] == "-g -w 20"


def test_fallback_serves_while_all_are_drained(director: Director) -> None:
    """The fallback of mon's last run goes in with the last drain, and out with a resume."""
    options = ("-W", "5", "--fallback", "sorry")
    director.names = {"sorry": ["192.0.2.9"]}
    director.by_mon("up", "", *options, hosts="192.0.2.1 192.0.2.2")
    told(director, "drain", "192.0.2.1", "--service", "10.0.0.3:80")
    assert "192.0.2.9:80" not in director.servers
    told(director, "drain", "192.0.2.2", "--service", "10.0.0.3:80")
    assert director.servers == {
        "192.0.2.1:80": "-g -w 0",
        "192.0.2.2:80": "-g -w 0",
        "192.0.2.9:80": "-g -w 1",
    }
    told(director, "resume", "192.0.2.1", "--service", "10.0.0.3:80")
    assert director.servers == {"192.0.2.1:80": "-g -w 5", "192.0.2.2:80": "-g -w 0"}


def test_fallback_without_an_address_is_told(director: Director) -> None:
    """A fallback whose name has gone is an error, and the drain is done all the same."""
    director.names = {"sorry": ["192.0.2.9"]}
    director.by_mon("up", "", "-W", "5", "--fallback", "sorry", hosts="192.0.2.1 192.0.2.2")
    director.names = {}
    done = told(director, "drain", "192.0.2.2")
    assert (done.status, done.stderr) == (
        1,
        "lvs-director: sorry: no address found, left as it is\n",
    )
    assert director.servers["192.0.2.2:80"] == "-g -w 0"


@pytest.mark.parametrize("verb", ["drain", "resume"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("192.0.2.99",),
            "192.0.2.99: neither the table nor the ledger knows such a real server",
        ),
        (
            ("192.0.2.1:8080",),
            "192.0.2.1:8080: neither the table nor the ledger knows such a real server",
        ),
        (
            ("192.0.2.3", "--service", "10.0.0.3:80"),
            "192.0.2.3: neither the table nor the ledger knows such a real server of 10.0.0.3:80",
        ),
        (("web99",), "web99: no address found"),
        (("::1::2",), "'::1::2' is not an address: write [v6address]:port"),
    ],
)
def test_unknown_server_is_bad_usage(
    director: Director, verb: str, words: tuple[str, ...], said: str
) -> None:
    """What nobody knows ends with status 3, and nothing is changed or remembered."""
    before = director.kernel.rules
    assert told(director, verb, *words) == Outcome(3, stderr=f"lvs-director: {said}\n")
    assert director.kernel.rules == before
    assert causes(director) == {}
    assert director.log == []


def test_newer_ledger_is_refused(director: Director) -> None:
    """A drain that could not be remembered is not done: the next check would undo it."""
    path = director.state / FILE_NAME
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = director.kernel.rules
    assert told(director, "drain", "192.0.2.1") == Outcome(
        1,
        stderr="lvs-director: nothing was changed, since it could not be remembered:"
        f" {path}: made by a newer lvsalert (version 99 of its tables)\n",
    )
    assert director.kernel.rules == before


def test_missing_state_directory_is_refused(director: Director) -> None:
    """Without a state directory there is nowhere to remember a drain."""
    state = director.folder / "nowhere"
    director.environ["LVSALERT_STATE_DIR"] = str(state)
    done = told(director, "drain", "192.0.2.1")
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "lvs-director: nothing was changed, since it could not be remembered: "
    )
    assert director.servers["192.0.2.1:80"] == "-g -w 5"


def test_broken_ledger_gives_way_to_a_new_one(director: Director) -> None:
    """A drain is remembered in the new ledger, and the trouble is told on stderr and to syslog."""
    (director.state / FILE_NAME).write_bytes(b"no database" * 1000)
    done = told(director, "drain", "192.0.2.2")
    assert done.status == 1
    assert done.stdout == (
        f"operator ann: {WEB}: 192.0.2.2:80 was dr weight 5 thresholds 10/5,"
        " is dr weight 0 thresholds 10/5\n"
    )
    assert "file is not a database" in done.stderr
    assert any("file is not a database" in each for each in director.told)
    assert causes(director) == {TWO: ["operator"]}


def test_connections_left_are_the_active_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that has gone from the table has no connections left."""
    virtual = VirtualService(Protocol.TCP, "10.0.0.3", 80, 0, 2)
    monkeypatch.setattr(Ipvsadm, "connections", lambda _self: {virtual: {ONE: (3, 9)}})
    asked = [(virtual, ONE), (virtual, TWO)]
    assert drain.connections_left(Ipvsadm("ipvsadm", 1), asked) == dict(zip(asked, (3, 0)))


def test_a_drain_ends_by_itself(director: Director) -> None:
    """After its time the next good check puts the server back; who, why and until when is told."""
    for _ in range(2):
        director.by_mon("up", hosts="192.0.2.1 192.0.2.2")
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(director.time + 7200))
    done = told(director, "drain", "192.0.2.1", "--for", "2h", "--reason", "new disk")
    assert (done.status, director.servers["192.0.2.1:80"]) == (0, "-g -w 0")
    by_hand = f"is dr weight 0: drained by hand until {until}: new disk\n"
    assert done.stdout.endswith(by_hand)
    assert any(f"{line}\n".endswith(by_hand) for line in director.told)
    why = f"drained by ann until {until}: new disk"
    assert why in told(director, "why", "192.0.2.1").stdout
    assert why in told(director, "status", "--json").stdout
    assert f"drained by hand until {until}: new disk" in told(director, "history").stdout
    director.time += 7100 - 60
    director.by_mon("up", hosts="192.0.2.1 192.0.2.2")
    assert director.servers["192.0.2.1:80"] == "-g -w 0"
    director.time += 100
    director.by_mon("up", hosts="192.0.2.1 192.0.2.2")
    assert director.servers["192.0.2.1:80"] == "-g -w 1"
    assert causes(director) == {}


def test_a_drain_that_has_ended_lets_no_dead_server_in(director: Director) -> None:
    """What a check says by then counts."""
    director.by_mon("up", hosts="192.0.2.1 192.0.2.2")
    told(director, "drain", "192.0.2.1", "--for", "15m")
    director.time += 1000
    director.by_mon("failure", "192.0.2.1", hosts="192.0.2.1 192.0.2.2")
    assert causes(director) == {ONE: ["www/http"]}
    assert director.servers.get("192.0.2.1:80", "-w 0").endswith("-w 0")


@pytest.mark.parametrize("further", [("drain", "192.0.2.1"), ("drain", "192.0.2.1", "--for", "3d")])
def test_the_last_word_on_the_end_counts(director: Director, further: tuple[str, ...]) -> None:
    """A drain without an end, or with a later one, takes the place of the one before."""
    director.by_mon("up", hosts="192.0.2.1 192.0.2.2")
    told(director, "drain", "192.0.2.1", "--for", "15m")
    told(director, *further)
    director.time += 3600
    director.by_mon("up", hosts="192.0.2.1 192.0.2.2")
    assert director.servers["192.0.2.1:80"] == "-g -w 0"
    assert told(director, "resume", "192.0.2.1").status == 0
    assert causes(director) == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--for", "soon"), "--for: 'soon' is not a length of time: write 90s, 15m, 2h or 3d"),
        (("--for", "0s"), "--for: '0s' is not a length of time: write 90s, 15m, 2h or 3d"),
        (("--reason", "a\nb"), "--reason: 'a\\nb' holds a control character"),
    ],
)
def test_a_drain_that_cannot_be_understood_is_named(
    director: Director, options: tuple[str, ...], said: str
) -> None:
    """Nothing is changed."""
    done = told(director, "drain", "192.0.2.1", *options)
    assert (done.status, done.stderr) == (3, f"lvs-director: {said}\n")
    assert director.servers["192.0.2.1:80"] == "-g -w 5"


def test_a_hand_s_change_that_is_not_remembered_is_told(director: Director) -> None:
    """The next check would undo it: a line on the terminal, and status 1."""
    director.environ["LVSALERT_STATE_DIR"] = "/dev/null/state"
    done = director.by_hand("-R", "192.0.2.1", "-W", "5")
    assert (done.status, "192.0.2.1:80" in director.servers) == (1, False)
    about = "lvs.alert: operator root: tcp 10.0.0.3:80: not remembered of 192.0.2.1:80: "
    assert done.stderr.startswith(about.replace("root", user_name()))
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("options", "real"), [((), "192.0.2.9"), (("-u",), "192.0.2.1")])
def test_a_hand_s_word_that_is_not_remembered_is_told(
    director: Director, options: tuple[str, ...], real: str
) -> None:
    """Where the table is so already, the next check would take no notice of it either."""
    director.environ["LVSALERT_STATE_DIR"] = "/dev/null/state"
    batches = director.batches
    done = director.by_hand("-R", real, "-W", "5", *options)
    assert (done.status, done.stdout, director.batches) == (1, "", batches)
    about = f"lvs.alert: operator {user_name()}: tcp 10.0.0.3:80: not remembered of {real}: "
    assert done.stderr.startswith(about)
    assert done.stderr.count("\n") == 1
