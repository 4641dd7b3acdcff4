"""lvs-director metrics: how the director stands, for Prometheus."""

from __future__ import annotations

from typing import Any

from lvsalert import openmetrics
from lvsalert.commands.entry import Outcome
from lvsalert.commands.files import write_whole
from lvsalert.commands.options import command, option
from lvsalert.commands.table_options import door_of, table_options
from lvsalert.director import metrics
from lvsalert.mon.report import printable

_NAME = "lvs-director"


@command("metrics")
@option(
    "--textfile",
    metavar="FILE",
    help="Write it into this file for node_exporter's textfile collector, whole or not at all;"
    " - is standard output.",
)
@table_options
def metrics_command(*, textfile: str | None, **given: Any) -> Outcome:
    """Print how the director stands for Prometheus (OpenMetrics): servers, and why they are out.

    Where the table or the ledger cannot be read, what is printed says so as well, and the status is
    1. The resident process serves the same with what it counts itself: lvs-director serve --listen.
    """
    reading = metrics.read(door_of(given), given["state_dir"])
    text = openmetrics.text(reading.families, older=textfile is not None)
    errors = "".join(f"{_NAME}: {printable(str(each))}\n" for each in reading.lacking)
    status = max((each.status for each in reading.lacking), default=0)
    if textfile in (None, "-"):
        return Outcome(status, text, errors)
    write_whole(str(textfile), text)
    return Outcome(status, "", errors)
