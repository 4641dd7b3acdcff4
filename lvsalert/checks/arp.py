"""Who answers for an IPv4 address on a link (RFC 826)."""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections.abc import Iterable

from lvsalert.errors import PrivilegeError

_ARP, _IPV4 = 0x0806, 0x0800
_ETHERNET = 1
_REQUEST, _REPLY = 1, 2
_PACKET = struct.Struct("!HHBBH6s4s6s4s")
_EVERYBODY = b"\xff" * 6


def owners(
    interface: str, source: str, addresses: Iterable[str], seconds: float
) -> dict[str, set[str]]:
    """Return the hardware addresses that answer for each of the addresses within ``seconds``.

    ``source`` is this machine's own address on the link. PrivilegeError without CAP_NET_RAW,
    OSError for an interface that there is not.
    """
    found: dict[str, set[str]] = {address: set() for address in addresses}
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ARP))
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT):
            raise PrivilegeError("no CAP_NET_RAW to ask by ARP") from None
        raise
    with sock:
        sock.bind((interface, _ARP))
        own = sock.getsockname()[4]
        for address in found:
            sock.sendto(_question(own, source, address), (interface, _ARP, 0, 0, _EVERYBODY))
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if poll.poll(left * 1000):
                answer = _answer(sock.recv(_PACKET.size))
                if answer is not None and answer[0] in found:
                    found[answer[0]].add(answer[1])
    return found


def _question(own: bytes, source: str, address: str) -> bytes:
    return _PACKET.pack(
        _ETHERNET,
        _IPV4,
        6,
        4,
        _REQUEST,
        own,
        socket.inet_aton(source),
        bytes(6),
        socket.inet_aton(address),
    )


def _answer(packet: bytes) -> tuple[str, str] | None:
    """Return the address that an answer is about with its owner's hardware address."""
    if len(packet) < _PACKET.size:
        return None
    kind, protocol, _, _, operation, hardware, address, _, _ = _PACKET.unpack(packet)
    if (kind, protocol, operation) != (_ETHERNET, _IPV4, _REPLY):
        return None
    return socket.inet_ntoa(address), hardware.hex(":")
