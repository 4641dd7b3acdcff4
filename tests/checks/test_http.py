"""The plain HTTP probe: what it sends, how it reads an answer, and what it makes of it."""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.checks.http import (
    Check,
    host_header,
    parse_host_header,
    parse_match,
    parse_path,
    parse_receive,
    parse_status,
    probe,
)
from lvsalert.checks.sweep import Target, TimedOut, Verdict
from lvsalert.errors import UsageError

TARGET = Target("192.0.2.1", "192.0.2.1", 80)
OK = b"HTTP/1.1 200 OK\r\n"
PAGE = b"test page\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = ""


def converse(
    check: Check, pieces: Sequence[bytes], *, ends: bool = True, target: Target = TARGET
) -> tuple[Verdict, bytes]:
    """Answer the probe with `pieces`, each as it waits for more; return the verdict and its words.

    After the last piece the server hangs up if it `ends`, or else the time is up.
    """
    ours, theirs = socket.socketpair()
    left = [piece for piece in pieces if piece]
    with ours, theirs:
        ours.setblocking(False)
        talk = probe(check, ours, target)
        try:
            while True:
                assert next(talk) == select.EPOLLIN
                if left:
                    theirs.sendall(left.pop(0))
                elif ends:
                    theirs.shutdown(socket.SHUT_WR)
                else:
                    talk.throw(TimedOut("timed out after 5 s"))
        except StopIteration as stop:
            verdict: Verdict = stop.value
        return verdict, theirs.recv(65536)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (OK + b"\r\n" + PAGE, GOOD),
        (OK + b"\r\n", GOOD),
        (b"HTTP/1.0 200 OK\nServer: x\n\n" + PAGE, GOOD),
        (b"HTTP/1.1 200\r\n\r\n", GOOD),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", GOOD),
        (OK + b"Content-Length: 10\r\n\r\n" + PAGE, GOOD),
        (OK + b"Content-Length: 0\r\n\r\n", GOOD),
        (OK + b"Content-Length: 10\r\n\r\n" + PAGE + b"more than it said", GOOD),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", "status 304 is not accepted"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\n", GOOD),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + b"\r\n", GOOD),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 500 + OK + b"\r\n", GOOD),
        (b"HTTP/1.1 100 \r\n\r\n" * 3400 + OK + b"\r\n", GOOD),
        (b"HTTP/1.1 100 \r\n\r\n" * 5000, "headers of more than 65536 bytes"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "status 101 is not accepted"),
        (b"HTTP/1.1 500 Oops\r\n\r\n", "status 500 is not accepted"),
        (b"HTTP/1.1 999 Odd\r\n\r\n", "status 999 is not accepted"),
        (CHUNKED + b"5\r\ntest \r\n5\r\npage\n\r\n0\r\n\r\n", GOOD),
        (CHUNKED + b"a;name=value\r\ntest page\n\r\n000\r\nX-Sum: 1\r\n\r\n", GOOD),
        (CHUNKED + b"0\r\n\r\n", GOOD),
        (b"", "closed without a word"),
        (b"HT", "closed too early, the headers broke off after 2 bytes"),
        (OK, "closed too early, the headers broke off after 17 bytes"),
        (OK + b"X: y\r\n", "closed too early, the headers broke off after 23 bytes"),
        (
            OK + b"Content-Length: 1000\r\n\r\n" + PAGE,
            "closed too early, the body broke off after 10 bytes",
        ),
        (CHUNKED, "closed too early, the body broke off after 0 bytes"),
        (CHUNKED + b"5\r\nte", "closed too early, the body broke off after 2 bytes"),
        (CHUNKED + b"5\r\ntest \r\n", "closed too early, the body broke off after 5 bytes"),
        (
            CHUNKED + b"5\r\ntest \r\n0\r\nX-Sum: 1\r\n",
            "closed too early, the body broke off after 5 bytes",
        ),
        (CHUNKED + b"zz\r\ntest page\r\n", "the body is not chunked as its headers say"),
        (CHUNKED + b"-5\r\ntest \r\n", "the body is not chunked as its headers say"),
        (CHUNKED + b"0x5\r\ntest \r\n", "the body is not chunked as its headers say"),
        (CHUNKED + b"\r\n", "the body is not chunked as its headers say"),
        (CHUNKED + b"5\r\ntest page\r\n", "the body is not chunked as its headers say"),
        (CHUNKED + b"5" * 5000, "the body is not chunked as its headers say"),
        (CHUNKED + b"0\r\n" + b"X: y\r\n" * 20000, "trailers of more than 65536 bytes"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "the answer is not HTTP"),
        (b"220 ready\r\n", "the answer is not HTTP"),
        (bytes(range(256)), "the answer is not HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "the answer is not HTTP"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "the answer has no status"),
        (b"HTTP/1.1 OK\r\n\r\n", "the answer has no status"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "the answer has no status"),
        (b"HTTP/1.1 200OK\r\n\r\n", "the answer has no status"),
        (b"HTTP/1.1\r\n\r\n", "the answer has no status"),
        (OK + b"X-More: and more\r\n" * 5000, "headers of more than 65536 bytes"),
        (OK + b"X-Long: " + b"and on " * 10000, "headers of more than 65536 bytes"),
    ],
)
def test_answer_is_read_the_same_however_it_comes(answer: bytes, reason: str) -> None:
    """An answer gets the same verdict whole and, if it is short, byte by byte."""
    assert converse(Check(), [answer])[0].reason == reason
    if len(answer) < 2000:
        single = [answer[at : at + 1] for at in range(len(answer))]
        assert converse(Check(), single)[0].reason == reason


