"""Which ICMP message is an answer, which is a complaint, and which is nothing to us."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.checks.icmp_packet import (
    Reply,
    Trouble,
    parse,
    parse_queued,
    strip_ip_header,
)
from tests.harness.icmp import (
    REPLY,
    REQUEST,
    TIME_EXCEEDED,
    UNREACHABLE,
    V4,
    V6,
    echo,
    error,
    icmp,
    ip_packet,
)

FAR = {V4: "203.0.113.9", V6: "2001:db8:9::9"}
families = pytest.mark.parametrize("family", [V4, V6], ids=["v4", "v6"])


def quoted(
    family: int,
    body: bytes | None = None,
    *,
    protocol: int | None = None,
    options: bytes = b"",
    fragment_offset: int = 0,
) -> bytes:
    """A packet of ours as a router quotes it; it carries an echo request if not told otherwise."""
    return ip_packet(
        family,
        FAR[family],
        echo(REQUEST[family]) if body is None else body,
        protocol=protocol,
        options=options,
        fragment_offset=fragment_offset,
    )


@families
def test_reply(family: int) -> None:
    """An echo reply gives identifier, sequence number and payload."""
    assert parse(family, echo(REPLY[family], 7, 65535, b"odd")) == Reply(7, 65535, b"odd")


ERRORS = {
    "network unreachable": (V4, 3, 0, "ICMP Network Unreachable"),
    "host unreachable": (V4, 3, 1, "ICMP Host Unreachable"),
    "prohibited": (V4, 3, 13, "ICMP Communication Prohibited"),
    "last known code": (V4, 3, 15, "ICMP Precedence Cutoff"),
    "unknown code": (V4, 3, 16, "ICMP Unreachable (code 16)"),
    "time exceeded": (V4, 11, 0, "ICMP Time Exceeded"),
    "parameter problem": (V4, 12, 0, "ICMP Parameter Problem"),
    "v6 no route": (V6, 1, 0, "ICMP No Route to Destination"),
    "v6 address unreachable": (V6, 1, 3, "ICMP Address Unreachable"),
    "v6 unknown code": (V6, 1, 7, "ICMP Unreachable (code 7)"),
    "v6 too big": (V6, 2, 0, "ICMP Packet Too Big"),
    "v6 time exceeded": (V6, 3, 1, "ICMP Time Exceeded"),
    "v6 parameter problem": (V6, 4, 2, "ICMP Parameter Problem"),
}


@pytest.mark.parametrize(("family", "kind", "code", "text"), ERRORS.values(), ids=ERRORS.keys())
def test_error_about_a_request(family: int, kind: int, code: int, text: str) -> None:
    """An ICMP error says what is wrong and which echo request it is about."""
    message = error(kind, code, quoted(family))
    assert parse(family, message) == Trouble(text, FAR[family], 7, 9, b"token")


@families
def test_error_with_the_least_quotation(family: int) -> None:
    """A router that quotes the ICMP header and nothing behind it is understood."""
    message = error(UNREACHABLE[family], 1, quoted(family, echo(REQUEST[family])[:8]))
    found = parse(family, message)
    assert isinstance(found, Trouble)
    assert (found.identifier, found.sequence, found.payload) == (7, 9, b"")


def test_error_that_quotes_ip_options() -> None:
    """A quoted IPv4 header may be longer than 20 bytes."""
    found = parse(V4, error(3, 1, quoted(V4, options=b"\1" * 8)))
    assert found == Trouble("ICMP Host Unreachable", FAR[V4], 7, 9, b"token")


def strangers() -> dict[str, tuple[int, bytes]]:
    """Messages that are neither an answer nor an error about an echo request."""
    cases: dict[str, tuple[int, bytes]] = {
        "redirect": (V4, error(5, 1, quoted(V4))),
        "source quench": (V4, error(4, 0, quoted(V4))),
        "router advertisement": (V4, icmp(9, 0, bytes(12))),
        "v6 neighbour advertisement": (V6, icmp(136, 0, bytes(20))),
        "v6 redirect": (V6, error(137, 0, quoted(V6))),
        "wrong checksum": (V4, echo(0)[:-1] + b"\xff"),
        "error with a wrong checksum": (V4, error(3, 1, quoted(V4))[:-1] + b"\xff"),
        "all zero": (V4, bytes(64)),
        "later fragment": (V4, error(3, 1, quoted(V4, fragment_offset=8))),
        "v4 reply on a v6 socket": (V6, echo(0)),
        "v6 reply on a v4 socket": (V4, echo(129)),
        "short quoted IP header": (V4, error(3, 1, b"\x44" + quoted(V4)[1:])),
        "quoted options beyond the end": (V4, error(3, 1, b"\x4f" + quoted(V4)[1:])),
    }
    for family, name in ((V4, "v4"), (V6, "v6")):
        kind = UNREACHABLE[family]
        cases |= {
            f"{name} nothing": (family, b""),
            f"{name} request": (family, echo(REQUEST[family])),
            f"{name} reply with a code": (family, echo(REPLY[family], code=1)),
            f"{name} reply cut in its header": (family, echo(REPLY[family])[:7]),
            f"{name} error quoting nothing": (family, error(kind, 1, b"")),
            f"{name} error quoting half an IP header": (
                family,
                error(kind, 1, quoted(family)[:19]),
            ),
            f"{name} error quoting an IP header alone": (
                family,
                error(kind, 1, quoted(family, b"")),
            ),
            f"{name} error quoting half an ICMP header": (
                family,
                error(kind, 1, quoted(family, echo(REQUEST[family])[:7])),
            ),
            f"{name} error quoting TCP": (family, error(kind, 1, quoted(family, protocol=6))),
            f"{name} error quoting a reply": (
                family,
                error(kind, 1, quoted(family, echo(REPLY[family]))),
            ),
            f"{name} error quoting a request with a code": (
                family,
                error(kind, 1, quoted(family, echo(REQUEST[family], code=3))),
            ),
            f"{name} error quoting another IP version": (
                family,
                error(kind, 1, quoted(V4 if family == V6 else V6)),
            ),
        }
    return cases


@pytest.mark.parametrize(("family", "message"), strangers().values(), ids=strangers().keys())
def test_nothing_to_us(family: int, message: bytes) -> None:
    """What is no answer and no error about an echo request is passed over."""
    assert parse(family, message) is None


@pytest.mark.parametrize("options", [b"", b"\1" * 4, b"\1" * 40], ids=len)
def test_ip_header_is_stripped(options: bytes) -> None:
    """A raw IPv4 socket's packets lose their IP header, however long it is."""
    assert strip_ip_header(ip_packet(V4, FAR[V4], b"body", options=options)) == b"body"


