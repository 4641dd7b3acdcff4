"""http.monitor against real and misbehaving servers, on both of its ways to fetch a page."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.harness import misbehaving
from tests.harness.misbehaving import OK, Misbehaving, Talk, refusing, replies, unanswering
from tests.monitors import PASSWORD, http, reasons

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD = ""
LATE = "timed out after 1 s"
PLAIN: tuple[str, ...] = ()
REQUESTS = ("--user", "me")


class Case(NamedTuple):
    """A way to behave, and what the reason begins with, which may differ between the two ways."""

    talk: Talk
    reasons: tuple[str, ...]


def _case(talk: Talk, *reasons: str) -> Case:
    return Case(talk, reasons)


BROKEN_HEAD = OK + b"X-Name: va"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CASES = {
    "resets": _case(misbehaving.resets, "connection reset"),
    "resets after request": _case(
        misbehaving.resets_after_request, "connection reset", "Connection reset"
    ),
    "silent": _case(misbehaving.silent, LATE),
    "one byte a second": _case(misbehaving.one_byte_a_second, LATE),
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
            way: reasons(http("-t", "1", *way, *places.values(), environ=PASSWORD))
            for way in (PLAIN, REQUESTS)
        }
        yield Zoo(places, verdicts)


@pytest.mark.parametrize("way", [PLAIN, REQUESTS], ids=["sweep", "requests"])
@pytest.mark.parametrize("name", CASES)
def test_misbehaving_server_gets_its_reason(zoo: Zoo, name: str, way: tuple[str, ...]) -> None:
    """Each way to behave has its verdict, whoever asks."""
    expected = CASES[name].reasons
    found = zoo.verdicts[way].get(zoo.places[name], GOOD)
    assert found.startswith(expected) if found else GOOD in expected


@pytest.mark.parametrize("way", [PLAIN, REQUESTS], ids=["sweep", "requests"])
def test_server_that_is_not_there_gets_its_reason(zoo: Zoo, way: tuple[str, ...]) -> None:
    """A refusal and silence are told apart."""
    found = zoo.verdicts[way]
    assert found[zoo.places["refuses"]] == "Connection refused"
    assert found[zoo.places["never accepts"]] == f"{LATE}, no connection"


def test_both_ways_to_fetch_a_page_find_the_same_hosts_failed(zoo: Zoo) -> None:
    """Plain and through requests, the same servers are good."""
    assert zoo.verdicts[PLAIN].keys() == zoo.verdicts[REQUESTS].keys()
