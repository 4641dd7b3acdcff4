"""A thousand hosts in one run, a tenth of them dead in different ways; a hundred runs in one."""

from __future__ import annotations

import contextlib
import random
import resource
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.harness import misbehaving
from tests.harness.datagrams import answer_dns, answer_sip, answering
from tests.harness.misbehaving import OK, Client, Misbehaving, refusing, replies, says
from tests.harness.misbehaving import ftp as serves
from tests.harness.nginx import PAGE, Nginx, Site
from tests.harness.places import free_port, loopback
from tests.harness.waiting import short, wait_until
from tests.monitors import PASSWORD, asked, failed, ftp, http, open_descriptors, reasons, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

    Monitor = Callable[..., Outcome]

EVERYWHERE = "0.0.0.0"  # the whole of 127.0.0.0/8 among it
ADDRESSES = loopback(0, 1000)
# All of them answer in one process.
TIMEOUT = str(1 + 2 * int(short()))
LOGIN = ("--user", "me")
FOLLOW = ("--follow", "-u", "/moved")

AT_ONCE_HTTP = {
    "reset": misbehaving.resets_after_request,
    "closed": misbehaving.closes_after_request,
    "ssh": misbehaving.ssh_banner,
    "503": replies(b"HTTP/1.1 503 Oops\r\n\r\n"),
    "truncated": misbehaving.truncated,
    "chunked badly": misbehaving.chunked_badly,
    "endless headers": misbehaving.endless_headers,
}
AT_ONCE_FTP = {
    "closed": misbehaving.closes,
    "ssh": misbehaving.ssh_banner,
    "421": misbehaving.ftp_421,
    "530": misbehaving.ftp_530,
    "no farewell": misbehaving.ftp_no_farewell,
    "bad farewell": misbehaving.ftp_bad_farewell,
    "http": says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
}
REDIRECT = replies(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n")
SLOW = {
    "silent": misbehaving.silent,
    "dribbles": misbehaving.dribbles(b"HTTP/1.1 200 OK\r\n\r\n"),
}


def admits(client: Client) -> None:
    """Let everybody in."""
    client.send(b"220 ready\r\n")
    answers = {b"USER": b"331 Who?\r\n", b"PASS": b"230 In.\r\n", b"QUIT": b"221 Bye.\r\n"}
    while line := client.line():
        client.send(answers[line.split()[0]])


@contextlib.contextmanager
def _thousand(
    good: int, dead: Mapping[str, misbehaving.Talk]
) -> Iterator[tuple[list[str], set[str]]]:
    """Give a thousand hosts in any order, and those among them that are dead."""
    with contextlib.ExitStack() as servers:
        ports = [
            servers.enter_context(Misbehaving(talk, EVERYWHERE)).port for talk in dead.values()
        ]
        ports.append(int(servers.enter_context(refusing(EVERYWHERE)).rpartition(":")[2]))
        is_dead = [number % 10 == 3 for number in range(len(ADDRESSES))]
        hosts = [
            f"{address}:{ports[number // 10 % len(ports)] if is_dead[number] else good}"
            for number, address in enumerate(ADDRESSES)
        ]
        bad = {host for host, dies in zip(hosts, is_dead) if dies}
        random.Random(1).shuffle(hosts)
        yield hosts, bad


@pytest.fixture
def web(folder: Path) -> Iterator[int]:
    """The port of an nginx on all addresses, whose /moved redirects to /page."""
    port = free_port(EVERYWHERE)
    body = f"{PAGE} location = /moved {{ return 301 /page; }}"
    with Nginx(folder / "nginx", Site([f"{EVERYWHERE}:{port}"], body)):
        yield port


@pytest.fixture
def files() -> Iterator[int]:
    """The port of an FTP server on all addresses."""
    with Misbehaving(serves(), EVERYWHERE) as server:
        yield server.port


def test_thousand_web_servers(web: int) -> None:
    """The dead tenth is found, to the host, in one run on the sweep."""
    with _thousand(web, {**AT_ONCE_HTTP, **SLOW}) as (hosts, bad):
        outcome = http("-t", TIMEOUT, "-m", "test page", *hosts)
    assert set(failed(outcome)) == bad
    assert len(bad) == 100
    assert outcome.stdout.count("): ok (") == 0
    assert outcome.stdout.count(": ok (") == 900


def test_thousand_web_servers_that_redirect(web: int) -> None:
    """All that are good have to be followed, and the dead tenth is found, to the host."""
    with _thousand(web, {**AT_ONCE_HTTP, **SLOW}) as (hosts, bad):
        outcome = http("-t", TIMEOUT, "--status", "200", "-m", "test page", *FOLLOW, *hosts)
    assert set(failed(outcome)) == bad
    assert outcome.stdout.count(": ok (") == 900


def test_thousand_web_servers_through_requests(web: int) -> None:
    """In threads the same hosts are found dead."""
    with _thousand(web, AT_ONCE_HTTP) as (hosts, bad):
        outcome = http("-t", "20", *LOGIN, "-m", "test page", *hosts, environ=PASSWORD)
    assert set(failed(outcome)) == bad


def test_thousand_ftp_servers(files: int) -> None:
    """The dead tenth is found, to the host, in one run on the sweep."""
    with _thousand(files, {**AT_ONCE_FTP, **SLOW}) as (hosts, bad):
        outcome = ftp("-t", TIMEOUT, *hosts)
    assert set(failed(outcome)) == bad
    assert outcome.stdout.count(": ok (") == 900


def test_thousand_ftp_servers_with_a_log_in() -> None:
    """In threads the same hosts are found dead."""
    with (
        Misbehaving(admits, EVERYWHERE) as server,
        _thousand(server.port, AT_ONCE_FTP) as (hosts, bad),
    ):
        outcome = ftp("-t", "20", *LOGIN, *hosts, environ=PASSWORD)
    assert set(failed(outcome)) == bad


@pytest.mark.parametrize(
    ("monitor", "greeting"),
    [
        ("smtp.monitor", b"220 ready\r\n"),
        ("imap.monitor", b"* OK ready\r\n"),
        ("pop3.monitor", b"+OK ready\r\n"),
        ("nntp.monitor", b"200 ready\r\n"),
    ],
)
def test_thousand_servers_of_mail_and_news(monitor: str, greeting: bytes) -> None:
    """All are asked at once; those that say something else have failed, and nobody else has."""
    bad = set(random.Random(1).sample(ADDRESSES, 100))

    def greets(client: Client) -> None:
        client.send(b"not now\r\n" if client.address in bad else greeting)
        if client.line() and monitor == "smtp.monitor":
            client.send(b"250 hello\r\n")
            client.line()

    with Misbehaving(greets, EVERYWHERE) as server:
        places = [f"{address}:{server.port}" for address in ADDRESSES]
        outcome = asked(monitor, "-t", "30", *places)
    assert set(failed(outcome)) == {f"{address}:{server.port}" for address in bad}


@pytest.mark.parametrize(
    ("monitor", "options", "good", "bad"),
    [
        (
            "dns.monitor",
            ("--query", "www.example.com", "--receive", "192.0.2.1"),
            answer_dns,
            lambda question: answer_dns(question, "192.0.2.9"),
        ),
        ("sip.monitor", (), answer_sip, lambda question: answer_sip(question, b"503 Busy")),
    ],
)
def test_thousand_servers_over_udp(
    monitor: str,
    options: tuple[str, ...],
    good: Callable[[bytes], bytes],
    bad: Callable[[bytes], bytes],
) -> None:
    """The tenth that answers otherwise has failed, and so have those that say nothing."""
    wrong = set(random.Random(1).sample(ADDRESSES, 100))
    silent = set(random.Random(2).sample(sorted(wrong), 10))

    def reply(question: bytes, address: str) -> list[bytes]:
        if address in silent:
            return []
        return [(bad if address in wrong else good)(question)]

    with answering(reply, ADDRESSES) as places:
        outcome = asked(monitor, "-t", "10", *options, *places)
    failures = {place.rpartition(":")[0] for place in failed(outcome)}
    assert failures == wrong


def test_concurrency_is_no_more_than_asked_for(web: int) -> None:
    """With a few sockets, a thousand hosts take longer and get the same verdicts."""
    with _thousand(web, AT_ONCE_HTTP) as (hosts, bad):
        assert set(failed(http("--concurrency", "3", *hosts))) == bad


@pytest.mark.parametrize("limit", [20, 32, 256])
@pytest.mark.parametrize("name", ["http.monitor", "ftp.monitor"])
def test_few_descriptors_are_enough(web: int, files: int, name: str, limit: int) -> None:
    """However few descriptors mon leaves to it, a run asks all hosts and crashes on none."""
    is_http = name == "http.monitor"
    dead = AT_ONCE_HTTP if is_http else AT_ONCE_FTP
    with _thousand(web if is_http else files, dead) as (hosts, bad):
        done = run(
            name,
            "-t",
            "20",
            *hosts,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
        )
    assert (done.returncode, done.stderr) == (1, b"")
    assert set(done.stdout.decode().split("\n", 1)[0].split()) == bad


@pytest.mark.parametrize("way", [(), FOLLOW, LOGIN], ids=["plain", "following", "login"])
@pytest.mark.parametrize("limit", [20, 32])
def test_few_descriptors_are_enough_for_names_and_threads(
    web: int, way: tuple[str, ...], limit: int
) -> None:
    """Look-ups and threads get along with few descriptors, too."""
    # Names that the machine's resolver takes for addresses by itself (inet_aton(3)).
    names = [f"127.{(1 << 16) + number + 1}" for number in range(100)]
    done = run(
        "http.monitor",
        "-t",
        "20",
        "-p",
        str(web),
        *way,
        *names,
        env=PASSWORD,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
    )
    assert (done.returncode, done.stdout[:1], done.stderr) == (0, b"\n", b"")


def _monitors() -> list[tuple[Monitor, tuple[str, ...], dict[str, Any]]]:
    return [
        (http, (), AT_ONCE_HTTP),
        (http, ("--follow",), {**AT_ONCE_HTTP, "for ever": REDIRECT}),
        (http, LOGIN, AT_ONCE_HTTP),
        (ftp, (), AT_ONCE_FTP),
        (ftp, LOGIN, AT_ONCE_FTP),
    ]


@pytest.mark.parametrize(
    ("monitor", "way", "dead"), _monitors(), ids=["http", "following", "requests", "ftp", "ftplib"]
)
def test_hundred_runs_in_one_process(
    monitor: Monitor, way: tuple[str, ...], dead: dict[str, Any]
) -> None:
    """A command keeps no state: the hundredth run finds what the first did, and nothing is left."""
    good = replies(OK + b"\r\n") if monitor is http else admits
    with contextlib.ExitStack() as servers:
        places = [servers.enter_context(Misbehaving(talk)).place for talk in [good, *dead.values()]]
        places.append(servers.enter_context(refusing()))

        def verdicts() -> dict[str, str]:
            found = reasons(monitor(*way, *places, environ=PASSWORD))
            # How a server's end shows depends on what was under way.
            return {
                place: "closed" if reason.endswith(("without a word", "reset")) else reason
                for place, reason in found.items()
            }

        first = verdicts()
        assert places[0] not in first
        assert len(first) == len(places) - 1
        threads = threading.active_count()
        wait_until(lambda: threading.active_count() <= threads, "the threads have ended")
        descriptors = open_descriptors()
        for _ in range(100):
            assert verdicts() == first
        wait_until(
            lambda: open_descriptors() <= descriptors and threading.active_count() <= threads,
            lambda: f"{open_descriptors()} descriptors, {threading.active_count()} threads",
        )


@pytest.mark.parametrize(
    ("monitor", "way"),
    [each[:2] for each in _monitors()],
    ids=["http", "following", "requests", "ftp", "ftplib"],
)
def test_servers_that_hang_leave_no_threads_behind(monitor: Monitor, way: tuple[str, ...]) -> None:
    """Runs that give up on servers leave neither threads nor sockets that still wait for them."""
    with contextlib.ExitStack() as servers:
        places = [
            servers.enter_context(Misbehaving(talk)).place
            for talk in [*SLOW.values(), misbehaving.dribbles(b"220-hello\r\n", 0.1)]
        ]
        threads, descriptors = threading.active_count(), open_descriptors()
        for _ in range(5):
            assert len(failed(monitor("-t", "0.3", *way, *places, environ=PASSWORD))) == len(places)
        wait_until(
            lambda: threading.active_count() <= threads,
            lambda: f"{threading.active_count()} threads",
        )
        wait_until(
            lambda: open_descriptors() <= descriptors + len(places),
            lambda: f"{open_descriptors()} descriptors",
        )