@given(
    content=st.binary(max_size=200),
    sizes=st.lists(st.integers(1, 50), min_size=1),
    cuts=st.lists(st.integers(0, 400), max_size=10),
)
def test_chunked_content_is_put_together(content: bytes, sizes: list[int], cuts: list[int]) -> None:
    """Whatever the chunks and the packets that they come in, the content is what was meant."""
    chunks, at = b"", 0
    while at < len(content):
        chunk = content[at : at + sizes[at % len(sizes)]]
        chunks += b"%x\r\n%b\r\n" % (len(chunk), chunk)
        at += len(chunk)
    answer = CHUNKED + chunks + b"0\r\n\r\n"
    edges = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    pieces = [answer[low:high] for low, high in zip(edges, edges[1:])]
    whole = re.compile(rb"\r\n\r\n" + re.escape(content) + rb"\Z")
    assert converse(Check(match=whole), pieces)[0].reason == GOOD


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_any_bytes_end_in_a_verdict(pieces: list[bytes], begins_well: bool) -> None:
    """No bytes of a server's are more than a reason."""
    verdict, _ = converse(Check(), [CHUNKED if begins_well else b"", *pieces])
    assert isinstance(verdict.reason, str)


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([], "timed out after 5 s, nothing came"),
        ([b"HTTP/1.1 2"], "timed out after 5 s, the headers broke off after 10 bytes"),
        ([OK + b"\r\n", PAGE], "timed out after 5 s, the body broke off after 10 bytes"),
        ([OK + b"Content-Length: 11\r\n\r\n" + PAGE], "timed out after 5 s, the body broke off "),
        ([CHUNKED + b"5\r\ntest \r\n"], "timed out after 5 s, the body broke off after 5 bytes"),
        ([OK + b"Content-Length: 10\r\n\r\n", PAGE], GOOD),
        ([CHUNKED, b"5\r\ntest \r\n0\r\n\r\n"], GOOD),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], "status 204 is not accepted"),
    ],
)
def test_server_that_stays_is_not_waited_for_in_vain(pieces: list[bytes], reason: str) -> None:
    """An answer that is complete needs no end of the connection; one that is not is a failure."""
    verdict, _ = converse(Check(), pieces, ends=False)
    assert verdict.reason.startswith(reason)
    assert bool(verdict.reason) == bool(reason)


