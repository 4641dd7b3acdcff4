"""lvs-director status, why, drain and resume as a person or a program sees them."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from lvsalert.commands import director_servers, lvs_director
from lvsalert.commands.entry import Outcome
from lvsalert.errors import IpvsadmError
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ledger.database import FILE_NAME
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import LastRun
from lvsalert.model import Protocol, VirtualService
from tests.harness.alerts import Director
from tests.harness.places import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

WEB = VirtualService(Protocol.TCP, "10.0.0.3", 80, 0, 2)
ONE = ("192.0.2.1", 80)
TABLE = (
    "-A -t 10.0.0.3:21 -s rr\n"
    "-A -t 10.0.0.3:80 -s wlc\n"
    "-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 50\n"
    "-a -t 10.0.0.3:80 -r 192.0.2.2:80 -g -w 50\n"
    "-a -t 10.0.0.3:80 -r 192.0.2.3:80 -g -w 50\n"
    "-a -t 10.0.0.3:80 -r 192.0.2.4:80 -g -w 50\n"
)
HOSTS = "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4"
DETAIL = "192.0.2.3\nHOST 192.0.2.3: connection refused (0.010 s)\n"


@pytest.fixture
def utc() -> Iterator[None]:
    """Local time is UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, utc: None) -> Director:
    """A director with a real server in each state, since 2023-11-14 22:14:20 and later."""
    made = Director(tmp_path, monkeypatch)
    made.kernel.fill(TABLE)
    monkeypatch.setattr(time, "time", lambda: float(made.time))
    monkeypatch.setattr(director_servers, "user_name", lambda: "ann")
    monkeypatch.setattr(Ipvsadm, "connections", lambda _self: {WEB: {ONE: (3, 12)}})
    options = ("-W", "50", "--slow-start", "600")
    made.by_mon("failure", "192.0.2.4", *options, hosts=HOSTS)
    made.by_mon("up", "", *options, hosts=HOSTS)
    made.time += 60
    words = ["-g", "www", "-s", "http", "-h", HOSTS, "-t", str(made.time), "-V", "10.0.0.3:80"]
    told = {"MON_ALERTTYPE": "failure", "MON_RETVAL": "1"}
    made.alert(*words, *options, environ=told, stdin=DETAIL)
    made.time += 60
    told_by(made, "drain", "192.0.2.2")
    ledger = Ledger.open(str(made.state))
    ledger.runs.put(LastRun("fwm 7", "mail/smtp", "", 5.0, {}))
    ledger.close()
    return made


def told_by(director: Director, *argv: str) -> Outcome:
    """Run lvs-director with these words."""
    return lvs_director.run(argv, director.environ, str)


STATUS = """\
SERVICE          SERVER        STATE          WEIGHT  ACTIVE  INACTIVE  SINCE                CAUSES
tcp 10.0.0.3:21  -             -                   -       -         -  -                    -
tcp 10.0.0.3:80  192.0.2.1:80  in                 50       3        12  -                    -
tcp 10.0.0.3:80  192.0.2.2:80  quiesced            0       -         -  2023-11-14 22:17:20  operator: drained by ann
tcp 10.0.0.3:80  192.0.2.4:80  slow-starting       9       -         -  2023-11-14 22:15:20  -
tcp 10.0.0.3:80  192.0.2.3:80  out                 -       -         -  2023-11-14 22:16:20  www/http: connection refused
fwm 7            -             missing             -       -         -  -                    -
"""  # noqa: E501 - a table is as wide as it is


def test_status_is_a_table(director: Director) -> None:
    """A row a real server, with what the table lacks; numbers stand to the right."""
    assert told_by(director, "status") == Outcome(0, STATUS)


def test_status_of_an_empty_director(director: Director) -> None:
    """A table without a service, with an empty ledger, is told in words."""
    director.kernel.change("-C\n")
    (director.state / FILE_NAME).write_bytes(b"")
    assert told_by(director, "status") == Outcome(0, "no virtual service\n")


