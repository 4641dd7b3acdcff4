"""A fallback that is a real server of the service too, as many of ldirectord's files have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import probing
from tests.director.test_lifecycle import Network
from tests.harness.director_file import Machine

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = "192.0.2.1 192.0.2.2"
FILE = """\
virtual = 10.0.0.3:80
    real = 192.0.2.1:80 gate 5
    real = 192.0.2.2:80 gate {weight}
    fallback = 192.0.2.2:80 gate
    checktype = connect
    quiescent = {quiescent}
"""
ONE, TWO = "192.0.2.1:80", "192.0.2.2:80"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A director with an empty table and a file whose second real server is the fallback."""
    made = Machine(tmp_path, monkeypatch)
    made.write(FILE.format(weight=3, quiescent="no"))
    return made


def test_it_serves_with_its_own_weight_while_it_is_well(machine: Machine) -> None:
    """Neither the others' health nor that of nobody else makes it leave."""
    machine.with_file("start", "--unchecked")
    assert machine.servers == {ONE: "-g -w 5", TWO: "-g -w 3"}
    machine.told_by_mon("failure", HOSTS, "192.0.2.1")
    assert machine.servers == {TWO: "-g -w 3"}
    machine.told_by_mon("up", HOSTS)
    assert machine.servers == {ONE: "-g -w 5", TWO: "-g -w 3"}


@pytest.mark.parametrize(("quiescent", "rest"), [("no", {}), ("yes", {ONE: "-g -w 0"})])
def test_it_serves_for_want_of_a_better_one(
    machine: Machine, quiescent: str, rest: dict[str, str]
) -> None:
    """With weight 1 when all have failed, itself too; with another one well it is out again."""
    machine.write(FILE.format(weight=3, quiescent=quiescent))
    machine.with_file("start", "--unchecked")
    machine.told_by_mon("failure", HOSTS, HOSTS)
    assert machine.servers == {**rest, TWO: "-g -w 1"}
    batches = machine.batches
    machine.told_by_mon("failure", HOSTS, HOSTS)
    assert machine.batches == batches
    machine.told_by_mon("failure", HOSTS, "192.0.2.2")
    quiesced = {TWO: "-g -w 0"} if quiescent == "yes" else {}
    assert machine.servers == {ONE: "-g -w 5", **quiesced}
    machine.told_by_mon("up", HOSTS)
    assert machine.servers == {ONE: "-g -w 5", TWO: "-g -w 3"}


def test_a_spare_of_weight_0_serves_when_nobody_else_does(machine: Machine) -> None:
    """It is checked, takes nothing, and has weight 1 while it is needed."""
    machine.write(FILE.format(weight=0, quiescent="no"))
    machine.with_file("start", "--unchecked")
    assert machine.servers == {ONE: "-g -w 5", TWO: "-g -w 0"}
    machine.told_by_mon("failure", HOSTS, "192.0.2.1")
    assert machine.servers == {TWO: "-g -w 1"}
    machine.told_by_mon("up", HOSTS)
    assert machine.servers == {ONE: "-g -w 5", TWO: "-g -w 0"}


def test_a_start_with_all_dead_has_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check before the start goes by the same rule."""
    network = Network()
    monkeypatch.setattr(probing, "probe", network.probe)
    network.dead = {"192.0.2.1", "192.0.2.2"}
    machine.with_file("start")
    assert machine.servers == {TWO: "-g -w 1"}


def test_a_person_s_word_counts(machine: Machine) -> None:
    """Taken out by hand it stays out, whoever else has failed."""
    machine.with_file("start", "--unchecked")
    assert machine.run("drain", "192.0.2.2").status == 0
    machine.told_by_mon("failure", HOSTS, HOSTS)
    assert machine.servers == {}
    machine.run("resume", "192.0.2.2")
    machine.told_by_mon("failure", HOSTS, HOSTS)
    assert machine.servers == {TWO: "-g -w 1"}
