"""The real mon runs under the harness as it would on a director."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from tests.harness.mon import USER, Mon
from tests.harness.places import is_root

CONFIGURATION = """
mondir = /usr/lib/mon/mon.d
alertdir = /usr/lib/mon/alert.d

hostgroup web 127.0.0.1

watch web
    service http
        interval 1s
        monitor %s
        period wd {Sun-Sat}
            alert test.alert
"""

HTTP = CONFIGURATION % "http.monitor -p 1"


def test_mon_checks_alerts_and_answers(folder: Path) -> None:
    """A check that fails shows in mon's status, in its syslog, and in an alert that it calls."""
    with Mon(folder / "mon", HTTP) as mon:
        mon.wait_for_check("web", "http")
        assert mon.status("web", "http")["last_summary"] == "127.0.0.1"
        mon.syslog.wait_for("calling alert test.alert for web/http")
        assert mon.syslog.complaints() == []


def test_mon_starts_again_after_being_killed(folder: Path) -> None:
    """Killed and started again, mon checks as before."""
    with Mon(folder / "mon", HTTP) as mon:
        mon.wait_for_check("web", "http")
        mon.kill()
        mon.start()
        mon.wait_for_check("web", "http")


def test_complaint_is_seen(folder: Path) -> None:
    """A monitor that does not exist is complained about in syslog."""
    with Mon(folder / "mon", CONFIGURATION % "absent.monitor") as mon:
        mon.syslog.wait_for("absent.monitor not found")
        assert mon.syslog.complaints()


def test_refused_command_is_an_error(folder: Path) -> None:
    """A command that mon does not carry out fails with mon's own words."""
    with (
        Mon(folder / "mon", HTTP) as mon,
        pytest.raises(AssertionError, match="520 period not defined"),
    ):
        mon.command("test alert web http 1 never")


@pytest.mark.skipif(not is_root(), reason="only root can run mon as another user")
def test_mon_runs_as_its_own_user(folder: Path) -> None:
    """mon's processes belong to the user mon, with two capabilities and no more."""
    with Mon(folder / "mon", HTTP) as mon:
        ((_, number),) = (line.split() for line in mon.command("list pids") if "server" in line)
        process = Path("/proc") / number
        assert process.stat().st_uid == pwd.getpwnam(USER).pw_uid
        assert "CapEff:\t0000000000003000" in (process / "status").read_text()
