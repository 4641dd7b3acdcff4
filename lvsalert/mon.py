"""mon's contract: what a monitor prints, and what an alert is told. No I/O.

The facts behind it are mon 1.3.6's own source; where mon(8) differs, this follows the program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum

from lvsalert.errors import UsageError
from lvsalert.model import Result, State
from lvsalert.tuples import NamedTuple

# What a server said is shown up to this many bytes and lines.
_SAID_BYTES = 2000
_SAID_LINES = 20


class Report(NamedTuple):
    """A monitor's whole answer: its standard output and its exit status."""

    text: str
    status: int


def report(
    results: Sequence[Result],
    *,
    started: float,
    ended: float,
    omit_good: bool = False,
    only_if_all_failed: bool = False,
    notes: Sequence[str] = (),
) -> Report:
    """Return what mon is told of ``results``.

    The first line is the summary: the failed hosts in the spelling of the command line, sorted, one
    blank between. The detail follows: the failed with their reasons, the good ones unless
    ``omit_good``, ``notes``, and the times (``started`` and ``ended`` in seconds since the epoch).

    The status is 0 where all hosts are good and 1 where one failed (with ``only_if_all_failed``,
    where all did). A host without a verdict counts as failed beside others that have one; where
    there is no verdict at all the status is 3 and the summary names no host.
    """
    bad = sorted((each for each in results if each.state is not State.GOOD), key=_host)
    judged = any(each.state is not State.UNKNOWN for each in results)
    tells = judged or not results
    lines = [" ".join(each.host for each in bad) if tells else ""]
    for each in bad:
        lines += _failed_lines(each)
    if not omit_good:
        for each in sorted((each for each in results if each.state is State.GOOD), key=_host):
            lines += _good_lines(each)
    lines += [*notes, *_time_lines(started, ended)]
    fails = bool(bad) and (len(bad) == len(results) or not only_if_all_failed)
    return Report("\n".join(lines) + "\n", int(fails) if tells else 3)


def cannot_tell(reason: str) -> Report:
    """Return the answer of a run that judged nothing: an empty summary, the reason, status 3."""
    return Report(f"\n{printable(reason)}\n", 3)


def _host(result: Result) -> str:
    return result.host


def _failed_lines(result: Result) -> list[str]:
    at = f", {result.address}" if result.address else ""
    head = f"HOST {result.host}: {printable(result.reason)} ({result.seconds:.3f} s{at})"
    return [head, *_said_lines(result.said), ""]


def _good_lines(result: Result) -> list[str]:
    at = f", {result.address}" if result.address else ""
    return [
        f"HOST {result.host}: ok ({result.seconds:.3f} s{at})",
        *_said_lines(result.said),
        "",
    ]


def _said_lines(said: bytes) -> list[str]:
    """Return what a server said, line by line, escaped, indented and cut."""
    if not said:
        return []
    text = said[:_SAID_BYTES].decode("utf-8", "backslashreplace").rstrip("\r\n")
    lines = text.replace("\r\n", "\n").split("\n")
    shown = lines[:_SAID_LINES]
    if not "".join(shown).isprintable():
        shown = [printable(line) for line in shown]
    if len(said) > _SAID_BYTES or len(lines) > _SAID_LINES:
        shown.append("...")
    return [f"    {line}" for line in shown]


def printable(text: str) -> str:
    """Return ``text`` in one line, with every character escaped that is not to be seen as itself.

    Beside control characters and lone surrogates those are separators and what turns the direction
    of writing.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _time_lines(started: float, ended: float) -> list[str]:
    import time

    form = "%Y-%m-%d %H:%M:%S %z"
    return [
        f"start time: {time.strftime(form, time.localtime(started))}",
        f"end time  : {time.strftime(form, time.localtime(ended))}",
        f"duration  : {ended - started:.3f} seconds",
    ]


def reasons(detail: str) -> dict[str, str]:
    """Return why each failed host failed, read back from the detail of a ``report``."""
    found = re.finditer(r"^HOST (\S+): (.*) \(\d+\.\d+ s(?:, \S+)?\)$", detail, re.MULTILINE)
    return {match[1]: match[2] for match in found if match[2] != "ok"}


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
