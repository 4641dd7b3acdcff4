"""ICMP messages made by hand, right and wrong ones."""

from __future__ import annotations

import socket
import struct

V4: int = socket.AF_INET
V6: int = socket.AF_INET6

REQUEST = {V4: 8, V6: 128}
REPLY = {V4: 0, V6: 129}
UNREACHABLE = {V4: 3, V6: 1}
TIME_EXCEEDED = {V4: 11, V6: 3}


def checksum(message: bytes) -> int:
    """Return the Internet checksum of a message (RFC 1071), word by word."""
    total = 0
    for at in range(0, len(message), 2):
        total += int.from_bytes(message[at : at + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def icmp(kind: int, code: int, rest: bytes) -> bytes:
    """Return an ICMP message with the checksum that is right for IPv4."""
    head = struct.pack("!BB", kind, code)
    return head + struct.pack("!H", checksum(head + b"\0\0" + rest)) + rest


def echo(
    kind: int, identifier: int = 7, sequence: int = 9, payload: bytes = b"token", code: int = 0
) -> bytes:
    """Return an echo message: request or reply."""
    return icmp(kind, code, struct.pack("!HH", identifier, sequence) + payload)


def ip_packet(
    family: int,
    destination: str,
    body: bytes,
    *,
    protocol: int | None = None,
    options: bytes = b"",
    fragment_offset: int = 0,
) -> bytes:
    """Return `body` in an IP packet to `destination`; options and fragments are IPv4's."""
    to = socket.inet_pton(family, destination)
    if family == V6:
        number = socket.IPPROTO_ICMPV6 if protocol is None else protocol
        source = socket.inet_pton(V6, "2001:db8::1")
        return struct.pack("!IHBB", 6 << 28, len(body), number, 64) + source + to + body
    number = socket.IPPROTO_ICMP if protocol is None else protocol
    first = 4 << 4 | (20 + len(options)) // 4
    length = 20 + len(options) + len(body)
    head = struct.pack("!BBHHHBBH", first, 0, length, 1, fragment_offset, 64, number, 0)
    return head + socket.inet_pton(V4, "192.0.2.1") + to + options + body


def error(kind: int, code: int, quoted: bytes) -> bytes:
    """Return an ICMP error that quotes a packet."""
    return icmp(kind, code, b"\0\0\0\0" + quoted)
