"""What a monitor tells Nagios and Icinga: one line with performance data, and a status of 0 to 3.

The form is that of the Monitoring Plugins' development guidelines: ``NAME STATE: text | data``,
where each datum is ``'label'=value[unit];warn;crit;min;max``.
"""

from __future__ import annotations

from collections.abc import Sequence

from lvsalert.model import Result, State
from lvsalert.mon.report import Report, printable

OK, WARNING, CRITICAL, UNKNOWN = range(4)
_STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


def report_of(
    monitor: str, results: Sequence[Result], *, only_if_all_failed: bool = False
) -> Report:
    """Return the line and the status for what ``monitor`` (``http.monitor``) found.

    0 where all hosts are good (with ``only_if_all_failed``, where one is), 1 where some failed, 2
    where all did, 3 where there is no verdict at all. A host without a verdict counts as failed
    beside others that have one. The data are how many are good, and each host's seconds.
    """
    if not results:
        return unknown(monitor, "no host was named")
    bad = sorted(each for each in results if each.state is not State.GOOD)
    good = len(results) - len(bad)
    status = OK
    if all(each.state is State.UNKNOWN for each in results):
        status = UNKNOWN
    elif not good:
        status = CRITICAL
    elif bad and not only_if_all_failed:
        status = WARNING
    said = [f"{good} of {len(results)} good", *(f"{each.host}: {each.reason}" for each in bad)]
    data = [f"good={good};;;0;{len(results)}"]
    data += [f"'{each.host}'={each.seconds:.3f}s;;;0" for each in sorted(results)]
    return Report(f"{_line(monitor, status, ', '.join(said))} | {' '.join(data)}\n", status)


def unknown(monitor: str, why: str) -> Report:
    """Return the answer of a run that judged nothing."""
    return Report(f"{_line(monitor, UNKNOWN, why)}\n", UNKNOWN)


def _line(monitor: str, status: int, said: str) -> str:
    """Return the line up to its data, which begin behind the first vertical bar."""
    name = monitor.partition(".")[0].upper()
    return f"{name} {_STATES[status]}: {printable(said).replace('|', '/')}"
