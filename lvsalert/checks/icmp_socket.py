"""One ICMP socket for all hosts of an address family (raw(7), icmp(7), ip(7)).

icmplib makes the sockets, builds the echo requests and sends them. What comes back is read from the
socket that it hands out: its own receive() waits for one packet at a time and keeps neither the
payload nor the packet that an error quotes, and without those an answer cannot be told from a
stranger's.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from lvsalert.checks.icmp_packet import (
    Message,
    parse,
    parse_queued,
    strip_ip_header,
    wanted_types,
)
from lvsalert.errors import PrivilegeError

NOT_ALLOWED = (
    "sending ICMP echo requests is not allowed: give mon CAP_NET_RAW "
    "(lvs-director install --systemd) or put its group into net.ipv4.ping_group_range"
)

# From Linux's headers, for what Python's socket module does not name.
_SOL_RAW = 255
_ICMP_FILTER = 1
_ICMPV6_FILTER = 1
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_RECVERR: dict[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}

# Longer than any error, which quotes a packet up to 1280 bytes (RFC 4443), and than our replies.
_PACKET_BYTES = 4096
_ANCILLARY_BYTES = 512
# What a packet of ours takes in the receive buffer, the kernel's own share included, twice over.
_BUFFER_PER_HOST = 4096
_LEAST_BUFFER = 1 << 18
# A flood of packets that are none of ours must not keep the caller from its clock.
_MOST_AT_ONCE = 512
_MOST_FAILURES = 16


class Received(NamedTuple):
    """A message, the numeric address that it came from, and when it did (time.monotonic())."""

    source: str
    at: float
    message: Message


class EchoSocket:
    """Sends echo requests to any number of hosts of one family, and reads what comes back.

    It is a raw socket where that is allowed, a datagram socket otherwise. PrivilegeError where
    neither is; OSError where the system has no such sockets, or none left. ``hosts`` is how many
    answers may come at once.
    """

    def __init__(self, family: int, hosts: int) -> None:
        self.family = family
        self._icmp = _open(family)
        # icmplib has a property for it since 3.0, and Debian's is 2.1.
        self._sock: socket.socket = self._icmp._sock  # noqa: SLF001
        self._raw: bool = self._icmp.is_privileged
        self._identifier = secrets.randbelow(65536)
        self._sent = 0
        self._errors: list[Received] = []
        try:
            self._set_up(max(_LEAST_BUFFER, hosts * _BUFFER_PER_HOST))
        except BaseException:
            self.close()
            raise

    def _set_up(self, buffer: int) -> None:
        self._sock.setblocking(False)
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer)
        except PermissionError:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        # The kernel's time of arrival: a busy machine must not make a fast answer look slow.
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if not self._raw:
            self._sock.setsockopt(*_RECVERR[self.family], 1)
        elif self.family == socket.AF_INET:
            self._sock.setsockopt(_SOL_RAW, _ICMP_FILTER, _filter(self.family, 4))
        else:
            self._sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMPV6_FILTER, _filter(self.family, 32))

    def fileno(self) -> int:
        """Return the descriptor, which is readable when something has come back."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._icmp.close()

    def send(self, address: str, payload: bytes) -> tuple[int, int]:
        """Send an echo request and return its identifier and sequence number; OSError if it fails.

        The two are unlike those of all others among the last 65536 requests, on a raw socket among
        the last 2**32.
        """
        alone = self._raw
        for _ in range(_MOST_FAILURES):
            try:
                return self._send(address, payload)
            except OSError:
                # With IP_RECVERR a send fails for what came back about earlier packets;
                # that is in the error queue, or was just taken out of it. What fails twice with
                # nothing there is a failure of this packet.
                known, alone = alone, self._raw or not self._take_errors()
                if known and alone:
                    raise
        return self._send(address, payload)

    def _send(self, address: str, payload: bytes) -> tuple[int, int]:
        from icmplib import (  # type: ignore[import-untyped] # icmplib carries no types
            ICMPRequest,
            ICMPSocketError,
        )

        number = self._sent
        self._sent += 1
        identifier = self._identifier + (number >> 16)
        request = ICMPRequest(address, identifier, number, payload=payload)
        try:
            self._icmp.send(request)
        except ICMPSocketError as error:
            raise _cause(error) from None
        except UnicodeError:
            # getaddrinfo reads a zone as a name, and takes fewer names than interfaces may have.
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None
        return request.id, request.sequence

    def receive(self) -> list[Received]:
        """Return what has come back about echo requests, without waiting."""
        if not self._raw:
            self._take_errors()
        return [*self.errors(), *self._read_packets()]

    def errors(self) -> list[Received]:
        """Return the errors that were met while sending, and not yet returned."""
        errors, self._errors = self._errors, []
        return errors

    def _read_packets(self) -> Iterator[Received]:
        for _ in range(_MOST_AT_ONCE):
            try:
                packet, ancillary, _, sender = self._sock.recvmsg(_PACKET_BYTES, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue  # an error that waits to be reported; the error queue has the whole of it
            if self._raw and self.family == socket.AF_INET:
                packet = strip_ip_header(packet)
            message = parse(self.family, packet)
            if message is not None:
                yield Received(sender[0], time.monotonic() - _age(ancillary), message)

    def _take_errors(self) -> int:
        """Empty the error queue, where a datagram socket finds ICMP errors (ip(7), IP_RECVERR).

        Returns how many there were, of other people's packets too.
        """
        for taken in range(_MOST_AT_ONCE):
            try:
                quoted, ancillary, _, destination = self._sock.recvmsg(
                    _PACKET_BYTES, _ANCILLARY_BYTES, socket.MSG_ERRQUEUE
                )
            except BlockingIOError:
                return taken
            for level, kind, data in ancillary:
                if (level, kind) == _RECVERR[self.family]:
                    found = parse_queued(self.family, quoted, destination[0], data)
                    if found is not None:
                        self._errors.append(Received(found[0], time.monotonic(), found[1]))
        return _MOST_AT_ONCE


def _open(family: int) -> Any:
    """Return icmplib's socket for ``family``, raw if that is allowed."""
    from icmplib import ICMPSocketError, ICMPv4Socket, ICMPv6Socket, SocketPermissionError

    kind = ICMPv4Socket if family == socket.AF_INET else ICMPv6Socket
    for privileged in (True, False):
        try:
            return kind(privileged=privileged)
        except SocketPermissionError:
            continue
        except ICMPSocketError as error:
            raise _cause(error) from None
    raise PrivilegeError(NOT_ALLOWED)


def _cause(error: BaseException) -> OSError:
    """Return the error behind one of icmplib's, which has the text of it at most."""
    cause = error.__context__
    return cause if isinstance(cause, OSError) else OSError(errno.EIO, str(error))


def _filter(family: int, size: int) -> bytes:
    """Return a filter of ``size`` bytes that blocks (bit set) all ICMP types but the wanted."""
    passing = sum(1 << kind for kind in wanted_types(family))
    words = ((1 << size * 8) - 1) ^ passing
    return struct.pack(
        f"={size // 4}I", *((words >> shift) & 0xFFFFFFFF for shift in range(0, size * 8, 32))
    )


def _age(ancillary: Iterable[tuple[int, int, bytes]]) -> float:
    """Return for how many seconds a packet has waited in the receive buffer."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(data) == _TIMESPEC.size:
            stamp: tuple[int, int] = _TIMESPEC.unpack(data)
            return max(0.0, time.time() - stamp[0] - stamp[1] / 1e9)
    return 0.0
