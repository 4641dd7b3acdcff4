"""http.monitor --follow: redirects are met on the sweep and followed through requests."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest

from lvsalert.checks import http_requests, threads
from lvsalert.checks.http_answer import Body, Reader
from lvsalert.commands import http_monitor
from tests.harness import misbehaving
from tests.harness.misbehaving import OK, Client, Misbehaving, Talk, refusing, replies
from tests.harness.waiting import patience, short, wait_until
from tests.monitors import failed, http, knowing, open_descriptors, reasons, run

if TYPE_CHECKING:
    from tests.harness.certificates import Authority

PAGE = OK + b"Content-Length: 10\r\n\r\ntest page\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: /page\r\n"
SCRIPT = """
import sys
from lvsalert.commands import http_monitor
http_monitor.run(sys.argv[1:], {}, lambda: "")
print("requests" in sys.modules)
"""


def moves(then: Talk, head: bytes = MOVED + b"\r\n", *, after: float = 0) -> Talk:
    """Redirect / after some seconds, and treat who asks for anything else as `then` does."""

    def talk(client: Client) -> None:
        if not client.line().startswith(b"GET / "):
            return then(client)
        client.request()
        client.pause(after)
        return client.send(head)

    return talk


def late(seconds: float) -> Talk:
    """Give the page after some seconds."""

    def talk(client: Client) -> None:
        client.request()
        client.pause(seconds)
        client.send(PAGE)

    return talk


@pytest.mark.parametrize(
    ("options", "talk", "is_imported"),
    [
        ((), moves(replies(PAGE)), False),
        (("--follow",), replies(PAGE), False),
        (("--follow",), misbehaving.closes, False),
        (("--follow",), replies(b"HTTP/1.1 302 Found\r\n\r\n"), False),
        (("--follow",), replies(OK + b"Location: /page\r\n\r\n"), False),
        (("--follow",), moves(replies(PAGE)), True),
    ],
    ids=["not to be followed", "page", "dead", "no place", "no redirect", "redirect"],
)
def test_requests_is_imported_where_a_server_redirects(
    options: tuple[str, ...], talk: Talk, is_imported: bool
) -> None:
    """What takes longer to import than hundreds of hosts to ask is left alone until then."""
    with Misbehaving(talk) as server:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *options, server.place],
            capture_output=True,
            check=True,
            text=True,
        )
    assert (done.stdout, done.stderr) == (f"{is_imported}\n", "")


@pytest.mark.parametrize(
    ("head", "location"),
    [
        (b"HTTP/1.1 301 Moved\r\nlocation:/a", "/a"),
        (b"HTTP/1.1 308 P\nLOCATION: \t/a b \t", "/a b"),
        (b"HTTP/1.1 302 Found\r\nX-Location: /x\r\nLocation: /\xff\r\nServer: x", "/\xff"),
        (b"HTTP/1.1 302 Found\r\nLocation: /a\r\nX: y\r\nLocation: /b", "/a, /b"),
        (b"HTTP/1.1 303 See\r\nLocation:", ""),
        (b"HTTP/1.1 307 T\r\nTransfer-Encoding: chunked\r\nLocation: /a", "/a"),
        (b"HTTP/1.1 302 Found\r\nX: y", None),
        (b"HTTP/1.1 300 Choices\r\nLocation: /a", None),
        (b"HTTP/1.1 304 Same\r\nLocation: /a", None),
        (b"HTTP/1.1 201 Made\r\nLocation: /a", None),
    ],
)
def test_place_of_a_redirect_is_read(head: bytes, location: str | None) -> None:
    """A redirect is a status of five with a Location, whose body is not awaited."""
    for end in (b"\r\n\r\n", b"\n\n", b"\r\n\r\nzz not chunked\r\n"):
        reader = Reader(has_body=True, body=Body(1 << 20), follows=True)
        reader.feed(head + end)
        assert reader.location == location
        assert reader.is_complete or location is None
    reader = Reader(has_body=True, body=Body(1 << 20))
    reader.feed(head + b"\r\n\r\n")
    assert reader.location is None


def test_body_of_a_redirect_is_not_awaited() -> None:
    """A server that promises a body with its redirect, and is silent then, is followed at once."""

    def stays(client: Client) -> None:
        moves(replies(PAGE), MOVED + b"Content-Length: 1000\r\n\r\n")(client)
        client.hangs_up()

    with Misbehaving(stays) as server:
        assert failed(http("--follow", "--status", "200", "-m", "test page", server.place)) == []


def test_status_of_a_redirect_is_not_judged_where_it_is_followed() -> None:
    """Neither --status nor -m is for the redirect itself, and the page is what is told of."""
    with Misbehaving(moves(replies(OK + b"X: y\r\n\r\ntest page\n"))) as server:
        outcome = http("--follow", "--status", "200", "-m", "^HTTP.*test page", server.place)
    assert failed(outcome) == []
    assert "\n    HTTP/1.1 200 OK\n    X: y\n" in outcome.stdout
    assert "Location" not in outcome.stdout


def test_time_of_a_host_is_for_all_its_requests() -> None:
    """A page that comes in time of itself comes too late after a redirect that took long."""
    with Misbehaving(moves(late(2), after=1)) as server:
        place = f"redirected to http://{server.place}/page"
        for seconds, reason in (
            ("2.5", {server.place: f"{place}: timed out after 2.5 s, nothing came"}),
            ("20", {}),
        ):
            assert reasons(http("--follow", "-t", seconds, server.place)) == reason


def test_slowness_counts_from_the_first_request() -> None:
    """The redirect and the page together are too slow, where neither is."""
    with Misbehaving(moves(late(0.6), after=0.6)) as server:
        found = reasons(http("--follow", "--slow", "1100", server.place))
        assert failed(http("--follow", "--slow", "20000", server.place)) == []
    begins = f"redirected to http://{server.place}/page: answered in 1"
    assert found[server.place].startswith(begins)


def slowly(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return what takes as long as a server may."""

    def slow(*given: Any) -> Any:
        threading.Event().wait(float(short()))
        return original(*given)

    return slow


