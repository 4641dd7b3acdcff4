"""The step that every way in ends with: cut short anywhere, on a ledger broken in any way."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

import pytest

from lvsalert.director import reconcile as reconciling
from lvsalert.director.changes import Author, describe, entry_text
from lvsalert.director.reconcile import Decide, Proposal, Reconciled, reconcile
from lvsalert.errors import IpvsadmError, NotDoneError
from lvsalert.ipvs import ipvsadm
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ipvs.plan import Change
from lvsalert.ipvs.table import Endpoint, Table
from lvsalert.ledger.database import FILE_NAME
from lvsalert.ledger.journal import Entry
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import Cause
from lvsalert.model import Forwarding, Protocol, RealServer, VirtualService
from tests.harness.alerts import Director
from tests.harness.killing import Killed, kill_at

VIRTUAL = VirtualService(Protocol.TCP, "10.0.0.3", 80, 0, 2)
NAME = str(VIRTUAL)
ONE: Endpoint = ("192.0.2.1", 80)
WEIGHTS = {1: 5, 2: 5, 3: 5}


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Director:
    """A director whose web service has three real servers of weight 5."""
    made = Director(tmp_path, monkeypatch)
    rules = "".join(f"-a -t 10.0.0.3:80 -r 192.0.2.{n} -g -w {w}\n" for n, w in WEIGHTS.items())
    made.kernel.fill(f"-A -t 10.0.0.3:80 -s wlc\n{rules}")
    return made


class Wanted:
    """A decision for real servers of these weights (None is out), which notes a cause as well."""

    def __init__(self, **weights: int | None) -> None:
        """Name the real servers ``s1`` and so on."""
        self.weights = {int(name[1:]): weight for name, weight in weights.items()}
        self.ledgers: list[bool] = []

    def __call__(self, actual: Table, ledger: Ledger) -> Proposal:
        """Decide."""
        self.ledgers.append(ledger.is_lasting)
        ledger.set_cause(NAME, ONE, Cause("www/http", 1.0, "refused", drain=False))
        ledger.causes(NAME)
        ledger.journal.history()
        servers = dict(actual[VIRTUAL].real_servers)
        for number, weight in self.weights.items():
            address = f"192.0.2.{number}"
            servers.pop((address, 80), None)
            if weight is not None:
                servers[address, 80] = RealServer(address, 80, weight=weight)
        service = actual[VIRTUAL]._replace(real_servers=servers)
        return Proposal({**actual, VIRTUAL: service}, Author("www/http", "failure"))


def reached(director: Director) -> reconciling.Director:
    """Return the director as this process gets at it."""
    return reconciling.Director(Ipvsadm("ipvsadm", 1.0), str(director.state), 1.0, 90.0)


def take(director: Director, decide: Decide, *, dry_run: bool = False) -> Reconciled:
    """Take a step."""
    return reconcile(reached(director), decide, dry_run=dry_run)


def lines(director: Director) -> list[Entry]:
    """Return the journal; no line of it may be unfinished."""
    ledger = Ledger.open(str(director.state))
    assert ledger.journal.unfinished() == []
    assert ledger._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = ledger.journal.history()
    ledger.close()
    return found


def test_change_is_journalled(director: Director) -> None:
    """A line a change, by the words of the log and by those of ipvsadm."""
    done = take(director, Wanted(s1=None, s2=7))
    assert (len(done.changes), done.troubles, done.is_remembered) == (2, [], True)
    assert [each[2:9] for each in lines(director)] == [
        (
            "www/http",
            "failure",
            NAME,
            "192.0.2.2:80",
            "dr weight 5",
            "dr weight 7",
            {"before": ("-g", "-w", "5"), "after": ("-g", "-w", "7")},
        ),
        (
            "www/http",
            "failure",
            NAME,
            "192.0.2.1:80",
            "dr weight 5",
            "out",
            {"before": ("-g", "-w", "5"), "after": None},
        ),
    ]


def test_step_without_a_change_writes_no_batch(director: Director) -> None:
    """What was learnt is kept all the same."""
    done = take(director, Wanted(s1=5))
    assert (done.changes, director.batches) == ([], 0)
    ledger = Ledger.open(str(director.state))
    assert [each.cause for each in ledger.causes_of(NAME, ONE)] == ["www/http"]
    ledger.close()


def nothing(_actual: Table, ledger: Ledger) -> Proposal:
    """Decide that nothing is to happen, after writing something."""
    ledger.set_cause(NAME, ONE, Cause("www/http", 1.0, "", drain=False))
    return Proposal(None, Author("www/http", "failure"))


def refuse(_actual: Table, ledger: Ledger) -> Proposal:
    """Find no way, after writing something."""
    ledger.set_cause(NAME, ONE, Cause("www/http", 1.0, "", drain=False))
    raise NotDoneError("no such virtual service")


def test_no_proposal_leaves_no_trace(director: Director) -> None:
    """Nothing is written to the table or the ledger."""
    assert take(director, nothing).changes == ()
    with pytest.raises(NotDoneError, match="no such virtual service"):
        take(director, refuse)
    ledger = Ledger.open(str(director.state))
    assert ledger.causes(NAME) == {}
    ledger.close()
    assert director.batches == 0


# Broken ledgers


def begun(director: Director) -> Path:
    """Return the ledger's file, with a few pages in it."""
    ledger = Ledger.open(str(director.state))
    ledger.begin()
    line = Entry(
        0,
        1e9,
        "w" * 300,
        "",
        NAME,
        "192.0.2.1:80",
        "out",
        "out",
        dict.fromkeys(("before", "after")),
    )
    ledger.journal.confirm(ledger.journal.intend([line] * 200))
    for number in range(200):
        ledger.set_cause(NAME, (f"198.51.100.{number}", 80), Cause("c" * 90, 1.0, "", drain=False))
    ledger.commit()
    ledger.close()
    return director.state / FILE_NAME


