"""lvs-director history: which lines, in which form, and which out-times come of them."""

from __future__ import annotations

import json
import re
import sqlite3
import stat
import time
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import lvs_director
from lvsalert.errors import UsageError
from lvsalert.ledger import history
from lvsalert.ledger.journal import Entry
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import LastRun
from lvsalert.ledger.text import Words
from lvsalert.ledger.timeline import Lane, OutTime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

NOW = 1_700_000_000.0
WEB = "tcp 10.0.0.3:80"
ONE, TWO, SIX = "192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"
IN = ("-g", "-w", "5")
QUIET = ("-g", "-w", "0")


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC, wherever the tests run."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def real(
    when: float,
    before: Words | None,
    after: Words | None,
    *,
    name: str = ONE,
    who: str = "www/http",
    virtual: str = WEB,
) -> Entry:
    """Return a line on a real server, ``when`` in seconds after the beginning."""
    was, now = ("out" if each is None else f"dr weight {each[2]}" for each in (before, after))
    words = {"before": before, "after": after}
    why = "connection refused" if after is None else "up"
    return Entry(0, NOW + when, who, why, virtual, name, was, now, words)


def service(when: float, verb: str, *, who: str = "www/http") -> Entry:
    """Return a line on the web service, as ``step`` writes it."""
    words = (verb, "-t", "10.0.0.3:80", "-s", "wlc")
    before, after = ("" if verb == "-A" else "stands", "" if verb == "-D" else "stands")
    told = {"before": None, "after": words if after else None}
    return Entry(0, NOW + when, who, "up", WEB, "", before, after, told)


def journalled(folder: Path, *entries: Entry, runs: tuple[LastRun, ...] = ()) -> Path:
    """Write a ledger with these lines, and return its folder."""
    ledger = Ledger.open(str(folder))
    ledger.begin()
    ledger.journal.confirm(ledger.journal.intend(entries))
    for run in runs:
        ledger.runs.put(run)
    ledger.commit()
    ledger.close()
    return folder


def shown(folder: Path, *argv: str) -> Outcome:
    """Run lvs-director history on the ledger in a folder."""
    words = ["history", "--state-dir", str(folder), *argv]
    return lvs_director.run(words, {}, lambda: "")


DAY = (
    service(0, "-A"),
    real(0, None, IN),
    real(0, None, IN, name=SIX),
    real(60, IN, None),
    real(120, IN, None, name=SIX, who="operator root"),
)


def test_journal_is_a_plain_table(tmp_path: Path) -> None:
    """Each line tells when, who, of what, what was, what is, and why; the columns are aligned."""
    first, *rest = shown(journalled(tmp_path, *DAY)).stdout.splitlines()
    begins = [first.index(each) for each in first.split()]
    ends = [*begins[1:], None]
    assert first.split() == ["TIME", "WHO", "SERVICE", "SERVER", "BEFORE", "AFTER", "WHY"]
    created, refused = "2023-11-14 22:13:20", "connection refused"
    assert [[line[a:b].rstrip() for a, b in zip(begins, ends)] for line in rest] == [
        [created, "www/http", WEB, "-", "-", "created", "up"],
        [created, "www/http", WEB, ONE, "out", "dr weight 5", "up"],
        [created, "www/http", WEB, SIX, "out", "dr weight 5", "up"],
        ["2023-11-14 22:14:20", "www/http", WEB, ONE, "dr weight 5", "out", refused],
        ["2023-11-14 22:15:20", "operator root", WEB, SIX, "dr weight 5", "out", refused],
    ]


def test_journal_for_a_program(tmp_path: Path) -> None:
    """--json gives the changes, with times that carry their offset, and fields for what was."""
    told = json.loads(shown(journalled(tmp_path, *DAY), "--json").stdout)
    assert told["version"] == 1
    service = {"name": WEB, "protocol": "tcp", "address": "10.0.0.3", "port": 80}
    assert told["changes"][3] == {
        "time": "2023-11-14T22:14:20.000+00:00",
        "who": "www/http",
        "service": service,
        "server": {"address": "192.0.2.1", "port": 80},
        "before": {"forwarding": "dr", "weight": 5, "upper": 0, "lower": 0, "flags": []},
        "after": None,
        "why": "connection refused",
    }
    created = told["changes"][0]
    assert (created["server"], created["before"]) == (None, None)
    assert created["after"] is not None


