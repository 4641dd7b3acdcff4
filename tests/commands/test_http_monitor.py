"""http.monitor against real and misbehaving servers, on all of its ways to fetch a page."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lvsalert.mon.report import reasons_of
from tests.harness import misbehaving
from tests.harness.misbehaving import OK, Client, Misbehaving, Talk, refusing, replies, unanswering
from tests.harness.nginx import Nginx, Site, serving
from tests.harness.places import free_port, join
from tests.harness.waiting import short
from tests.monitors import PASSWORD, failed, http, reasons

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = ""
LATE = f"timed out after {short()} s"
PLAIN: tuple[str, ...] = ()
FOLLOWING = ("--follow",)
REQUESTS = ("--user", "me")
WAYS = pytest.mark.parametrize(
    "way", [PLAIN, FOLLOWING, REQUESTS], ids=["sweep", "following", "requests"]
)


class Case(NamedTuple):
    """A way to behave, and what the reason begins with, which may differ between the two ways."""

    talk: Talk
    reasons: tuple[str, ...]


def _case(talk: Talk, *reasons: str) -> Case:
    return Case(talk, reasons)


BROKEN_HEAD = OK + b"X-Name: va"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CASES = {
    "resets": _case(misbehaving.resets, "connection reset", "closed without a word"),
    "resets after request": _case(
        misbehaving.resets_after_request, "connection reset", "Connection reset"
    ),
    "silent": _case(misbehaving.silent, LATE),
    "one byte at a time": _case(misbehaving.one_byte_at_a_time, LATE),
    "endless headers": _case(misbehaving.endless_headers, "headers of more than 65536", "got more"),
    "endless header": _case(misbehaving.endless_line, "headers of more than 65536", "got more"),
    "endless body": _case(misbehaving.endless_body, GOOD),
    "ssh": _case(misbehaving.ssh_banner, "the answer is not HTTP"),
    "ftp": _case(misbehaving.ftp(), "the answer is not HTTP"),
    "binary": _case(misbehaving.binary, "the answer is not HTTP"),
    "closes": _case(misbehaving.closes, "closed without a word", "connection reset"),
    "closes after request": _case(misbehaving.closes_after_request, "closed without a word"),
    "invalid UTF-8": _case(misbehaving.invalid_utf8, GOOD),
    "chunked": _case(misbehaving.chunked, GOOD),
    "chunked badly": _case(misbehaving.chunked_badly, "the body is not chunked", "closed too"),
    "chunked, one byte a chunk": _case(replies(CHUNKED + b"1\r\nx\r\n" * 9 + b"0\r\n\r\n"), GOOD),
    "chunked, cut": _case(replies(CHUNKED + b"5\r\nte"), "closed too early"),
    "chunked, no last": _case(replies(CHUNKED + b"4\r\ntest\r\n"), "closed too early"),
    "truncated": _case(misbehaving.truncated, "closed too early"),
    "head cut": _case(replies(BROKEN_HEAD), "closed too early, the headers broke off"),
    "half a head": _case(replies(OK + b"X: y\r\n"), "closed too early, the headers broke off"),
    "head and silence": _case(misbehaving.replies_and_stays(OK + b"\r\n"), LATE),
    "length and silence": _case(
        misbehaving.replies_and_stays(OK + b"Content-Length: 10\r\n\r\ntest"), LATE
    ),
    "length and all of it": _case(
        misbehaving.replies_and_stays(OK + b"Content-Length: 10\r\n\r\ntest page\n"), GOOD
    ),
    "redirect with an endless body": _case(
        misbehaving.endless(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", b"moved "), GOOD
    ),
    "redirect to nonsense": _case(
        replies(b"HTTP/1.1 302 Found\r\nLocation: http://[\xff\xfe\r\n\r\n"), GOOD
    ),
    "interim answers": _case(
        replies(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
            + OK
            + b"\r\n"
        ),
        GOOD,
    ),
    "gzip that is none": _case(replies(OK + b"Content-Encoding: gzip\r\n\r\ntest page\n"), GOOD),
    "line feeds alone": _case(replies(b"HTTP/1.1 200 OK\nServer: x\n\ntest page\n"), GOOD),
    "no reason phrase": _case(replies(b"HTTP/1.1 200\r\n\r\n"), GOOD),
    "no content": _case(replies(b"HTTP/1.1 204 No Content\r\n\r\n"), "status 204 is not accepted"),
    "server error": _case(replies(b"HTTP/1.1 503 Oops\r\n\r\n"), "status 503 is not accepted"),
    "odd status": _case(replies(b"HTTP/1.1 999 Odd\r\n\r\n"), "status 999 is not accepted"),
    "no status": _case(
        replies(b"HTTP/1.1 OK\r\n\r\n"), "the answer has no status", "the answer is not HTTP"
    ),
    "HTTP/2 in words": _case(
        replies(b"HTTP/2.0 200 OK\r\n\r\n"), "the answer has no status", "the answer is not HTTP"
    ),
}


# What becomes of redirects that are followed.
FOLLOWED = {
    "redirect with an endless body": "redirected to http://",
    "redirect to nonsense": "Invalid IPv6 URL",
}


class Zoo(NamedTuple):
    """Servers of all kinds: where each one is, and what was found out about them."""

    places: dict[str, str]
    verdicts: dict[tuple[str, ...], dict[str, str]]


@pytest.fixture(scope="module", params=["127.0.0.1", "::1"])
def zoo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    """All kinds of servers on one address, asked once on each way."""
    address = request.param
    with contextlib.ExitStack() as servers:
        places = {
            name: servers.enter_context(Misbehaving(case.talk, address)).place
            for name, case in CASES.items()
        }
        places["refuses"] = servers.enter_context(refusing(address))
        places["never accepts"] = servers.enter_context(unanswering(address))
        verdicts = {
            way: reasons(http("-t", short(), *way, *places.values(), environ=PASSWORD))
            for way in (PLAIN, FOLLOWING, REQUESTS)
        }
        yield Zoo(places, verdicts)


@WAYS
@pytest.mark.parametrize("name", CASES)
def test_misbehaving_server_gets_its_reason(zoo: Zoo, name: str, way: tuple[str, ...]) -> None:
    """Each way to behave has its verdict, whoever asks."""
    is_followed = way == FOLLOWING and name in FOLLOWED
    expected = (FOLLOWED[name],) if is_followed else CASES[name].reasons
    found = zoo.verdicts[way].get(zoo.places[name], GOOD)
    assert found.startswith(expected) if found else GOOD in expected


@WAYS
def test_server_that_is_not_there_gets_its_reason(zoo: Zoo, way: tuple[str, ...]) -> None:
    """A refusal and silence are told apart."""
    found = zoo.verdicts[way]
    assert found[zoo.places["refuses"]] == "Connection refused"
    assert found[zoo.places["never accepts"]] == f"{LATE}, no connection"


def test_all_ways_to_fetch_a_page_find_the_same_hosts_failed(zoo: Zoo) -> None:
    """Plain, following and through requests, the same servers are good, but for redirects."""
    assert zoo.verdicts[PLAIN].keys() == zoo.verdicts[REQUESTS].keys()
    followed = {zoo.places[name] for name in FOLLOWED}
    assert zoo.verdicts[FOLLOWING].keys() - followed == zoo.verdicts[PLAIN].keys()


SERVED = OK + b"Server: test/1.0\r\nContent-Length: 10\r\n\r\ntest page\n"


@pytest.mark.parametrize(
    ("options", "answer", "reason"),
    [
        ((), SERVED, GOOD),
        (("--status", "200"), SERVED, GOOD),
        (("--status", "301-302,404"), SERVED, "status 200 is not accepted"),
        (("--status", "404"), b"HTTP/1.1 404 Gone\r\n\r\n", GOOD),
        (("-m", "test page"), SERVED, GOOD),
        (("-m", "^HTTP/1.1 200 OK"), SERVED, GOOD),
        (("-m", "Server: test"), SERVED, GOOD),
        (("-m", "test/1.0.*page"), SERVED, GOOD),
        (("-m", "nowhere"), SERVED, "no match for 'nowhere'"),
        (("-m", "test", "--status", "404"), SERVED, "status 200 is not accepted"),
        (("-m", "größe"), OK + "\r\nDie größe".encode(), GOOD),
        (("-m", "gr\\S+e"), OK + "\r\nDie größe".encode("latin-1"), GOOD),
        (("--method", "OPTIONS"), SERVED, GOOD),
        (("--method", "HEAD"), SERVED.replace(b"test page\n", b""), GOOD),
        (("--method", "HEAD", "-m", "test page"), OK + b"\r\n", "no match for 'test page'"),
        (("--max-bytes", "4", "-m", "test$"), SERVED, GOOD),
        (("--max-bytes", "3", "-m", "test$"), SERVED, "no match for 'test$'"),
        (("--max-bytes", "0"), OK + b"Content-Length: 10\r\n\r\n", GOOD),
        (("--max-bytes", "10"), OK + b"Content-Length: 9999\r\n\r\ntest page\n", GOOD),
        (("--max-bytes", "11"), OK + b"Content-Length: 9999\r\n\r\ntest page\n", LATE),
        (("--slow", "0"), SERVED, "answered in "),
        (("--slow", "20000"), SERVED, GOOD),
        (("-m", "^.*\r\n\r\n$"), OK + b"Content-Length: 0\r\n\r\n", GOOD),
    ],
    ids=str,
)
def test_options_mean_the_same_on_all_ways(
    options: tuple[str, ...], answer: bytes, reason: str
) -> None:
    """The same options give the same server the same verdict, whoever asks."""
    framed = b"Content-Length" in answer or "HEAD" in options
    talk = misbehaving.replies_and_stays(answer) if framed else replies(answer)
    with Misbehaving(talk) as server:
        verdicts = [
            reasons(http("-t", short(), *options, *way, server.place, environ=PASSWORD))
            for way in (PLAIN, FOLLOWING, REQUESTS)
        ]
    for found in verdicts:
        assert bool(found) == bool(reason)
        assert found.get(server.place, "").startswith(reason)


@WAYS
@pytest.mark.parametrize("address", ["127.0.1.1", "::1"])
def test_nginx_is_good_dead_and_good_again(
    folder: Path, address: str, way: tuple[str, ...]
) -> None:
    """The real server is good with its page, refuses when it is killed, and comes back."""
    place = join(address, free_port(address))
    options = ("-m", "test page", *way, place)
    with serving(folder / "nginx", place) as nginx:
        outcome = http(*options, environ=PASSWORD)
        assert failed(outcome) == []
        assert f"\nHOST {place}: ok (" in outcome.stdout
        assert "\n    HTTP/1.1 200 OK\n    Server: nginx" in outcome.stdout
        assert "HOST" not in http("-o", *options, environ=PASSWORD).stdout
        nginx.kill()
        assert reasons(http(*options, environ=PASSWORD)) == {place: "Connection refused"}
        nginx.start()
        assert failed(http(*options, environ=PASSWORD)) == []


@WAYS
def test_what_a_server_says_cannot_forge_a_report(way: tuple[str, ...]) -> None:
    """Headers that look like the report, control characters and length stay in their place."""
    headers = b"X: \x1b[31mred\r\nHOST 192.0.2.9: forged (0.1 s)\r\nLong: " + b"x" * 5000
    with Misbehaving(replies(OK + headers + b"\r\n\r\n")) as server:
        outcome = http(*way, server.place, environ=PASSWORD)
    assert failed(outcome) == []
    assert reasons_of(outcome.stdout) == {}
    assert "\x1b" not in outcome.stdout
    assert max(map(len, outcome.stdout.split("\n"))) < 2200


def test_a_proxy_is_asked_for_a_whole_url(folder: Path) -> None:
    """A real proxy fetches the page from the server that the URL names, and from no other."""
    proxy, page, other = (join("127.0.0.1", free_port()) for _ in range(3))
    forward = Site([proxy], "location / { proxy_pass http://$http_host; }")
    with Nginx(folder / "nginx", forward, Site([page])):
        asked = ("-m", "^HTTP.* 200.*test page", "-t", "60", proxy)
        assert failed(http("-u", f"http://{page}/index.html?a=b", *asked)) == []
        assert reasons(http("-u", f"http://{other}/", *asked)) == {
            proxy: "status 502 is not accepted"
        }
    with Misbehaving(replies(OK + b"\r\n"), "127.0.0.1") as server:
        assert failed(http("-u", "http://me@www.example.com:8080?a", server.place)) == []
    heard = server.heard.decode().splitlines()
    assert heard[:2] == [
        "GET http://me@www.example.com:8080?a HTTP/1.1",
        "Host: www.example.com:8080",
    ]


def cut_off(page: bytes) -> Talk:
    """Send a page and reset the connection, as the kernel does where a request was not read."""

    def talk(client: Client) -> None:
        client.request()
        client.send(page)
        client.reset()

    return talk


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (OK + b"\r\ntest page\n", ""),
        (b"\r\n\n" + OK + b"\r\ntest page\n", ""),
        (OK + b"\r\ntest", "connection reset, the body broke off after 4 bytes"),
        (
            b"HTTP/1.0 500 No\r\n\r\ntest page\n",
            "connection reset, the body broke off after 10 bytes",
        ),
        (
            OK + b"Content-Length: 99\r\n\r\ntest page\n",
            "connection reset, the body broke off after 10 bytes",
        ),
        (OK + b"X: y", "connection reset, the headers broke off after 21 bytes"),
    ],
)
def test_a_page_that_ends_in_a_reset_is_whole_where_all_is_there(page: bytes, reason: str) -> None:
    """Without a length the end of the connection is the page's; a reset is one, behind a match."""
    with Misbehaving(cut_off(page)) as server:
        found = reasons(http("-m", "test page", server.place))
    assert found == ({server.place: reason} if reason else {})
