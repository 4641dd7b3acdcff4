"""lvs.alert's call as a round: whether the same call again can only mean the same."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any

from lvsalert import __version__
from lvsalert.commands.alert_options import OF_ONE_CALL
from lvsalert.director.rounds import asked_of
from lvsalert.ledger.rounds import Round
from lvsalert.mon.alert_call import AlertCall, Event
from lvsalert.mon.report import printable

# An address with or without a port, or a mark; a name may mean something else the next time.
_PLAIN = re.compile(
    r"\d+|\d+\.\d+\.\d+\.\d+(:\d+)?|\[[\da-f:.]+\](:\d+)?|[\da-f]*:[\da-f.]*:[\da-f:.]*",
    re.ASCII | re.IGNORECASE,
)


def round_of(call: AlertCall, given: Mapping[str, Any], options: Mapping[str, str]) -> Round | None:
    """Return a success that mon reports as a round, None for all else.

    It asks for the same as another one whose options, hosts and director's file are the same. None
    where a name is among those that it puts in.
    """
    is_success = call.event is Event.UP and not call.by_hand and not call.retval
    if not is_success or given["dry_run"]:
        return None
    real_server, fallback = given["real_server"], given["fallback"]
    named = [*given["virtual"].split(), *given["reserve"]]
    named += call.hosts if real_server is None else [real_server]
    named += [] if fallback is None else [fallback]
    if not all(map(_PLAIN.fullmatch, named)):
        return None
    words = [__version__, *call[1:3], *call.hosts, str(call.is_recovery)]
    words += [f"{name}={text}" for name, text in sorted(options.items()) if name not in OF_ONE_CALL]
    if given["config"] is not None:
        # Not imported by runs without a file, which have no use for its reader.
        from lvsalert.ldirectord.file import candidates

        words += [_state_of(path) for path in candidates(given["config"])]
    when = int(time.time()) if call.time is None else call.time
    return Round(printable(call.who), asked_of(words), when)


def _state_of(path: str) -> str:
    """Return what tells a file from what it was before."""
    try:
        found = os.stat(path)
    except OSError:
        return path
    return f"{path} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