def test_status_for_a_program(director: Director) -> None:
    """JSON has the same as the table, with times in ISO 8601 and null for what is not known."""
    done = told_by(director, "status", "--json")
    seen = json.loads(done.stdout)
    assert (done.status, done.stderr, seen["lacking"]) == (0, "", None)
    assert seen["version"] == 1
    assert [each["service"]["name"] for each in seen["services"]] == [
        *("tcp 10.0.0.3:21", "tcp 10.0.0.3:80", "fwm 7"),
    ]
    assert seen["services"][2] == {
        "service": {"name": "fwm 7", "protocol": "fwm", "fwmark": 7, "ipv6": False},
        "scheduler": None,
        "missing": True,
        "stopped": None,
        "unjudged": [],
        "servers": [],
    }
    web = seen["services"][1]
    assert (web["scheduler"], web["missing"]) == ("wlc", False)
    assert [each["state"] for each in web["servers"]] == [
        *("in", "quiesced", "slow-starting", "out"),
    ]
    named = {"name": "tcp 10.0.0.3:80", "protocol": "tcp"}
    assert web["service"] == {**named, "address": "10.0.0.3", "port": 80}
    assert web["servers"][0] == {
        "server": {"address": "192.0.2.1", "port": 80},
        "state": "in",
        "weight": 50,
        "active": 3,
        "inactive": 12,
        "since": None,
        "causes": [],
    }
    assert web["servers"][3] == {
        "server": {"address": "192.0.2.3", "port": 80},
        "state": "out",
        "weight": None,
        "active": None,
        "inactive": None,
        "since": "2023-11-14T22:16:20.000+00:00",
        "causes": [
            {
                "by": "check",
                "group": "www",
                "service": "http",
                "reason": "connection refused",
                "since": "2023-11-14T22:16:20.000+00:00",
                "drain": False,
            }
        ],
    }


def _lose(path: Path) -> str:
    path.unlink()
    return "No such file or directory"


def _break(path: Path) -> str:
    path.write_bytes(b"no database" * 1000)
    return "file is not a database"


