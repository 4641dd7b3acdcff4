"""What comes in for an address and leaves from it, seen on loopback."""

from __future__ import annotations

import socket
import struct

import pytest

from lvsalert.checks.traffic import Traffic
from lvsalert.model import Endpoint, Protocol
from tests.harness.places import is_root

pytestmark = pytest.mark.skipif(not is_root(), reason="needs root, to see packets")


def ends(sock: socket.socket) -> Endpoint:
    """Return the address and port that a socket is bound to."""
    address, port = sock.getsockname()[:2]
    return address, port


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_datagrams_are_seen_on_both_ways(address: str) -> None:
    """From a port to a port and back, of the protocol and the address that is asked for."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    traffic, other = Traffic(Protocol.UDP, address), Traffic(Protocol.TCP, address)
    try:
        kind = socket.SOCK_DGRAM
        with socket.socket(family, kind) as here, socket.socket(family, kind) as there:
            here.bind((address, 0))
            there.bind((address, 0))
            source, target = ends(here), ends(there)
            assert not traffic.has_left(source, target)
            here.sendto(b"", target)
            assert traffic.has_left(source, target)
            assert traffic.has_come(source, target)
            assert not traffic.has_come(target, source)
            assert not other.has_come(source, target)
    finally:
        traffic.close()
        other.close()


@pytest.mark.parametrize("between", [b"", struct.pack("!HH", 0, 0x0800)])
def test_packet_in_a_tunnel_is_seen_to_leave(between: bytes) -> None:
    """It is told by the ends that it has within, behind the tunnel's header."""
    source, target = ("192.0.2.1", 40000), ("192.0.2.3", 80)
    inner = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 2, socket.IPPROTO_TCP, 0)
    inner += b"".join(socket.inet_aton(each[0]) for each in (source, target))
    inner += struct.pack("!HH", source[1], target[1]) + bytes(16)
    traffic = Traffic(Protocol.TCP, source[0])
    number = socket.IPPROTO_GRE if between else socket.IPPROTO_IPIP
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, number) as tunnel:
            tunnel.sendto(between + inner, ("127.0.0.1", 0))
        assert traffic.has_left(source, target)
        assert not traffic.has_left(source, (target[0], 81))
        assert not traffic.has_come(source, target)
    finally:
        traffic.close()
