"""A web server's answer through requests: redirects and authentication.

What the probes of the sweep cannot do goes this way; the verdict is made by the same function.
"""

from __future__ import annotations

import base64
import functools
import http.client
import io
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from lvsalert.checks import tls
from lvsalert.checks.http import Check, Redirect, host_header, judge
from lvsalert.checks.http_answer import REDIRECTS, Body
from lvsalert.checks.http_reasons import reason_of
from lvsalert.checks.sweep import Verdict
from lvsalert.checks.threads import Judge, NotConnected, Reach, TimedReader

if TYPE_CHECKING:
    from typing_extensions import Self

_PIECE = 65536
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
_MAX_REDIRECTS = 10
_NOTHING_CAME = "nothing came"


class Access(NamedTuple):
    """How a page is reached beyond plain HTTP.

    ``trust`` says which certificates are good, None where no TLS can come up. ``user`` and
    ``password`` are for basic authentication (RFC 7617), in UTF-8.
    """

    trust: ssl.SSLContext | None
    tls: bool = False
    user: str | None = None
    password: str = ""


def fetch(check: Check, access: Access, reach: Reach, redirect: Redirect | None = None) -> Judge:
    """Ask one host at one address; return what judges the answer.

    NotConnected where nothing listens there. Redirects are asked of the same address; ``redirect``
    is what the first request was answered with, where that has been asked.
    """
    scheme, usual = ("https", 443) if access.tls else ("http", 80)
    url = f"{scheme}://{host_header(check, reach.target, usual)}{check.path}"
    where = ""
    location, started = redirect or (None, time.monotonic())
    with _Server(reach, access, url) as server:
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                if location is None:
                    answer = server.ask(check, url)
                    if answer.location is None:
                        seconds = time.monotonic() - started
                        return functools.partial(_verdict, check, where, answer, seconds)
                    location = answer.location
                url, location = urljoin(url, location), None
            except NotConnected as error:
                if not where:
                    raise
                return _failure(f"{where}{error}")
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                return _failure(f"{where}{reason_of(error, reach, server.stage)}")
            where = f"redirected to {url[:200]}: "
    return _failure(f"{where}more than {_MAX_REDIRECTS} redirects")


class _Answer(NamedTuple):
    """An answer; ``location`` is where a redirect is to be followed to, None for the last answer.
    ``broken`` is why its body is not whole, or an empty string.
    """

    status: int
    head: bytes
    body: Body
    location: str | None
    broken: str


def _verdict(check: Check, where: str, answer: _Answer, seconds: float) -> Verdict:
    if answer.broken:
        return Verdict(f"{where}{answer.broken}", answer.head)
    verdict = judge(check, answer.status, answer.head, answer.body, seconds)
    return verdict._replace(reason=verdict.reason and f"{where}{verdict.reason}")


def _failure(reason: str) -> Judge:
    return lambda: Verdict(reason, b"")


class _Way:
    """How far a request came, for a reason."""

    stage = _NOTHING_CAME


class _Server:
    """One real server, to which every URL leads.

    A session of requests' would add cookies and settings from the environment, which no check is to
    depend on, would read a redirect's body to its end, and takes longer than all that is needed.
    """

    def __init__(self, reach: Reach, access: Access, url: str) -> None:
        self._reach = reach
        self._access = access
        self._url = url
        self._way = _Way()
        self._adapter = _Pinned(reach, access.trust, urlsplit(url), self._way)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._adapter.close()

    @property
    def stage(self) -> str:
        """Return how far the last request came, for a reason."""
        return self._way.stage

    def ask(self, check: Check, url: str) -> _Answer:
        """Send one request, and read as much of the answer as is asked for."""
        if urlsplit(url).scheme not in {"http", "https"}:
            raise ValueError("No connection adapters: only http and https can be asked")
        trusted = self._access.trust
        headers = {"User-Agent": check.agent, **_HEADERS, **self._login_for(url)}
        with self._adapter.send(
            requests.Request(check.method, url, headers).prepare(),
            stream=True,
            timeout=self._reach.seconds_left(),
            verify=trusted is None or trusted.verify_mode != ssl.CERT_NONE,
        ) as response:
            body = check.body()
            broken = _read(response, body, check.max_bytes, self._reach)
            is_followed = check.follow and response.status_code in REDIRECTS
            location = response.headers.get("location") if is_followed else None
            return _Answer(response.status_code, _head_of(response), body, location, broken)

    def _login_for(self, url: str) -> dict[str, str]:
        """Return the header field that logs in; a redirect does not carry it anywhere."""
        access, first, now = self._access, urlsplit(self._url), urlsplit(url)
        if access.user is None or first.hostname != now.hostname:
            return {}
        if first.scheme == "https" and now.scheme != "https":
            return {}
        both = f"{access.user}:{access.password}".encode("utf-8", "surrogateescape")
        return {"Authorization": f"Basic {base64.b64encode(both).decode('ascii')}"}


