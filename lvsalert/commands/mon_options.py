"""Where mon takes commands, and who gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvsalert.commands.monitor_options import password_file_option
from lvsalert.commands.monitoring import password_of
from lvsalert.commands.options import WHERE, Parsed, number, option, together
from lvsalert.mon import client

mon_option = option(
    "--mon",
    type=Parsed("place", client.parse_address),
    default=f"127.0.0.1:{client.DEFAULT_PORT}",
    show_default=True,
    metavar="HOST[:PORT]",
    help="Where mon takes commands.",
    section=WHERE,
)

mon_options = together(
    mon_option,
    option("--user", metavar="NAME", help="Log in as this user of mon's."),
    password_file_option,
    option(
        "--mon-timeout",
        type=number("a time-out in seconds", 0.001),
        default=10.0,
        show_default=True,
        help="Seconds that mon may take for its answers.",
    ),
    section=WHERE,
)


def login_of(given: Mapping[str, Any], environ: Mapping[str, str]) -> client.Login | None:
    """Return who logs in with ``mon_options``, None where nobody does."""
    if given["user"] is None:
        return None
    password = password_of(given["user"], given["password_file"], environ)
    return client.Login(given["user"], password)
