"""ICMP messages in bytes: which is an answer to an echo request, which tells why none will come.

RFC 792 and RFC 4443; the codes of RFC 1122 and RFC 1812. No I/O, and nothing that a network can
send makes these functions raise.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple, Union

_HEADER = struct.Struct("!BBHHH")
# struct sock_extended_err of ip(7): errno, origin, type, code, padding, info, data.
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_ORIGINS: dict[int, int] = {socket.AF_INET: 2, socket.AF_INET6: 3}
# Where a socket address holds the address itself: behind family, port and, in IPv6, the flow.
_OFFENDERS: dict[int, slice] = {
    socket.AF_INET: slice(20, 24),
    socket.AF_INET6: slice(24, 40),
}

_ECHO_REQUEST: dict[int, int] = {socket.AF_INET: 8, socket.AF_INET6: 128}
_ECHO_REPLY: dict[int, int] = {socket.AF_INET: 0, socket.AF_INET6: 129}

# The errors by type, and the codes of those that have more to say. Redirects and source quenches
# are not among them: the packet that they quote went on its way.
_ERRORS: dict[int, dict[int, str]] = {
    socket.AF_INET: {3: "Unreachable", 11: "Time Exceeded", 12: "Parameter Problem"},
    socket.AF_INET6: {
        1: "Unreachable",
        2: "Packet Too Big",
        3: "Time Exceeded",
        4: "Parameter Problem",
    },
}
_CODES: dict[tuple[int, int], tuple[str, ...]] = {
    (socket.AF_INET, 3): (
        "Network Unreachable",
        "Host Unreachable",
        "Protocol Unreachable",
        "Port Unreachable",
        "Fragmentation Needed",
        "Source Route Failed",
        "Network Unknown",
        "Host Unknown",
        "Source Host Isolated",
        "Network Prohibited",
        "Host Prohibited",
        "Network Unreachable for this Type of Service",
        "Host Unreachable for this Type of Service",
        "Communication Prohibited",
        "Host Precedence Violation",
        "Precedence Cutoff",
    ),
    (socket.AF_INET6, 1): (
        "No Route to Destination",
        "Communication Prohibited",
        "Beyond Scope of Source Address",
        "Address Unreachable",
        "Port Unreachable",
        "Source Address Failed Policy",
        "Route Rejected",
    ),
}


class Reply(NamedTuple):
    """An echo reply: identifier, sequence number and payload of the request that it answers."""

    identifier: int
    sequence: int
    payload: bytes


class Trouble(NamedTuple):
    """An ICMP error about an echo request.

    ``text`` says what is wrong, the rest is what the error quotes of the request: where it went,
    its numbers, and the beginning of its payload, perhaps none of it, perhaps with padding behind.
    """

    text: str
    destination: str
    identifier: int
    sequence: int
    payload: bytes


Message = Union[Reply, Trouble]


def wanted_types(family: int) -> frozenset[int]:
    """Return the ICMP types that ``parse`` can make something of."""
    return frozenset((_ECHO_REPLY[family], *_ERRORS[family]))


def strip_ip_header(packet: bytes) -> bytes:
    """Return the ICMP message of an IPv4 packet as a raw socket gives it, b"" where it has none."""
    start = _ipv4_header(packet)
    return packet[start:] if start else b""


def parse(family: int, message: bytes) -> Message | None:
    """Return what an ICMP message says about an echo request, None where it is about none.

    An IPv4 message has to have the right checksum, because a raw socket gets it unverified; the
    kernel verifies that of ICMPv6 (RFC 3542, section 3.1).
    """
    if len(message) < _HEADER.size or (family == socket.AF_INET and not _is_intact(message)):
        return None
    kind, code, _, identifier, sequence = _HEADER.unpack_from(message)
    if kind == _ECHO_REPLY[family]:
        return Reply(identifier, sequence, message[_HEADER.size :]) if code == 0 else None
    if kind not in _ERRORS[family]:
        return None
    quoted = message[_HEADER.size :]
    if family == socket.AF_INET:
        start, destination = _inside_ipv4(quoted)
    else:
        start, destination = _inside_ipv6(quoted)
    return _trouble(family, kind, code, destination, quoted[start:]) if start else None


def parse_queued(
    family: int, quoted: bytes, destination: str, extended: bytes
) -> tuple[str, Trouble] | None:
    """Return who complained of an echo request, and what of, from a socket's error queue.

    ``quoted`` is the request as ip(7) gives it back with MSG_ERRQUEUE, ``extended`` the data of
    IP_RECVERR or IPV6_RECVERR beside it. None where it is no ICMP error about an echo request.
    """
    if len(extended) < _OFFENDERS[family].stop:
        return None
    _, origin, kind, code, _, _, _ = _EXTENDED_ERROR.unpack_from(extended)
    if origin != _ORIGINS[family] or kind not in _ERRORS[family]:
        return None
    trouble = _trouble(family, kind, code, destination, quoted)
    if trouble is None:
        return None
    return socket.inet_ntop(family, extended[_OFFENDERS[family]]), trouble


def _ipv4_header(packet: bytes) -> int:
    """Return the length of an IPv4 packet's header, 0 where ICMP does not follow it."""
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_ICMP:
        return 0
    length = (packet[0] & 0x0F) * 4
    return length if length >= 20 else 0


def _is_intact(message: bytes) -> bool:
    """Say whether the words of ``message`` add up to minus zero in ones' complement (RFC 1071)."""
    even = message + b"\0" if len(message) % 2 else message
    # 65536 is 1 modulo 65535, so the number that the bytes write has the remainder of the sum.
    return int.from_bytes(even, "big") % 0xFFFF == 0 and any(message)


def _inside_ipv4(packet: bytes) -> tuple[int, str]:
    """Return where the ICMP message in a quoted packet begins (0: nowhere) and whom it was for."""
    start = _ipv4_header(packet)
    if not start or int.from_bytes(packet[6:8], "big") & 0x1FFF:
        return 0, ""  # not ICMP, or a later fragment of it
    return start, socket.inet_ntop(socket.AF_INET, packet[16:20])


def _inside_ipv6(packet: bytes) -> tuple[int, str]:
    # Our requests carry no extension headers, so a packet that has one is not ours.
    if len(packet) < 40 or packet[0] >> 4 != 6 or packet[6] != socket.IPPROTO_ICMPV6:
        return 0, ""
    return 40, socket.inet_ntop(socket.AF_INET6, packet[24:40])


def _trouble(family: int, kind: int, code: int, destination: str, quoted: bytes) -> Trouble | None:
    """Return the error about the echo request ``quoted``, None where that is something else."""
    if len(quoted) < _HEADER.size:
        return None
    quoted_kind, quoted_code, _, identifier, sequence = _HEADER.unpack_from(quoted)
    if quoted_kind != _ECHO_REQUEST[family] or quoted_code != 0:
        return None
    words = _ERRORS[family][kind]
    codes = _CODES.get((family, kind))
    if codes is not None:
        words = codes[code] if code < len(codes) else f"{words} (code {code})"
    return Trouble(f"ICMP {words}", destination, identifier, sequence, quoted[_HEADER.size :])
