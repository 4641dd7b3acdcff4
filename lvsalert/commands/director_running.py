"""lvs-director status FILE, as heartbeat asks: whether the services of a file run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from lvsalert.commands import status_text
from lvsalert.commands.director_file import NAME, accepted_of
from lvsalert.commands.entry import Outcome
from lvsalert.commands.table_options import door_of, lookup
from lvsalert.director import lifecycle, setup
from lvsalert.director.accepted import news_of
from lvsalert.director.outside import need_outside
from lvsalert.errors import LvsalertError, NoKernelError
from lvsalert.ipvs.table import Table
from lvsalert.ldirectord.file import candidates, load
from lvsalert.ledger.reader import ask_ledger
from lvsalert.mon.report import printable


def running(file: str, given: Mapping[str, Any]) -> Outcome:
    """Return what ``status FILE`` says: running, stopped or unknown, with status 0, 3 or 4 (LSB).

    It is not known where the file has a fault and was never accepted. What counts are the services
    that the file had when it was accepted last: neither a slip of the pen nor a change that nobody
    has loaded makes another node take over.
    """
    paths, state_dir = candidates(file), given["state_dir"]
    accepted = accepted_of(file, given)
    lines, is_known = [], True
    if accepted is not None:
        virtuals, _ = ask_ledger(state_dir, lambda ledger: setup.kept(ledger, [accepted.path]))
        lines += [status_text.news_line(each) for each in [news_of(accepted)] if each is not None]
    else:
        try:
            virtuals = [str(service.virtual) for service in load(file, lookup).services]
        except LvsalertError as error:
            need_outside()
            lines.append(str(error))
            there = [each for each in paths if os.path.isfile(each)]
            virtuals, _ = ask_ledger(state_dir, lambda ledger: setup.kept(ledger, there))
            is_known = bool(virtuals)
    table: Table = {}
    try:
        table = door_of(given).read()
    except NoKernelError as error:
        lines.append(str(error))
    errors = "".join(f"{NAME}: {printable(line)}\n" for line in lines)
    stops, _ = ask_ledger(state_dir, lambda ledger: ledger.runs.stops())
    if lifecycle.is_running(table, virtuals, stops):
        return Outcome(0, "running\n", errors)
    if not is_known:
        return Outcome(4, "unknown\n", errors)
    return Outcome(3, "stopped\n", errors)
