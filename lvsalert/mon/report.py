"""What a monitor prints for mon, and how an alert reads it back.

The facts behind it are mon 1.3.6's own source; where mon(8) differs, this follows the program.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from lvsalert.model import Result, State

# What a server said is shown up to this many bytes and lines.
_SAID_BYTES = 2000
_SAID_LINES = 20


class Report(NamedTuple):
    """A monitor's whole answer: its standard output and its exit status."""

    text: str
    status: int


def report_of(
    results: Sequence[Result],
    *,
    started: float,
    ended: float,
    omit_good: bool = False,
    only_if_all_failed: bool = False,
    notes: Sequence[str] = (),
    unjudged: str = "",
) -> Report:
    """Return what mon is told of ``results``.

    The first line is the summary: the failed hosts in the spelling of the command line, sorted, one
    blank between. The detail follows: the failed with their reasons, the good ones unless
    ``omit_good``, ``notes``, and the times (``started`` and ``ended`` in seconds since the epoch).

    The status is 0 where all hosts are good and 1 where one failed (with ``only_if_all_failed``,
    where all did). A host without a verdict counts as failed beside others that have one; where
    there is no verdict at all the status is 3 and the summary names no host. So it is too where no
    host failed, and ``unjudged`` says what could not be told of the others; the detail begins so.
    """
    bad = sorted((each for each in results if each.state is not State.GOOD), key=_host)
    judged = any(each.state is not State.UNKNOWN for each in results)
    tells = judged or not results
    lines = [" ".join(each.host for each in bad) if tells else ""]
    lines += [printable(unjudged), ""] if unjudged else []
    for each in bad:
        lines += _failed_lines(each)
    if not omit_good:
        for each in sorted((each for each in results if each.state is State.GOOD), key=_host):
            lines += _good_lines(each)
    lines += [*notes, *_time_lines(started, ended)]
    fails = bool(bad) and (len(bad) == len(results) or not only_if_all_failed)
    tells = tells and (fails or not unjudged)
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


def reasons_of(detail: str) -> dict[str, str]:
    """Return why each failed host failed, read back from the detail of a report."""
    found = re.finditer(r"^HOST (\S+): (.*) \(\d+\.\d+ s(?:, \S+)?\)$", detail, re.MULTILINE)
    return {match[1]: match[2] for match in found if match[2] != "ok"}
