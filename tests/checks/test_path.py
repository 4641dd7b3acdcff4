"""From where a virtual address is asked, and when nothing could be learnt: without a packet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lvsalert.checks import path_setting
from lvsalert.checks.path_setting import Setting, Virtual, doubt_of, source_of
from lvsalert.checks.rtnetlink import OwnAddress, Route, own_addresses, routes
from lvsalert.model import Forwarding

if TYPE_CHECKING:
    from pathlib import Path

DR, NAT, TUN = Forwarding.GATEWAYING, Forwarding.MASQUERADING, Forwarding.TUNNELLING
VIP, VIP6 = "10.0.0.3", "2001:db8::3"
OUTER = OwnAddress("10.0.0.1", 24, "eth0", is_chosen=True)
INNER = OwnAddress("192.168.0.251", 24, "eth1", is_chosen=True)
FLOATING = OwnAddress("192.168.0.254", 32, "eth1", is_chosen=True)
VIRTUAL = OwnAddress(VIP, 24, "eth0", is_chosen=True)
OUTER6 = OwnAddress("2001:db8::1", 64, "eth0", is_chosen=True)
VIRTUAL6 = OwnAddress(VIP6, 128, "eth0", is_chosen=True)
REAL, REAL6 = "192.168.0.1", "2001:db8::11"


def setting(*own: OwnAddress, source: str = "192.168.0.251", local: bool = False) -> Setting:
    """Return a machine with these addresses, whose kernel would choose this source."""
    there = {
        REAL: Route("eth1", source, is_direct=True, is_local=local),
        REAL6: Route("eth0", VIP6, is_direct=True, is_local=local),
    }
    return Setting(own, {VIP, VIP6, "10.0.0.4"}, there)


@pytest.mark.parametrize(
    ("address", "method", "real", "own", "source"),
    [
        # As the kernel would choose for the real server itself.
        (VIP, DR, REAL, (OUTER, INNER), "192.168.0.251"),
        (VIP, TUN, REAL, (OUTER, INNER), "192.168.0.251"),
        # Its way back has to be by the director.
        (VIP, NAT, REAL, (OUTER, INNER), "10.0.0.1"),
        (VIP, NAT, REAL, (INNER,), "192.168.0.251"),
        # Never a virtual one, and what moves from machine to machine only for want of another.
        (VIP, DR, REAL, (VIRTUAL, OUTER), "10.0.0.1"),
        (VIP, DR, REAL, (OwnAddress("10.0.0.4", 24, "eth0", is_chosen=True),), ""),
        (VIP, DR, REAL, (FLOATING, OUTER), "10.0.0.1"),
        (VIP, DR, REAL, (FLOATING,), "192.168.0.254"),
        (VIP6, DR, REAL6, (VIRTUAL6, OUTER6, INNER), "2001:db8::1"),
        (VIP6, DR, REAL6, (VIRTUAL6,), ""),
        # A tunnel over the other family.
        (VIP, TUN, REAL6, (VIRTUAL, OUTER, OUTER6), "10.0.0.1"),
    ],
)
def test_address_to_ask_from(
    address: str, method: Forwarding, real: str, own: tuple[OwnAddress, ...], source: str
) -> None:
    """It is the director's own, of the virtual address's family, and best for the method."""
    virtual = Virtual(address, None, method)
    assert source_of(virtual, real, setting(*own)) == source
    doubt = doubt_of(virtual, real, setting(*own))
    assert (doubt is not None and "no address of its own" in doubt.found) == (source == "")


Dropped = tuple[Forwarding, tuple[OwnAddress, ...], dict[str, int], "str | None"]
LOST = "answers from 10.0.0.3 would be dropped here, since net.ipv4.conf.eth1"
INSTALL = "as root: lvs-director install --via eth1, and what that says to run"


@pytest.mark.parametrize(
    "case",
    [
        (DR, (OUTER, INNER, VIRTUAL), {}, f"{LOST}.accept_local is 0: {INSTALL}"),
        (TUN, (OUTER, INNER, VIRTUAL), {}, f"{LOST}.accept_local is 0: {INSTALL}"),
        (DR, (OUTER, INNER, VIRTUAL), {"eth0/accept_local": 1}, f"{LOST}.accept_local is 0"),
        (DR, (OUTER, INNER, VIRTUAL), {"eth1/accept_local": 1}, None),
        (DR, (OUTER, INNER, VIRTUAL), {"all/accept_local": 1}, None),
        (
            DR,
            (OUTER, INNER, VIRTUAL),
            {"eth1/accept_local": 1, "all/rp_filter": 1},
            f"{LOST}.rp_filter is 1 and the address is on eth0",
        ),
        (DR, (INNER, VIRTUAL), {"eth1/accept_local": 1, "all/rp_filter": 2}, None),
        # A standby has no such address, and what is masqueraded comes from the real server.
        (DR, (OUTER, INNER), {}, None),
        (NAT, (OUTER, INNER, VIRTUAL), {}, None),
    ],
)
def test_answers_that_would_be_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Dropped
) -> None:
    """The kernel takes what comes from an address of its own only where it is told to."""
    method, own, sysctls, said = case
    monkeypatch.setattr(path_setting, "_SYSCTLS", tmp_path)
    for name, value in sysctls.items():
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    doubt = doubt_of(Virtual(VIP, None, method), REAL, setting(*own))
    assert (doubt is None) == (said is None)
    assert str(doubt).startswith(said or "None")


def test_what_is_no_path() -> None:
    """A real server that is this machine, or that there is no route to, is not asked."""
    virtual = Virtual(VIP, None, DR)
    local = doubt_of(virtual, REAL, setting(OUTER, local=True))
    assert str(local) == "192.168.0.1 is this director itself: check it without --via"
    lost = doubt_of(virtual, "192.168.9.9", setting(OUTER))
    assert str(lost) == "there is no route to 192.168.9.9: see ip route get"


def test_kernel_tells_of_this_machine() -> None:
    """Loopback is local and direct, in one answer however many are asked."""
    asked = [f"127.0.{each // 250}.{each % 250 + 1}" for each in range(300)] + ["::1"]
    found = routes(asked)
    assert list(found) == asked
    assert set(found.values()) >= {Route("lo", "127.0.0.1", is_direct=True, is_local=True)}
    assert all(each.is_local and each.is_direct for each in found.values())
    # What the kernel counts with each answer makes none anew; 127.0.0.1 is its own source.
    assert len({id(each) for each in found.values()}) == 3
    assert all(not each.address.startswith(("127.", "fe80:")) for each in own_addresses())
