"""Hosts that answer echo requests in ways of their own, right and wrong, on raw sockets."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Callable, NamedTuple

from tests.harness.icmp import REQUEST, V4, V6, ip_packet

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_PROTOCOL: dict[int, int] = {V4: socket.IPPROTO_ICMP, V6: socket.IPPROTO_ICMPV6}


class Request(NamedTuple):
    """An echo request that came to one of the hosts; `number` counts that host's from 1."""

    family: int
    destination: str
    number: int
    identifier: int
    sequence: int
    payload: bytes
    message: bytes

    def quoted(self) -> bytes:
        """Return it in an IP packet, as a router's error quotes it."""
        return ip_packet(self.family, self.destination, self.message)


class Answer(NamedTuple):
    """An ICMP message to send back, and the address that it comes from."""

    source: str
    message: bytes


Behaviour = Callable[[Request], Sequence[Answer]]


class EchoHosts:
    """Runs hosts, each an address of this machine with a behaviour, until the `with` ends.

    The kernel must not answer for them: the caller sets icmp_echo_ignore_all. It has to be entered
    in the network namespace that it is for.
    """

    def __init__(self, family: int, hosts: Mapping[str, Behaviour]) -> None:
        """Keep the hosts; `seen` counts the requests that each of them got."""
        self._family = family
        self._hosts = hosts
        self.seen = dict.fromkeys(hosts, 0)
        self._stop, self._stopper = os.pipe()

    def __enter__(self) -> Self:
        """Open the sockets and start to answer."""
        self._ear = socket.socket(self._family, socket.SOCK_RAW, _PROTOCOL[self._family])
        if self._family == V6:
            self._ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop answering."""
        os.close(self._stopper)
        self._thread.join()
        os.close(self._stop)
        self._ear.close()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._ear.fileno(), self._stop], [], [])
            if self._stop in ready:
                return
            packet, ancillary, _, sender = self._ear.recvmsg(65536, 256)
            if self._family == V4:
                message, destination = packet[20:], socket.inet_ntop(V4, packet[16:20])
            else:
                message, destination = packet, socket.inet_ntop(V6, ancillary[0][2][:16])
            if message[0] == REQUEST[self._family] and destination in self._hosts:
                self._answer(message, destination, str(sender[0]))

    def _answer(self, message: bytes, destination: str, sender: str) -> None:
        self.seen[destination] += 1
        identifier, sequence = struct.unpack_from("!HH", message, 4)
        request = Request(
            self._family,
            destination,
            self.seen[destination],
            identifier,
            sequence,
            message[8:],
            message,
        )
        for source, answer in self._hosts[destination](request):
            with socket.socket(self._family, socket.SOCK_RAW, _PROTOCOL[self._family]) as mouth:
                mouth.bind((source, 0))
                mouth.sendto(answer, (sender, 0))