def test_empty_journal_says_so(tmp_path: Path) -> None:
    """A journal without a line is no error; for a program it has no change."""
    journalled(tmp_path)
    assert shown(tmp_path) == (0, "no change\n", "", None)
    assert json.loads(shown(tmp_path, "--json").stdout) == {"version": 1, "changes": []}


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ([], 5),
        (["--since", "2023-11-14T22:14:20"], 2),
        (["--since", "2023-11-14T23:14:21+01:00"], 1),
        (["--since", "2023-11-14T22:14:20Z"], 2),
        (["--since", "1s"], 0),
        (["--server", "192.0.2.1"], 2),
        (["--server", "192.0.2.1:80"], 2),
        (["--server", "192.0.2.1:http"], 2),
        (["--server", "192.0.2.1:81"], 0),
        (["--server", "192.0.2"], 0),
        (["--server", "2001:DB8::1"], 2),
        (["--server", "[2001:db8:0::1]:80"], 2),
        (["--service", "10.0.0.3:80"], 5),
        (["--service", "10.0.0.3:http"], 5),
        (["--service", "tcp 10.0.0.3:80"], 5),
        (["--service", "TCP 10.0.0.3:80"], 5),
        (["--service", "udp 10.0.0.3:80"], 0),
        (["--service", "7"], 0),
        (["--service", "10.0.0.3:80", "--server", "192.0.2.1", "--since", "2023-11-14T22:14"], 1),
    ],
)
def test_lines_are_chosen(tmp_path: Path, options: list[str], count: int) -> None:
    """A time, a service and a server narrow the journal, whichever way they are spelled."""
    done = shown(journalled(tmp_path, *DAY), "--json", *options)
    assert len(json.loads(done.stdout)["changes"]) == count


@pytest.mark.parametrize("name", ["7", "fwm 7", "7 -6", "fwm 7 -6"])
def test_firewall_mark_is_chosen(tmp_path: Path, name: str) -> None:
    """A mark is told with or without fwm; that of IPv6 is another one."""
    four, six = (real(0, None, IN, virtual=each) for each in ("fwm 7", "fwm 7 -6"))
    done = shown(journalled(tmp_path, four, six), "--json", "--service", name)
    (line,) = json.loads(done.stdout)["changes"]
    is_six = name.endswith("6")
    named = "fwm 7 -6" if is_six else "fwm 7"
    assert line["service"] == {"name": named, "protocol": "fwm", "fwmark": 7, "ipv6": is_six}


def test_name_stands_for_its_addresses() -> None:
    """A real server can be told by a name."""
    found = {"web1": ["192.0.2.1", "2001:db8::1"]}
    assert history.server_names("web1:80", lambda *_: found) == [ONE, SIX]
    assert history.server_names("web1", lambda *_: found) == ["192.0.2.1", "[2001:db8::1]"]
    with pytest.raises(UsageError, match=r"^web2: no address found$"):
        history.server_names("web2", lambda *_: {"web2": []})


@pytest.mark.parametrize(
    ("text", "ago"), [("90s", 90), ("15m", 900), ("2h", 7200), ("3d", 259200), ("0s", 0)]
)
def test_time_is_told_by_how_long_ago(text: str, ago: float) -> None:
    """Seconds, minutes, hours and days count back from now."""
    assert history.moment(text, NOW) == NOW - ago


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2 h", "2w", "yesterday", "14:30", "٢h"])
def test_other_time_is_refused(text: str) -> None:
    """What is neither a duration nor an ISO time is named, with how to write one."""
    with pytest.raises(UsageError) as error:
        history.moment(text, NOW)
    how = "write 90s, 15m, 2h or 3d (ago), or 2024-12-31T23:59:59"
    assert str(error.value) == f"{text!r} is not a time: {how}"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--since", "soon"], "--since: 'soon' is not a time: "),
        (["--service", "web:80"], "--service: 'web:80' is not a virtual service: "),
        (["--service", ""], "--service: '' is not an address: "),
        (["--server", "a:b:c"], "'a:b:c' is not an address: "),
        (["--server", "192.0.2.1:0x"], "'0x' is not a port: "),
    ],
)
def test_bad_option_is_named(tmp_path: Path, options: list[str], complaint: str) -> None:
    """An option that cannot be understood is one line, and status 3."""
    done = shown(journalled(tmp_path, *DAY), *options)
    assert (done.status, done.stdout) == (3, "")
    assert done.stderr.startswith(f"lvs-director: {complaint}")
    assert done.stderr.count("\n") == 1


def test_no_ledger_is_one_line(tmp_path: Path) -> None:
    """Where no ledger is, that is said, and none is begun."""
    done = shown(tmp_path)
    assert done == (1, "", f"lvs-director: {tmp_path}/ledger.db: No such file or directory\n", None)
    assert list(tmp_path.iterdir()) == []


def test_newer_ledger_is_refused(tmp_path: Path) -> None:
    """A ledger of a newer program is refused with a sentence."""
    journalled(tmp_path)
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    done = shown(tmp_path)
    assert done.status == 1
    assert re.fullmatch(r"lvs-director: \S+ledger\.db: made by a newer lvsalert .*\n", done.stderr)


def test_broken_ledger_is_one_line(tmp_path: Path) -> None:
    """A file that is no ledger is said to be none, and stays as it is."""
    (tmp_path / "ledger.db").write_text("no database at all, and long enough to be looked at\n" * 9)
    done = shown(tmp_path)
    assert (done.status, done.stderr) == (
        1,
        f"lvs-director: {tmp_path}/ledger.db: file is not a database\n",
    )


