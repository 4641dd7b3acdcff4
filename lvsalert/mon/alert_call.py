"""What an alert is called with by mon, or by a person.

The facts behind it are mon 1.3.6's own source; where mon(8) differs, this follows the program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from lvsalert.errors import UsageError

# An exit status, wait(2).
_STATUS = re.compile(r"[0-9]{1,3}")


class Event(Enum):
    """Why an alert was called; the values are those of MON_ALERTTYPE."""

    FAILURE = "failure"
    UP = "up"
    STARTUP = "startup"
    ACK = "ack"
    DISABLE = "disable"
    TRAP = "trap"
    TRAP_TIMEOUT = "traptimeout"
    TEST = "test"


class AlertCall(NamedTuple):
    """What an alert was called with.

    ``hosts`` are the hosts of the group, ``failed`` those that the summary names (empty unless the
    event is a failure or a trap), ``time`` the seconds since the epoch that mon gave with ``-t``,
    ``retval`` the monitor's exit status, ``by_hand`` whether a person and not mon called.
    ``is_recovery`` is whether the check before an up failed (MON_FIRST_FAILURE): mon calls an
    upalert only then, and redistribute after every check.
    """

    event: Event
    group: str
    service: str
    hosts: tuple[str, ...]
    failed: frozenset[str]
    time: int | None
    retval: int | None
    detail: str
    by_hand: bool
    is_recovery: bool

    @property
    def who(self) -> str:
        """Return mon's group and service as the log names them."""
        return f"{self.group}/{self.service}"


def alert_event(environ: Mapping[str, str], flags: Sequence[Event]) -> Event:
    """Return the event that MON_ALERTTYPE names, or where that is missing the last of ``flags``.

    mon passes one flag at most, and an up trap arrives as ``-T`` without ``-u``: the variable is
    the truth. Without either it is a failure. UsageError for a name that mon does not have.
    """
    name = environ.get("MON_ALERTTYPE")
    if name is None:
        return flags[-1] if flags else Event.FAILURE
    try:
        return Event(name)
    except ValueError:
        raise UsageError(f"MON_ALERTTYPE: {name!r} is not an alert of mon's") from None


def alert_call(
    environ: Mapping[str, str],
    *,
    flags: Sequence[Event],
    group: str | None,
    service: str | None,
    hosts: str,
    time: int | None,
    stdin: str,
) -> AlertCall:
    """Return the alert that mon's options, its environment and its standard input describe.

    ``hosts`` is the value of ``-h``; a host that an operator disabled carries a ``*`` in mon and is
    left out. ``stdin`` is the monitor's output where the event is a failure or a trap. Before an
    upalert it is that of an earlier run, so it is not looked at there.
    """
    event = alert_event(environ, flags)
    members = tuple(dict.fromkeys(host for host in hosts.split() if not host.startswith("*")))
    summary, _, detail = stdin.partition("\n")
    tells = event in (Event.FAILURE, Event.TRAP, Event.TRAP_TIMEOUT)
    failed = frozenset(summary.split()) & frozenset(members) if tells else frozenset()
    retval = environ.get("MON_RETVAL", "")
    return AlertCall(
        event=event,
        group=group or environ.get("MON_GROUP", ""),
        service=service or environ.get("MON_SERVICE", ""),
        hosts=members,
        failed=failed,
        time=time,
        retval=int(retval) if _STATUS.fullmatch(retval) else None,
        detail=detail if tells else "",
        by_hand="MON_ALERTTYPE" not in environ and group is None and service is None,
        is_recovery=event is Event.UP and environ.get("MON_FIRST_FAILURE", "0") not in {"", "0"},
    )
