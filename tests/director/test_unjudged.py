"""A service that nobody can judge: it does not stay silent for long."""

from __future__ import annotations

import json
import sqlite3
import syslog
import time
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import lvs_director
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.schema import SCHEMAS
from tests.harness.alerts import Director

if TYPE_CHECKING:
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

WEB = "tcp 10.0.0.3:80"
BROKEN = {"MON_RETVAL": "3"}


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Director:
    """A director with one real server, whose clock is that of its mon."""
    made = Director(tmp_path, monkeypatch)
    made.kernel.fill("-A -t 10.0.0.3:80 -s wlc\n-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 5")
    monkeypatch.setattr(time, "time", lambda: float(made.time))
    return made


def cannot_tell(director: Director, checks: int) -> list[Outcome]:
    """Let mon report so many checks that could not tell, a minute apart."""
    return [director.by_mon("failure", environ=BROKEN, hosts="192.0.2.1") for _ in range(checks)]


def told(director: Director, *words: str) -> str:
    """Return what lvs-director says."""
    return lvs_director.run(words, director.environ, str).stdout


def warnings(director: Director) -> list[str]:
    """Return what syslog was warned of."""
    return [each.text for each in director.log if each.level == syslog.LOG_WARNING]


def test_nine_checks_are_not_yet_too_many(director: Director) -> None:
    """A monitor that is broken for a while is not worth a warning, and takes nobody out."""
    cannot_tell(director, 9)
    assert warnings(director) == []
    assert "no verdict" not in told(director, "status")
    assert director.servers == {"192.0.2.1:80": "-g -w 5"}


def test_ten_checks_are_told_once(director: Director) -> None:
    """Syslog is warned once, and status and why say it as long as it lasts."""
    done = cannot_tell(director, 12)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(director.time - 11 * 60))
    assert warnings(director) == [
        f"www/http: {WEB}: no verdict for 10 checks, since {since}: detail"
    ]
    assert [each.status for each in done] == [0] * 12
    words = f"www/http has had no verdict for 12 checks, since {since}: detail"
    assert told(director, "status").splitlines()[-1] == f"{WEB}: {words}"
    assert f"  {words}\n" in told(director, "why", "192.0.2.1")
    (service,) = json.loads(told(director, "status", "--json"))["services"]
    (unjudged,) = service["unjudged"]
    assert (unjudged["group"], unjudged["service"], unjudged["checks"]) == ("www", "http", 12)


def test_alert_and_redistribute_are_one_check(director: Director) -> None:
    """mon calls both for a check, with the same time."""
    for _ in range(9):
        cannot_tell(director, 1)
        director.time -= 60
        cannot_tell(director, 1)
    assert warnings(director) == []


@pytest.mark.parametrize("event", ["up", "failure"])
def test_a_verdict_ends_it(director: Director, event: str) -> None:
    """Whatever the source says of the service, the count begins anew."""
    cannot_tell(director, 12)
    director.by_mon(event, "192.0.2.1" if event == "failure" else "", hosts="192.0.2.1")
    assert "no verdict" not in told(director, "status")
    cannot_tell(director, 9)
    assert len(warnings(director)) == 1


def test_checks_in_quick_succession_have_two_minutes(director: Director) -> None:
    """Ten checks within a minute are not long."""
    for _ in range(11):
        cannot_tell(director, 1)
        director.time -= 55
    assert warnings(director) == []


def test_a_dry_run_counts_nothing(director: Director) -> None:
    """What is only tried is not noted."""
    for _ in range(12):
        director.by_mon("failure", "", "-n", environ=BROKEN, hosts="192.0.2.1")
    assert not (director.state / "ledger.db").exists()


@pytest.mark.parametrize("version", range(1, len(SCHEMAS)))
def test_a_ledger_of_a_version_before_is_read_and_grows(tmp_path: Path, version: int) -> None:
    """A reader finds nothing in tables that are not there; a writer adds them and keeps all."""
    with sqlite3.connect(tmp_path / "ledger.db") as before:
        before.executescript("".join(SCHEMAS[:version]))
        before.execute("INSERT INTO causes VALUES ('w', '192.0.2.1:80', 'x', 1.0, 'why', 0)")
        before.execute(f"PRAGMA user_version = {version}")
    before.close()
    reader = Ledger.open_to_read(str(tmp_path))
    assert (reader.unjudged.all(), reader.files.all(), reader.forgotten()) == ({}, [], {})
    assert (reader.marks.all(), reader.contents.get("www/http")) == ({}, {})
    reader.close()
    writer = Ledger.open(str(tmp_path))
    assert (writer.unjudged.all(), writer.files.all()) == ({}, [])
    assert [each.cause for each in writer.causes("w")["192.0.2.1", 80]] == ["x"]
    assert (writer.commands.get("w"), writer.contents.get("www/http")) == (None, {})
    writer.close()