@pytest.mark.parametrize(
    "limit", [("-t", short()), ("--slow", f"{short()}000")], ids=["time-out", "slow"]
)
def test_import_is_on_no_hosts_account(
    monkeypatch: pytest.MonkeyPatch, limit: tuple[str, str]
) -> None:
    """What is imported for the first redirect takes no time from any host."""
    monkeypatch.setattr(http_monitor, "_by_requests", slowly(http_monitor._by_requests))
    with (
        Misbehaving(moves(replies(PAGE))) as one,
        Misbehaving(moves(replies(PAGE)), "::1") as two,
        Misbehaving(replies(PAGE)) as plain,
    ):
        hosts = (one.place, plain.place, two.place)
        assert failed(http("--follow", *limit, *hosts)) == []


def test_redirect_is_followed_while_others_are_silent() -> None:
    """A host that is silent to the end of its time takes none of another's."""
    with (
        Misbehaving(misbehaving.silent) as silent,
        refusing() as dead,
        Misbehaving(moves(replies(PAGE))) as moved,
    ):
        found = reasons(http("--follow", "-t", short(), silent.place, moved.place, dead))
    assert found == {
        silent.place: f"timed out after {short()} s, nothing came",
        dead: "Connection refused",
    }


def test_redirect_is_asked_of_the_address_that_gave_it() -> None:
    """A name is looked up once, and its second address is asked for both pages."""
    with (
        Misbehaving(moves(replies(b"HTTP/1.1 503 Oops\r\n\r\n"))) as server,
        knowing({"www.example.com": ["127.0.0.2", "127.0.0.1"]}) as names,
    ):
        host = f"www.example.com:{server.port}"
        outcome = http("--follow", host)
    assert names.asked == ["www.example.com"]
    assert server.connections == 2
    assert bytes(server.heard).count(f"\r\nHost: {host}\r\n".encode()) == 2
    reason = f"redirected to http://{host}/page: status 503 is not accepted"
    assert reasons(outcome) == {host: reason}
    assert f" s, {server.place})\n" in outcome.stdout