@pytest.mark.parametrize(
    ("max_bytes", "pieces", "found"),
    [
        (0, [OK + b"\r\n"], False),
        (9, [OK + b"\r\n", b"test page\n"], False),
        (10, [OK + b"\r\n", b"test page\n"], True),
        (10, [OK + b"\r\n", b"test page\nand more"], True),
        (10, [CHUNKED + b"5\r\ntest \r\n", b"5\r\npage\n\r\n"], True),
        (10, [OK + b"Content-Length: 1000\r\n\r\n" + PAGE], True),
    ],
)
def test_no_more_than_max_bytes_is_awaited_or_seen(
    max_bytes: int, pieces: list[bytes], found: bool
) -> None:
    """The match is searched in so many bytes of the body, and the rest need not come."""
    check = Check(match=re.compile(rb"page\n\Z"), max_bytes=max_bytes)
    verdict, _ = converse(check, pieces, ends=False)
    missing = rf"no match for 'page\\n\\Z' in the first {max_bytes} bytes"
    assert verdict.reason == (GOOD if found else missing)


@pytest.mark.parametrize(
    ("check", "pieces", "reason"),
    [
        (Check(match=re.compile(rb"test p")), [OK + b"\r\n" + PAGE], GOOD),
        (Check(match=re.compile(rb"Server: ng")), [OK + b"Server: nginx\r\n\r\n" + PAGE], GOOD),
        (
            Check(match=re.compile(rb"nginx.*page", re.DOTALL)),
            [OK + b"S: nginx\r\n\r\n", PAGE],
            GOOD,
        ),
        (Check(match=re.compile(b"\xff")), [OK + b"\r\n\xff"], GOOD),
        (Check(match=re.compile(rb"x")), [OK + b"\r\n" + PAGE], "no match for 'x'"),
        (Check(receive=parse_receive("^test page$")), [OK + b"\r\n" + PAGE], GOOD),
        (
            Check(receive=parse_receive("Server")),
            [OK + b"Server: nginx\r\n\r\n" + PAGE],
            "no match for 'Server'",
        ),
        (
            Check(receive=parse_receive("one.two")),
            [OK + b"\r\none\ntwo"],
            "no match for 'one.two'",
        ),
        (
            Check(match=parse_match("one.two"), receive=parse_receive("two$")),
            [OK + b"\r\none\ntwo"],
            GOOD,
        ),
        (
            Check(match=re.compile(rb"test")),
            [b"HTTP/1.1 500 Oops\r\n\r\n" + PAGE],
            "status 500 is not accepted",
        ),
        (Check(status=frozenset([404])), [b"HTTP/1.1 404 Gone\r\n\r\n"], GOOD),
        (Check(status=frozenset([404])), [OK + b"\r\n"], "status 200 is not accepted"),
        (Check(method="HEAD"), [OK + b"Content-Length: 1000\r\n\r\n"], GOOD),
        (Check(method="HEAD"), [CHUNKED], GOOD),
    ],
)
def test_verdict_needs_an_accepted_status_and_the_match(
    check: Check, pieces: list[bytes], reason: str
) -> None:
    """What is to be found counts only with an accepted status, in its part of the answer."""
    assert converse(check, pieces)[0].reason == reason


def test_answer_later_than_asked_for_is_a_failure() -> None:
    """An answer slower than a limit of 0 is a failure that says how long it took."""
    verdict, _ = converse(Check(slow=0.0), [OK + b"\r\n"])
    assert re.fullmatch(r"answered in \d+ ms, slower than 0 ms", verdict.reason)


@pytest.mark.parametrize(
    ("check", "target", "beginning"),
    [
        (
            Check(),
            TARGET,
            b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: mon.d/http.monitor\r\n",
        ),
        (
            Check(path="/x?y=1", method="HEAD", agent="me", host_header="www.example.com"),
            TARGET,
            b"HEAD /x?y=1 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: me\r\n",
        ),
        (
            Check(),
            Target("[2001:db8::1]:8080", "2001:db8::1", 8080),
            b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\nUser-Agent: mon.d/http.monitor\r\n",
        ),
    ],
)
def test_request_is_what_was_asked_for(check: Check, target: Target, beginning: bytes) -> None:
    """The whole request is known to the byte."""
    _, heard = converse(check, [OK + b"\r\n"], target=target)
    assert heard == beginning + b"Accept: */*\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("name", "port", "usual", "header"),
    [
        ("www.example.com", 80, 80, "www.example.com"),
        ("www.example.com", 443, 443, "www.example.com"),
        ("www.example.com", 443, 80, "www.example.com:443"),
        ("2001:db8::1", 80, 80, "[2001:db8::1]"),
        ("2001:db8::1", 8080, 80, "[2001:db8::1]:8080"),
    ],
)
def test_host_field_names_an_unusual_port(name: str, port: int, usual: int, header: str) -> None:
    """The Host field carries the port where the scheme does not imply it."""
    assert host_header(Check(), Target(name, name, port), usual) == header
    asked = Check(host_header="other.example.com")
    assert host_header(asked, Target(name, name, port), usual) == "other.example.com"


