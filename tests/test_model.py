"""How the words of LVS are spelled, and what is said of words that are none."""

from __future__ import annotations

import contextlib
import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.errors import UsageError
from lvsalert.model import (
    Forwarding,
    Protocol,
    RealServer,
    VirtualService,
    canonical_address,
    family_of,
    join_endpoint,
    parse_forwarding,
    parse_port,
    parse_protocol,
    parse_scheduler,
    split_endpoint,
)


@pytest.mark.parametrize(
    ("text", "protocol"),
    [
        ("tcp", Protocol.TCP),
        ("TCP", Protocol.TCP),
        ("Tcp", Protocol.TCP),
        ("udp", Protocol.UDP),
        ("UDP", Protocol.UDP),
        ("sctp", Protocol.SCTP),
        ("SCTP", Protocol.SCTP),
        ("fwm", Protocol.FWMARK),
        ("FWM", Protocol.FWMARK),
    ],
)
def test_protocol_is_taken_in_any_case(text: str, protocol: Protocol) -> None:
    """Upper case is not UDP by mistake, as it was in the original."""
    assert parse_protocol(text) is protocol


@pytest.mark.parametrize("text", ["", "t", "tcp ", "icmp", "-t", "fwmark", "tcp;udp", "tcp\0", "ﬁ"])
def test_bad_protocol_is_quoted(text: str) -> None:
    """What is no protocol comes back in the message, with those that are."""
    with pytest.raises(UsageError) as caught:
        parse_protocol(text)
    assert str(caught.value) == f"{text!r} is not a protocol: tcp, udp, sctp or fwm"


@pytest.mark.parametrize(
    ("spellings", "forwarding"),
    [
        ("dr gate g DR Gate G", Forwarding.GATEWAYING),
        ("nat masq m NAT Masq M", Forwarding.MASQUERADING),
        ("tun ipip i TUN IPIP I", Forwarding.TUNNELLING),
    ],
)
def test_forwarding_is_taken_in_all_spellings(spellings: str, forwarding: Forwarding) -> None:
    """The names of lvs.alert, of ldirectord and of ipvsadm's letters mean the same."""
    assert {parse_forwarding(each) for each in spellings.split()} == {forwarding}


@pytest.mark.parametrize("text", ["", "-g", "route", "direct", "dr nat", "tunnel", "g\n"])
def test_bad_forwarding_is_quoted(text: str) -> None:
    """What is no forwarding method comes back in the message, with those that are."""
    with pytest.raises(UsageError) as caught:
        parse_forwarding(text)
    assert str(caught.value) == f"{text!r} is not a forwarding method: dr, nat or tun"


@pytest.mark.parametrize("text", ["wlc", "rr", "sh", "a_b", "fifteen_letters"])
def test_scheduler_is_a_plain_word(text: str) -> None:
    """The kernel knows schedulers as modules of up to fifteen letters."""
    assert parse_scheduler(text) == text


