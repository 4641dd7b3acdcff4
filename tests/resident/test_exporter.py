"""What the resident process shows over HTTP, and that nobody who reads it holds it up."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from lvsalert import openmetrics
from lvsalert.errors import UsageError
from lvsalert.resident import notes
from lvsalert.resident.exporter import parse_place, spelled
from tests.harness.misbehaving import Misbehaving, refusing, replies
from tests.harness.places import free_port, open_folder
from tests.harness.resident import Call, Resident
from tests.harness.waiting import patience, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN = "application/openmetrics-text"


class Shown:
    """A resident process that shows metrics at a port and at a Unix socket."""

    def __init__(self, folder: Path) -> None:
        """Lay it out, with a program for ipvsadm that knows of no kernel."""
        self.port = free_port()
        self.path = folder / "http"
        words = ["--listen", str(self.port), "--listen", f"unix:{self.path}"]
        words += ["--ipvsadm", "/bin/false", "--state-dir", str(folder)]
        self.resident = Resident(folder, options=words)

    def get(self, path: str = "/metrics", method: str = "GET") -> tuple[int, str, str]:
        """Return status, type and text of an answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=patience())
        with contextlib.closing(connection):
            connection.request(method, path, headers={"Accept": OPEN})
            answer = connection.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read().decode()

    @property
    def values(self) -> dict[str, float]:
        """All that is shown, by name and labels in one line."""
        status, kind, text = self.get()
        assert (status, kind) == (200, openmetrics.CONTENT_TYPE)
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def wait_for(self, name: str, value: float) -> None:
        """Wait until a measurement has a value, which is no older than a second."""
        wait_until(lambda: self.values.get(name) == value, lambda: f"{name} {value}: {self.values}")


@pytest.fixture
def shown() -> Iterator[Shown]:
    """A resident process that answers over HTTP."""
    with open_folder() as folder:
        made = Shown(folder)
        with made.resident:
            wait_until(made.path.exists, "it shows")
            yield made


def check(shown: Shown, *hosts: str, port: int) -> int:
    """Run http.monitor as mon does; return its status."""
    environment = {"MON_GROUP": "www", "MON_SERVICE": "http"}
    words = ["-t", "900", "-p", str(port), *hosts]
    return Call(shown.resident, "http.monitor", *words, environment=environment).result[0]


def test_checks_and_runs_are_counted(shown: Shown) -> None:
    """By what they came to, with their seconds; a call by hand is a run, and no check."""
    good = replies(b"HTTP/1.1 200 OK\r\n\r\nhello")
    with Misbehaving(good, "127.0.0.1") as web, refusing("127.0.0.2"):
        assert check(shown, "127.0.0.1", port=web.port) == 0
        assert check(shown, "127.0.0.1", "127.0.0.2", port=web.port) == 1
        assert check(shown, "--nonsense", port=web.port) == 3
        assert check(shown, "127.0.0.1", port=web.port) == 0
    assert Call(shown.resident, "tcp.monitor", "--version").result[0] == 0
    shown.wait_for("lvsalert_resident_runs_total tcp.monitor", 1)
    shown.wait_for("lvsalert_resident_active_runs", 0)
    values = shown.values
    assert [values[f"lvsalert_checks_total www/http {each}"] for each in notes.RESULTS] == [2, 1, 1]
    assert values["lvsalert_check_duration_seconds_count www/http"] == 4
    assert 0 < values["lvsalert_check_duration_seconds_sum www/http"] < 4 * patience()
    assert values["lvsalert_resident_runs_total http.monitor"] == 4
    assert values["lvsalert_resident_workers"] == 1
    assert values["lvsalert_resident_runs_lost_total"] == 0
    assert values["lvsalert_table_readable"] == 0
    begun = values["lvsalert_resident_start_time_seconds"]
    assert values["lvsalert_resident_run_last_timestamp_seconds tcp.monitor"] > begun


