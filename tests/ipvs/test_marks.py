"""The marks of our checks in the kernel's own words, and a door that shows them to nobody."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert import standin
from lvsalert.errors import UsageError
from lvsalert.ipvs import marks
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ipvs.naming import virtual_service
from lvsalert.ipvs.plan import plan
from lvsalert.model import Connection, Endpoint, Forwarding, Protocol, Way
from tests.harness.table_file import TableFile
from tests.harness.waiting import patience

if TYPE_CHECKING:
    from pathlib import Path

FIRST = 1280704513
TCP, UDP = Protocol.TCP, Protocol.UDP
# As Linux 6.1 prints them.
TABLE = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A000003:0050 rr 
  -> C0A80002:0050      Route   1      0          0         
UDP  [2001:0db8:0000:0000:0000:0000:0000:0003]:0035 rr 
  -> [2001:0db8:0000:0000:0000:0000:0000:0011]:0035      Masq    1      0          0         
FWM  00000007 wlc 
  -> C0A80003:0000      Route   1      0          0         
FWM  4C560001 rr 
  -> C0A80001:0000      Route   1      0          1         
FWM  4C560002 rr 
FWM  4C560003 rr 
  -> [2001:0db8:0000:0000:0000:0000:0000:0011]:0000      Tunnel  1      0          0         
FWM  4C560004 rr 
  -> C0A80001:1F90      Masq    1      0          0         
"""  # noqa: W291 - the kernel's own
CONNECTIONS = """\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 0A000001 E0B1 0A000003 0050 C0A80001 0050 CLOSE             9
TCP 0A000001 E0B2 0A000003 0050 C0A80002 0050 SYN_RECV         55
UDP 0A000001 E0B3 0A000003 0050 C0A80001 0050 UDP             255
TCP 20010db8000000000000000000000001 E0B1 20010db8000000000000000000000003 0050 \
20010db8000000000000000000000011 0050 ESTABLISHED    890
"""
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
WAYS = st.builds(
    lambda address, port, method: Way(
        socket.AF_INET6 if ":" in address else socket.AF_INET, address, port, method
    ),
    ADDRESSES,
    st.integers(0, 65535),
    st.sampled_from(Forwarding),
)


def test_marks_are_read_from_the_kernels_table() -> None:
    """Each of ours with its server; one without a server counts as not standing."""
    assert marks.standing(TABLE) == {
        FIRST: ("192.168.0.1", 0, Forwarding.GATEWAYING),
        FIRST + 2: ("2001:db8::11", 0, Forwarding.TUNNELLING),
        FIRST + 3: ("192.168.0.1", 8080, Forwarding.MASQUERADING),
    }
    assert marks.virtual_addresses(TABLE) == {"10.0.0.3", "2001:db8::3"}


def _kernels(text: str) -> str:
    """Return IPv6 addresses in groups, as the kernel prints them."""
    words = [
        ":".join(word[at : at + 4] for at in range(0, 32, 4)) if len(word) == 32 else word
        for word in text.split(" ")
    ]
    return " ".join(words)


@pytest.mark.parametrize(
    ("connection", "is_made"),
    [
        ((TCP, ("10.0.0.1", 57521), ("10.0.0.3", 80), ("192.168.0.1", 80)), True),
        ((UDP, ("10.0.0.1", 57523), ("10.0.0.3", 80), ("192.168.0.1", 80)), True),
        # Another server got it, or another port did, or the other protocol.
        ((TCP, ("10.0.0.1", 57522), ("10.0.0.3", 80), ("192.168.0.1", 80)), False),
        ((TCP, ("10.0.0.1", 57521), ("10.0.0.3", 80), ("192.168.0.1", 8080)), False),
        ((TCP, ("10.0.0.1", 57523), ("10.0.0.3", 80), ("192.168.0.1", 80)), False),
        ((TCP, ("2001:db8::1", 57521), ("2001:db8::3", 80), ("2001:db8::11", 80)), True),
        ((TCP, ("2001:db8::1", 57521), ("2001:db8::3", 80), ("2001:db8::12", 80)), False),
    ],
)
def test_connection_counts_where_the_kernel_led_it_there(
    connection: tuple[Protocol, Endpoint, Endpoint, Endpoint], is_made: bool
) -> None:
    """From the same port, to the same address, and to this real server."""
    asked = Connection(*connection)
    assert marks.made(_kernels(CONNECTIONS), [asked]) == ({asked} if is_made else set())
    assert marks.made("", [asked]) == set()
    assert marks.made(CONNECTIONS, []) == set()


def test_ports_that_lead_where_they_led_before() -> None:
    """Over UDP, from one address to one virtual address and port."""
    assert marks.udp_ports(CONNECTIONS, "10.0.0.1", ("10.0.0.3", 80)) == {57523}
    assert marks.udp_ports(CONNECTIONS, "10.0.0.1", ("10.0.0.3", 81)) == set()
    assert marks.udp_ports(CONNECTIONS, "10.0.0.2", ("10.0.0.3", 80)) == set()


@given(st.dictionaries(st.sampled_from(marks.MARKS), WAYS, max_size=5))
def test_marks_are_told_from_the_services_of_people(ways: dict[int, Way]) -> None:
    """All that are set are ours, ipvsadm prints none as negative, and one plan sets them all."""
    table = marks.table_of(ways)
    assert all(marks.is_ours(virtual) and virtual.fwmark < 2**31 for virtual in table)
    assert len(plan({}, table)) == 2 * len(ways)


def test_door_shows_marks_to_nobody(tmp_path: Path) -> None:
    """Who reads the table, or brings it to what it should be, does not touch a mark."""
    kernel = TableFile(tmp_path / "table")
    mine = f"-A -f {FIRST} -s rr\n-a -f {FIRST} -r 192.168.0.1:0 -g -w 1\n"
    theirs = "-A -t 10.0.0.3:80 -s rr\n-a -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w 1\n-A -f 7 -s rr\n"
    kernel.fill(theirs + mine)
    standin.write_executable(str(tmp_path / "ipvsadm"), str(tmp_path / "table"))
    door = Ipvsadm(str(tmp_path / "ipvsadm"), patience())
    assert [str(each) for each in door.read()] == ["tcp 10.0.0.3:80", "fwm 7"]
    assert [str(each) for each in door.marks()] == [f"fwm {FIRST}"]
    door.apply(plan(door.read(), {}), {})
    assert door.read() == {}
    assert [str(each) for each in door.marks()] == [f"fwm {FIRST}"]
    way = Way(socket.AF_INET, "192.168.0.2", 8080, Forwarding.MASQUERADING)
    kernel.fill(theirs + mine)
    door.set_marks(marks.table_of({FIRST + 1: way}))
    assert [str(each) for each in door.read()] == ["tcp 10.0.0.3:80", "fwm 7"]
    assert door.marks() == marks.table_of({FIRST + 1: way})


def test_mark_of_ours_is_no_virtual_service() -> None:
    """A person's service with such a mark would be shown to nobody, so there can be none."""
    with pytest.raises(UsageError) as error:
        virtual_service(str(FIRST), None, lambda *_: {})
    assert str(error.value) == "'1280704513' is a firewall mark of our own checks: take one below"
