"""Checks by way of the virtual address: their options, and what they are lent of the kernel."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvsalert.commands.options import HOW, Parsed, option, together
from lvsalert.commands.table_options import director_of, table_options
from lvsalert.errors import UsageError
from lvsalert.model import (
    Forwarding,
    canonical_address,
    parse_forwarding,
    parse_port,
    parse_tunnel,
    split_endpoint,
)

if TYPE_CHECKING:
    from lvsalert.checks.path import Kernel, Via
    from lvsalert.model import Way

# For other runs: a check has no longer.
_LOCK_SECONDS = 5.0


def parse_via(text: str) -> tuple[str, int | None]:
    """Return a virtual address, and its port or None. UsageError for what is none."""
    name, port = split_endpoint(text)
    address = canonical_address(name)
    if address is None or "%" in address:
        raise UsageError(f"{text!r} is not a virtual address: a number, with :port or without")
    return address, None if port is None else parse_port(port)


via_options = together(
    option(
        "--via",
        type=Parsed("address", parse_via),
        metavar="ADDRESS[:PORT]",
        help="Ask each real server by way of this virtual address; the port is for nat, where that"
        " of the real servers differs.",
    ),
    option(
        "--forwarding",
        type=Parsed("method", parse_forwarding),
        default=Forwarding.GATEWAYING,
        help="With --via: dr, nat or tun.  [default: dr]",
    ),
    option(
        "--tunnel",
        type=Parsed("tunnel", parse_tunnel),
        metavar="TYPE",
        help="With --via and tun: ipip, gre[:csum] or gue:PORT[:csum|:remcsum].  [default: ipip]",
    ),
    table_options,
    section=HOW,
)


via_flag = option(
    "--via",
    is_flag=True,
    variable="LVSALERT_CHECK_VIA",
    help="Ask real servers by way of their virtual address where that is possible."
    "  [variable: LVSALERT_CHECK_VIA]",
    section=HOW,
)


def via_of(given: Mapping[str, Any]) -> Via | None:
    """Return by way of what ``via_options`` ask hosts, None where they are asked themselves."""
    if given["via"] is None:
        return None
    from lvsalert.checks.path import Via
    from lvsalert.checks.path_setting import Virtual

    address, port = given["via"]
    method = given["forwarding"]
    flags = (given["tunnel"] or ()) if method is Forwarding.TUNNELLING else ()
    return Via(Virtual(address, port, method, flags), kernel_of(given))


def kernel_of(given: Mapping[str, Any]) -> Kernel:
    """Return what is lent of the kernel that ``table_options`` name."""
    from lvsalert.checks.path import Kernel
    from lvsalert.ipvs import proc

    marks = functools.partial(_marks, given)
    return Kernel(marks, proc.made, proc.udp_ports, proc.virtual_addresses)


def _marks(given: Mapping[str, Any], ways: Sequence[Way]) -> Mapping[Way, int]:
    """Return a mark for each way; what it takes to set one is imported where one is missing."""
    from lvsalert.director.standing_marks import standing_marks

    found = standing_marks(given["state_dir"], ways)
    if found is not None:
        return found
    from lvsalert.director.marks import marks_for

    return marks_for(director_of({**given, "lock_timeout": _LOCK_SECONDS}), ways)
