"""Traps as mon reads them."""

from __future__ import annotations

import re
import shutil
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.mon.client import unescape
from lvsalert.mon.trap import Trap
from tests.harness.mon import Mon
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

needs_mon = pytest.mark.skipif(shutil.which("mon") is None, reason="mon is not installed")
CONFIGURATION = """\
mondir = /usr/lib/mon/mon.d
alertdir = /usr/lib/mon/alert.d
hostgroup www a b

watch www
    service http
        interval 6h
        monitor http.monitor
"""


def send(mon: Mon, trap: Trap) -> None:
    """Send mon a trap."""
    host, port = mon.trap_place.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(trap.datagram(1_700_000_000), (host, int(port)))


@needs_mon
def test_mon_takes_a_trap_for_a_check(folder: Path) -> None:
    """Its opstatus then shows status, summary and detail, to the last odd character."""
    mon = Mon(folder / "mon", CONFIGURATION)
    detail = "HOST a: no match for 'b\u00e4h\\0a%0a'\n    <html>\ttab\n"
    with mon:
        send(mon, Trap("www", "http", 1, "a b", detail))
        wait_until(lambda: mon.status("www", "http")["opstatus"] == "0", lambda: mon.story)
        status = mon.status("www", "http")
        assert (unescape(status["last_summary"]).strip(), status["exitval"]) == ("a b", "1")
        assert unescape(status["last_detail"]).strip("\n") == detail.strip("\n")
        send(mon, Trap("www", "http", 0, "", ""))
        wait_until(lambda: mon.status("www", "http")["opstatus"] == "1", lambda: mon.story)


@needs_mon
def test_a_trap_that_auth_cf_does_not_let_in_is_told_by_mon(folder: Path) -> None:
    """mon's own word on it is in syslog, and nothing has changed."""
    mon = Mon(folder / "mon", CONFIGURATION)
    mon.allow("list", traps="192.0.2.1 * *")
    with mon:
        send(mon, Trap("www", "http", 1, "a", ""))
        mon.syslog.wait_for(r"received trap from (unauthorized host|unknown user)")
        assert mon.status("www", "http")["opstatus"] == "7"


@given(summary=st.text(), detail=st.text())
def test_a_trap_is_a_line_a_tag(summary: str, detail: str) -> None:
    """Whatever a server has said, it stays within its line, and comes back as it was."""
    data = Trap("www", "http", 1, summary, detail[:100]).datagram(5.0).decode("ascii")
    lines = data.split("\n")
    assert all(re.fullmatch(r"[a-z]{3}=[ -~]*", line) for line in lines[:-1])
    values = dict(line.split("=", 1) for line in lines[:-1])
    assert unescape(values["sum"]) == summary.encode("utf-8", "surrogateescape").decode(
        "utf-8", "surrogateescape"
    )
    assert unescape(values["dtl"]) == detail[:100]