@pytest.mark.parametrize(
    "text", ["", "RR", "rr wlc", "-p", "rr\n-C", "rr;", "sixteen__letters", "ﬁfo", "r\0r", "rr "]
)
def test_bad_scheduler_is_quoted(text: str) -> None:
    """A name that would be more than one word of a batch is refused."""
    with pytest.raises(UsageError) as caught:
        parse_scheduler(text)
    assert str(caught.value) == f"{text!r} is not a scheduler: a name such as wlc or rr"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.1", "192.0.2.1", None),
        ("192.0.2.1:80", "192.0.2.1", "80"),
        ("192.0.2.1:http", "192.0.2.1", "http"),
        ("web1", "web1", None),
        ("web1.example.com:8080", "web1.example.com", "8080"),
        ("web_1", "web_1", None),
        ("bücher.example:80", "bücher.example", "80"),
        ("2001:db8::11", "2001:db8::11", None),
        ("::1", "::1", None),
        ("[2001:db8::11]", "2001:db8::11", None),
        ("[2001:db8::11]:80", "2001:db8::11", "80"),
        ("[2001:db8::11]:http", "2001:db8::11", "http"),
        ("[2001:DB8:0::11]:80", "2001:DB8:0::11", "80"),
        ("fe80::1%eth0", "fe80::1%eth0", None),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", "80"),
        # An address it can be, so an address it is: brackets part the port off.
        ("2001:db8::11:80", "2001:db8::11:80", None),
    ],
)
def test_endpoint_is_split(text: str, host: str, port: str | None) -> None:
    """Names, both families, with and without port and brackets come apart as written."""
    assert split_endpoint(text) == (host, port)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not an address: write host or host:port"),
        (":80", "':80' is not an address: write host or host:port"),
        ("web1:", "'web1:' is not an address: write host or host:port"),
        ("web 1", "'web 1' is not an address: write host or host:port"),
        (" web1", "' web1' is not an address: write host or host:port"),
        ("web1\n", "'web1\\n' is not an address: write host or host:port"),
        ("web1;id", "'web1;id' is not an address: write host or host:port"),
        ("$(id)", "'$(id)' is not an address: write host or host:port"),
        ("`id`", "'`id`' is not an address: write host or host:port"),
        ("we'b", '"we\'b" is not an address: write host or host:port'),
        ("web1\0", "'web1\\x00' is not an address: write host or host:port"),
        ("web1\udcff", "'web1\\udcff' is not an address: write host or host:port"),
        ("192.0.2.1/24", "'192.0.2.1/24' is not an address: write host or host:port"),
        ("[", "'[' is not an address: write [v6address]:port"),
        ("[]", "'[]' is not an address: write [v6address]:port"),
        ("[]:80", "'[]:80' is not an address: write [v6address]:port"),
        ("[2001:db8::11", "'[2001:db8::11' is not an address: write [v6address]:port"),
        ("[2001:db8::11]:", "'[2001:db8::11]:' is not an address: write [v6address]:port"),
        ("[2001:db8::11]80", "'[2001:db8::11]80' is not an address: write [v6address]:port"),
        ("[192.0.2.1]:80", "'[192.0.2.1]:80' is not an address: '192.0.2.1' is not IPv6"),
        ("[web1]:80", "'[web1]:80' is not an address: 'web1' is not IPv6"),
        (
            "[2001:db8::1%x\n-C]:80",
            "'[2001:db8::1%x\\n-C]:80' is not an address: '2001:db8::1%x\\n-C' is not IPv6",
        ),
        ("2001:db8::1%x -C", "'2001:db8::1%x -C' is not an address: write [v6address]:port"),
        ("1:2:3", "'1:2:3' is not an address: write [v6address]:port"),
        ("2001:db8::11]:80", "'2001:db8::11]:80' is not an address: write [v6address]:port"),
        ("2001:db8:::11", "'2001:db8:::11' is not an address: write [v6address]:port"),
    ],
)
def test_bad_endpoint_is_quoted(text: str, message: str) -> None:
    """What is no address comes back in the message, with the way to write it."""
    with pytest.raises(UsageError) as caught:
        split_endpoint(text)
    assert str(caught.value) == message


@given(
    st.one_of(st.ip_addresses(), st.ip_addresses(v=6)).map(str),
    st.integers(min_value=1, max_value=65535),
)
def test_joined_endpoint_splits_again(address: str, port: int) -> None:
    """What is joined comes apart into the same two."""
    assert split_endpoint(join_endpoint(address, port)) == (address, str(port))


@given(st.text(max_size=40))
def test_whatever_is_split_is_one_word(text: str) -> None:
    """Any text is either refused or a host that can be no more than one word of a batch."""
    with contextlib.suppress(UsageError):
        host, port = split_endpoint(text)
        assert host
        assert not set(host) & set(" \t\n;'\"`$()|&<>\0")
        assert port != ""