def lanes(
    folder: Path, *entries: Entry, since: float = 0, runs: tuple[LastRun, ...] = ()
) -> list[Lane]:
    """Return the out-times of a journal with these lines, seconds after the beginning."""
    with history.opened(str(journalled(folder, *entries, runs=runs))) as ledger:
        return history.lanes(ledger, history.Selection(NOW + since if since else 0.0))


def test_out_time_has_its_cause(tmp_path: Path) -> None:
    """A server is out from the line that took it out to the one that put it in."""
    (lane,) = lanes(tmp_path, real(0, None, IN), real(60, IN, None), real(90, None, IN))
    told = OutTime(NOW + 60, NOW + 90, "www/http", False, "www/http: connection refused")
    assert lane == Lane(WEB, ONE, NOW, [told])


def test_all_operators_are_one_cause(tmp_path: Path) -> None:
    """Whoever took a server out by hand is the operator; the reason tells the name."""
    (lane,) = lanes(tmp_path, real(0, IN, None, who="operator bob"))
    assert lane.since == 0
    assert [(out.cause, out.end, out.why) for out in lane.outs] == [
        ("operator", None, "operator bob: connection refused")
    ]


def test_quiesced_then_deleted_is_two_times(tmp_path: Path) -> None:
    """Weight 0 is out as well, and told from being deleted."""
    (lane,) = lanes(tmp_path, real(0, IN, QUIET), real(30, QUIET, None), real(60, None, IN))
    assert [(out.begin - NOW, out.quiesced) for out in lane.outs] == [(0, True), (30, False)]
    assert [out.end for out in lane.outs] == [NOW + 30, NOW + 60]


def test_weight_is_no_out_time(tmp_path: Path) -> None:
    """A server that changes its weight is in all the time."""
    (lane,) = lanes(tmp_path, real(0, IN, ("-g", "-w", "1")), real(9, ("-g", "-w", "1"), IN))
    assert lane.outs == []


def test_earlier_lines_count(tmp_path: Path) -> None:
    """A server that went out before the time asked for, and still is, has its bar."""
    entries = (real(0, IN, None), real(0, IN, None, name=TWO), real(50, None, IN, name=TWO))
    one, two = lanes(tmp_path, *entries, since=100)
    assert [out.begin for out in one.outs] == [NOW]
    assert two.outs == []


def test_fallback_has_no_lane(tmp_path: Path) -> None:
    """A fallback, which is out while all is well, is not drawn as a server that is out."""
    run = LastRun(WEB, "www/http", "", NOW, {"LVSALERT_FALLBACK": "192.0.2.2:8080"})
    (lane,) = lanes(tmp_path, real(0, IN, None), real(5, IN, None, name=TWO), runs=(run,))
    assert lane.real == ONE


def test_picture_is_written_whole(tmp_path: Path) -> None:
    """--svg writes a file that the others may read, beside the table, and leaves nothing else."""
    journalled(tmp_path, *DAY)
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = folder / "out.svg"
    picture.write_text("old")
    done = shown(tmp_path, "--svg", str(picture))
    assert done.status == 0
    assert done.stdout.startswith("TIME ")
    assert ET.parse(picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314
    piped = shown(tmp_path, "--svg", "-")
    assert ET.fromstring(piped.stdout).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314
    assert list(folder.iterdir()) == [picture]
    assert stat.S_IMODE(picture.stat().st_mode) & 0o400


def test_picture_follows_a_link(tmp_path: Path) -> None:
    """A link stays a link, and what it points to is written."""
    journalled(tmp_path)
    target, link = tmp_path / "target.svg", tmp_path / "link.svg"
    link.symlink_to(target)
    assert shown(tmp_path, "--svg", str(link)).status == 0
    assert link.is_symlink()
    assert "no change of a real server" in target.read_text()


def test_device_is_written_to(tmp_path: Path) -> None:
    """A device is not replaced by a file."""
    journalled(tmp_path)
    assert shown(tmp_path, "--svg", "/dev/null").status == 0
    assert stat.S_ISCHR((tmp_path / "/dev/null").stat().st_mode)


@pytest.mark.parametrize(
    ("name", "why"),
    [(".", "is a directory"), ("absent/out.svg", "no such file or directory"), ("a\0b", "null")],
)
def test_picture_that_cannot_be_written(tmp_path: Path, name: str, why: str) -> None:
    """A file that cannot be written is named in one line, with status 1."""
    done = shown(journalled(tmp_path), "--svg", str(tmp_path / name))
    assert (done.status, done.stdout) == (1, "")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_lanes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Port 80 comes before port 443, and 192.0.2.9 before 192.0.2.10."""
    places = [("443", "192.0.2.9"), ("80", "192.0.2.9"), ("80", "192.0.2.10")]
    drawn = lanes(
        tmp_path,
        *(
            real(0, None, IN, name=f"{server}:{port}", virtual=f"tcp 10.0.0.3:{port}")
            for port, server in places
        ),
    )
    assert [each.real for each in drawn] == ["192.0.2.9:80", "192.0.2.10:80", "192.0.2.9:443"]
