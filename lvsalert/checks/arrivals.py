"""What comes in for an address of this machine, before a firewall drops it (packet(7))."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Collection

from lvsalert.errors import PrivilegeError
from lvsalert.model import Endpoint, Protocol, family_of

_ETHERTYPES: dict[int, int] = {socket.AF_INET: 0x0800, socket.AF_INET6: 0x86DD}
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_BUFFER = 4 << 20
# Headers are all that is looked at.
_SNAP = 128
_NUMBERS = {Protocol.TCP: socket.IPPROTO_TCP, Protocol.UDP: socket.IPPROTO_UDP}
# Where the protocol and the two addresses stand in a header (RFC 791, RFC 8200).
_PLACES: dict[int, tuple[int, int, int, int]] = {
    socket.AF_INET: (9, 12, 16, 4),
    socket.AF_INET6: (6, 8, 24, 16),
}
# Instructions of linux/filter.h: load a byte or a word, jump if equal, return.
_LOAD_BYTE, _LOAD_WORD, _JUMP, _RETURN = 0x30, 0x20, 0x15, 0x06
_INSTRUCTION = struct.Struct("=HBBI")


class Arrivals:
    """The packets of a protocol that come in for one address, from when this is made on.

    PrivilegeError without CAP_NET_RAW.
    """

    def __init__(self, protocol: Protocol, address: str) -> None:
        self._protocol = protocol
        self._family = family_of(address)
        ethertype = _ETHERTYPES[self._family]
        try:
            # On all interfaces, as Python cannot bind it to all later.
            number = socket.htons(ethertype)
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, number)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT):
                raise PrivilegeError("no CAP_NET_RAW to see what comes in") from None
            raise
        program = _filter(self._family, _NUMBERS[protocol], socket.inet_pton(self._family, address))
        code = ctypes.create_string_buffer(program, len(program))
        count = len(program) // _INSTRUCTION.size
        given = struct.pack("HP", count, ctypes.addressof(code))
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, given)
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._sock.setblocking(False)
        self._seen: set[tuple[Protocol, Endpoint, Endpoint]] = set()

    def seen(self) -> Collection[tuple[Protocol, Endpoint, Endpoint]]:
        """Return over what, from where and to where packets have come so far."""
        while True:
            try:
                packet = self._sock.recv(_SNAP)
            except BlockingIOError:
                return self._seen
            except OSError:
                # An interface that went down.
                continue
            ends = _ends(self._family, packet)
            if ends is not None:
                self._seen.add((self._protocol, *ends))

    def close(self) -> None:
        """See no more."""
        self._sock.close()


def _filter(family: int, number: int, destination: bytes) -> bytes:
    """Return the program that takes a protocol for one address, as the kernel runs it (BPF)."""
    protocol, _, target, _ = _PLACES[family]
    words = [struct.unpack_from("!I", destination, at)[0] for at in range(0, len(destination), 4)]
    tests = [(_LOAD_BYTE, protocol, number)]
    tests += [(_LOAD_WORD, target + 4 * place, word) for place, word in enumerate(words)]
    lines = []
    for test, (load, place, value) in enumerate(tests):
        # To the last line but one, which takes nothing.
        miss = 2 * (len(tests) - test - 1) + 1
        lines += [(load, 0, 0, place), (_JUMP, 0, miss, value)]
    lines += [(_RETURN, 0, 0, _SNAP), (_RETURN, 0, 0, 0)]
    return b"".join(_INSTRUCTION.pack(*line) for line in lines)


def _ends(family: int, packet: bytes) -> tuple[Endpoint, Endpoint] | None:
    """Return source and destination of a packet, None of one that is cut short."""
    _, source, target, size = _PLACES[family]
    ports = (packet[0] & 0x0F) * 4 if family == socket.AF_INET else 40
    if len(packet) < ports + 4:
        return None
    sport, dport = struct.unpack_from("!HH", packet, ports)
    return (
        (socket.inet_ntop(family, packet[source : source + size]), sport),
        (socket.inet_ntop(family, packet[target : target + size]), dport),
    )