def test_redirect_over_tls_goes_on_over_tls(authority: Authority) -> None:
    """The page that a redirect names is asked for, and verified, by the name of the first."""
    certificate = authority.valid("www.example.com")
    options = ("--tls", "--follow", "--host-header", "www.example.com", "-m", "test page")
    with Misbehaving(moves(replies(PAGE)), certificate=certificate) as server:
        assert failed(http(*options, "--cacert", str(authority.cacert), server.place)) == []
        assert failed(http(*options, "--insecure", server.place)) == []
        fault = {server.place: "TLS: unable to get local issuer certificate"}
        assert reasons(http(*options, server.place)) == fault
    assert bytes(server.heard).count(b"\r\nHost: www.example.com\r\n") == 4


def test_redirect_to_tls_trusts_the_system(authority: Authority) -> None:
    """Without --cacert the system's certificates are what a redirect to TLS is verified with."""
    certificate = authority.valid("127.0.0.1")
    with Misbehaving(replies(PAGE), certificate=certificate) as secure:
        to = f"https://{secure.place}/page"
        head = f"HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n".encode()
        with Misbehaving(moves(replies(PAGE), head)) as plain:
            found = reasons(http("--follow", plain.place))
    fault = "TLS: unable to get local issuer certificate"
    assert found == {plain.place: f"redirected to {to}: {fault}"}


class Counting:
    """Redirects as `moves`, and notes how many are asking at most."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def talk(self, client: Client) -> None:
        """Give the page after a while, in which others might come."""
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        is_first = client.line().startswith(b"GET / ")
        client.request()
        client.pause(0.02)
        with self._lock:
            self._now -= 1
        client.send(MOVED + b"\r\n" if is_first else PAGE)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_concurrency_counts_what_is_followed(concurrency: int) -> None:
    """A host that is followed is one of those that are asked at once."""
    counting = Counting()
    addresses = [f"127.0.0.{number}" for number in range(1, 21)]
    with Misbehaving(counting.talk, addresses) as server:
        assert failed(http("--follow", "--concurrency", str(concurrency), *server.places)) == []
    assert server.connections == 40
    assert counting.most == concurrency


def test_deadline_of_the_run_holds() -> None:
    """A host that is still followed when the run ends has no verdict."""
    with Misbehaving(moves(misbehaving.silent)) as moved, Misbehaving(replies(PAGE)) as good:
        outcome = http("--follow", "--deadline", "1", moved.place)
        assert (outcome.status, failed(outcome)) == (3, [])
        found = reasons(http("--follow", "--deadline", short(), good.place, moved.place))
    assert found == {moved.place: "no verdict: the run's deadline came first"}


def test_expression_that_explodes_after_a_redirect_is_broken_off() -> None:
    """What is found through a thread is judged where a signal can end it."""
    with Misbehaving(moves(replies(OK + b"\r\n" + b"a" * 64 + b"!"))) as server:
        options = ("--deadline", f"{patience(20):g}", "--follow", "-m", "(a+)+$")
        done = run("http.monitor", *options, server.place)
    assert (done.returncode, done.stdout) == (3, b"\nhttp.monitor: ended by SIGALRM\n")


def test_thread_that_does_not_come_back_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose library hangs fails in its time, and leaves nothing open when that ends."""
    over = threading.Event()
    monkeypatch.setattr(http_requests, "fetch", lambda *_: over.wait())
    monkeypatch.setattr(threads, "_ERRAND_SECONDS", 0.5)
    with Misbehaving(moves(replies(PAGE))) as server:
        alive, descriptors = threading.active_count(), open_descriptors()
        assert reasons(http("--follow", "-t", "0.4", server.place)) == {
            server.place: "timed out after 0.4 s"
        }
        over.set()
        wait_until(
            lambda: threading.active_count() <= alive and open_descriptors() <= descriptors,
            lambda: f"{threading.active_count()} threads, {open_descriptors()} descriptors",
        )


@pytest.mark.parametrize("bug", [ValueError("a bug"), PermissionError(13, "a bug")], ids=repr)
def test_bug_in_a_thread_is_a_bug_of_the_run(
    monkeypatch: pytest.MonkeyPatch, bug: Exception
) -> None:
    """What no thread should raise ends the run, and fails no host."""

    def fails(*_: Any) -> None:
        raise bug

    monkeypatch.setattr(http_requests, "fetch", fails)
    with (
        Misbehaving(moves(replies(PAGE))) as server,
        pytest.raises((ValueError, RuntimeError), match="a bug"),
    ):
        http("--follow", server.place)
