"""Names to addresses: none holds up another, and each fault has its words."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from lvsalert.checks.resolve import Address, Found, Lookups, addresses_of, look_up, numeric
from lvsalert.errors import ResolveError
from tests.harness.waiting import wait_until
from tests.monitors import knowing

if TYPE_CHECKING:
    from collections.abc import Iterable

V4, V6 = socket.AF_INET, socket.AF_INET6
KNOWN = {"both.example.com": ["2001:db8::1", "192.0.2.1"], "four.example.com": ["192.0.2.4"]}


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("192.0.2.1", [Address(V4, "192.0.2.1")]),
        ("2001:DB8:0::1", [Address(V6, "2001:db8::1")]),
        ("fe80::1%eth0", [Address(V6, "fe80::1%eth0")]),
        ("www.example.com", []),
        ("192.0.2", []),
        ("192.0.2.256", []),
        ("", []),
    ],
)
def test_address_needs_no_look_up(text: str, addresses: list[Address]) -> None:
    """What is an address already is taken as one; anything else is a name."""
    with knowing({}) as names:
        assert numeric(text) == addresses
    assert names.asked == []


def test_look_up_gives_all_families_once() -> None:
    """Every address of a name, in getaddrinfo's order, duplicates dropped."""
    with knowing({"www.example.com": ["2001:db8::1", "192.0.2.1", "192.0.2.1"]}):
        assert look_up("www.example.com") == [Address(V6, "2001:db8::1"), Address(V4, "192.0.2.1")]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not k"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "Temporary f"),
        (UnicodeError("label too long"), "not a name that can be looked up"),
        (OSError(24, "Too many open files"), "Too many open files"),
    ],
)
def test_name_without_an_address_says_why(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    """What the resolver says is the reason, with the name before it."""

    def fails(*_: Any) -> list[Any]:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(ResolveError, match=f"www.example.com: {message}"):
        look_up("www.example.com")


@pytest.mark.parametrize("name", ["a" * 64 + ".example.com", "." * 3, "a..b"])
def test_name_that_cannot_be_one_is_no_crash(name: str) -> None:
    """The machine's own resolver refuses what no name can be."""
    with pytest.raises(ResolveError):
        look_up(name)


def _found(names: Iterable[str], count: int, **more: Any) -> list[Found]:
    lookups = Lookups(names, limit=more.pop("limit", 8), prefer_ipv6=more.pop("prefer_ipv6", False))
    found: list[Found] = []
    try:
        wait_until(
            lambda: found.extend(lookups.take(more.get("timeout", 60))) or len(found) >= count,
            "the names are looked up",
        )
    finally:
        lookups.close()
    return sorted(found)


@pytest.mark.parametrize(("prefer_ipv6", "first"), [(False, "192.0.2.1"), (True, "2001:db8::1")])
def test_family_that_comes_first(prefer_ipv6: bool, first: str) -> None:
    """IPv4 comes first, or IPv6 where that is preferred."""
    with knowing(KNOWN):
        both, four = _found(KNOWN, 2, prefer_ipv6=prefer_ipv6)
    assert both.addresses[0].text == first
    assert len(both.addresses) == 2
    assert four.addresses == [Address(V4, "192.0.2.4")]


def test_name_that_hangs_is_given_up() -> None:
    """Names that hang are given up in their time, and the others are found."""
    hanging = ["hangs1.example.com", "hangs2.example.com"]
    with knowing(KNOWN, hanging):
        found = _found([*hanging, *KNOWN], 4, limit=1, timeout=0.2)
    assert [(each.name, each.reason) for each in found if not each.addresses] == [
        (name, f"{name}: look-up timed out after 0.2 s") for name in hanging
    ]


def test_bug_in_a_look_up_is_not_a_dead_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not the resolver's word comes out as it is."""

    def fails(*_: Any) -> list[Any]:
        raise ZeroDivisionError

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(ZeroDivisionError):
        _found(["www.example.com"], 1)


def test_addresses_of_many_names_in_a_time() -> None:
    """What is not found in the time has no addresses."""
    with knowing(KNOWN, ["hangs.example.com"]):
        before = time.monotonic()
        found = addresses_of([*KNOWN, "hangs.example.com", "no.example.com"], 0, timeout=0.5)
        assert time.monotonic() >= before + 0.5
    assert found == {
        "both.example.com": ["2001:db8::1", "192.0.2.1"],
        "four.example.com": ["192.0.2.4"],
        "hangs.example.com": [],
        "no.example.com": [],
    }