def _outdate(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    return "made by a newer lvsalert (version 99 of its tables)"


@pytest.mark.parametrize("spoil", [_lose, _break, _outdate])
def test_status_without_a_ledger(director: Director, spoil: Any) -> None:
    """The table is shown all the same, one line says what is lacking, and status is 1."""
    path = director.state / FILE_NAME
    said = f"{path}: {spoil(path)}"
    told_by(director, "status")
    done = told_by(director, "status")
    assert (done.status, done.stderr) == (1, f"lvs-director: {said}\n")
    assert "\ntcp 10.0.0.3:80  192.0.2.2:80  quiesced       0" in done.stdout
    assert json.loads(told_by(director, "status", "--json").stdout)["lacking"] == said


def test_status_without_a_table(director: Director, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ipvsadm that fails leaves nothing to show."""

    def refuse(_self: Ipvsadm) -> None:
        raise IpvsadmError("ipvsadm cannot read the table")

    monkeypatch.setattr(Ipvsadm, "read", refuse)
    assert told_by(director, "status") == Outcome(
        1, stderr="lvs-director: ipvsadm cannot read the table\n"
    )


WHY = {
    "192.0.2.1": """\
192.0.2.1:80 of tcp 10.0.0.3:80 is in, weight 50.
  It has 3 active and 12 inactive connections.
  Nobody says that it should be out.
  It passed 3 checks in a row of www/http, the last at 2023-11-14 22:16:20.
  No change of it is known.
""",
    "192.0.2.2": """\
192.0.2.2:80 of tcp 10.0.0.3:80 is quiesced: it takes no new connections, weight 0, \
since 2023-11-14 22:17:20.
  The operator says since 2023-11-14 22:17:20: drained by ann.
  It passed 3 checks in a row of www/http, the last at 2023-11-14 22:16:20.
  Its last changes:
    2023-11-14 22:17:20  operator ann: was dr weight 50, is dr weight 0: drained by hand
""",
    "192.0.2.3": """\
192.0.2.3:80 of tcp 10.0.0.3:80 is out, since 2023-11-14 22:16:20.
  www/http says since 2023-11-14 22:16:20: connection refused.
  It failed 1 check of www/http, the last at 2023-11-14 22:16:20.
  Its last changes:
    2023-11-14 22:16:20  www/http: was dr weight 50, is out: connection refused
""",
    "192.0.2.4": """\
192.0.2.4:80 of tcp 10.0.0.3:80 is starting slowly, weight 9, since 2023-11-14 22:15:20.
  It is to have all of its weight at 2023-11-14 22:25:20.
  Nobody says that it should be out.
  It passed 2 checks in a row of www/http, the last at 2023-11-14 22:16:20.
  Its last changes:
    2023-11-14 22:14:20  www/http: was dr weight 50, is out: failure
    2023-11-14 22:15:20  www/http: was out, is dr weight 5: passed its check
    2023-11-14 22:16:20  www/http: was dr weight 5, is dr weight 9: passed its check
""",
}


@pytest.mark.parametrize("server", WHY)
def test_why_tells_in_sentences(director: Director, server: str) -> None:
    """State, causes, counters and the last changes of a real server are sentences."""
    assert told_by(director, "why", server) == Outcome(0, WHY[server])


def test_why_of_a_quiesced_server_tells_its_end(director: Director) -> None:
    """A real server that is quiesced before it is deleted has a time for that."""
    options = ("-W", "50", "--quiesce-first", "90")
    director.by_mon("failure", "192.0.2.1", *options, hosts=HOSTS)
    text = told_by(director, "why", "192.0.2.1").stdout
    assert "\n  It is deleted at 2023-11-14 22:19:50, or with its last active connection.\n" in text


def test_why_of_a_server_that_is_held_in(director: Director) -> None:
    """A real server that stays in though it fails is told so."""
    options = ("-W", "50", "--min-in", "4")
    director.by_mon("failure", "192.0.2.1", *options, hosts=HOSTS)
    text = told_by(director, "why", "192.0.2.1").stdout
    assert text.startswith("192.0.2.1:80 of tcp 10.0.0.3:80 is in, weight 50.\n")
    assert (
        "\n  www/http says since 2023-11-14 22:18:20: failure.\n"
        "  It stays in all the same: --min-in holds it.\n"
    ) in text
    told = json.loads(told_by(director, "why", "192.0.2.1", "--json").stdout)
    assert told["services"][0]["held"] is True


@pytest.mark.parametrize("reserve", ["192.0.2.4", "web4", "192.0.2.4:80"])
def test_why_of_a_reserve_tells_when_it_serves(director: Director, reserve: str) -> None:
    """One that was never needed is known too, and nobody has to say that it should be out."""
    director.names = {"web4": ["192.0.2.4"]}
    director.kernel.change("-d -t 10.0.0.3:80 -r 192.0.2.4:80\n")
    (director.state / FILE_NAME).unlink()
    words, hosts = (
        ("--reserve", reserve, "--min-in", "3"),
        f"192.0.2.1 192.0.2.2 192.0.2.3 {reserve}",
    )
    director.by_mon("up", "", *words, hosts=hosts)
    idle = told_by(director, "why", "192.0.2.4")
    assert idle == Outcome(
        0,
        "192.0.2.4:80 of tcp 10.0.0.3:80 is out.\n"
        "  It is a reserve, and serves only while too few of the others do.\n"
        "  It passed 1 check of www/http, the last at 2023-11-14 22:18:20.\n"
        "  No change of it is known.\n",
    )
    director.by_mon("failure", "192.0.2.1", *words, hosts=hosts)
    text = told_by(director, "why", "192.0.2.4").stdout
    assert "  It is a reserve, and serves, as too few of the others do.\n" in text
    for server, is_reserve in (("192.0.2.4", True), ("192.0.2.2", False)):
        told = json.loads(told_by(director, "why", server, "--json").stdout)
        assert told["services"][0]["reserve"] is is_reserve


def test_why_is_a_paragraph_for_each_service(director: Director) -> None:
    """A real server of two virtual services has two stories, parted by an empty line."""
    director.kernel.change("-a -t 10.0.0.3:21 -r 192.0.2.1:21 -g -w 1\n")
    text = told_by(director, "why", "192.0.2.1").stdout
    assert text.startswith("192.0.2.1:21 of tcp 10.0.0.3:21 is in, weight 1.\n")
    assert f"\n\n{WHY['192.0.2.1']}" in text
    narrowed = told_by(director, "why", "192.0.2.1", "--service", "10.0.0.3:80")
    assert narrowed == Outcome(0, WHY["192.0.2.1"])


def test_why_for_a_program(director: Director) -> None:
    """JSON tells the counters and the changes besides what status does."""
    seen = json.loads(told_by(director, "why", "192.0.2.4:80", "--json").stdout)
    (story,) = seen["services"]
    assert story["server"] == {"address": "192.0.2.4", "port": 80}
    assert (story["state"], story["weight"]) == ("slow-starting", 9)
    assert story["slow_start_until"] == "2023-11-14T22:25:20.000+00:00"
    assert story["quiesced_until"] is None
    assert story["checks"] == [
        {
            "by": "check",
            "group": "www",
            "service": "http",
            "failed": False,
            "in_a_row": 2,
            "last": "2023-11-14T22:16:20.000+00:00",
        }
    ]
    after = [each["after"] and each["after"]["weight"] for each in story["changes"]]
    assert after == [None, 5, 9]


def test_why_of_a_server_that_nobody_knows(director: Director) -> None:
    """An unknown real server is bad usage; without a ledger the line says so."""
    said = "192.0.2.9: neither the table nor the ledger knows such a real server"
    assert told_by(director, "why", "192.0.2.9") == Outcome(3, stderr=f"lvs-director: {said}\n")
    path = director.state / FILE_NAME
    path.unlink()
    assert told_by(director, "why", "192.0.2.9") == Outcome(
        3, stderr=f"lvs-director: {said} ({path}: No such file or directory)\n"
    )


def test_why_without_a_ledger(director: Director) -> None:
    """What the table tells is told, and the line about the ledger goes to stderr."""
    (director.state / FILE_NAME).unlink()
    done = told_by(director, "why", "192.0.2.1")
    assert done.status == 1
    assert done.stdout == (
        "192.0.2.1:80 of tcp 10.0.0.3:80 is in, weight 50.\n"
        "  It has 3 active and 12 inactive connections.\n"
        "  Nobody says that it should be out.\n"
        "  No change of it is known.\n"
    )


def test_monitors_words_cannot_paint_the_terminal(director: Director) -> None:
    """Control characters in a reason are shown escaped."""
    words = ["-g", "www", "-s", "ftp", "-h", HOSTS, "-t", str(director.time), "-V", "10.0.0.3:80"]
    detail = "192.0.2.1\nHOST 192.0.2.1: \x1b[31mred (0.010 s)\n"
    told = {"MON_ALERTTYPE": "failure", "MON_RETVAL": "1"}
    director.alert(*words, environ=told, stdin=detail)
    for done in (told_by(director, "status"), told_by(director, "why", "192.0.2.1")):
        assert "\x1b" not in done.stdout
        assert r"\x1b[31mred" in done.stdout


@pytest.mark.parametrize(
    ("environ", "terminal", "colour"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
    ],
)
def test_colour_only_on_a_terminal(
    director: Director,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    terminal: bool,
    colour: bool,
) -> None:
    """Only the state is coloured, only on a terminal that can, and never with NO_COLOR."""
    monkeypatch.setattr(os, "isatty", lambda _descriptor: terminal)
    monkeypatch.setenv("COLUMNS", "132")
    director.environ.update(environ)
    text = told_by(director, "status").stdout
    assert ("\x1b" in text) == colour
    if colour:
        assert "  \x1b[31mout\x1b[0m                 -  " in text
        for code in ("31", "32", "33", "35", "36", "0"):
            text = text.replace(f"\x1b[{code}m", "")
    assert text == STATUS


def on_a_terminal(
    director: Director, monkeypatch: pytest.MonkeyPatch, columns: int, *, colour: bool = False
) -> list[str]:
    """Return the lines of status on a terminal of so many columns."""
    monkeypatch.setattr(os, "isatty", lambda _descriptor: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    director.environ.update({"TERM": "xterm", "NO_COLOR": "" if colour else "1"})
    return told_by(director, "status").stdout.splitlines()


@pytest.mark.parametrize(
    ("columns", "causes"),
    [
        (121, ["operator: drained by ann", "www/http: connection refused"]),
        (113, ["operator: drained b…", "www/http: connectio…"]),
    ],
)
def test_table_fits_the_terminal(
    director: Director, monkeypatch: pytest.MonkeyPatch, columns: int, causes: list[str]
) -> None:
    """Long causes are cut where a line would be broken."""
    lines = on_a_terminal(director, monkeypatch, columns)
    told = [line[lines[0].index("CAUSES") :] for line in lines[1:]]
    assert [each for each in told if each != "-"] == causes


NARROW = """\
  SERVER        STATE          WEIGHT  ACTIVE  INACTIVE  SINCE
tcp 10.0.0.3:21
  -             -                   -       -         -  -
tcp 10.0.0.3:80
  192.0.2.1:80  in                 50       3        12  -
  192.0.2.2:80  quiesced            0       -         -  2023-11-14 22:17:20
    operator: drained by ann
  192.0.2.4:80  slow-starting       9       -         -  2023-11-14 22:15:20
  192.0.2.3:80  out                 -       -         -  2023-11-14 22:16:20
    www/http: connection refused
fwm 7
  -             missing             -       -         -  -
"""
NARROWER = """\
  SERVER        STATE          WEIGHT  ACTIVE  INACTIVE
tcp 10.0.0.3:21
  -             -                   -       -         -
tcp 10.0.0.3:80
  192.0.2.1:80  in                 50       3        12
  192.0.2.2:80  quiesced            0       -         -
    since 2023-11-14 22:17:20: operator: drained by ann
  192.0.2.4:80  slow-starting       9       -         -
    since 2023-11-14 22:15:20
  192.0.2.3:80  out                 -       -         -
    since 2023-11-14 22:16:20: www/http: connection ref…
fwm 7
  -             missing             -       -         -
"""


@pytest.mark.parametrize(("columns", "text"), [(112, NARROW), (78, NARROW), (56, NARROWER)])
def test_a_narrow_terminal_has_the_causes_below(
    director: Director, monkeypatch: pytest.MonkeyPatch, columns: int, text: str
) -> None:
    """The service stands above its real servers, so that no line of theirs is broken."""
    lines = on_a_terminal(director, monkeypatch, columns)
    assert lines == text.splitlines()
    assert max(map(len, lines)) <= columns


def test_a_narrow_terminal_has_its_colours(
    director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take no room."""
    lines = on_a_terminal(director, monkeypatch, 80, colour=True)
    assert re.sub(r"\033\[\d+m", "", "\n".join(lines)) == NARROW.rstrip("\n")
    assert sum("\033[31mout\033[0m" in line for line in lines) == 1


def pieces(stream: Generator[str, None, Outcome] | None) -> tuple[list[str], Outcome]:
    """Return what a stream yields until it ends, and its outcome."""
    found = []
    assert stream is not None
    while True:
        try:
            found.append(next(stream))
        except StopIteration as end:
            return found, end.value


def drained(
    director: Director,
    monkeypatch: pytest.MonkeyPatch,
    counts: list[dict[str, int]],
    *words: str,
) -> tuple[list[str], Outcome]:
    """Drain and wait while the active connections of the web service go through ``counts``."""
    left = iter(counts)
    now = [0.0]

    def connections(_self: Ipvsadm) -> dict[Any, Any]:
        return {WEB: {(address, 80): (count, 0) for address, count in next(left).items()}}

    monkeypatch.setattr(Ipvsadm, "connections", connections)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    done = told_by(director, "drain", *words)
    assert (done.status, done.stderr) == (0, "")
    return pieces(done.stream)


def test_drain_waits_for_the_last_connection(
    director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line for each change of the number, and status 0 with the last."""
    counts = [{"192.0.2.1": count} for count in (12, 12, 2, 1, 1, 0)]
    lines, end = drained(director, monkeypatch, counts, "192.0.2.1", "--wait", "60")
    assert lines == [
        "tcp 10.0.0.3:80: 192.0.2.1:80 has 12 active connections left\n",
        "tcp 10.0.0.3:80: 192.0.2.1:80 has 2 active connections left\n",
        "tcp 10.0.0.3:80: 192.0.2.1:80 has 1 active connection left\n",
        "tcp 10.0.0.3:80: 192.0.2.1:80 has 0 active connections left\n",
    ]
    assert end == Outcome(0)


@pytest.mark.parametrize(("seconds", "polls"), [("2.5", 4), ("0", 1)])
def test_drain_waits_no_longer_than_asked(
    director: Director, monkeypatch: pytest.MonkeyPatch, seconds: str, polls: int
) -> None:
    """When the time is up with connections left, status is 1; no time at all is one look."""
    counts = [{"192.0.2.1": 2}] * polls
    lines, end = drained(director, monkeypatch, counts, "192.0.2.1", "--wait", seconds)
    assert lines == ["tcp 10.0.0.3:80: 192.0.2.1:80 has 2 active connections left\n"]
    said = f"lvs-director: 2 active connections left after {seconds} s\n"
    assert end == Outcome(1, stderr=said)


def test_drain_ends_with_an_ipvsadm_that_fails(
    director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong while it waits is one line, as anywhere else."""

    def refuse(_self: Ipvsadm) -> None:
        raise IpvsadmError("ipvsadm cannot list the table")

    monkeypatch.setattr(Ipvsadm, "connections", refuse)
    done = told_by(director, "drain", "192.0.2.1", "--wait", "60")
    assert pieces(done.stream) == (
        [],
        Outcome(1, stderr="lvs-director: ipvsadm cannot list the table\n"),
    )


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["why"], "Missing argument 'SERVER'."),
        (["drain", "192.0.2.1", "192.0.2.2"], "Got unexpected extra argument (192.0.2.2)"),
        (
            ["drain", "192.0.2.1", "--wait", "-1"],
            "--wait: '-1' is not a number of seconds (0 or more)",
        ),
        (
            ["resume", "192.0.2.1", "--service", "web"],
            "'web' is not a virtual service: write address:port or a firewall mark",
        ),
    ],
)
def test_bad_usage_is_one_line(director: Director, argv: list[str], said: str) -> None:
    """What cannot be understood ends with status 3 and is quoted."""
    assert told_by(director, *argv) == Outcome(3, stderr=f"lvs-director: {said}\n")


def _fields(value: object) -> set[str]:
    """Return the names of all fields in a document."""
    if isinstance(value, list):
        return {name for each in value for name in _fields(each)}
    if isinstance(value, dict):
        return set(value) | {name for each in value.values() for name in _fields(each)}
    return set()


@pytest.mark.parametrize(
    "words", [("status",), ("why", "192.0.2.1"), ("why", "192.0.2.4:80"), ("history",)]
)
def test_every_field_is_told_in_the_documentation(
    director: Director, words: tuple[str, ...]
) -> None:
    """Whoever writes a program finds it in docs/json.md."""
    text = (CHECKOUT / "docs" / "json.md").read_text(encoding="utf-8")
    told = set(re.findall(r"[a-z_0-9]+", " ".join(re.findall(r"`([^`]*)`", text))))
    assert _fields(json.loads(told_by(director, *words, "--json").stdout)) <= told
