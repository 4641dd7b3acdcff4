"""Where our monitors differ from the stock Perl ones on purpose, and what each says."""

from __future__ import annotations

from dataclasses import dataclass

from tests.harness import misbehaving
from tests.harness.misbehaving import OK, Talk, ftp, replies
from tests.harness.monitors import FPING, FTP, HTTP, Verdict
from tests.harness.waiting import short

HOST = "127.0.8.1"
NO_ERROR = (0, "")
FAILED = (1, HOST)
CANNOT_TELL = (3, "")


def status(line: bytes) -> Talk:
    """Answer a request with this status line and a page."""
    return replies(line + b"\r\n\r\ntest page\n")


PAGE = replies(OK + b"X-Ready: yes\r\n\r\nfirst line\ntest page\n")


@dataclass(frozen=True)
class Difference:
    """Where ours differs on purpose: what each says of the server, or of the arguments alone.

    `perl` is the exit status and how the summary begins, since it may be an error message.
    """

    name: str
    monitor: str
    perl: Verdict
    ours: Verdict
    talk: Talk = PAGE
    options: tuple[str, ...] = ("-t", short())
    host: str = HOST


DIFFERENCES = (
    Difference(
        "a match does not excuse a bad status",
        HTTP,
        NO_ERROR,
        FAILED,
        status(b"HTTP/1.1 500 Internal Server Error"),
        ("-m", "test page"),
    ),
    Difference(
        "what is not HTTP/1 is no answer to a request of HTTP/1",
        HTTP,
        NO_ERROR,
        FAILED,
        status(b"HTTP/2 200"),
    ),
    Difference(
        "an empty line before the status line is passed over",
        HTTP,
        FAILED,
        NO_ERROR,
        status(b"\r\nHTTP/1.1 200 OK"),
    ),
    Difference(
        "an answer cut short of its length is a failure",
        HTTP,
        NO_ERROR,
        FAILED,
        misbehaving.truncated,
    ),
    Difference(
        "a head that does not end is a failure",
        HTTP,
        NO_ERROR,
        FAILED,
        replies(OK + b"X-Unfinished: yes\r\n"),
    ),
    Difference(
        "broken chunks are a failure",
        HTTP,
        NO_ERROR,
        FAILED,
        misbehaving.chunked_badly,
    ),
    Difference(
        "a page that does not end in time is a failure",
        HTTP,
        NO_ERROR,
        FAILED,
        misbehaving.replies_and_stays(OK + b"\r\ntest page\n"),
    ),
    Difference(
        "a match is looked for in the content, not in its chunks",
        HTTP,
        FAILED,
        NO_ERROR,
        misbehaving.chunked,
        ("-m", "test page"),
    ),
    Difference(
        "a regular expression that is none is no verdict",
        HTTP,
        (255, "Unmatched ("),
        CANNOT_TELL,
        options=("-m", "("),
    ),
    Difference(
        "QUIT has to be answered",
        FTP,
        NO_ERROR,
        FAILED,
        misbehaving.ftp_no_farewell,
    ),
    Difference(
        "QUIT has to be answered by more than a reset",
        FTP,
        NO_ERROR,
        FAILED,
        misbehaving.ftp_resets,
    ),
    Difference(
        "a farewell has to come to its end",
        FTP,
        NO_ERROR,
        FAILED,
        ftp(farewell=b"221-Bye\r\n"),
    ),
    Difference(
        "what comes before the greeting is not passed over",
        FTP,
        NO_ERROR,
        FAILED,
        ftp(b"hello\r\n220 ready\r\n"),
    ),
    Difference(
        "a server that is not ready yet (120) is not in service",
        FTP,
        NO_ERROR,
        FAILED,
        ftp(b"120 Ready in 10 minutes.\r\n220 ready\r\n"),
    ),
    Difference(
        "nothing is awaited after the farewell",
        FTP,
        FAILED,
        NO_ERROR,
        ftp(farewell=b"221 bye\r\n500 what?\r\n"),
    ),
    Difference("IPv6", HTTP, (1, "::1"), NO_ERROR, host="::1"),
    Difference("IPv6", FTP, (1, "::1"), NO_ERROR, ftp(), host="::1"),
    Difference(
        "an unknown option is no verdict",
        HTTP,
        (0, "Unknown option: x"),
        CANNOT_TELL,
        options=("-x",),
    ),
    Difference(
        "an unknown option is no verdict",
        FTP,
        (0, "Unknown option: x"),
        CANNOT_TELL,
        ftp(),
        ("-x",),
    ),
    Difference(
        "an unknown option is no verdict",
        FPING,
        (0, "Unknown option: x"),
        CANNOT_TELL,
        options=("-x",),
    ),
    Difference(
        "a port that is none is no verdict",
        HTTP,
        FAILED,
        CANNOT_TELL,
        options=("-p", "no-such-port"),
    ),
    Difference(
        "a port that is none is no verdict",
        FTP,
        FAILED,
        CANNOT_TELL,
        options=("-p", "no-such-port"),
    ),
    Difference(
        "a port out of range is no verdict",
        HTTP,
        (1, "Port number above 0xFFFF"),
        CANNOT_TELL,
        options=("-p", "70000"),
    ),
    Difference(
        "a number that is none is no verdict",
        FPING,
        (1, "unidentified output from fping"),
        CANNOT_TELL,
        options=("-t", "soon"),
    ),
    Difference(
        "an unknown name is a failed host",
        FPING,
        (2, "unidentified output from fping"),
        (1, "no-such-name.invalid"),
        options=(),
        host="no-such-name.invalid",
    ),
    Difference(
        "an unknown name is no reachable host",
        FPING,
        (0, "unidentified output from fping"),
        (1, "no-such-name.invalid"),
        options=("-a",),
        host="no-such-name.invalid",
    ),
    Difference(
        "with -a too, a host that is too slow has failed",
        FPING,
        (0, HOST),
        FAILED,
        options=("-a", "-s", "0.0001"),
    ),
    Difference(
        "-s 0 means 0 ms",
        FPING,
        NO_ERROR,
        FAILED,
        options=("-s", "0"),
    ),
    Difference(
        "a port is taken off a host that is pinged",
        FPING,
        (2, "unidentified output from fping"),
        NO_ERROR,
        options=(),
        host="127.0.0.1:80",
    ),
)
