"""The servers of ldirectord's configuration: one ``virtual``, ``real`` or ``fallback`` line each.

ldirectord(8) looks for what it knows in a line and drops the rest. What it finds is found here, by
the same patterns, and what is dropped is noted. Host names stay names: nothing is looked up but the
names of ports, in services(5).
"""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

from lvsalert.errors import UsageError
from lvsalert.ldirectord import perl_regex
from lvsalert.model import MAX_WEIGHT, Forwarding, canonical_address, parse_forwarding

MAX_RANGE = 65536
"""How many real servers one line may name."""

_MAX_THRESHOLD = 2**31 - 1

_NAMED = re.compile(r"([0-9A-Za-z._+-]+):([0-9A-Za-z\-_]+)")
_BRACKETED = re.compile(r"(\[[0-9A-Fa-f:]+\]):([0-9A-Za-z\-_]+)")
_MARK = re.compile(r"([0-9]+)(?=\s|$)", re.ASCII)
# A-f is ldirectord's; it takes in the closing bracket too.
_HOST = r"([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+|[A-Za-z0-9.-]+|\[[0-9A-f:]+\])"
_REAL = re.compile(rf"{_HOST}(?:->{_HOST})?(?::([0-9]+|[A-Za-z0-9\-_]+))?\s+(.*)", re.ASCII)
_METHOD = re.compile(r"(\w+)(.*)", re.ASCII)
_WEIGHT = re.compile(r"\s+([0-9]+)(.*)", re.ASCII)
_OWN_CHECK = re.compile(r'\s+"(.*)"[, ]\s*"(.*)"(.*)', re.ASCII)
_LOWER = re.compile(r"\s+l:([0-9]+)(.*)", re.ASCII)
_UPPER = re.compile(r"\s+u:([0-9]+)(.*)", re.ASCII)
_FALLBACK = re.compile(r"(\S+)(?:\s+(\S+))?\s*$", re.ASCII)
_PORT_AT_END = re.compile(r"(?::([0-9]+|[A-Za-z0-9\-_]+))?$")
_NAME = re.compile(r"[\w.+-]+", re.ASCII)
_METHODS = ("gate", "masq", "ipip")


class ConfiguredServer(NamedTuple):
    """A real server or fallback as the file has it.

    ``address`` is numeric, as inet_ntop(3) writes it, or a name. ``port`` is 0 where none was
    given. ``last`` is the end of a range that a name takes part in, else empty: see
    ``address_range``. ``request`` and ``receive`` are its own, None where the service's apply.
    """

    address: str
    port: int
    forwarding: Forwarding = Forwarding.GATEWAYING
    weight: int = 1
    upper: int = 0
    lower: int = 0
    request: str | None = None
    receive: str | None = None
    last: str = ""
    line: int = 0


class WrittenAddress(NamedTuple):
    """What a ``virtual`` or ``fallback`` line names, its port not looked up yet.

    A firewall mark is in ``fwmark``, else that is 0. ``port`` is None where there is none.
    """

    host: str
    port: str | None
    fwmark: int = 0
    forwarding: Forwarding = Forwarding.GATEWAYING
    line: int = 0


def note_dropped(text: str, dropped: str, notes: list[str]) -> None:
    """Note that a part of ``text`` is dropped, where it is more than blanks."""
    note = f"{dropped.strip()!r} in {text!r} is ignored, as by ldirectord"
    if dropped.strip() and note not in notes:
        notes.append(note)


def read_virtual(text: str, family: int, notes: list[str]) -> WrittenAddress:
    """Return the address and port, or the firewall mark, that a virtual service is told by.

    UsageError for what is neither, and for an address of the other family.
    """
    match = _NAMED.match(text) or _BRACKETED.match(text)
    if match is None:
        match = _MARK.match(text)
        if match is None:
            raise UsageError(f"{text!r} is not address:port or a firewall mark")
        mark = whole_number(match.group(), 2**32 - 1)
        if not mark:
            raise UsageError(f"{match.group()!r} is not a firewall mark: 1 to {2**32 - 1}")
        note_dropped(text, text[match.end() :], notes)
        return WrittenAddress("", "0", mark)
    note_dropped(text, text[match.end() :], notes)
    return WrittenAddress(read_address(match.group(1), family, notes), match.group(2))


def read_fallback(text: str, notes: list[str]) -> WrittenAddress:
    """Return the fallback server of a ``fallback`` line, its address as written.

    UsageError where there is none, and for a forwarding method that is none.
    """
    match = _FALLBACK.search(text)
    if match is None:
        raise UsageError("it names no server")
    note_dropped(text, text[: match.start()], notes)
    forwarding = _forwarding(match.group(2) or "gate")
    where = match.group(1)
    end = _PORT_AT_END.search(where)
    host = where[: end.start()] if end is not None else where
    return WrittenAddress(host, end.group(1) if end is not None else None, 0, forwarding)


