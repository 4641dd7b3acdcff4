"""What of a web server's answer is compared, and how old it is."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.checks.http_answer import Body
from lvsalert.checks.http_content import Compared, answer_of, parse_compared, time_of, too_old
from lvsalert.errors import UsageError
from lvsalert.model import Answer

HEAD = (
    b'HTTP/1.1 200 OK\r\nX-Version: 7\r\nETag: W/"5f"\r\n'
    b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nx-version:  8 "
)
THEN = 784_111_777.0


def body(content: bytes, most: int = 1 << 20) -> Body:
    """Return a body with all of its content."""
    taken = Body(most, 64, hashlib.sha256())
    taken.take(content)
    return taken


@given(st.lists(st.binary(max_size=9)), st.integers(0, 40), st.integers(0, 40))
def test_a_body_keeps_and_digests_its_first_bytes(
    pieces: list[bytes], most: int, keep: int
) -> None:
    """However it comes in pieces."""
    taken, whole = Body(most, keep, hashlib.sha256()), b"".join(pieces)
    for piece in pieces:
        taken.take(piece)
    assert taken.kept == whole[: min(most, keep)]
    assert taken.length == min(most, len(whole))
    assert taken.digest == hashlib.sha256(whole[:most]).hexdigest()
    assert taken.is_full == (len(whole) >= most)


@pytest.mark.parametrize(
    ("text", "compared", "answer"),
    [
        ("body", Compared("content"), Answer(hashlib.sha256(b"page").hexdigest())),
        ("ETag", Compared("etag", "etag"), Answer('"5f"')),
        (
            "last-modified",
            Compared("last-modified", "last-modified"),
            Answer("Sun, 06 Nov 1994 08:49:37 GMT"),
        ),
        ("header:X-Version", Compared("x-version", "x-version"), Answer("7, 8")),
        ("header:x-other", Compared("x-other", "x-other"), Answer("")),
        ("match", Compared("match"), Answer("caught")),
    ],
)
def test_what_is_compared_is_taken_from_the_answer(
    text: str, compared: Compared, answer: Answer
) -> None:
    """A header of several lines is one; what is not there is empty."""
    assert parse_compared(text) == compared
    assert answer_of(compared, HEAD, body(b"page"), b"caught") == answer


@pytest.mark.parametrize("text", ["", "page", "body:x", "etag:x", "header", "headers:x"])
def test_what_cannot_be_compared_is_quoted(text: str) -> None:
    """With all that can be."""
    with pytest.raises(UsageError) as raised:
        parse_compared(text)
    can = "body, etag, last-modified, header:NAME or match"
    assert str(raised.value) == f"{text!r} cannot be compared: {can}"


@pytest.mark.parametrize("name", ["", "a b", "a:", "ü"])
def test_a_header_that_has_no_name_is_refused(name: str) -> None:
    """Its name is a token (RFC 9110, 5.6.2)."""
    with pytest.raises(UsageError) as raised:
        parse_compared(f"header:{name}")
    said = f"'header:{name}' cannot be compared: {name!r} is not the name of a header"
    assert str(raised.value) == said


@pytest.mark.parametrize(
    ("text", "when"),
    [
        (b"784111777\n", THEN),
        (b"784111777.5", THEN + 0.5),
        (b"1994-11-06T08:49:37+00:00\n", THEN),
        (b"1994-11-06T09:49:37+01:00", THEN),
        (b"1994-11-06 08:49:37+00:00", THEN),
        (b"1994-11-06T08:49:37Z", THEN),
        (b"Sun, 06 Nov 1994 08:49:37 GMT", THEN),
        (b"Sun, 06 Nov 1994 09:49:37 +0100\n", THEN),
        (b"1994-11-06T08:49:37", None),
        (b"12345", None),
        (b"7841117770000", None),
        (b"hello", None),
        (b"", None),
        (b"\xff\xfe", None),
        (b"1994-13-06T08:49:37Z", None),
    ],
)
def test_a_time_is_read_as_date_writes_it(text: bytes, when: float | None) -> None:
    """Seconds, RFC 3339, or HTTP's; one without a zone is none."""
    assert time_of(text) == when


@given(st.binary(max_size=64))
def test_no_content_breaks_the_look_for_its_time(text: bytes) -> None:
    """It is a time or none."""
    assert isinstance(time_of(text), (float, type(None)))


@pytest.mark.parametrize(
    ("content", "head", "late", "reason"),
    [
        (b"784111777\n", HEAD, 300.0, ""),
        (b"784111777\n", HEAD, 301.0, "its time is 301 s old, more than 300 s"),
        (b"784111777\n", HEAD, -300.0, ""),
        (b"784111777\n", HEAD, -301.0, "its time is 301 s ahead of this clock, more than 300 s"),
        (b"784111000\n", HEAD, 0.0, "its time is 777 s old, more than 300 s"),
        (b"784111777" + b" " * 64, HEAD.replace(b"1994", b"1993"), 0.0, "its time is 31536000 s"),
        (b"a page", HEAD, 300.0, ""),
        (b"a page", HEAD, 301.0, "its time is 301 s old, more than 300 s"),
        (
            b"a page",
            b"HTTP/1.1 200 OK",
            0.0,
            "there is no time in its content, and no Last-Modified",
        ),
    ],
)
def test_what_is_older_fails(content: bytes, head: bytes, late: float, reason: str) -> None:
    """The content's time counts where it is one, else Last-Modified; too new is no proof either."""
    assert too_old(head, body(content), 300.0, THEN + late).startswith(reason)
    assert bool(too_old(head, body(content), 300.0, THEN + late)) == bool(reason)
