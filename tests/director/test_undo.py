"""lvs-director undo: the table as it was before the last change, or at a time."""

from __future__ import annotations

import datetime
import re
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lvsalert.commands import lvs_director
from lvsalert.director import reconcile as reconciling
from lvsalert.director.changes import Author
from lvsalert.director.reconcile import Proposal, reconcile
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ledger.ledger import Ledger
from tests.harness.alerts import NOW, Director
from tests.harness.table_file import TableFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lvsalert.commands.entry import Outcome
    from lvsalert.ipvs.table import Endpoint
    from lvsalert.ledger.journal import Entry
    from lvsalert.ledger.records import ServerMemory

ONE, TWO, THREE = "192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"
WEB = "tcp 10.0.0.3:80"
IN = "-g -w 5"
OPTIONS = ("-W", "5", "--scheduler", "wlc")


def endpoint(real: str) -> Endpoint:
    """Return address and port."""
    address, port = real.rsplit(":", 1)
    return address, int(port)


class Undoing(Director):
    """A director whose clock never stands, and that undoes."""

    def tick(self) -> float:
        """Return a time that nobody was told before."""
        self.time += 1
        return float(self.time)

    def undo(self, *options: str) -> Outcome:
        """Run lvs-director undo."""
        return lvs_director.run(["undo", *options], self.environ, lambda: "")

    @property
    def whole(self) -> tuple[list[str], str]:
        """The whole table."""
        return sorted(self.kernel.rules), self.kernel.thresholds

    @property
    def journal(self) -> list[Entry]:
        """All lines of the journal."""
        ledger = Ledger.open_to_read(str(self.state))
        try:
            return ledger.journal.history()
        finally:
            ledger.close()

    def causes(self, real: str) -> list[str]:
        """Return what keeps a real server of the web service out."""
        ledger = Ledger.open_to_read(str(self.state))
        try:
            return [each.cause for each in ledger.causes_of(WEB, endpoint(real))]
        finally:
            ledger.close()

    def memories(self, real: str) -> ServerMemory:
        """Return what is remembered of a real server of the web service."""
        ledger = Ledger.open_to_read(str(self.state))
        try:
            return ledger.memories(WEB)[endpoint(real)]
        finally:
            ledger.close()

    def edit(self, *lines: str) -> None:
        """Change the table by hand, past the journal."""
        self.kernel.change("".join(f"{line}\n" for line in lines))


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Undoing:
    """A director with an empty table."""
    return made(tmp_path, monkeypatch)


def made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Undoing:
    """Return a director with an empty table, whose clock goes on at every look."""
    director = Undoing(folder, monkeypatch)
    monkeypatch.setattr(time, "time", director.tick)
    return director


@pytest.fixture
def web(director: Undoing) -> Undoing:
    """The same with a web service of three real servers, put in by one check."""
    director.by_mon("up", "", *OPTIONS)
    assert director.servers == {ONE: IN, TWO: IN, THREE: IN}
    return director


def last(done: Outcome) -> str:
    """Return the last line of what a command said."""
    return done.stdout.splitlines()[-1]


def test_undo_shows_and_does_nothing(web: Undoing) -> None:
    """Without --yes the commands and the changes are shown, and nothing is done."""
    web.by_mon("failure", "192.0.2.2", *OPTIONS)
    before, journal = web.whole, web.journal
    done = web.undo()
    command, change, why = done.stdout.splitlines()
    assert command == f"ipvsadm -a -t 10.0.0.3:80 -r {TWO} {IN}"
    assert re.fullmatch(rf"operator \S+: {WEB}: {TWO} was out, is dr weight 5", change)
    assert re.fullmatch(r"undo of what www/http did at \S+ \S+: nothing is done without --yes", why)
    assert (done.status, done.stderr, web.whole, web.journal) == (0, "", before, journal)


def test_undo_puts_back_the_last_step(web: Undoing) -> None:
    """All that one run changed is undone together, and nothing that was before."""
    web.by_mon("failure", "192.0.2.1", *OPTIONS)
    before = web.whole
    web.by_mon("failure", "192.0.2.2 192.0.2.3", *OPTIONS)
    assert web.servers == {ONE: IN}
    done = web.undo("--yes")
    assert (done.status, done.stderr) == (0, "")
    assert web.whole == before
    assert [line.who.split()[0] for line in web.journal[-3:]] == ["operator"] * 3
    assert all(line.why.startswith("undo of what www/http did at ") for line in web.journal[-3:])


