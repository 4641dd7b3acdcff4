"""Where a command finds the table and the ledger, whom it works for, and how it looks up names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable

from lvsalert.commands.options import WHERE, number, option
from lvsalert.director.outside import caller
from lvsalert.ipvs.defaults import DEFAULT_PROGRAM, DEFAULT_STATE_DIR

if TYPE_CHECKING:
    from lvsalert.director.reconcile import Director
    from lvsalert.ipvs.ipvsadm import Ipvsadm

# How long all names together may take to look up.
_LOOKUP_SECONDS = 5.0

state_dir_option = option(
    "--state-dir",
    default=DEFAULT_STATE_DIR,
    show_default=True,
    metavar="FOLDER",
    help="Where causes and the journal are kept.",
    section=WHERE,
)
_TABLE_OPTIONS = (
    option(
        "--ipvsadm",
        default=DEFAULT_PROGRAM,
        metavar="PATH",
        help="The ipvsadm to run.",
        section=WHERE,
    ),
    option(
        "--ipvsadm-timeout",
        type=number("a time-out in seconds", 0.001),
        default=5.0,
        show_default=True,
        help="Seconds after which an ipvsadm that hangs is ended.",
        section=WHERE,
    ),
    state_dir_option,
)


def table_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options ``ipvsadm``, ``ipvsadm_timeout`` (seconds) and ``state_dir``."""
    for each in reversed(_TABLE_OPTIONS):
        function = each(function)
    return function


lock_option = option(
    "--lock-timeout",
    type=number("a time-out in seconds", 0),
    # More than a run takes each of whose calls of ipvsadm is just in time.
    default=30.0,
    show_default=True,
    help="Give up when one other run has held the table for so many seconds.",
    section=WHERE,
)


def user_name() -> str:
    """Return the name of the user who has this done, or the number where it has none."""
    import pwd

    uid = caller()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def lookup(names: Iterable[str], family: int) -> dict[str, list[str]]:
    """Return each name's addresses of a family, none where it has none in time."""
    from lvsalert.checks.resolve import addresses_of

    return addresses_of(names, family, timeout=_LOOKUP_SECONDS)


def door_of(given: Mapping[str, Any]) -> Ipvsadm:
    """Return the door to the kernel's table that ``table_options`` name."""
    from lvsalert.ipvs.ipvsadm import Ipvsadm

    return Ipvsadm(given["ipvsadm"], given["ipvsadm_timeout"])


def director_of(given: Mapping[str, Any], journal_days: float = math.inf) -> Director:
    """Return the director that ``table_options`` and ``lock_option`` name.

    The journal is trimmed by the alerts, which know how long it is to be kept.
    """
    from lvsalert.director.reconcile import Director

    return Director(door_of(given), given["state_dir"], given["lock_timeout"], journal_days)
