"""The document's own pieces for a director under heartbeat, taken out of it word for word.

It is no part of this repository: where no text in the folder `shared` beside the checkout holds
them, what is compared with them is left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tests.harness.places import CHECKOUT

FOLDER = CHECKOUT.parent / "shared"
MISSING = (
    "THE COMPARISON WITH THE DOCUMENT'S OWN PIECES IS LEFT OUT:"
    f" no text in {FOLDER} holds its lvs.alert, mon.cf, ha.conf, haresources and lvs script"
)
# Each begins and ends with lines of the piece's own.
PIECES = {
    "alert": r"^#!/usr/bin/perl *\n# *\n# lvs\.alert .*?^\};$",
    "mon_cf": r"^#\n# The mon\.cf file$.*^ +upalert lvs\.alert -P tcp \S+ \S+ -R \S+ .*?$",
    "ha_cf": r"^#\n#\s+keepalive: .*?^node\s+lvs2\S*$",
    "haresources": r"^lvs1\S* \S+ lvs mon$",
    "lvs": r"^#!/bin/sh\n(?:(?!^#!).)*?^\s+\$IPVSADM -C$.*?^exit 0$",
}


class Document(NamedTuple):
    """Its pieces as they stand there."""

    alert: str
    mon_cf: str
    ha_cf: str
    haresources: str
    lvs: str


def find() -> Document | None:
    """Return the pieces of the first text that holds all of them, None where there is none."""
    for path in sorted(FOLDER.glob("*.txt")):
        found = read(path)
        if found is not None:
            return found
    return None


def read(path: Path) -> Document | None:
    """Return the pieces that a text holds, None where it has not all of them."""
    text = path.read_text(encoding="utf-8", errors="replace")
    found = {
        name: re.search(pattern, text, re.MULTILINE | re.DOTALL) for name, pattern in PIECES.items()
    }
    pieces = {name: f"{match[0]}\n" for name, match in found.items() if match is not None}
    return Document(**pieces) if len(pieces) == len(found) else None