class _Pinned(HTTPAdapter):
    """Sends what is meant for any name to one real server's address.

    The name stays in the Host field, in TLS's server name and in the check of the certificate. The
    port of the first URL stands for the target's; another one is asked on the same address.
    """

    def __init__(self, reach: Reach, trusted: ssl.SSLContext | None, first: Any, way: _Way) -> None:
        self._reach = reach
        self._way = way
        self._trusted = trusted
        self._usual = first.port or {"http": 80, "https": 443}[first.scheme]
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools, of connections that lead to the real server."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._trusted)
        pools = _pools(self._reach, self._usual, self._way, self._trusted)
        self.poolmanager.pool_classes_by_scheme = pools

    def cert_verify(self, *_: Any) -> None:
        """Leave the certificates to the context, which has read them once for all hosts."""


def _pools(
    to: Reach, usual: int, on: _Way, trusted: ssl.SSLContext | None
) -> dict[str, type[HTTPConnectionPool]]:
    """Return urllib3's pools, with connections to one address and answers in time.

    The port ``usual`` stands for the target's own. How far a request came is noted in ``on``. There
    is no pool for TLS where nothing is ``trusted``.
    """

    class Answer(_TimedAnswer):
        reach = to
        way = on

    class Plain(HTTPConnection):
        response_class = Answer

        def _new_conn(self) -> socket.socket:
            return to.connect(to.target.port if self.port == usual else self.port)

        def connect(self) -> None:
            on.stage = tls.NOT_UP
            super().connect()
            on.stage = _NOTHING_CAME

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    if trusted is None:
        return {"http": PlainPool}
    context = trusted

    class Secure(Plain, HTTPSConnection):
        def connect(self) -> None:
            # urllib3 before 2 would not have a certificate verified that is for an address.
            on.stage = tls.NOT_UP
            name = tls.name_to_verify(self.host.strip("[]"))
            self.sock = context.wrap_socket(self._new_conn(), server_hostname=name)
            self.is_verified = True
            on.stage = _NOTHING_CAME

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class _TimedAnswer(http.client.HTTPResponse):
    """An answer that has to be whole, and in time."""

    reach: Reach
    way: _Way

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._timed = TimedReader(cast("socket.SocketIO", self.fp.detach()), sock, self.reach)
        self.fp = io.BufferedReader(self._timed)

    def begin(self) -> None:
        """Read status and headers of the final answer."""
        try:
            self._begin()
        except Exception:
            if self._timed.heard:
                self.way.stage = f"the headers broke off after {self._timed.heard} bytes"
            raise

    def _begin(self) -> None:
        super().begin()
        while 102 <= self.status < 200:
            # An interim answer (RFC 9110, 15.2); http.client passes over 100 alone.
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        if self._timed.has_ended:
            # http.client takes the end of the connection for the end of the headers.
            raise http.client.IncompleteRead(b"")


def _read(response: requests.Response, body: Body, most: int, reach: Reach) -> str:
    """Read up to ``most`` bytes of the body as it comes; return why it broke off, if it did."""
    # urllib3 before 2 would take a body that is cut off for whole.
    response.raw.enforce_content_length = True
    try:
        while not body.is_full and (
            piece := response.raw.read(min(_PIECE, most - body.length), decode_content=False)
        ):
            body.take(piece)
    except (HTTPError, OSError, http.client.HTTPException, ValueError) as error:
        return reason_of(error, reach, "the body broke off")
    return ""


def _head_of(response: requests.Response) -> bytes:
    """Return status line and header fields as a server would have sent them."""
    version = {10: "1.0", 11: "1.1"}.get(response.raw.version, "1.1")
    lines = [f"HTTP/{version} {response.status_code} {response.reason or ''}".rstrip()]
    lines += [f"{name}: {value}" for name, value in response.raw.headers.items()]
    return "\r\n".join(lines).encode("latin-1", "backslashreplace")
