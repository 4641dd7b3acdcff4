"""The table for those who come from keepalived names what there is."""

from __future__ import annotations

import re

import pytest

from lvsalert.commands import manual
from lvsalert.ldirectord.directives import GLOBAL, VIRTUAL
from lvsalert.mon.plugins import PLUGINS
from tests.harness.places import CHECKOUT

TEXT = (CHECKOUT / "docs" / "keepalived.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in re.findall(r"^\| `.*\|$", TEXT, re.MULTILINE)
]
# What stands beside those of GLOBAL and VIRTUAL, or in a line of a real server.
IN_A_LINE = {
    "virtual",
    "fallback",
    "netmask",
    "gate",
    "masq",
    "ipip",
    "u:N",
    "l:N",
    "real",
    "dns",
    "sip",
    "radius",
}
# mon's own.
MONS = {"interval", "randstart", "alert", "upalert", "mail.alert"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_word_is_known(row: list[str]) -> None:
    """A directive is one of ldirectord's file, an option one of lvs.alert's or a monitor's."""
    programs = [name for names in PLUGINS.values() for name in names]
    options = {
        spelled
        for name in programs
        for each in manual._program(name).params
        for spelled in each.opts
    }
    directives = {word.partition(" = ")[0] for word in re.findall(r"`(.+?)`", row[1])}
    assert directives <= {*GLOBAL, *VIRTUAL, *IN_A_LINE}
    assert set(re.findall(r"`(.+?)`", row[2])) <= {*options, *programs, *MONS}