NO_ICMP = {
    "nothing": b"",
    "cut in the header": ip_packet(V4, FAR[V4], b"")[:19],
    "UDP": ip_packet(V4, FAR[V4], b"body", protocol=17),
    "IPv6": ip_packet(V6, FAR[V6], b"body"),
    "header length of 16": b"\x44" + ip_packet(V4, FAR[V4], b"body")[1:],
    "header length beyond the end": b"\x4f" + ip_packet(V4, FAR[V4], b"body")[1:],
}


@pytest.mark.parametrize("packet", NO_ICMP.values(), ids=NO_ICMP.keys())
def test_packet_without_icmp(packet: bytes) -> None:
    """An IPv4 packet that holds no ICMP has no message."""
    assert strip_ip_header(packet) == b""


def extended(family: int, *, origin: int, kind: int, code: int, offender: str) -> bytes:
    """The data of IP_RECVERR: struct sock_extended_err and the offender's socket address."""
    head = struct.pack("=IBBBBII", 113, origin, kind, code, 0, 0, 0)
    address = socket.inet_pton(family, offender)
    between = bytes(2) if family == V4 else bytes(6)
    return head + struct.pack("=H", family) + between + address + bytes(8)


@pytest.mark.parametrize(
    ("family", "origin", "router", "text"),
    [
        (V4, 2, "192.0.2.254", "ICMP Host Unreachable"),
        (V6, 3, "2001:db8::254", "ICMP Communication Prohibited"),
    ],
    ids=["v4", "v6"],
)
def test_error_queue(family: int, origin: int, router: str, text: str) -> None:
    """The error queue tells the same as the error itself, and who sent it."""
    data = extended(family, origin=origin, kind=UNREACHABLE[family], code=1, offender=router)
    found = parse_queued(family, echo(REQUEST[family]), FAR[family], data)
    assert found == (router, Trouble(text, FAR[family], 7, 9, b"token"))


QUEUED_STRANGERS = {
    "local error": (1, 3, echo(8)),
    "other family's error": (3, 3, echo(8)),
    "redirect": (2, 5, echo(8)),
    "no request": (2, 3, echo(0)),
    "cut request": (2, 3, echo(8)[:7]),
}


@pytest.mark.parametrize(
    ("origin", "kind", "request_sent"), QUEUED_STRANGERS.values(), ids=QUEUED_STRANGERS.keys()
)
def test_error_queue_strangers(origin: int, kind: int, request_sent: bytes) -> None:
    """What the error queue holds beside ICMP errors about echo requests is passed over."""
    data = extended(V4, origin=origin, kind=kind, code=1, offender="192.0.2.254")
    assert parse_queued(V4, request_sent, FAR[V4], data) is None


def test_error_queue_without_an_offender() -> None:
    """Data of IP_RECVERR that is too short is passed over."""
    assert parse_queued(V4, echo(8), FAR[V4], bytes(16)) is None


@given(
    st.sampled_from([V4, V6]),
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.binary(max_size=1500),
)
def test_every_reply_is_read_back(
    family: int, identifier: int, sequence: int, payload: bytes
) -> None:
    """Whatever a reply holds, it is read as it was written."""
    message = echo(REPLY[family], identifier, sequence, payload)
    assert parse(family, message) == Reply(identifier, sequence, payload)


@given(st.sampled_from([V4, V6]), st.integers(0, 255), st.integers(0, 255), st.binary(max_size=200))
def test_no_message_raises(family: int, kind: int, code: int, rest: bytes) -> None:
    """Nothing that a network can send makes the reading of it fail."""
    parse(family, icmp(kind, code, rest))
    parse(family, rest)
    strip_ip_header(rest)
    parse_queued(family, rest, FAR[family], rest)


@given(st.sampled_from([V4, V6]), st.data())
def test_no_damaged_quotation_raises(family: int, data: st.DataObject) -> None:
    """An error whose quotation is cut or has a wrong byte is read or passed over, never a fault."""
    whole = bytearray(quoted(family))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    parse(family, error(TIME_EXCEEDED[family], 0, bytes(whole[:cut])))
