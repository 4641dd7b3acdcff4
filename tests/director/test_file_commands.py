"""fallbackcommand and callback: the programs that the director's file has run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lvsalert.director import file_commands
from lvsalert.ledger.ledger import Ledger
from tests.director.test_accepted import alert, warnings
from tests.harness.director_file import Machine

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = "192.0.2.1 192.0.2.2"
FILE = """\
{directives}
virtual = 10.0.0.3:80
    real = 192.0.2.1:80 gate 5
    real = 192.0.2.2:80 gate 3
    checktype = connect
    {own}
"""
START, STOP = ["start", "10.0.0.3:80", "tcp"], ["stop", "10.0.0.3:80", "tcp"]


class Site(Machine):
    """A director, and a program that notes the words it is called with."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Write the program."""
        super().__init__(folder, monkeypatch)
        self.program = folder / "told to"
        self._noted = folder / "noted"
        self.script(f"printf '%s|' \"$@\" >>{self._noted}; echo >>{self._noted}")

    def script(self, text: str) -> None:
        """Have the program do something else."""
        self.program.write_text(f"#!/bin/sh\n{text}\n")
        self.program.chmod(0o755)

    def with_text(self, directives: str = "", own: str = "") -> None:
        """Write the file with these directives."""
        self.write(FILE.format(directives=directives, own=own))

    @property
    def told(self) -> list[list[str]]:
        """The words of each call so far."""
        if not self._noted.exists():
            return []
        return [line.split("|")[:-1] for line in self._noted.read_text().splitlines()]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A director with an empty table."""
    return Site(tmp_path, monkeypatch)


@pytest.mark.parametrize("where", ["directives", "own"])
def test_it_is_told_when_the_last_leaves_and_the_first_returns(site: Site, where: str) -> None:
    """Once each, with the service and its protocol, as ldirectord calls it; a path needs no quotes.

    A service's own one comes before that of all.
    """
    other = "fallbackcommand = /bin/false" if where == "own" else ""
    directives = f"fallbackcommand = {site.program}" if where == "directives" else other
    site.with_text(directives, f'fallbackcommand = "{site.program}"' if where == "own" else "")
    site.with_file("start", "--unchecked")
    assert site.told == [STOP]
    site.told_by_mon("failure", HOSTS, "192.0.2.1")
    assert site.told == [STOP]
    for _ in range(2):
        site.told_by_mon("failure", HOSTS, HOSTS)
        assert site.told == [STOP, START]
    for _ in range(2):
        site.told_by_mon("up", HOSTS)
        assert site.told == [STOP, START, STOP]


def test_a_real_server_that_falls_back_is_none_that_serves(site: Site) -> None:
    """One that has failed and stands in all the same is the fallback, as for ldirectord."""
    site.with_text(f"fallbackcommand = {site.program}", "fallback = 192.0.2.2:80 gate")
    site.with_file("start", "--unchecked")
    site.told_by_mon("failure", HOSTS, "192.0.2.1")
    assert site.told == [STOP]
    site.told_by_mon("failure", HOSTS, HOSTS)
    assert site.servers == {"192.0.2.2:80": "-g -w 1"}
    assert site.told == [STOP, START]
    site.told_by_mon("failure", HOSTS, "192.0.2.1")
    assert site.told == [STOP, START, STOP]


def test_words_behind_a_path_go_through_no_shell(site: Site) -> None:
    """They are parted as a shell does, and mean nothing more."""
    os.symlink(site.program, site.folder / "tell")
    site.with_text(f"fallbackcommand = {site.folder / 'tell'} 'a b' $HOME; reboot")
    site.with_file("start", "--unchecked")
    assert site.told == [["a b", "$HOME;", "reboot", *STOP]]


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("/bin/false", "/bin/false stop 10.0.0.3:80 tcp: exit status 1"),
        ("/nonexistent", "/nonexistent: No such file or directory"),
        ("'a", "'a: No closing quotation"),
    ],
)
def test_one_that_fails_is_told_once(site: Site, command: str, wrong: str) -> None:
    """The table is set up all the same, and the program is not run at each check."""
    site.with_text(f"fallbackcommand = {command}")
    done = site.with_file("start", "--unchecked")
    assert (done.status, len(site.servers)) == (0, 2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("lvs-director: fallbackcommand: ")
    assert line.endswith(wrong)
    assert site.with_file("start", "--unchecked").stderr == ""


def test_one_that_hangs_is_killed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its time, and what it started goes with it."""
    monkeypatch.setattr(file_commands, "_SECONDS", 0.2)
    site.script("sleep 1000")
    site.with_text(f"fallbackcommand = '{site.program}'")
    said = site.with_file("start", "--unchecked").stderr
    assert said.endswith(" stop 10.0.0.3:80 tcp: killed after 0.2 s\n")


def test_a_stop_forgets_what_was_told(site: Site) -> None:
    """After the next start it is told again how the service is."""
    site.with_text(f"fallbackcommand = '{site.program}'")
    site.with_file("start", "--unchecked")
    site.with_file("stop")
    assert site.told == [STOP]
    site.with_file("start", "--unchecked")
    assert site.told == [STOP, STOP]


def test_a_program_that_was_killed_before_it_was_noted_is_told_again(site: Site) -> None:
    """What was done is noted after it, so that a kill in between loses no word."""
    site.with_text(f"fallbackcommand = '{site.program}'")
    site.with_file("start", "--unchecked")
    ledger = Ledger.open(str(site.state))
    ledger.commands.drop("tcp 10.0.0.3:80")
    ledger.close()
    site.told_by_mon("up", HOSTS)
    assert site.told == [STOP, STOP]


@pytest.mark.parametrize("autoreload", ["yes", "no"])
def test_the_callback_hears_of_each_change_once(site: Site, autoreload: str) -> None:
    """With the path of the file, whether it is taken by itself or not, with a slip in it or not."""
    directives = f'autoreload = {autoreload}\ncallback = "{site.program}"'
    site.with_text(directives)
    site.with_file("start", "--unchecked")
    site.told_by_mon("up", HOSTS)
    assert site.told == []
    site.with_text(f"{directives}\n# a change")
    for _ in range(2):
        alert(site, "up")
        assert site.told == [[str(site.file)]]
    site.with_text(f"{directives}\nsilly")
    for _ in range(2):
        alert(site, "up")
        assert site.told == [[str(site.file)]] * 2


def test_a_callback_that_fails_is_a_line_in_syslog(site: Site) -> None:
    """And the alert is done."""
    site.with_text('callback = "/bin/false"')
    site.with_file("start", "--unchecked")
    site.with_text('callback = "/bin/false"\n# a change')
    assert site.told_by_mon("failure", HOSTS, "192.0.2.1").status == 0
    assert warnings(site) == [f"callback: /bin/false {site.file}: exit status 1"]
