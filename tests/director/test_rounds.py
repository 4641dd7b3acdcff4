"""A check that finds all as the one before did is done at a glance; anything new is looked at."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable

import pytest

from lvsalert.director import alert
from lvsalert.ledger.ledger import Ledger
from tests.harness.director_file import WEB, Machine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

HOSTS = "192.0.2.1 192.0.2.2"
FIRST, SECOND = "192.0.2.1:80", "192.0.2.2:80"
TWICE = WEB + WEB.replace("10.0.0.3", "10.0.0.4")
GLANCE = [("-Sn",), ("-Ln", "--thresholds")]


class Watched(Machine):
    """A director with a file of two services and one watch, in a time that the test moves."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch)
        self.now = float(self.time)
        self.decided = 0
        monkeypatch.setattr(time, "time", lambda: self.now)
        decide = alert.run

        def run(*args: object, **more: object) -> object:
            self.decided += 1
            return decide(*args, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(alert, "run", run)
        self.write(TWICE)
        assert self.with_file("start", "--unchecked").status == 0

    def check(
        self,
        *options: str,
        failed: str = "",
        service: str = "on",
        hosts: str = HOSTS,
        after: float = 10,
        at: float | None = None,
    ) -> Outcome:
        """Report a check, `after` seconds later, in which the hosts `failed`; none is a success."""
        self.now += after
        when = str(int(self.now if at is None else at))
        # The file's own watch, or one of the administrator's.
        group = "tcp-10.0.0.3-80" if service == "on" else "www"
        argv = ["-s", service, "-g", group, "-h", hosts, "-t", when]
        environ = {
            "MON_ALERTTYPE": "failure" if failed else "up",
            "MON_RETVAL": "1" if failed else "0",
            "LVSALERT_CONFIG": str(self.file),
            "LVSALERT_VIRTUAL_SERVICE": "10.0.0.3:80 10.0.0.4:80",
        }
        done = self.alert(*argv, *options, environ=environ, stdin=f"{failed}\n")
        assert (done.status, done.stderr) == (0, "")
        return done

    def is_glance(self, *options: str, **more: object) -> bool:
        """Say whether a success is taken at a glance."""
        decided = self.decided
        self.commands.clear()
        self.check(*options, **more)  # type: ignore[arg-type]
        if self.decided == decided:
            assert self.commands == GLANCE
        return self.decided == decided


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A director whose watch has found all well."""
    watched = Watched(tmp_path, monkeypatch)
    watched.check()
    assert watched.is_glance()
    return watched


def _by_hand(*words: str) -> Callable[[Watched], object]:
    return lambda watched: watched.kernel.ask(*words)


def _director(*words: str) -> Callable[[Watched], object]:
    return lambda watched: watched.run(*words)


def _edit(text: str) -> Callable[[Watched], object]:
    return lambda watched: watched.write(text)


CHANGED: dict[str, Callable[[Watched], object]] = {
    "somebody deletes an entry": _by_hand("-d", "-t", "10.0.0.4:80", "-r", FIRST),
    "somebody sets a weight": _by_hand("-e", "-t", "10.0.0.3:80", "-r", FIRST, "-g", "-w", "9"),
    "somebody sets a threshold": _by_hand(
        *("-e", "-t", "10.0.0.3:80", "-r", FIRST, "-g", "-w", "5", "-x", "9")
    ),
    "somebody adds a service": _by_hand("-A", "-t", "10.0.0.9:80", "-s", "rr"),
    "a drain": _director("drain", "192.0.2.1"),
    "a drain for a while": _director("drain", "192.0.2.1", "--for", "1h"),
    "a stop": lambda watched: watched.with_file("stop"),
    "the file is edited": _edit(TWICE + "#\n"),
    "a failure": lambda watched: watched.check(failed="192.0.2.1"),
    "another watch's failure": lambda watched: watched.check(failed="192.0.2.1", service="ping"),
    "the clock is set back": lambda watched: setattr(watched, "now", watched.now - 3600),
    "a long time": lambda watched: setattr(watched, "now", watched.now + 700),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_is_new_is_looked_at(watched: Watched, name: str) -> None:
    """Each change, wherever it comes from, has the next check decide."""
    CHANGED[name](watched)
    assert not watched.is_glance()


@pytest.mark.parametrize(
    ("options", "more"),
    [
        (["--weight", "9"], {}),
        ([], {"hosts": "192.0.2.1"}),
        ([], {"service": "ping"}),
        (["--rise", "2"], {}),
        (["--dry-run"], {}),
    ],
    ids=["option", "hosts", "source", "count", "dry run"],
)
def test_what_asks_for_something_else_is_looked_at(
    watched: Watched, options: Sequence[str], more: dict[str, object]
) -> None:
    """A glance is at the same watch with the same options."""
    assert not watched.is_glance(*options, **more)


def test_what_was_done_by_hand_is_undone(watched: Watched) -> None:
    """A check sets right what somebody changed, then finds all as before again."""
    rules = watched.kernel.rules
    watched.kernel.ask("-d", "-t", "10.0.0.4:80", "-r", FIRST)
    assert not watched.is_glance()
    assert sorted(watched.kernel.rules) == sorted(rules)
    assert not watched.is_glance()
    assert watched.is_glance()


def test_watches_do_not_disturb_each_other(watched: Watched) -> None:
    """Two watches that find all well are both taken at a glance, in turn."""
    watched.check(service="ping")
    for _ in range(2):
        assert watched.is_glance()
        assert watched.is_glance(service="ping")


def test_a_failure_that_goes_on_leaves_glances_to_others(watched: Watched) -> None:
    """While one watch reports the same failure, the other one's success says nothing new."""
    watched.check(failed="192.0.2.1", service="ping")
    watched.check()
    for _ in range(2):
        watched.check(failed="192.0.2.1", service="ping")
        assert watched.is_glance()
    assert watched.servers == {SECOND: "-g -w 3"}


@pytest.mark.parametrize(
    "options", [("--slow-start", "60"), ("--rise", "3"), ("--quiesce-first", "60")]
)
def test_what_time_changes_is_looked_at(watched: Watched, options: Sequence[str]) -> None:
    """A slow start, a count and a wait for connections each come to their end."""
    watched.check(*options)
    watched.check(*options, failed="192.0.2.1")
    for _ in range(8):
        watched.check(*options)
    assert watched.servers[FIRST] == "-g -w 5"
    assert watched.is_glance(*options)


def test_a_failure_that_comes_late_is_overtaken(watched: Watched) -> None:
    """One from before the last glance changes nothing; one of the same second counts."""
    last = watched.now
    watched.check(failed="192.0.2.1", at=last - 5)
    assert watched.servers.keys() == {FIRST, SECOND}
    watched.check()
    assert watched.is_glance()
    watched.check(failed="192.0.2.1", at=watched.now)
    assert watched.servers.keys() == {SECOND}


def test_a_name_is_looked_up_each_time(watched: Watched) -> None:
    """A host that is called by a name may be another one by now."""
    watched.names["web1"] = ["192.0.2.1"]
    for _ in range(2):
        assert not watched.is_glance(hosts="web1 192.0.2.2")


def test_a_real_server_s_alert_looks_up_no_host(watched: Watched) -> None:
    """With -R the group's hosts are only read in the summary, and may have names."""
    options = ("--real-server", "192.0.2.1")
    watched.check(*options, hosts="web1 web2")
    assert watched.is_glance(*options, hosts="web1 web2")
    watched.names["web3"] = ["192.0.2.2"]
    for _ in range(2):
        assert not watched.is_glance("--real-server", "web3", hosts="web1 web2")


def test_a_state_directory_that_is_gone_is_noticed(watched: Watched) -> None:
    """What cannot be read is no glance, and the check goes on without memory."""
    for part in watched.state.iterdir():
        part.unlink()
    watched.state.rmdir()
    assert not watched.is_glance()
    assert watched.servers.keys() == {FIRST, SECOND}


def test_why_tells_the_last_check(watched: Watched) -> None:
    """A glance is a check as any other: what a source said last is of its time."""
    ledger = Ledger.open(str(watched.state))
    said = ledger.verdicts.of("tcp 10.0.0.4:80", ("192.0.2.2", 80))
    ledger.close()
    assert said["tcp-10.0.0.3-80/on"].time == int(watched.now)
