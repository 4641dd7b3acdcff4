"""lvs-director forget: a virtual service that is gone for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import lvs_director
from tests.harness.alerts import Director

if TYPE_CHECKING:
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

TABLE = "-A -t 10.0.0.3:80 -s wlc\n-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 5"
WEB = "tcp 10.0.0.3:80"


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Director:
    """A director with one web service whose one server has failed."""
    made = Director(tmp_path, monkeypatch)
    made.kernel.fill(TABLE)
    made.by_mon("failure", "192.0.2.1", hosts="192.0.2.1")
    return made


def told(director: Director, *argv: str) -> Outcome:
    """Run lvs-director with these words."""
    return lvs_director.run(argv, director.environ, str)


@pytest.mark.parametrize("name", ["10.0.0.3:80", WEB, "TCP 10.0.0.3:80"])
def test_a_service_that_is_gone_is_forgotten(director: Director, name: str) -> None:
    """Nothing but the history speaks of it afterwards."""
    director.kernel.change("-D -t 10.0.0.3:80")
    assert "192.0.2.1:80" in told(director, "status").stdout
    done = told(director, "forget", name)
    assert (done.status, done.stdout, done.stderr) == (0, f"{WEB}: forgotten\n", "")
    assert told(director, "status").stdout == "no virtual service\n"
    assert "192.0.2.1:80" in told(director, "history").stdout
    assert any("forgotten" in each for each in director.told)


def test_a_service_that_stands_is_not_forgotten(director: Director) -> None:
    """Its servers would come back as if nothing had been."""
    done = told(director, "forget", "10.0.0.3:80")
    said = f"lvs-director: {WEB}: stands in the table, so there is more to come of it\n"
    assert (done.status, done.stdout, done.stderr) == (1, "", said)
    assert told(director, "why", "192.0.2.1").status == 0


def test_a_service_that_nobody_knows_is_named(director: Director) -> None:
    """A slip is told."""
    done = told(director, "forget", "10.0.0.9:80")
    said = "lvs-director: 10.0.0.9:80: no such virtual service is known\n"
    assert (done.status, done.stdout, done.stderr) == (3, "", said)
