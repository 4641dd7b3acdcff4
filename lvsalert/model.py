"""The words of a Linux Virtual Server as frozen values.

Addresses are kept in the form that inet_ntop(3) writes and ipvsadm(8) prints, so that equal
addresses are equal strings.
"""

from __future__ import annotations

import functools
import re
import socket
from enum import Enum
from typing import NamedTuple

from lvsalert.errors import UsageError

MAX_WEIGHT = 65535
# A run names the same few services in thousands of lines.
_REMEMBERED = 1 << 10


class Protocol(Enum):
    """What a virtual service is told by; the value is ipvsadm's option for it."""

    TCP = "-t"
    UDP = "-u"
    SCTP = "--sctp-service"
    FWMARK = "-f"

    # A table looks its services up many times over, and Enum's own is a function in Python.
    __hash__ = object.__hash__


class Forwarding(Enum):
    """How packets reach a real server; the value is ipvsadm's option for it."""

    GATEWAYING = "-g"
    MASQUERADING = "-m"
    TUNNELLING = "-i"

    __hash__ = object.__hash__


_PROTOCOLS = {
    "tcp": Protocol.TCP,
    "udp": Protocol.UDP,
    "sctp": Protocol.SCTP,
    "fwm": Protocol.FWMARK,
}

# lvs.alert's spelling, ldirectord's, and ipvsadm's letter.
_FORWARDINGS = {
    "dr": Forwarding.GATEWAYING,
    "gate": Forwarding.GATEWAYING,
    "g": Forwarding.GATEWAYING,
    "nat": Forwarding.MASQUERADING,
    "masq": Forwarding.MASQUERADING,
    "m": Forwarding.MASQUERADING,
    "tun": Forwarding.TUNNELLING,
    "ipip": Forwarding.TUNNELLING,
    "i": Forwarding.TUNNELLING,
}


def parse_protocol(text: str) -> Protocol:
    """Return the protocol spelled ``text``, in any case; UsageError where there is none."""
    try:
        return _PROTOCOLS[text.lower()]
    except KeyError:
        raise UsageError(f"{text!r} is not a protocol: tcp, udp, sctp or fwm") from None


def parse_forwarding(text: str) -> Forwarding:
    """Return the forwarding method spelled ``text``, in any case; UsageError where it is none."""
    try:
        return _FORWARDINGS[text.lower()]
    except KeyError:
        raise UsageError(f"{text!r} is not a forwarding method: dr, nat or tun") from None


# What each type of tunnel takes (ipvsadm(8)): whether a port, and how checksums may be treated.
_TUNNELS: dict[str, tuple[bool, tuple[str, ...]]] = {
    "ipip": (False, ()),
    "gre": (False, ("nocsum", "csum")),
    "gue": (True, ("nocsum", "csum", "remcsum")),
}


def parse_tunnel(text: str) -> tuple[str, ...]:
    """Return the words of ipvsadm(8), as it prints them, for a tunnel such as ``gue:5555:csum``.

    UsageError for what is no tunnel.
    """
    kind, *rest = text.lower().split(":")
    has_port, checksums = _TUNNELS.get(kind, (False, ()))
    words: list[str] = ["--tun-type", kind]
    if has_port and rest and rest[0].isascii() and rest[0].isdigit():
        words += ["--tun-port", str(parse_port(rest.pop(0)))]
    is_good = kind in _TUNNELS and has_port == (len(words) > 2)
    if not is_good or len(rest) > 1 or not set(rest) <= set(checksums):
        raise UsageError(f"{text!r} is not a tunnel: ipip, gre[:csum] or gue:PORT[:csum|:remcsum]")
    # A plain one has no words of its own.
    return (*words, f"--tun-{rest[0] if rest else 'nocsum'}") if checksums else ()


class VirtualService(NamedTuple):
    """A virtual service, told by protocol, address and port, or by a firewall mark.

    With ``Protocol.FWMARK`` the mark is in ``fwmark``, and address and port are ``""`` and 0.
    ``family`` is socket.AF_INET or AF_INET6. It names the service and nothing more: two values are
    equal when the kernel would take them for the same service.
    """

    protocol: Protocol
    address: str
    port: int
    fwmark: int
    family: int

    def words(self) -> tuple[str, ...]:
        """Return the words by which ipvsadm(8) is told of this service."""
        if self.protocol is Protocol.FWMARK:
            six = ("-6",) if self.family == socket.AF_INET6 else ()
            return (self.protocol.value, str(self.fwmark), *six)
        return (self.protocol.value, join_endpoint(self.address, self.port))

    def __str__(self) -> str:
        """Return the service as the log names it: ``tcp 10.0.0.3:80`` or ``fwm 7``."""
        return _name_of(self)


@functools.lru_cache(_REMEMBERED)
def _name_of(virtual: VirtualService) -> str:
    protocol = virtual.protocol
    name = "fwm" if protocol is Protocol.FWMARK else protocol.name.lower()
    return f"{name} {' '.join(virtual.words()[1:])}"


class RealServer(NamedTuple):
    """A real server as an entry of one virtual service.

    ``upper`` and ``lower`` are the connection thresholds (ipvsadm -x and -y; 0 is none). ``flags``
    are further words of ipvsadm that are handed on as they were read, such as ``--tun-type``.
    """

    address: str
    port: int
    forwarding: Forwarding = Forwarding.GATEWAYING
    weight: int = 1
    upper: int = 0
    lower: int = 0
    flags: tuple[str, ...] = ()

    @property
    def endpoint(self) -> str:
        """Return ``address:port``, by which the kernel tells entries of a service apart."""
        return join_endpoint(self.address, self.port)

    def words(self) -> tuple[str, ...]:
        """Return forwarding method, weight, thresholds and flags as ipvsadm(8) is told them.

        ``-e`` resets what is left out, so nothing is.
        """
        words = [self.forwarding.value, "-w", str(self.weight), *self.flags]
        if self.upper:
            words += ["-x", str(self.upper)]
        if self.lower:
            words += ["-y", str(self.lower)]
        return tuple(words)


