"""This machine's own addresses, and how it reaches others, as the kernel says (rtnetlink(7))."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from lvsalert.model import family_of

_HEADER = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBi")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_NEIGHBOUR = struct.Struct("=BBHiHBB")
_INDEX = struct.Struct("=i")
# linux/netlink.h and linux/rtnetlink.h.
_ERROR, _DONE = 2, 3
_GET_ADDRESS, _GET_ROUTE, _GET_NEIGHBOUR = 22, 26, 30
_REQUEST, _DUMP = 0x1, 0x300
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_VIA = 1, 4, 5, 7, 18
_RTN_LOCAL = 2
# The attribute RTA_CACHEINFO of a route, which tells how often and since when it has been used.
_COUNTERS_SIZE = 32
_COUNTERS = _ATTRIBUTE.pack(_ATTRIBUTE.size + _COUNTERS_SIZE, 12)
_NDA_DST = 1
# Nobody has answered for it, yet or at all.
_UNRESOLVED = 0x01 | 0x20
_RT_SCOPE_HOST, _RT_SCOPE_LINK = 254, 253
# Addresses that the kernel does not choose for new connections, or cannot use yet.
_DEPRECATED, _UNUSABLE = 0x20, 0x08 | 0x40
# Answers to so many questions fit into a socket's buffer.
_AT_ONCE = 64
_SIZE = 1 << 17


class OwnAddress(NamedTuple):
    """An address of this machine; ``prefix`` is its prefix's length, ``interface`` where it is.

    ``is_chosen`` is whether the kernel may choose it for connections that ask for none.
    """

    address: str
    prefix: int
    interface: str
    is_chosen: bool


class Route(NamedTuple):
    """How an address is reached: the interface, and the source that the kernel would choose.

    ``is_direct`` is whether it is on the link itself, ``is_local`` whether it is this machine's.
    """

    interface: str
    source: str
    is_direct: bool
    is_local: bool


class _Names(dict[int, str]):
    """The names of interfaces by their numbers, empty for one that is gone."""

    def __missing__(self, index: int) -> str:
        try:
            name = socket.if_indextoname(index)
        except OSError:
            name = ""
        self[index] = name
        return name


def own_addresses() -> list[OwnAddress]:
    """Return the addresses of this machine that others can reach, and those of lo that are so."""
    with _open() as sock:
        request = _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        sock.send(_message(_GET_ADDRESS, _REQUEST | _DUMP, 1, request))
        found = []
        names = _Names()
        for _, _, body in _answers(sock, 1):
            family, prefix, flags, scope, index = _ADDRESS.unpack_from(body)
            attributes = _attributes(body[_ADDRESS.size :])
            raw = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS))
            if raw is None or family not in (socket.AF_INET, socket.AF_INET6):
                continue
            if _IFA_FLAGS in attributes:
                (flags,) = struct.unpack("=I", attributes[_IFA_FLAGS])
            if scope in (_RT_SCOPE_HOST, _RT_SCOPE_LINK) or flags & _UNUSABLE:
                continue
            is_chosen = not flags & _DEPRECATED
            address = socket.inet_ntop(family, raw)
            found.append(OwnAddress(address, prefix, names[index], is_chosen))
        return found


def routes(addresses: Sequence[str]) -> dict[str, Route]:
    """Return how each address is reached; one that is not is left out."""
    found = {}
    names = _Names()
    # Most answers differ in nothing but the address, and in what the kernel counts.
    known: dict[bytes, Route] = {}
    with _open() as sock:
        for begin in range(0, len(addresses), _AT_ONCE):
            part = addresses[begin : begin + _AT_ONCE]
            raw = [_raw(address) for address in part]
            sock.send(b"".join([_route_to(each, number) for number, each in enumerate(raw, 1)]))
            for _, number, body in _answers(sock, len(part)):
                rest = _without_counters(body).replace(raw[number - 1], b"")
                if rest not in known:
                    known[rest] = _route_of(body, names)
                found[part[number - 1]] = known[rest]
    return found


def unresolved() -> set[str]:
    """Return the addresses on links here for which nobody answers (ARP, neighbour discovery)."""
    found = set()
    with _open() as sock:
        request = _NEIGHBOUR.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0)
        sock.send(_message(_GET_NEIGHBOUR, _REQUEST | _DUMP, 1, request))
        for _, _, body in _answers(sock, 1):
            family, _, _, _, state, *_ = _NEIGHBOUR.unpack_from(body)
            raw = _attributes(body[_NEIGHBOUR.size :]).get(_NDA_DST)
            if state & _UNRESOLVED and raw and family in (socket.AF_INET, socket.AF_INET6):
                found.add(socket.inet_ntop(family, raw))
    return found


def _route_to(raw: bytes, number: int) -> bytes:
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    request = _ROUTE.pack(family, len(raw) * 8, 0, 0, 0, 0, 0, 0, 0)
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(raw), _RTA_DST) + raw
    return _message(_GET_ROUTE, _REQUEST, number, request + attribute)


def _raw(address: str) -> bytes:
    return socket.inet_pton(family_of(address), address.partition("%")[0])


def _without_counters(body: bytes) -> bytes:
    head, found, tail = body.rpartition(_COUNTERS)
    return head + tail[_COUNTERS_SIZE:] if found else body


def _route_of(body: bytes, names: _Names) -> Route:
    family, kind = body[0], body[7]
    attributes = _attributes(body[_ROUTE.size :])
    (index,) = _INDEX.unpack(attributes.get(_RTA_OIF, bytes(4)))
    source = attributes.get(_RTA_PREFSRC)
    is_direct = not attributes.keys() & {_RTA_GATEWAY, _RTA_VIA}
    text = "" if source is None else socket.inet_ntop(family, source)
    return Route(names[index], text, is_direct, kind == _RTN_LOCAL)


def _open() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    sock.settimeout(5)
    sock.bind((0, 0))
    return sock


def _message(kind: int, flags: int, number: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, number, 0) + body


def _answers(sock: socket.socket, count: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, number and body of what answers ``count`` questions; a refusal has no body.

    A dump ends with a message of its own.
    """
    while count:
        data = sock.recv(_SIZE)
        while data:
            length, kind, flags, number, _ = _HEADER.unpack_from(data)
            body, data = data[_HEADER.size : length], data[(length + 3) & ~3 :]
            if kind == _DONE:
                count -= 1
            elif kind == _ERROR:
                (code,) = _INDEX.unpack_from(body)
                count -= 1
                if -code in (errno.EPERM, errno.EACCES):
                    raise OSError(-code, os.strerror(-code))
            else:
                # 0x2: one part of several.
                count -= not flags & 0x2
                yield kind, number, body


def _attributes(data: bytes) -> Mapping[int, bytes]:
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
    return found