def test_undo_is_told_to_syslog(web: Undoing) -> None:
    """Each change is a line of lvs-director in syslog, with why."""
    web.by_mon("failure", "192.0.2.2", *OPTIONS)
    web.undo("--yes")
    logged = web.log[-1]
    assert logged.ident == "lvs-director"
    assert re.fullmatch(r"operator \S+: .* is dr weight 5: undo of what .* did at .*", logged.text)


def test_undo_is_undone(web: Undoing) -> None:
    """The second undo takes back the first, and the third the second."""
    whole = web.whole
    web.by_hand("-R", "192.0.2.2")
    out = web.whole
    for expected in (whole, out, whole, out):
        assert web.undo("--yes").status == 0
        assert web.whole == expected


def test_operators_cause_follows(web: Undoing) -> None:
    """Who is put in has no operator's cause any more, who is put out has one."""
    web.by_hand("-R", "192.0.2.2")
    assert web.causes(TWO) == ["operator"]
    web.undo("--yes")
    assert web.causes(TWO) == []
    web.undo("--yes")
    assert web.causes(TWO) == ["operator"]
    web.by_mon("up", "", *OPTIONS)
    assert web.servers == {ONE: IN, THREE: IN}


def test_cause_of_a_check_stays(web: Undoing) -> None:
    """What a check took out comes back for now; the next check decides."""
    web.by_mon("failure", "192.0.2.2", *OPTIONS)
    web.undo("--yes")
    assert web.causes(TWO) == ["www/http"]
    assert TWO in web.servers
    web.by_mon("failure", "192.0.2.2", *OPTIONS)
    assert TWO not in web.servers


def test_service_goes_and_returns(web: Undoing) -> None:
    """Undoing what created a virtual service deletes it; undoing that brings all of it back."""
    web.edit("-e -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 5")
    whole = web.whole
    assert web.undo("--yes").status == 0
    assert web.kernel.rules == []
    assert web.causes(ONE) == ["operator"]
    assert web.undo("--yes").status == 0
    assert web.whole == whole
    assert web.causes(ONE) == []


def test_quiesced_server_and_thresholds_come_back(director: Undoing) -> None:
    """Weight, forwarding method, port and thresholds are those of before."""
    options = ("-F", "nat", "--real-port", "8080", "-W", "7", "--u-threshold", "30")
    director.by_mon("up", "", *options, "--l-threshold", "20", "--scheduler", "rr")
    whole = director.whole
    for out in ([], ["--quiesce"]):
        director.by_hand("-R", "192.0.2.2", *options, *out)
        assert director.whole != whole
        director.undo("--yes")
        assert director.whole == whole


def test_thresholds_survive_being_put_out(director: Undoing) -> None:
    """A server that an undo takes out has its thresholds again when a check brings it back."""
    director.by_mon("up", "", *OPTIONS, "--u-threshold", "30", hosts="192.0.2.1")
    director.by_mon("up", "", *OPTIONS, "--u-threshold", "30", hosts="192.0.2.1 192.0.2.2")
    whole = director.whole
    director.undo("--yes")
    director.by_hand("-u", "-R", "192.0.2.2", "-W", "5")
    assert director.whole == whole


def test_undo_to_a_time(web: Undoing) -> None:
    """With --to the table is as it was then, whatever was done in between; that is undone too."""
    web.by_mon("failure", "192.0.2.1", *OPTIONS)
    then, at = web.whole, web.journal[-1].time
    web.by_mon("failure", "192.0.2.1 192.0.2.2", *OPTIONS)
    web.by_hand("-R", "192.0.2.3")
    web.by_hand("-u", "-R", "192.0.2.1", "-W", "9")
    now = web.whole
    done = web.undo("--to", stamp(at), "--yes")
    assert last(done) == f"undo to {stamp(at).replace('T', ' ')}"
    assert web.whole == then
    web.undo("--yes")
    assert web.whole == now


def stamp(when: float) -> str:
    """Return a time as --to takes it."""
    return datetime.datetime.fromtimestamp(when).isoformat()


