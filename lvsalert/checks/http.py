"""A web server's answer to one request (RFC 9110, RFC 9112), and the verdict on it."""

from __future__ import annotations

import re
import socket
import time
import warnings
from typing import TYPE_CHECKING, NamedTuple

from lvsalert.checks.http_answer import Body, Malformed, Reader
from lvsalert.checks.http_content import BODY, CANARY_BYTES, Compared, answer_of, too_old
from lvsalert.checks.sweep import READ, WRITE, Conversation, Target, TimedOut, Verdict
from lvsalert.errors import UsageError
from lvsalert.model import is_host_name, split_endpoint

if TYPE_CHECKING:
    from lvsalert.checks.tls import Stream

# The statuses that mon's own http.monitor takes.
DEFAULT_STATUS = frozenset((200, 301, 302, 401))
DEFAULT_AGENT = "mon.d/http.monitor"
DEFAULT_MAX_BYTES = 1 << 20
_SCHEME = "http://"
_OVER_TLS = 443
_STATUSES = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


class Check(NamedTuple):
    """What is asked of every host and what makes its answer good.

    ``match`` is searched in headers and content, ``receive`` in the content alone, all as they
    came, after ``status`` was accepted.
    ``slow`` is the seconds after which an answer is a failure, None for any. ``max_bytes`` of the
    body are read, the rest is not awaited. With ``follow`` a redirect is not judged, but what it
    leads to. ``compared`` is what the answer is held against other hosts' by, None for nothing;
    ``stale`` is the seconds that its time may be old, None for any.
    """

    path: str = "/"
    method: str = "GET"
    agent: str = DEFAULT_AGENT
    host_header: str | None = None
    status: frozenset[int] = DEFAULT_STATUS
    match: re.Pattern[bytes] | None = None
    receive: re.Pattern[bytes] | None = None
    slow: float | None = None
    max_bytes: int = DEFAULT_MAX_BYTES
    follow: bool = False
    compared: Compared | None = None
    stale: float | None = None

    @property
    def pattern(self) -> re.Pattern[bytes] | None:
        """Return the expression with a group, None where neither has one."""
        for each in (self.match, self.receive):
            if each is not None and each.groups:
                return each
        return None

    def body(self) -> Body:
        """Return what takes the body of an answer, and keeps of it what is looked for."""
        is_searched = self.match is not None or self.receive is not None
        keep = CANARY_BYTES if self.stale is not None else 0
        digest = None
        if self.compared == Compared(BODY):
            import hashlib

            digest = hashlib.sha256()
        return Body(self.max_bytes, None if is_searched else keep, digest)


class Redirect(NamedTuple):
    """The place that a redirect names, and when (time.monotonic()) the host was first asked."""

    location: str
    started: float


class Redirected(Exception):
    """Ends a conversation whose answer is a redirect to be followed."""

    def __init__(self, redirect: Redirect) -> None:
        super().__init__(redirect.location)
        self.redirect = redirect


def parse_status(text: str) -> frozenset[int]:
    """Return the statuses that ``200,301-302`` names. UsageError for what names none."""
    accepted: set[int] = set()
    for part in text.split(","):
        found = _STATUSES.fullmatch(part.strip())
        if found is None:
            raise UsageError(f"{text!r} is not a list of statuses: write 200,301-302")
        low, high = int(found[1]), int(found[2] or found[1])
        if low > high:
            raise UsageError(f"{text!r} is not a list of statuses: {found[0]} runs backwards")
        accepted.update(range(low, high + 1))
    return frozenset(accepted)


def parse_match(text: str) -> re.Pattern[bytes]:
    """Return the pattern, of bytes; a dot matches a line's end too. UsageError for a bad one."""
    return _pattern(text, re.DOTALL)


def parse_receive(text: str) -> re.Pattern[bytes]:
    """Return the pattern, of bytes, as ldirectord means it. UsageError for a bad one."""
    return _pattern(text, re.RegexFlag(0))


def _pattern(text: str, flags: re.RegexFlag) -> re.Pattern[bytes]:
    try:
        with warnings.catch_warnings():
            # What re expects of its own future is no word for mon.
            warnings.simplefilter("ignore")
            return re.compile(text.encode("utf-8", "surrogateescape"), flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"{text!r} is not a regular expression: {error}") from None


def parse_path(text: str) -> str:
    """Return a path as the request line takes it; UsageError where it cannot stand there.

    A whole URL (``http://name/path``) is taken too, which asks a proxy for it (RFC 9112, 3.2.2).
    """
    if is_for_proxy(text):
        if not _authority(text):
            raise UsageError(f"{text!r} is not a URL: it names no host")
    elif not text.startswith("/"):
        raise UsageError(f"{text!r} is not a path: it begins with /")
    if not text.isprintable() or " " in text:
        raise UsageError(f"{text!r} is not a path: it holds a blank or a control character")
    if "#" in text:
        raise UsageError(f"{text!r} is not a path: what follows # is never sent")
    if not text.isascii():
        from urllib.parse import quote

        return quote(text, safe="".join(map(chr, range(33, 127))))
    return text


