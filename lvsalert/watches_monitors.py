"""The monitor for a check of the director's file, and how it is told what to ask. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable
from urllib.parse import quote

from lvsalert.config import Check

PING = "fping.monitor"
"""The monitor whose hosts have no ports."""

# The statuses that ldirectord takes, and that it follows a redirect to find them.
_GOOD_STATUS = "200-299"
# What a path and a query are made of (RFC 3986); the percent sign is that of what is escaped there.
_SAFE_IN_URL = "!$%&'()*+,/:;=?@[]~"
_DNS_PORT = 53
_NONE: Mapping[str, str] = {}


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


def monitor_of(check: Check, port: int | None, *, is_udp: bool) -> Monitor:
    """Return the monitor for a check at ``port``, None where the hosts carry their own.

    ``is_udp`` is whether the virtual service is one of UDP.
    """
    at = () if port is None else ("-p", str(port))
    if check.type in _BY_TYPE:
        return _BY_TYPE[check.type](check, at)
    if check.service in _DATAGRAMS_TOO and is_udp:
        return _only_reached(check, at, is_udp=True)
    speak = _BY_SERVICE.get(check.service)
    if speak is not None:
        return speak(check, at)
    if port is not None and (stock := _stock(check, port, is_udp=is_udp)) is not None:
        return stock
    if check.service in _GREETINGS:
        return _greeting(check, at)
    return _only_reached(check, at, is_udp=is_udp or check.service == "radius")


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


def _greeting(check: Check, at: tuple[str, ...]) -> Monitor:
    """Return a look at what a server says first."""
    words = ("tcp.monitor", "-t", str(check.negotiate_timeout), *at)
    return Monitor(words, {"LVSALERT_MATCH": _GREETINGS[check.service]}, _no_login(check))


def _over_tls(check: Check, at: tuple[str, ...]) -> Monitor:
    """Return a look at what a server says first over TLS; an LDAP server says nothing."""
    words = ("tcp.monitor", "-t", str(check.negotiate_timeout), *at, "--tls")
    plain = check.service.removesuffix("s")
    if plain not in _GREETINGS:
        return Monitor(words, lacks="TLS is spoken, and nothing asked")
    return Monitor(words, {"LVSALERT_MATCH": _GREETINGS[plain]}, _no_login(check))


def _no_login(check: Check) -> str:
    return "the greeting is looked at, and nobody logs in" if check.login else ""


def _only_reached(check: Check, at: tuple[str, ...], *, is_udp: bool) -> Monitor:
    """Return what is left for a service that neither mon nor we speak."""
    if is_udp:
        return Monitor(_ping(check, at).words, lacks="the real servers are only pinged")
    words = ("tcp.monitor", "-t", str(check.negotiate_timeout), *at)
    return Monitor(words, lacks="the real servers are only connected to")


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
    "imaps": _over_tls,
    "pops": _over_tls,
    "ldaps": _over_tls,
}
# What ldirectord speaks over UDP where the virtual service is of UDP.
_DATAGRAMS_TOO = frozenset(("simpletcp", "sip"))
# How a server that is well begins to speak (RFC 5321, 9051, 1939, 3977).
_GREETINGS = {
    "smtp": "^220",
    "submission": "^220",
    "imap": r"^\* (OK|PREAUTH)",
    "pop": r"^\+OK",
    "nntp": "^2",
}
# mon's own monitors that take port and time-out alike.
_STOCK = {
    "smtp": "smtp.monitor",
    "submission": "smtp.monitor",
    "imap": "imap.monitor",
    "pop": "pop3.monitor",
    "nntp": "nntp.monitor",
}


def _stock(check: Check, port: int, *, is_udp: bool) -> Monitor | None:
    """Return mon's own monitor for a service, None where it has none or lacks what it needs.

    They take one port for all hosts.
    """
    timeout, asked = str(check.negotiate_timeout), check.request.removeprefix("/")
    if check.service in _STOCK:
        return Monitor(
            (_STOCK[check.service], "-t", timeout, "-p", str(port)), lacks=_no_login(check)
        )
    words: tuple[str, ...]
    login = ("--port", str(port), "--username", check.login, "--password", check.password)
    if check.service == "ldap":
        words = (
            *("ldap.monitor", "-port", str(port), "-basedn", asked),
            *("-filter", "objectclass=*", "-attribute", "objectClass"),
        )
        is_more = check.login or check.receive
        return Monitor(words, lacks="nobody logs in, and any entry will do" if is_more else "")
    if check.service == "mysql":
        words = (
            *("msql-mysql.monitor", "--mode", "mysql", "--timeout", timeout),
            *(*login, "--database", check.database),
        )
        return Monitor(words, lacks="the monitor logs in, and request is not run")
    if check.service == "radius":
        return Monitor(("radius.monitor", *login, "--secret", check.secret))
    if check.service == "dns" and asked and port == _DNS_PORT:
        words = (
            *("dns.monitor", "-caching_only", "-query", asked, "-timeout", timeout),
            *(() if is_udp else ("-tcp",)),
        )
        return Monitor(words, lacks="any answer will do" if check.receive else "")
    return None