def randomised(path: Path) -> None:
    """Write random bytes."""
    path.write_bytes(random.Random(1).randbytes(20_000))


def truncated(path: Path) -> None:
    """Cut off all but the first pages."""
    os.truncate(path, 3 * 4096)


def torn(path: Path) -> None:
    """Cut in the midst of a page."""
    os.truncate(path, 5 * 4096 + 100)


def riddled(path: Path) -> None:
    """Write garbage into the midst, past what the opening looks at."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(random.Random(2).randbytes(size - 3 * 4096))


def zeroed(path: Path) -> None:
    """Write zeros over the pages after the first, as a power cut may leave them."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(size - 4096))


def without_tables(path: Path) -> None:
    """Drop what the version promises."""
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE causes")
    connection.close()


BROKEN = [randomised, truncated, torn, riddled, zeroed, without_tables]


@pytest.mark.parametrize("spoil", BROKEN)
def test_broken_ledger_is_moved_aside_and_the_table_is_served(
    director: Director, spoil: Callable[[Path], None]
) -> None:
    """A new one is begun, which remembers this run already, and both is told."""
    path = begun(director)
    spoil(path)
    decide = Wanted(s1=None)
    done = take(director, decide)
    assert set(director.servers) == {"192.0.2.2:80", "192.0.2.3:80"}
    assert decide.ledgers[-1:] == [True]
    assert done.is_remembered
    (aside,) = (each for each in director.state.glob(f"{FILE_NAME}.broken-*"))
    first, second = map(str, done.troubles)
    assert first.startswith(f"{path}: ")
    assert second == f"{path}: moved aside as {aside}, and a new one begun"
    assert [each.real for each in lines(director)] == ["192.0.2.1:80"]
    assert take(director, decide).troubles == []


@pytest.mark.parametrize("spoil", BROKEN)
def test_dry_run_moves_nothing_aside(director: Director, spoil: Callable[[Path], None]) -> None:
    """It decides as without a ledger, and leaves the broken one as it is."""
    path = begun(director)
    spoil(path)
    done = take(director, Wanted(s1=None), dry_run=True)
    assert (len(done.changes), director.batches, done.is_remembered) == (1, 0, False)
    assert not list(director.state.glob("*broken*"))