class Way(NamedTuple):
    """How a real server is reached by way of a virtual address: what a mark of ours stands for.

    ``family`` is the virtual address's. ``port`` is the real server's where masquerading maps it,
    and 0 where packets keep theirs. ``flags`` are the words of a tunnel, as RealServer has them.
    """

    family: int
    address: str
    port: int
    forwarding: Forwarding
    flags: tuple[str, ...] = ()


Endpoint = tuple[str, int]
"""A numeric address and a port."""


class Connection(NamedTuple):
    """A connection through the kernel's table: from where, to what, and to which real server.

    Over UDP it is what goes between the same ends.
    """

    protocol: Protocol
    source: Endpoint
    virtual: Endpoint
    real: Endpoint


# What a name or an IPv4 address is made of; letters of any script, since getaddrinfo(3) takes them.
_NAME = re.compile(r"[\w.][\w.-]*")
# What an interface is called: a blank or a line's end would part an address into words of a batch.
_ZONE = r"[\w.-]{1,15}"


def join_endpoint(address: str, port: int) -> str:
    """Return ``address:port``, with an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def split_endpoint(text: str) -> tuple[str, str | None]:
    """Split ``host``, ``host:port``, ``[v6]`` or ``[v6]:port`` into host and port.

    Both parts come back as they were written; the port is None where none was given. An IPv6
    address without brackets is taken where it can only be an address without a port. UsageError
    otherwise.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not host or (rest and not rest.startswith(":")) or rest == ":":
            raise UsageError(f"{text!r} is not an address: write [v6address]:port")
        if canonical_address(host, socket.AF_INET6) is None:
            raise UsageError(f"{text!r} is not an address: {host!r} is not IPv6")
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        if canonical_address(text, socket.AF_INET6) is None:
            raise UsageError(f"{text!r} is not an address: write [v6address]:port")
        return text, None
    host, colon, port = text.partition(":")
    if not _NAME.fullmatch(host) or (colon and not port):
        raise UsageError(f"{text!r} is not an address: write host or host:port")
    return host, port if colon else None


def is_host_name(name: str) -> bool:
    """Return whether DNS and TLS can know an ASCII name: labels of 1 to 63 bytes (RFC 1035, 2.3.4).

    All of them have 253 with the dots between them, and a last dot may follow.
    """
    name = name.removesuffix(".")
    return len(name) <= 253 and all(1 <= len(label) <= 63 for label in name.split("."))


def canonical_address(text: str, family: int = socket.AF_UNSPEC) -> str | None:
    """Return a numeric address as inet_ntop(3) writes it, or None where ``text`` is none.

    ``family`` narrows what is taken. A zone (``fe80::1%eth0``) is kept.
    """
    address, percent, zone = text.partition("%") if "%" in text else (text, "", "")
    own = socket.AF_INET6 if ":" in address else socket.AF_INET
    if family not in (own, socket.AF_UNSPEC):
        return None
    try:
        numeric = socket.inet_ntop(own, socket.inet_pton(own, address))
    except (OSError, ValueError, UnicodeEncodeError):
        return None
    if not percent:
        return numeric
    takes_zone = own == socket.AF_INET6 and re.fullmatch(_ZONE, zone, re.ASCII)
    return f"{numeric}%{zone}" if takes_zone else None


def family_of(address: str) -> int:
    """Return the address family of a numeric address: AF_INET6 where it has a colon."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def parse_scheduler(text: str) -> str:
    """Return a scheduler's name; UsageError for what cannot be one, such as two words."""
    if not re.fullmatch(r"[a-z0-9_]{1,15}", text, re.ASCII):
        raise UsageError(f"{text!r} is not a scheduler: a name such as wlc or rr")
    return text


def parse_port(text: str, protocol: str = "tcp") -> int:
    """Return a port given by number (1 to 65535) or by a name of services(5).

    ``protocol`` is the services(5) column to look in. UsageError where there is no such port.
    """
    if text.isascii() and text.isdigit():
        port = int(text) if len(text) < 6 else 0
        if 1 <= port <= 65535:
            return port
    else:
        try:
            return socket.getservbyname(text, protocol)
        except (OSError, UnicodeEncodeError, ValueError):
            pass
    raise UsageError(f"{text!r} is not a port: 1 to 65535 or a {protocol} name of /etc/services")


class State(Enum):
    """What a probe found: a host is good only where a probe has proved it."""

    GOOD = "ok"
    FAILED = "failed"
    UNKNOWN = "no verdict"


class Answer(NamedTuple):
    """What of a host's answer is held against the others' answers.

    ``text`` is empty where the answer has nothing of what is compared. ``is_cut`` is whether there
    may have been more of it than was read.
    """

    text: str
    is_cut: bool = False


class Result(NamedTuple):
    """What one probe of one host found.

    ``host`` is the argument of the command line as it was spelled, ``reason`` one line (empty where
    the host is good), ``seconds`` how long it took, ``address`` the endpoint that was asked last,
    ``said`` what the server said, as it came, ``answer`` what is compared with other hosts', None
    where nothing is.
    """

    host: str
    state: State
    reason: str
    seconds: float
    address: str = ""
    said: bytes = b""
    answer: Answer | None = None