def is_for_proxy(path: str) -> bool:
    """Return whether a path is a whole URL."""
    return path.startswith(_SCHEME)


def _authority(url: str) -> str:
    """Return host and port of a whole URL, as they stand in a Host field."""
    return re.split("[/?]", url[len(_SCHEME) :], maxsplit=1)[0].rpartition("@")[2]


def parse_header_value(text: str) -> str:
    """Return a header's value; UsageError for one that would end the header."""
    if not text or not text.isascii() or not text.isprintable():
        raise UsageError(f"{text!r} cannot stand in a header")
    return text


def parse_host_header(text: str) -> str:
    """Return a Host field, ``name`` or ``name:port``; UsageError for what is none."""
    parse_header_value(text)
    try:
        name, port = split_endpoint(text)
    except UsageError:
        raise UsageError(f"{text!r} is not a host name") from None
    if port is not None and not (port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise UsageError(f"{text!r} is not a host name: {port!r} is not a port")
    if ":" not in name and not is_host_name(name):
        raise UsageError(f"{text!r} is not a host name: a label has 1 to 63 bytes")
    host = f"[{name}]" if ":" in name else name
    return host if port is None else f"{host}:{port}"


def host_header(check: Check, target: Target, default_port: int) -> str:
    """Return the Host field: ``--host-header``, or the host with its port where that is unusual.

    Of a whole URL it is the URL's own.
    """
    if check.host_header is not None:
        return check.host_header
    if is_for_proxy(check.path):
        return _authority(check.path)
    # By way of an address clients ask for that, but no certificate may be for it.
    asked = target.certified if default_port == _OVER_TLS else target.name
    # The zone of fe80::1%eth0 means something on this side alone (RFC 6874).
    name = f"[{asked.partition('%')[0]}]" if ":" in asked else asked
    return name if target.port == default_port else f"{name}:{target.port}"


def judge(check: Check, status: int, head: bytes, body: Body, seconds: float) -> Verdict:
    """Return the verdict on an answer, with what is compared of a good one.

    Every way to fetch a page ends here.
    """
    reason = _fault(check, status, head, body, seconds)
    if reason or check.compared is None:
        return Verdict(reason, head)
    caught = None
    if check.pattern is not None:
        found = check.pattern.search(_searched(check.pattern, check, head, body))
        caught = found[1] if found is not None else None
    return Verdict("", head, answer_of(check.compared, head, body, caught))


def _fault(check: Check, status: int, head: bytes, body: Body, seconds: float) -> str:
    """Return why an answer is a failure, or an empty string where it is good."""
    if status not in check.status:
        return f"status {status} is not accepted"
    missing = _missing(check, head, body)
    if missing is not None:
        wanted = missing.pattern.decode("utf-8", "backslashreplace")
        cut = f" in the first {check.max_bytes} bytes" if body.is_full else ""
        return f"no match for {wanted!r}{cut}"
    if check.stale is not None and (late := too_old(head, body, check.stale, time.time())):
        return late
    if check.slow is not None and seconds > check.slow:
        return f"answered in {seconds * 1000:.0f} ms, slower than {check.slow * 1000:.0f} ms"
    return ""


def _missing(check: Check, head: bytes, body: Body) -> re.Pattern[bytes] | None:
    for pattern in (check.match, check.receive):
        if pattern is not None and not pattern.search(_searched(pattern, check, head, body)):
            return pattern
    return None


def _searched(pattern: re.Pattern[bytes], check: Check, head: bytes, body: Body) -> bytes:
    """Return what an expression of a check is searched in."""
    return head + b"\r\n\r\n" + body.kept if pattern is check.match else body.kept


def probe(
    check: Check, sock: socket.socket | Stream, target: Target, default_port: int = 80
) -> Conversation:
    """Ask one host over HTTP/1.1 and return the verdict; the Host field leaves out the port that
    is ``default_port``. Redirected where the answer is a redirect to be followed.
    """
    started = time.monotonic()
    reader = Reader(has_body=check.method != "HEAD", body=check.body(), follows=check.follow)
    host = host_header(check, target, default_port)
    request = (
        f"{check.method} {check.path} HTTP/1.1\r\nHost: {host}\r\n"
        f"User-Agent: {check.agent}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    ).encode("ascii", "backslashreplace")
    broken = ""
    try:
        while request:
            try:
                request = request[sock.send(request) :]
            except BlockingIOError:
                yield WRITE
        while not reader.is_complete:
            yield READ
            reader.feed(sock.recv(65536))
    except Malformed as error:
        return Verdict(str(error), reader.said)
    except TimedOut as error:
        return Verdict(f"{error}, {reader.progress}", reader.said)
    except ConnectionResetError:
        broken = f"connection reset, {reader.progress}"
        # A program that does not read the request is cut off by the kernel behind its page.
        if not reader.ends_with_connection:
            return Verdict(broken, reader.said)
    if reader.location is not None:
        raise Redirected(Redirect(reader.location, started))
    seconds = time.monotonic() - started
    verdict = judge(check, reader.status, reader.head, reader.body, seconds)
    return verdict._replace(reason=broken) if verdict.reason and broken else verdict
