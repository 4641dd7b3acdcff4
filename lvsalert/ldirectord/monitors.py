"""The monitor for a check of the director's file, and how it is told what to ask. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable
from urllib.parse import quote

from lvsalert.ldirectord.config import Check
from lvsalert.model import Protocol

PING = "fping.monitor"
"""The monitor whose hosts have no ports."""

# The statuses that ldirectord takes, and that it follows a redirect to find them.
_GOOD_STATUS = "200-299"
# What a path and a query are made of (RFC 3986); the percent sign is that of what is escaped there.
_SAFE_IN_URL = "!$%&'()*+,/:;=?@[]~"
_NONE: Mapping[str, str] = {}
# More than a page has, and less than would fill the memory of a director.
_WHOLE_PAGE = str(64 << 20)
_NEEDS_LOGIN = "it needs a login and a request, so "


class Monitor:
    """A monitor with the words behind it, and its variables (empty ones mean nothing).

    ``lacks`` says what is checked less than ldirectord does.
    """

    def __init__(
        self, words: tuple[str, ...], variables: Mapping[str, str] = _NONE, lacks: str = ""
    ) -> None:
        self.words = words
        self.variables = variables
        self.lacks = lacks


def monitor_of(check: Check, port: int | None, protocol: Protocol) -> Monitor:
    """Return the monitor for a check at ``port``, None where the hosts carry their own.

    ``protocol`` is that of the virtual service.
    """
    at = () if port is None else ("-p", str(port))
    if check.type in _BY_TYPE:
        return _BY_TYPE[check.type](check, at)
    if check.service in _BY_PROTOCOL:
        return _BY_PROTOCOL[check.service](check, at, protocol)
    is_udp = protocol is Protocol.UDP
    if check.service in _BY_SERVICE and not (check.service == "simpletcp" and is_udp):
        return _BY_SERVICE[check.service](check, at)
    return _only_reached(check, at, is_udp=is_udp)


def _connect(check: Check, at: tuple[str, ...]) -> Monitor:
    return Monitor(("tcp.monitor", "-t", str(check.timeout), *at))


def _ping(check: Check, _at: tuple[str, ...]) -> Monitor:
    words = (PING, "-r", str(check.tries - 1), "-t", str(check.timeout * 1000))
    return Monitor(words)


def _external(check: Check, _at: tuple[str, ...]) -> Monitor:
    perl = ("--perl",) if check.type == "external-perl" else ()
    words = ("external.monitor", "-t", str(check.timeout), *perl)
    return Monitor(words, {"LVSALERT_COMMAND": check.command})


def _http(check: Check, at: tuple[str, ...]) -> Monitor:
    timeout = str(check.negotiate_timeout)
    # ldirectord trusts any certificate, behind a redirect too.
    words = ("http.monitor", "-t", timeout, *at, "--follow", "--insecure", "--status", _GOOD_STATUS)
    variables = {
        "LVSALERT_URL": quote(f"/{check.request.lstrip('/')}", safe=_SAFE_IN_URL),
        "LVSALERT_RECEIVE": check.receive,
        "LVSALERT_METHOD": check.method,
        "LVSALERT_HOST_HEADER": check.virtual_host or "",
        # ldirectord reads all of a page, however long.
        "LVSALERT_MAX_BYTES": _WHOLE_PAGE if check.receive else "",
    }
    return Monitor(words, variables)


def _https(check: Check, at: tuple[str, ...]) -> Monitor:
    plain = _http(check, at)
    return Monitor((*plain.words, "--tls"), plain.variables)


def _http_proxy(check: Check, at: tuple[str, ...]) -> Monitor:
    url = check.request.lstrip("/")
    if not url.startswith("http://"):
        return _only_reached(check, at, is_udp=False)
    words = ("http.monitor", "-t", str(check.negotiate_timeout), *at, "--status", _GOOD_STATUS)
    variables = {
        "LVSALERT_URL": quote(url, safe=_SAFE_IN_URL),
        "LVSALERT_RECEIVE": check.receive,
        "LVSALERT_METHOD": check.method,
    }
    return Monitor(words, variables, "redirects are not followed")


def _ftp(check: Check, at: tuple[str, ...]) -> Monitor:
    path = check.request.lstrip("/")
    words = ("ftp.monitor", "-t", str(check.negotiate_timeout), *at)
    if not path:
        return Monitor(words)
    variables = {
        "LVSALERT_USER": check.login or "anonymous",
        "LVSALERT_PASSWORD": check.password or "ldirectord@",
        "LVSALERT_RETRIEVE": path,
        "LVSALERT_MATCH": check.receive,
    }
    return Monitor(words, variables)


def _simpletcp(check: Check, at: tuple[str, ...]) -> Monitor:
    words = ("tcp.monitor", "-t", str(check.negotiate_timeout), *at)
    # ldirectord holds each line of the answer against it, and wants one line at least.
    match = f"(?m){check.receive}" if check.receive else r"[\s\S]"
    variables = {"LVSALERT_SEND": check.request.removeprefix("/"), "LVSALERT_MATCH": match}
    return Monitor(words, variables)


def _mail(check: Check, at: tuple[str, ...]) -> Monitor:
    """Return the monitor of a protocol of mail or news, over TLS where the service's name says so.

    ldirectord trusts any certificate.
    """
    name, over_tls = _MAIL[check.service]
    words = (name, "-t", str(check.negotiate_timeout), *at)
    if over_tls:
        words += ("--tls", "--insecure")
    if name not in _LOGS_IN or not check.login:
        return Monitor(words)
    return Monitor(words, _login(check))


def _ldap(check: Check, at: tuple[str, ...]) -> Monitor:
    """Return the look for one entry; ldirectord gives that the time of a connect too."""
    seconds = min(check.timeout, check.negotiate_timeout)
    over_tls = ("--tls", "--insecure") if check.service == "ldaps" else ()
    variables = {"LVSALERT_BASE": _bare(check.request), "LVSALERT_RECEIVE": check.receive}
    if check.login and check.password:
        variables |= _login(check)
    return Monitor(("ldap.monitor", "-t", str(seconds), *at, *over_tls), variables)


def _sql(check: Check, at: tuple[str, ...]) -> Monitor:
    request = _bare(check.request)
    if not check.login or not request:
        return _only_reached(check, at, is_udp=False, why=_NEEDS_LOGIN)
    variables = {"LVSALERT_DATABASE": check.database, "LVSALERT_REQUEST": request}
    words = (f"{check.service}.monitor", "-t", str(check.negotiate_timeout), *at)
    return Monitor(words, _login(check) | variables)


def _radius(check: Check, at: tuple[str, ...]) -> Monitor:
    """Return the log-in; ldirectord gives that the time of a connect too."""
    seconds = min(check.timeout, check.negotiate_timeout)
    if not check.login:
        return _only_reached(check, at, is_udp=True, why=_NEEDS_LOGIN)
    variables = _login(check) | {"LVSALERT_SECRET": check.secret}
    return Monitor(("radius.monitor", "-t", str(seconds), *at), variables)


def _dns(check: Check, at: tuple[str, ...], protocol: Protocol) -> Monitor:
    """Return the question, over UDP but where the virtual service is one of TCP."""
    is_tcp = protocol is Protocol.TCP
    query = _bare(check.request)
    if not query:
        return _only_reached(check, at, is_udp=not is_tcp, why="there is no request, so ")
    words = ("dns.monitor", "-t", str(check.negotiate_timeout), *at, *(["--tcp"] if is_tcp else []))
    return Monitor(words, {"LVSALERT_QUERY": query, "LVSALERT_RECEIVE": check.receive})


def _sip(check: Check, at: tuple[str, ...], protocol: Protocol) -> Monitor:
    """Return the request for OPTIONS, over TCP but where the virtual service is one of UDP."""
    over_tcp = () if protocol is Protocol.UDP else ("--tcp",)
    words = ("sip.monitor", "-t", str(check.negotiate_timeout), *at, *over_tcp)
    return Monitor(words, {"LVSALERT_LOGIN": check.login})


def _bare(request: str) -> str:
    return request.removeprefix("/")


def _login(check: Check) -> dict[str, str]:
    return {"LVSALERT_USER": check.login, "LVSALERT_PASSWORD": check.password}


def _only_reached(check: Check, at: tuple[str, ...], *, is_udp: bool, why: str = "") -> Monitor:
    """Return what is left where nothing can be asked, for the reason ``why``."""
    if is_udp:
        return Monitor(_ping(check, at).words, lacks=f"{why}the real servers are only pinged")
    words = ("tcp.monitor", "-t", str(check.negotiate_timeout), *at)
    return Monitor(words, lacks=f"{why}the real servers are only connected to")


# The monitor of each service of mail and news, and whether it speaks TLS.
_MAIL = {
    "smtp": ("smtp.monitor", False),
    "submission": ("smtp.monitor", False),
    "imap": ("imap.monitor", False),
    "imaps": ("imap.monitor", True),
    "pop": ("pop3.monitor", False),
    "pops": ("pop3.monitor", True),
    "nntp": ("nntp.monitor", False),
}
_LOGS_IN = frozenset(("imap.monitor", "pop3.monitor"))
_BY_TYPE: dict[str, Callable[[Check, tuple[str, ...]], Monitor]] = {
    "connect": _connect,
    "ping": _ping,
    "external": _external,
    "external-perl": _external,
}
_BY_SERVICE: dict[str, Callable[[Check, tuple[str, ...]], Monitor]] = {
    "http": _http,
    "https": _https,
    "http_proxy": _http_proxy,
    "ftp": _ftp,
    "simpletcp": _simpletcp,
    "ldap": _ldap,
    "ldaps": _ldap,
    "mysql": _sql,
    "pgsql": _sql,
    "radius": _radius,
    **dict.fromkeys(_MAIL, _mail),
}
_BY_PROTOCOL: dict[str, Callable[[Check, tuple[str, ...], Protocol], Monitor]] = {
    "dns": _dns,
    "sip": _sip,
}