def test_undo_to_before_everything(web: Undoing) -> None:
    """At a time before the journal the service was not there."""
    web.by_hand("-R", "192.0.2.3")
    assert web.undo("--to", stamp(NOW - 60), "--yes").status == 0
    assert web.kernel.rules == []


def test_undo_to_now_changes_nothing(web: Undoing) -> None:
    """Where nothing was changed since, that is said."""
    whole = web.whole
    done = web.undo("--to", stamp(NOW + 10**8), "--yes")
    assert done.status == 0
    assert last(done).endswith(": nothing to change")
    assert web.whole == whole


def test_what_was_changed_by_hand_is_left_alone(web: Undoing) -> None:
    """An entry that stands otherwise than the journal says is named, and the rest is undone."""
    web.by_mon("failure", "192.0.2.1 192.0.2.2", *OPTIONS)
    web.edit(f"-a -t 10.0.0.3:80 -r {ONE} -g -w 3")
    done = web.undo("--yes")
    assert done.status == 1
    assert done.stderr == f"lvs-director: {WEB}: {ONE}: left alone: dr weight 3 by now, not out\n"
    assert web.servers == {ONE: "-g -w 3", TWO: IN, THREE: IN}


def test_what_is_right_already_is_no_difference(web: Undoing) -> None:
    """An entry that somebody put back by hand is as it was, and nothing is said of it."""
    web.by_mon("failure", "192.0.2.1 192.0.2.2", *OPTIONS)
    web.edit(f"-a -t 10.0.0.3:80 -r {ONE} {IN}")
    done = web.undo("--yes")
    assert (done.status, done.stderr) == (0, "")
    assert web.servers == {ONE: IN, TWO: IN, THREE: IN}


def test_service_deleted_by_hand_is_not_made_again(web: Undoing) -> None:
    """A server is not put back into a service that is gone."""
    web.by_mon("failure", "192.0.2.2", *OPTIONS)
    web.edit("-D -t 10.0.0.3:80")
    done = web.undo("--yes")
    assert done.status == 1
    assert done.stderr == (
        f"lvs-director: {WEB}: {TWO}: left alone: there is no such virtual service\n"
    )
    assert web.kernel.rules == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("-a -t 10.0.0.3:80 -r 192.0.2.9:80 -g -w 1", "it has real servers that stay"),
        ("-E -t 10.0.0.3:80 -s rr", "rr by now, not as the journal says"),
        ("-E -t 10.0.0.3:80 -s wlc -p 300", "wlc -p 300 by now, not as the journal says"),
    ],
)
def test_service_with_more_in_it_is_not_deleted(web: Undoing, line: str, told: str) -> None:
    """A service that the journal created, and somebody changed since, stays."""
    web.edit(line)
    done = web.undo("--yes")
    assert done.status == 1
    assert done.stderr == f"lvs-director: {WEB}: left alone: {told}\n"
    assert ONE not in web.servers
    assert web.kernel.rules != []


def test_plan_of_before_is_dropped(web: Undoing) -> None:
    """A quiesced server that an undo puts back in is not to be deleted any more."""
    web.by_mon("failure", "192.0.2.2", *OPTIONS, "--quiesce-first", "600")
    assert web.memories(TWO).quiesced_until is not None
    web.undo("--yes")
    assert web.servers == {ONE: IN, TWO: IN, THREE: IN}
    assert web.memories(TWO).quiesced_until is None


def bring_to(director: Undoing, rules: str) -> None:
    """Bring the table to these rules, journalled, as what looks after the whole table does."""
    place = reconciling.Director(Ipvsadm("ipvsadm", 5.0), str(director.state), 5.0, 90.0)
    kernel = TableFile(director.folder / "wanted")
    kernel.fill(rules)
    wanted = kernel.table
    reconcile(place, lambda _actual, _ledger: Proposal(wanted, Author("director", "start")))


def test_scheduler_comes_back(web: Undoing) -> None:
    """A virtual service that was changed is as it was, with scheduler and flags."""
    bring_to(web, "-A -t 10.0.0.3:80 -s rr -p 300\n")
    changed = web.whole
    assert web.undo("--yes").stderr == ""
    assert web.servers == {ONE: IN, TWO: IN, THREE: IN}
    assert web.kernel.rules[0] == "-A -t 10.0.0.3:80 -s wlc"
    web.undo("--yes")
    assert web.whole == changed


