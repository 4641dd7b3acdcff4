"""lvs-director metrics and report: how the director stands, for Prometheus and for a browser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lvsalert import openmetrics
from lvsalert.commands import report_html
from lvsalert.commands.entry import Outcome
from lvsalert.commands.files import write_whole
from lvsalert.commands.options import WHERE, command, option
from lvsalert.commands.table_options import door_of, table_options
from lvsalert.director import metrics
from lvsalert.errors import LvsalertError
from lvsalert.mon.report import printable

_NAME = "lvs-director"


@command("metrics")
@option(
    "--textfile",
    metavar="FILE",
    help="Write it into this file for node_exporter's textfile collector, whole or not at all;"
    " - is standard output.",
    section=WHERE,
)
@table_options
def metrics_command(*, textfile: str | None, **given: Any) -> Outcome:
    """Print the state of the director for Prometheus (OpenMetrics): servers, and why they are out.

    Where the table or the ledger cannot be read, what is printed says so as well, and the status is
    1. The resident process serves the same with what it counts itself: lvs-director serve --listen.
    """
    reading = metrics.read(door_of(given), given["state_dir"])
    text = openmetrics.text(reading.families, older=textfile is not None)
    return _written("-" if textfile is None else textfile, text, reading.lacking)


@command("report")
@option(
    "--html",
    "path",
    default="-",
    show_default=True,
    metavar="FILE",
    help="Write it into this file; - is standard output.",
    section=WHERE,
)
@table_options
def report_command(*, path: str, **given: Any) -> Outcome:
    """Write one page for a browser: services and servers with why, the last week, the changes.

    The page loads nothing else. It says what could not be read, and then the status is 1.
    """
    made = report_html.report(door_of(given), given["state_dir"])
    return _written(path, made.text, made.lacking)


def _written(path: str, text: str, lacking: Sequence[LvsalertError]) -> Outcome:
    """Write a text, or print it, and say what it lacks."""
    errors = "".join(f"{_NAME}: {printable(str(each))}\n" for each in lacking)
    status = max((each.status for each in lacking), default=0)
    if path == "-":
        return Outcome(status, text, errors)
    write_whole(path, text)
    return Outcome(status, "", errors)