def test_it_is_read_only_and_older_readers_get_the_older_format(shown: Shown) -> None:
    """At both places; whatever else is asked for is not there."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(patience())
        sock.connect(str(shown.path))
        sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        older = b"".join(iter(lambda: sock.recv(1 << 16), b"")).decode()
    assert f"\r\nContent-Type: {openmetrics.OLDER_CONTENT_TYPE}\r\n" in older
    assert "# TYPE lvsalert_build_info gauge\n" in older
    assert not older.endswith("# EOF\n")
    assert shown.path.stat().st_mode & 0o777 == 0o660
    assert shown.get("/metrics?x", "HEAD")[::2] == (200, "")
    status, kind, text = shown.get("/")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert "/bin/false cannot read the table" in text
    assert [shown.get(each)[0] for each in ("/x", "/metrics/../x")] == [404, 404]
    assert [shown.get(method=each)[0] for each in ("POST", "PUT", "DELETE")] == [501, 501, 501]


def test_slow_readers_hold_nothing_up(shown: Shown) -> None:
    """Any number of them that say nothing: runs go on, and they are cut off after their time."""
    with contextlib.ExitStack() as stack:
        made = [
            stack.enter_context(socket.create_connection(("127.0.0.1", shown.port)))
            for _ in range(50)
        ]
        for each in made[:5]:
            each.sendall(b"GET /metrics HTTP/1.0\r\n")
        web = stack.enter_context(Misbehaving(replies(b"HTTP/1.1 200 OK\r\n\r\n"), "127.0.0.1"))
        assert check(shown, "127.0.0.1", port=web.port) == 0
        for each in made:
            each.settimeout(patience())
            with contextlib.suppress(ConnectionResetError):
                assert each.recv(100) == b""
        shown.wait_for("lvsalert_checks_total www/http passed", 1)


def test_one_that_is_killed_comes_back_with_the_next_run(shown: Shown) -> None:
    """Its counters begin anew, which Prometheus knows; the resident goes on meanwhile."""
    good = replies(b"HTTP/1.1 200 OK\r\n\r\n")
    with Misbehaving(good, "127.0.0.1") as web:
        assert check(shown, "127.0.0.1", port=web.port) == 0
        shown.wait_for("lvsalert_checks_total www/http passed", 1)
        begun = shown.values["lvsalert_resident_start_time_seconds"]
        (pid,) = [each for each in shown.resident.workers() if os.getpgid(each) != each]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: pid not in shown.resident.workers(), "its end is noticed")
        assert check(shown, "127.0.0.1", port=web.port) == 0
        wait_until(lambda: _answers(shown), "it shows again")
        shown.wait_for("lvsalert_checks_total www/http passed", 1)
        assert shown.values["lvsalert_resident_start_time_seconds"] > begun


def _answers(shown: Shown) -> bool:
    with contextlib.suppress(OSError):
        return shown.get()[0] == 200
    return False


def test_a_place_that_another_has_is_taken_as_soon_as_it_is_free(shown: Shown) -> None:
    """Runs do not wait for it; one killed with all that it was leaves no process behind."""
    with open_folder() as folder:
        second = Resident(folder, options=["--listen", f"127.0.0.1:{shown.port}"])
        with second:
            said = f"127.0.0.1:{shown.port}: Address already in use: tried again until"
            wait_until(lambda: said in second.program.output, lambda: second.program.output)
            assert Call(second, "tcp.monitor", "--version").result[0] == 0

            def second_shows() -> bool:
                # The one that is killed may be in the middle of an answer.
                with contextlib.suppress(OSError, HTTPException):
                    return shown.values.get("lvsalert_resident_runs_total tcp.monitor") == 1
                return False

            assert not second_shows()
            os.kill(shown.resident.program.pid, signal.SIGKILL)
            wait_until(second_shows, "the second shows")
            assert second.program.output.count("Address already in use") == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("9798", "127.0.0.1:9798"),
        ("192.0.2.1:80", "192.0.2.1:80"),
        ("[::1]:9798", "[::1]:9798"),
        ("unix:/run/x", "unix:/run/x"),
    ],
)
def test_places(text: str, found: str) -> None:
    """A port alone is one of this machine."""
    assert spelled(parse_place(text)) == found


@pytest.mark.parametrize("text", ["unix:", "unix:x", "192.0.2.1", "www:80", "::1"])
def test_what_is_no_place(text: str) -> None:
    """It is refused with what may be written instead; a name may mean another address tomorrow."""
    with pytest.raises(UsageError) as caught:
        parse_place(text)
    said = "is not a place to listen: write 127.0.0.1:9798, 9798 or unix:/PATH"
    assert str(caught.value) == f"{text!r} {said}"


def test_a_note_that_nobody_takes_is_lost() -> None:
    """Whoever notes waits for nobody, and one without a socket says nothing."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        noted = notes.Notes(ours)
        for _ in range(10_000):
            noted.trap("www/http")
        ours.close()
        counts = notes.Counts()
        taken = 0
        while words := notes.read(theirs):
            counts.take(words)
            taken += 1
        assert 0 < taken < 10_000
        (traps,) = [each for each in counts.families() if each.name == "lvsalert_resident_traps"]
        assert traps.samples == [({"check": "www/http"}, taken, "")]
    notes.Notes(None).watches(1)