def test_broken_ledger_that_cannot_be_moved(
    director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is served as without one."""
    randomised(begun(director))

    def stay(_path: str, _aside: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", stay)
    done = take(director, Wanted(s1=None))
    assert "192.0.2.1:80" not in director.servers
    path = director.state / FILE_NAME
    assert [str(each) for each in done.troubles] == [
        f"{path}: file is not a database",
        f"{path}: cannot be moved aside: Permission denied",
    ]
    assert not done.is_remembered


def test_newer_ledger_is_left_alone(director: Director) -> None:
    """An lvsalert that was downgraded works as without a ledger."""
    path = begun(director)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    decide = Wanted(s1=None)
    done = take(director, decide)
    assert "192.0.2.1:80" not in director.servers
    assert decide.ledgers == [False]
    assert [str(each) for each in done.troubles] == [
        f"{path}: made by a newer lvsalert (version 99 of its tables)"
    ]
    assert path.read_bytes() == before


def test_missing_state_directory(director: Director) -> None:
    """The table is served, and it is told what there is not."""
    director.state.rmdir()
    decide = Wanted(s1=None)
    done = take(director, decide)
    assert "192.0.2.1:80" not in director.servers
    assert decide.ledgers == [False]
    path = director.state / FILE_NAME
    assert [str(each) for each in done.troubles] == [f"{path}: No such file or directory"]


def test_lock_that_cannot_be_had_there_is_the_common_one(
    director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state directory that cannot be written must not keep a dead server in the table."""
    (director.state / "lock").symlink_to("elsewhere")
    locked: list[str] = []
    original = ipvsadm._open_lock

    def note(path: str) -> int:
        locked.append(path)
        return original(path)

    monkeypatch.setattr(ipvsadm, "_open_lock", note)
    assert len(take(director, Wanted(s1=None)).changes) == 1
    assert locked == [str(director.state / "lock"), str(director.common_lock)]


# Cut short


def replayed(entries: Sequence[Entry], begin: dict[str, str]) -> dict[str, str]:
    """Return the table that the journal leads to."""
    table = dict(begin)
    for entry in entries:
        assert (table.get(entry.real, "out") == entry.before) or entry.real not in table
        table[entry.real] = entry.after
    return {place: state for place, state in table.items() if state != "out"}


def states(director: Director) -> dict[str, str]:
    """Return the table in the words of the journal."""
    return {place: f"dr weight {words.split()[2]}" for place, words in director.servers.items()}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", range(1, 9))
def test_step_cut_short_anywhere_is_made_good_by_the_next(
    director: Director, monkeypatch: pytest.MonkeyPatch, point: int, after: bool
) -> None:
    """Journal and table agree, no line is left open, and what was wanted is done."""
    begin = states(director)
    decide = Wanted(s1=None, s2=0, s4=9)
    with monkeypatch.context() as context:
        kill_at(context, point, after=after)
        with contextlib.suppress(Killed):
            take(director, decide)
    middle = states(director)
    take(director, Wanted(s3=5))
    entries = lines(director)
    assert replayed(entries, begin) == states(director) == middle
    take(director, decide)
    assert replayed(lines(director), begin) == states(director)
    assert states(director) == {
        "192.0.2.2:80": "dr weight 0",
        "192.0.2.3:80": "dr weight 5",
        "192.0.2.4:80": "dr weight 9",
    }


def test_points_of_a_step_are_those_that_are_cut(
    director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is read, the decision written, then the kernel told, read again, and confirmed."""
    seen = kill_at(monkeypatch, 0, after=False)
    take(director, Wanted(s1=None))
    assert seen == ["_run", "begin", "commit", "_run", "_run", "begin", "commit"]


def test_batch_that_was_done_in_part(director: Director, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel took is confirmed by the next step, and what it refused withdrawn."""
    begin = states(director)
    original = Director._run

    def lose(
        self: Director, *commands: Sequence[str], stdin: int | None = None, **more: object
    ) -> list[ipvsadm.Answer]:
        if commands == (("-R",),):
            self.kernel.change("-e -t 10.0.0.3:80 -r 192.0.2.2 -g -w 0")
            return [ipvsadm.Answer(255, "", "out of memory")]
        return original(self, *commands, stdin=stdin, **more)

    monkeypatch.setattr(Ipvsadm, "_run", staticmethod(functools.partial(lose, director)))
    with pytest.raises(IpvsadmError, match="left 2 of 3 changes undone"):
        take(director, Wanted(s1=None, s2=0, s3=None))
    take(director, Wanted(s2=0))
    entries = lines(director)
    assert [each.real for each in entries] == ["192.0.2.2:80"]
    assert replayed(entries, begin) == states(director)


def test_service_cut_short(director: Director, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of a service that came about is confirmed, with those of its real servers."""
    other = VIRTUAL._replace(port=443)

    def create(actual: Table, _ledger: Ledger) -> Proposal:
        servers = {
            (address, 443): real._replace(port=443)
            for (address, _), real in actual[VIRTUAL].real_servers.items()
        }
        service = actual[VIRTUAL]._replace(virtual=other, real_servers=servers)
        return Proposal({**actual, other: service}, Author("operator ann", "by hand"))

    with monkeypatch.context() as context:
        kill_at(context, 5, after=True)
        with pytest.raises(Killed):
            take(director, create)
    take(director, Wanted())
    assert [(each.virtual, each.real, each.before, each.after) for each in lines(director)] == [
        (str(other), "", "", "stands"),
        *((str(other), f"192.0.2.{n}:443", "out", "dr weight 5") for n in WEIGHTS),
    ]


# Words


@pytest.mark.parametrize(
    ("real", "state"),
    [
        (None, "out"),
        (RealServer("192.0.2.1", 80), "dr weight 1"),
        (RealServer("192.0.2.1", 80, Forwarding.MASQUERADING, 0), "nat weight 0"),
        (
            RealServer("192.0.2.1", 80, Forwarding.TUNNELLING, 5, 9, 3),
            "tun weight 5 thresholds 9/3",
        ),
        (RealServer("192.0.2.1", 80, upper=9), "dr weight 1 thresholds 9/0"),
    ],
)
def test_state_in_words(real: RealServer | None, state: str) -> None:
    """An entry as log and journal tell it."""
    assert entry_text(real) == state


@pytest.mark.parametrize(
    ("verb", "told"), [("-A", "created"), ("-E", "changed"), ("-D", "deleted")]
)
def test_service_in_words(verb: str, told: str) -> None:
    """A command on the service itself names no real server."""
    change = Change(VIRTUAL, (verb, *VIRTUAL.words()))
    assert describe(change, "www/http") == f"www/http: {NAME}: virtual service {told}"