def read_real(text: str, family: int, notes: list[str]) -> list[ConfiguredServer]:
    """Return the real servers of a ``real`` line: one, or one for each address of a range.

    UsageError for a line that ldirectord refuses, for numbers that ipvsadm(8) refuses, and for a
    range of more than MAX_RANGE addresses.
    """
    match = _REAL.search(text)
    if match is None:
        raise UsageError(f"{text!r} is not address[:port] gate|masq|ipip")
    note_dropped(text, text[: match.start()], notes)
    first = read_address(match.group(1), family, notes)
    port = read_port(match.group(3) or "0")
    last = read_address(match.group(2), family, notes) if match.group(2) else ""
    if last and family == socket.AF_INET6:
        raise UsageError(f"{text!r} is a range, which IPv6 has not")
    if last and _is_numeric(first) and _is_numeric(last):
        addresses, last = address_range(first, last), ""
    else:
        addresses = [first]
    server = _read_flags(match.group(4), ConfiguredServer(first, port, last=last), notes)
    return [server._replace(address=address) for address in addresses]


def _is_numeric(address: str) -> bool:
    return canonical_address(address) is not None


def _read_flags(text: str, server: ConfiguredServer, notes: list[str]) -> ConfiguredServer:
    """Return ``server`` with what follows its address: method, weight, own check, thresholds."""
    rest = text

    def after(pattern: re.Pattern[str]) -> tuple[str, ...]:
        """Return what ``pattern`` finds in the rest, nothing where it is not there."""
        nonlocal rest
        match = pattern.search(rest)
        if match is None:
            return ()
        note_dropped(text, rest[: match.start()], notes)
        *found, rest = match.groups()
        return tuple(found)

    method = after(_METHOD)
    server = server._replace(forwarding=_forwarding(method[0] if method else ""))
    for weight in after(_WEIGHT):
        server = server._replace(weight=_limited(weight, MAX_WEIGHT, "weight"))
    own_check = after(_OWN_CHECK)
    if own_check:
        server = server._replace(
            request=with_slash(own_check[0]), receive=perl_regex.check(own_check[1])
        )
    for lower in after(_LOWER):
        server = server._replace(lower=_limited(lower, _MAX_THRESHOLD, "threshold"))
    for upper in after(_UPPER):
        server = server._replace(upper=_limited(upper, _MAX_THRESHOLD, "threshold"))
    if rest.strip():
        raise UsageError(f"{rest.strip()!r} in {text!r} cannot be understood")
    return server


def with_slash(request: str) -> str:
    """Return a request as ldirectord keeps it: with a slash in front."""
    return request if request.startswith("/") else f"/{request}"


def _forwarding(text: str) -> Forwarding:
    if text not in _METHODS:
        raise UsageError(f"{text!r} is not a forwarding method: gate, masq or ipip")
    return parse_forwarding(text)


def _limited(digits: str, limit: int, what: str) -> int:
    number = whole_number(digits, limit)
    if number is None:
        raise UsageError(f"{digits!r} is not a {what}: 0 to {limit}")
    return number


def whole_number(digits: str, limit: int) -> int | None:
    """Return the number that ASCII digits mean, None where it is beyond ``limit``."""
    significant = digits.lstrip("0") or "0"
    number = int(significant) if len(significant) <= len(str(limit)) else limit + 1
    return number if number <= limit else None


def read_address(text: str, family: int, notes: list[str]) -> str:
    """Return a numeric address as inet_ntop(3) writes it, or the name that ``text`` is.

    UsageError for what is neither, and for an address of another family. What only inet_aton(3)
    takes for an address (``127.1``, ``010.0.0.1``) getaddrinfo(3) takes too: it is noted.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    address = canonical_address(bare, family)
    if address is not None:
        return address
    version = "IPv6" if family == socket.AF_INET6 else "IPv4"
    try:
        packed = socket.inet_aton(bare)
    except (OSError, UnicodeEncodeError):
        if _NAME.fullmatch(bare) and not re.fullmatch(r"[0-9.]*", bare):
            return bare
    else:
        if family == socket.AF_INET and _NAME.fullmatch(bare):
            address = socket.inet_ntoa(packed)
            notes.append(f"{bare!r} is read as {address}, as by getaddrinfo(3)")
            return address
    raise UsageError(f"{text!r} is not an {version} address or a name")


def read_port(text: str, protocol: str | None = None) -> int:
    """Return a port, 0 to 65535, given by number or by a name of services(5).

    Without ``protocol`` the name may be of any. UsageError where there is no such port.
    """
    if text.isascii() and text.isdigit():
        number = whole_number(text, 65535)
        if number is not None:
            return number
    else:
        try:
            return socket.getservbyname(text, *([protocol] if protocol else []))
        except (OSError, UnicodeEncodeError):
            pass
    raise UsageError(f"{text!r} is not a port: 0 to 65535 or a name of /etc/services")


def address_range(first: str, last: str) -> list[str]:
    """Return the numeric IPv4 addresses from ``first`` to ``last``, both of them included.

    UsageError where they are the wrong way round or more than MAX_RANGE.
    """
    start, end = (int.from_bytes(socket.inet_aton(each), "big") for each in (first, last))
    if not 0 <= end - start < MAX_RANGE:
        raise UsageError(f"{first}->{last} is not a range of up to {MAX_RANGE} addresses")
    return [socket.inet_ntoa(number.to_bytes(4, "big")) for number in range(start, end + 1)]