@pytest.mark.parametrize(
    ("text", "statuses"),
    [
        ("200", {200}),
        ("200,301-302", {200, 301, 302}),
        (" 200 , 404-404 ", {200, 404}),
        ("100-599", set(range(100, 600))),
    ],
)
def test_statuses_are_single_or_ranges(text: str, statuses: set[int]) -> None:
    """A list of statuses takes single ones and ranges."""
    assert parse_status(text) == statuses


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_status, "", "'' is not a list of statuses: write 200,301-302"),
        (parse_status, "2xx", "'2xx' is not a list of statuses: write 200,301-302"),
        (parse_status, "99", "'99' is not a list of statuses: write 200,301-302"),
        (parse_status, "600", "'600' is not a list of statuses: write 200,301-302"),
        (parse_status, "200,", "'200,' is not a list of statuses: write 200,301-302"),
        (parse_status, "200-", "'200-' is not a list of statuses: write 200,301-302"),
        (parse_status, "-200", "'-200' is not a list of statuses: write 200,301-302"),
        (parse_status, "²00", "'²00' is not a list of statuses: write 200,301-302"),
        (parse_status, "302-301", "'302-301' is not a list of statuses: 302-301 runs backwards"),
        (parse_match, "(", "'(' is not a regular expression: missing ), unterminated subpattern"),
        (parse_match, "a{99999999999}", "'a{99999999999}' is not a regular expression: the repet"),
        (parse_status, "2" * 5000, f"'{'2' * 5000}' is not a list of statuses"),
        (parse_path, "", "'' is not a path: it begins with /"),
        (parse_path, "http:///a", "'http:///a' is not a URL: it names no host"),
        (parse_path, "https://a/", "'https://a/' is not a path: it begins with /"),
        (parse_path, "index.html", "'index.html' is not a path: it begins with /"),
        (parse_path, "/a b", "'/a b' is not a path: it holds a blank or a control character"),
        (parse_path, "/\r\nX: y", r"'/\r\nX: y' is not a path: it holds a blank or a control"),
        (parse_host_header, "", "'' cannot stand in a header"),
        (parse_host_header, "a\r\nX: y", r"'a\r\nX: y' cannot stand in a header"),
        (parse_path, "/a#b", "'/a#b' is not a path: what follows # is never sent"),
        (parse_host_header, "a b", "'a b' is not a host name"),
        (parse_host_header, "a:", "'a:' is not a host name"),
        (parse_host_header, "a:0", "'a:0' is not a host name: '0' is not a port"),
        (parse_host_header, "a:65536", "'a:65536' is not a host name: '65536' is not a port"),
        (parse_host_header, "a:http", "'a:http' is not a host name: 'http' is not a port"),
        (parse_host_header, "[a]", "'[a]' is not a host name"),
        (parse_host_header, "http://a/", "'http://a/' is not a host name: '//a/' is not a port"),
        (parse_host_header, "me@a", "'me@a' is not a host name"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(parse: object, text: str, message: str) -> None:
    """Each value that makes no request is refused by name."""
    assert callable(parse)
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert str(refused.value).startswith(message)


def test_path_of_other_scripts_is_quoted() -> None:
    """A path outside ASCII goes out as its UTF-8 in percent signs; the rest stays as it is."""
    assert parse_path("/größe?a=%20&b=[1]") == "/gr%C3%B6%C3%9Fe?a=%20&b=[1]"


def test_regular_expression_that_python_warns_of_is_taken_in_silence() -> None:
    """A warning of re's would stand in mon's summary, so there is none."""
    assert parse_match("[[a]").search(b"[") is not None


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("www.example.com", "www.example.com"),
        ("www.example.com:8080", "www.example.com:8080"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_host_header_is_a_name_and_perhaps_a_port(text: str, field: str) -> None:
    """What stands in the Host field is what was given, an IPv6 address in brackets."""
    assert parse_host_header(text) == field
