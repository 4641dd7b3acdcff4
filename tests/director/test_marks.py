"""Marks given out, set again where they are lost, and taken back."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from lvsalert import standin
from lvsalert.director.marks import marks_for, remove_marks
from lvsalert.director.reconcile import Director
from lvsalert.errors import IpvsadmError, NoKernelError
from lvsalert.ipvs import proc
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ipvs.marks import MARKS, table_of
from lvsalert.ledger.database import LedgerError
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.marks import Mark
from lvsalert.model import Forwarding, Way
from tests.harness.table_file import TableFile
from tests.harness.waiting import patience

if TYPE_CHECKING:
    from pathlib import Path

THEIRS = "-A -t 10.0.0.3:80 -s rr\n-a -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w 1\n-A -f 7 -s rr\n"
FIRST = MARKS[0]


def way(number: int, method: Forwarding = Forwarding.GATEWAYING) -> Way:
    """Return the way to a real server."""
    return Way(socket.AF_INET, f"192.168.0.{number}", 0, method)


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Director:
    """A director with a table of people's, whose kernel is the stand-in."""
    TableFile(tmp_path / "table").fill(THEIRS)
    program = tmp_path / "ipvsadm"
    standin.write_executable(str(program), str(tmp_path / "table"))
    door = Ipvsadm(str(program), patience())

    def standing() -> dict[int, tuple[str, int, Forwarding]]:
        return {
            virtual.fwmark: real[:3]
            for virtual, service in door.marks().items()
            for real in service.real_servers.values()
        }

    monkeypatch.setattr(proc, "standing", standing)
    return Director(door, str(tmp_path), 5.0, 90.0)


def marks(director: Director) -> dict[int, str]:
    """Return the marks in the table, with their servers' addresses, and see that theirs stand."""
    assert [str(each) for each in director.door.read()] == ["tcp 10.0.0.3:80", "fwm 7"]
    return {
        virtual.fwmark: next(iter(service.real_servers), ("", 0))[0]
        for virtual, service in director.door.marks().items()
    }


def note(director: Director, noted: dict[int, Mark]) -> None:
    """Write marks into the ledger."""
    ledger = Ledger.open(director.state_dir)
    ledger.begin()
    ledger.marks.set(noted)
    ledger.commit()
    ledger.close()


def test_each_way_has_a_mark_of_its_own(director: Director) -> None:
    """The same one with every check, and another one for each method."""
    first = marks_for(director, [way(1), way(2)])
    assert first == {way(1): FIRST, way(2): FIRST + 1}
    tunnelled = way(1, Forwarding.TUNNELLING)
    assert marks_for(director, [tunnelled]) == {tunnelled: FIRST + 2}
    assert marks_for(director, [way(2), way(1)]) == first
    assert marks(director) == {
        FIRST: "192.168.0.1",
        FIRST + 1: "192.168.0.2",
        FIRST + 2: "192.168.0.1",
    }


def test_nothing_is_written_where_nothing_is_new(
    director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that finds its marks takes no lock, and runs no ipvsadm to set any."""
    given = marks_for(director, [way(1)])
    monkeypatch.setattr(type(director.door), "set_marks", None)
    monkeypatch.setattr(type(director.door), "locked", None)
    assert marks_for(director, [way(1)]) == given


@pytest.mark.parametrize(
    "damage",
    [
        "",
        f"-A -f {FIRST} -s rr\n",
        f"-A -f {FIRST} -s rr\n-a -f {FIRST} -r 192.168.0.9:0 -g -w 1\n",
        f"-A -f {FIRST} -s rr\n-a -f {FIRST} -r 192.168.0.1:0 -i -w 1\n",
    ],
    ids=["cleared", "without its server", "to another server", "by another method"],
)
def test_a_mark_is_set_again(director: Director, damage: str) -> None:
    """Whatever became of it: ipvsadm -C, a restored table, somebody's hand."""
    given = marks_for(director, [way(1)])
    director.door.set_marks({})
    for line in damage.splitlines():
        director.door._run(line.split())
    assert marks_for(director, [way(1)]) == given
    assert marks(director) == {FIRST: "192.168.0.1"}


def test_marks_that_nobody_uses_leave(director: Director) -> None:
    """An hour after the last check of a server, and at once where the ledger knows nothing."""
    now = time.time()
    note(director, {FIRST: Mark(way(1), now - 4000), FIRST + 1: Mark(way(2), now - 3000)})
    stray = table_of({mark: way(9) for mark in (FIRST, FIRST + 5, MARKS[-1])})
    director.door.set_marks(stray)
    assert marks_for(director, [way(3)]) == {way(3): FIRST}
    assert marks(director) == {FIRST: "192.168.0.3", FIRST + 1: "192.168.0.2"}


def test_a_kill_between_ledger_and_table_loses_nothing(
    director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next check finds the mark in the ledger, misses it in the table, and sets it."""
    with monkeypatch.context() as killed:

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        killed.setattr(type(director.door), "set_marks", die)
        with pytest.raises(KeyboardInterrupt):
            marks_for(director, [way(1)])
    assert marks(director) == {}
    assert marks_for(director, [way(1)]) == {way(1): FIRST}
    assert marks(director) == {FIRST: "192.168.0.1"}


def test_all_marks_are_taken_back(director: Director) -> None:
    """What uninstall does; a second time there is nothing."""
    marks_for(director, [way(1), way(2)])
    assert remove_marks(director) == 2
    assert marks(director) == {}
    assert remove_marks(director) == 0


def test_what_cannot_be_used_is_named(director: Director, monkeypatch: pytest.MonkeyPatch) -> None:
    """No mark without the ledger, the table, or the kernel's IPVS: the check cannot tell."""
    lost = director._replace(state_dir="/nonexistent")
    with pytest.raises(LedgerError, match=r"^/nonexistent/ledger\.db: "):
        marks_for(lost, [way(1)])
    director.door.program = "/nonexistent"
    with pytest.raises(IpvsadmError, match="cannot run /nonexistent: No such file"):
        marks_for(director, [way(1)])
    monkeypatch.undo()
    monkeypatch.setattr(proc, "_TABLE", f"{proc._TABLE}/none")
    with pytest.raises(NoKernelError, match=r"^/proc/net/ip_vs/none: .*: IPVS is not loaded$"):
        marks_for(director, [way(1)])
