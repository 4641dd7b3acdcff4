"""Where a command finds the table and the ledger, whom it works for, and how it looks up names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Callable

import click

from lvsalert.commands.options import EnvOption, number
from lvsalert.ipvsadm import DEFAULT_PROGRAM, DEFAULT_STATE_DIR

# How long all names together may take to look up.
_LOOKUP_SECONDS = 5.0

_TABLE_OPTIONS = (
    click.option(
        "--ipvsadm",
        cls=EnvOption,
        default=DEFAULT_PROGRAM,
        metavar="PATH",
        help="The ipvsadm to run.",
    ),
    click.option(
        "--ipvsadm-timeout",
        cls=EnvOption,
        type=number("a time-out in seconds", 0.001),
        default=5.0,
        show_default=True,
        help="Seconds after which an ipvsadm that hangs is ended.",
    ),
    click.option(
        "--state-dir",
        cls=EnvOption,
        default=DEFAULT_STATE_DIR,
        show_default=True,
        metavar="FOLDER",
        help="Where causes and the journal are kept.",
    ),
)


def table_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options ``ipvsadm``, ``ipvsadm_timeout`` (seconds) and ``state_dir``."""
    for option in reversed(_TABLE_OPTIONS):
        function = option(function)
    return function


lock_option = click.option(
    "--lock-timeout",
    cls=EnvOption,
    type=number("a time-out in seconds", 0),
    default=10.0,
    show_default=True,
    help="Seconds to wait for other runs.",
)


def user_name() -> str:
    """Return the name of the user who runs this, or the number where it has none."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def lookup(names: Iterable[str], family: int) -> dict[str, list[str]]:
    """Return each name's addresses of a family, none where it has none in time."""
    from lvsalert.resolve import addresses_of

    return addresses_of(names, family, timeout=_LOOKUP_SECONDS)
