"""What comes in for an address of this machine before a firewall drops it, and what leaves from it.

As packet(7) has it: behind the firewall's OUTPUT, and before its INPUT.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from lvsalert.errors import PrivilegeError
from lvsalert.model import Endpoint, Protocol, family_of

_ETHERTYPES: dict[int, int] = {socket.AF_INET: 0x0800, socket.AF_INET6: 0x86DD}
_EVERY_PROTOCOL = 0x0003
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_STATISTICS = struct.Struct("=II")
_BUFFER = 4 << 20
# Headers are all that is looked at, also within a tunnel's.
_SNAP = 128
_NUMBERS = {Protocol.TCP: socket.IPPROTO_TCP, Protocol.UDP: socket.IPPROTO_UDP}


class _Header(NamedTuple):
    """Where the protocol and the two addresses stand in a header, and how long an address is.

    RFC 791 and RFC 8200. The ports follow right behind the addresses.
    """

    protocol: int
    source: int
    target: int
    size: int


_HEADERS: dict[int, _Header] = {
    socket.AF_INET: _Header(9, 12, 16, 4),
    socket.AF_INET6: _Header(6, 8, 24, 16),
}
# Where a packet may begin that leaves: as it is, or behind a tunnel's header of either family, with
# that of GRE or of GUE in between.
_BEGINNINGS = sorted({0} | {outer + more for outer in (20, 40) for more in range(0, 24, 4)})
# Instructions of linux/filter.h: load a byte, two or four, jump if equal, return.
_LOAD_BYTE, _LOAD_HALF, _LOAD_WORD, _JUMP, _RETURN = 0x30, 0x28, 0x20, 0x15, 0x06
# What is no part of the packet: its ethertype, and whether it leaves.
_ETHERTYPE, _KIND, _LEAVES = 0xFFFFF000, 0xFFFFF004, 4
_INSTRUCTION = struct.Struct("=HBBI")


class Traffic:
    """The packets of a protocol to and from one address, from when this is made on.

    PrivilegeError without CAP_NET_RAW.
    """

    def __init__(self, protocol: Protocol, address: str) -> None:
        self._family = family_of(address)
        self._own = socket.inet_pton(self._family, address)
        try:
            # On all interfaces, as Python cannot bind it to all later.
            number = socket.htons(_EVERY_PROTOCOL)
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, number)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT):
                raise PrivilegeError("no CAP_NET_RAW to see what comes in") from None
            raise
        program = _filter(self._family, _NUMBERS[protocol], self._own)
        code = ctypes.create_string_buffer(program, len(program))
        count = len(program) // _INSTRUCTION.size
        given = struct.pack("HP", count, ctypes.addressof(code))
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, given)
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._sock.setblocking(False)
        self._come: set[tuple[Endpoint, Endpoint]] = set()
        self._left: set[tuple[Endpoint, Endpoint]] = set()
        self._is_whole = True

    def has_come(self, source: Endpoint, target: Endpoint) -> bool:
        """Return whether a packet has come in from there to here."""
        self._look()
        return (source, target) in self._come

    def has_left(self, source: Endpoint, target: Endpoint) -> bool:
        """Return whether a packet has left from here to there, or it may have and was missed."""
        self._look()
        return not self._is_whole or (source, target) in self._left

    def _look(self) -> None:
        while True:
            try:
                packet, (_, _, kind, *_) = self._sock.recvfrom(_SNAP)
            except BlockingIOError:
                break
            except OSError:
                # An interface that went down.
                continue
            if kind == _LEAVES:
                self._left.update(self._departures(packet))
                continue
            at = (packet[0] & 0x0F) * 4 if self._family == socket.AF_INET else 40
            header = _HEADERS[self._family]
            ends = packet[header.source : header.source + 2 * header.size]
            if len(packet) >= at + 4:
                self._come.add(self._ends(ends + packet[at : at + 4]))
        asked = self._sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        self._is_whole = self._is_whole and not _STATISTICS.unpack(asked)[1]

    def _departures(self, packet: bytes) -> Iterator[tuple[Endpoint, Endpoint]]:
        """Yield what may be the ends of a packet from our address, however it is wrapped."""
        size, at = 2 * len(self._own) + 4, packet.find(self._own)
        while at >= 0:
            if len(packet) >= at + size:
                yield self._ends(packet[at : at + size])
            at = packet.find(self._own, at + 1)

    def _ends(self, raw: bytes) -> tuple[Endpoint, Endpoint]:
        size = len(self._own)
        sport, dport = struct.unpack_from("!HH", raw, 2 * size)
        return (
            (socket.inet_ntop(self._family, raw[:size]), sport),
            (socket.inet_ntop(self._family, raw[size : 2 * size]), dport),
        )

    def close(self) -> None:
        """See no more."""
        self._sock.close()


def _filter(family: int, number: int, own: bytes) -> bytes:
    """Return the program that takes what comes for an address, and what may leave from it (BPF)."""
    header = _HEADERS[family]
    words = [struct.unpack_from("!I", own, at)[0] for at in range(0, len(own), 4)]
    comes = [
        (_LOAD_HALF, _ETHERTYPE, _ETHERTYPES[family]),
        (_LOAD_BYTE, header.protocol, number),
        *((_LOAD_WORD, header.target + 4 * place, word) for place, word in enumerate(words)),
    ]
    # A load beyond the end takes nothing, and nobody's packet is shorter than that.
    last = header.source + header.size - 4
    leaves = [(_LOAD_WORD, begin + last, words[-1]) for begin in _BEGINNINGS]
    lines = [(_LOAD_BYTE, 0, 0, _KIND), (_JUMP, 2 * len(comes) + 1, 0, _LEAVES)]
    for left, (load, place, value) in zip(range(len(comes), 0, -1), comes):
        # To the end, which takes nothing.
        miss = 2 * (left - 1) + 2 * len(leaves) + 1
        lines += [(load, 0, 0, place), (_JUMP, 0, miss, value)]
    lines.append((_RETURN, 0, 0, _SNAP))
    for left, (load, place, value) in zip(range(len(leaves), 0, -1), leaves):
        # To the end but one, which takes it.
        hit = 2 * (left - 1) + 1
        lines += [(load, 0, 0, place), (_JUMP, hit, 0, value)]
    lines += [(_RETURN, 0, 0, 0), (_RETURN, 0, 0, _SNAP)]
    return b"".join(_INSTRUCTION.pack(*line) for line in lines)