@pytest.mark.parametrize("after", ["", "-A -t 10.0.0.3:80 -s rr\n"])
def test_service_that_the_journal_never_saw_created(director: Undoing, after: str) -> None:
    """A service that was there before the journal comes back as it stood, with its real servers."""
    director.edit("-A -t 10.0.0.3:80 -s wlc")
    director.edit("-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 5")
    whole = director.whole
    bring_to(director, after)
    assert director.whole != whole
    done = director.undo("--yes")
    assert (done.status, done.stderr) == (0, "")
    assert director.whole == whole


def test_fallback_gets_no_cause(director: Undoing) -> None:
    """The fallback that an undo takes out is not kept out."""
    options = (*OPTIONS, "--fallback", "127.0.0.1")
    director.by_mon("up", "", *options)
    director.by_mon("failure", "192.0.2.1 192.0.2.2 192.0.2.3", *options)
    assert list(director.servers) == ["127.0.0.1:80"]
    director.undo("--yes")
    assert director.servers == {ONE: IN, TWO: IN, THREE: IN}
    assert director.causes("127.0.0.1:80") == []


def test_firewall_mark_and_ipv6(director: Undoing) -> None:
    """A service without an address, of IPv6, is put back like any other."""
    options = ("-V", "7", "--ipv6-fwmark", "--scheduler", "sh")
    director.by_mon("up", "", *options, hosts="2001:db8::1 2001:db8::2")
    whole = director.whole
    director.undo("--yes")
    assert director.kernel.rules == []
    director.undo("--yes")
    assert director.whole == whole


def test_nothing_to_undo(director: Undoing) -> None:
    """A journal without a line, and no journal at all, are one line each."""
    path = f"{director.state}/ledger.db"
    assert director.undo("--yes").stderr == f"lvs-director: {path}: No such file or directory\n"
    Ledger.open(str(director.state)).close()
    done = director.undo("--yes")
    told = "the journal holds no change, so there is nothing to undo"
    assert (done.status, done.stderr) == (1, f"lvs-director: {told}\n")


def test_table_that_cannot_be_read(web: Undoing) -> None:
    """An ipvsadm that is missing is one line, and nothing is journalled."""
    journal = web.journal
    web.use()
    done = web.undo("--yes", "--ipvsadm", f"{web.folder}/absent")
    assert done.status == 1
    assert done.stderr.startswith(f"lvs-director: cannot run {web.folder}/absent: ")
    assert web.journal == journal


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("check"), st.sets(st.sampled_from(["1", "2", "3"]))),
        st.tuples(st.just("hand"), st.sampled_from(["1", "2", "3"]), st.booleans()),
        st.tuples(st.just("undo")),
    ),
    max_size=6,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS, to=st.integers(0, 5))
def test_any_way_back_leads_back(
    tmp_path_factory: pytest.TempPathFactory, acts: Sequence[tuple[object, ...]], to: int
) -> None:
    """Whatever was done, undo is undone by undo, and --to any moment gives the table of then."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        director = made(tmp_path_factory.mktemp("undo"), monkeypatch)
        director.by_mon("up", "", *OPTIONS)
        seen = [(director.journal[-1].time, director.whole)]
        for act in acts:
            perform(director, act)
            seen.append((director.journal[-1].time, director.whole))
        whole = director.whole
        for _ in range(2):
            director.undo("--yes")
        assert director.whole == whole
        when, then = seen[min(to, len(seen) - 1)]
        assert director.undo("--to", stamp(when), "--yes").stderr == ""
        assert director.whole == then


def perform(director: Undoing, act: Sequence[object]) -> None:
    """Let a check, a person or an undo change the table."""
    kind, *what = act
    if kind == "undo":
        director.undo("--yes")
    elif kind == "hand":
        number, up = what
        director.by_hand("-W", "5", "-R", f"192.0.2.{number}", *(["-u"] if up else []))
    else:
        (failed,) = what
        assert isinstance(failed, set)
        summary = " ".join(f"192.0.2.{number}" for number in sorted(failed))
        director.by_mon("failure" if failed else "up", summary, *OPTIONS)