@given(st.ip_addresses())
def test_canonical_address_is_one_spelling(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """The long, the upper-case and the short form of an address are the same text."""
    spellings = {str(address), address.exploded, address.exploded.upper()}
    canonical = {canonical_address(each) for each in spellings}
    assert len(canonical) == 1
    (only,) = canonical
    assert only is not None
    assert ipaddress.ip_address(only) == address
    assert family_of(only) == (socket.AF_INET if address.version == 4 else socket.AF_INET6)


@pytest.mark.parametrize(
    ("text", "family", "canonical"),
    [
        ("192.0.2.1", socket.AF_UNSPEC, "192.0.2.1"),
        ("192.0.2.1", socket.AF_INET6, None),
        ("2001:DB8:0:0::11", socket.AF_UNSPEC, "2001:db8::11"),
        ("2001:db8::11", socket.AF_INET, None),
        ("::ffff:192.0.2.1", socket.AF_UNSPEC, "::ffff:192.0.2.1"),
        ("fe80::1%eth0", socket.AF_UNSPEC, "fe80::1%eth0"),
        ("fe80::1%eth0.7", socket.AF_UNSPEC, "fe80::1%eth0.7"),
        ("fe80::1%", socket.AF_UNSPEC, None),
        ("fe80::1%eth0 -w", socket.AF_UNSPEC, None),
        ("fe80::1%eth0\n-C", socket.AF_UNSPEC, None),
        ("fe80::1%$(id)", socket.AF_UNSPEC, None),
        ("fe80::1%é", socket.AF_UNSPEC, None),
        ("fe80::1%sixteen-letters-", socket.AF_UNSPEC, None),
        ("192.0.2.1%eth0", socket.AF_UNSPEC, None),
        # getaddrinfo and ipvsadm read these as octal or as short forms; here they are no addresses.
        ("010.0.0.3", socket.AF_UNSPEC, None),
        ("10.3", socket.AF_UNSPEC, None),
        ("192.0.2.256", socket.AF_UNSPEC, None),
        ("web1", socket.AF_UNSPEC, None),
        ("", socket.AF_UNSPEC, None),
        ("192.0.2.1\0", socket.AF_UNSPEC, None),
        ("\udcff", socket.AF_UNSPEC, None),
    ],
)
def test_canonical_address(text: str, family: int, canonical: str | None) -> None:
    """An address comes in inet_ntop's form, everything else is None."""
    assert canonical_address(text, family) == canonical


@pytest.mark.parametrize(
    ("text", "protocol", "port"),
    [
        ("1", "tcp", 1),
        ("80", "tcp", 80),
        ("00080", "tcp", 80),
        ("65535", "udp", 65535),
        ("http", "tcp", 80),
        ("https", "tcp", 443),
        ("domain", "udp", 53),
        ("ftp", "tcp", 21),
    ],
)
def test_port_by_number_or_name(text: str, protocol: str, port: int) -> None:
    """Numbers are taken as they are, names from services(5) for the protocol."""
    assert parse_port(text, protocol) == port


@pytest.mark.parametrize(
    ("text", "protocol"),
    [
        ("", "tcp"),
        ("0", "tcp"),
        ("65536", "tcp"),
        ("123456", "tcp"),
        ("9" * 5000, "tcp"),
        ("-1", "tcp"),
        ("+80", "tcp"),
        ("80 ", "tcp"),
        ("8_0", "tcp"),
        ("0x50", "tcp"),
        ("\uff18\uff10", "tcp"),
        ("nosuchservice", "tcp"),
        ("http;id", "tcp"),
        ("http\0", "tcp"),
        ("\udcff", "tcp"),
        ("tftp", "tcp"),
    ],
)
def test_bad_port_is_quoted(text: str, protocol: str) -> None:
    """What is no port comes back in the message; a name counts for its own protocol only."""
    with pytest.raises(UsageError) as caught:
        parse_port(text, protocol)
    assert str(caught.value) == (
        f"{text!r} is not a port: 1 to 65535 or a {protocol} name of /etc/services"
    )


@pytest.mark.parametrize(
    ("virtual", "words", "text"),
    [
        (
            VirtualService(Protocol.TCP, "10.0.0.3", 80, 0, socket.AF_INET),
            ("-t", "10.0.0.3:80"),
            "tcp 10.0.0.3:80",
        ),
        (
            VirtualService(Protocol.UDP, "2001:db8::3", 53, 0, socket.AF_INET6),
            ("-u", "[2001:db8::3]:53"),
            "udp [2001:db8::3]:53",
        ),
        (
            VirtualService(Protocol.SCTP, "10.0.0.3", 2905, 0, socket.AF_INET),
            ("--sctp-service", "10.0.0.3:2905"),
            "sctp 10.0.0.3:2905",
        ),
        (VirtualService(Protocol.FWMARK, "", 0, 7, socket.AF_INET), ("-f", "7"), "fwm 7"),
        (
            VirtualService(Protocol.FWMARK, "", 0, 8, socket.AF_INET6),
            ("-f", "8", "-6"),
            "fwm 8 -6",
        ),
        (
            VirtualService(Protocol.FWMARK, "", 0, 2**32 - 1, socket.AF_INET),
            ("-f", "4294967295"),
            "fwm 4294967295",
        ),
    ],
)
def test_virtual_service_in_words(
    virtual: VirtualService, words: tuple[str, ...], text: str
) -> None:
    """A virtual service is told to ipvsadm and to the log in their own words."""
    assert (virtual.words(), str(virtual)) == (words, text)


@pytest.mark.parametrize(
    ("real", "words"),
    [
        (RealServer("192.0.2.1", 80), "-g -w 1"),
        (RealServer("192.0.2.1", 80, weight=0), "-g -w 0"),
        (RealServer("192.0.2.1", 80, Forwarding.MASQUERADING, 65535), "-m -w 65535"),
        (RealServer("192.0.2.1", 80, Forwarding.TUNNELLING, 5), "-i -w 5"),
        (RealServer("192.0.2.1", 80, upper=10), "-g -w 1 -x 10"),
        (RealServer("192.0.2.1", 80, upper=10, lower=5), "-g -w 1 -x 10 -y 5"),
        (
            RealServer("192.0.2.1", 80, Forwarding.TUNNELLING, 1, flags=("--tun-type", "gre")),
            "-i -w 1 --tun-type gre",
        ),
    ],
)
def test_real_server_in_words(real: RealServer, words: str) -> None:
    """Method and weight are always said, since an edit resets what is left out."""
    assert " ".join(real.words()) == words
