"""What an alert does when the director's file is to be taken anew by itself.

It has changed, or one of its names has an address by now.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from lvsalert.commands.director_file import NAME
from lvsalert.commands.director_services import reloaded
from lvsalert.commands.lvs_alert_file import Upkeep
from lvsalert.commands.syslog import log
from lvsalert.commands.table_options import director_of, lookup
from lvsalert.director.alone import alone
from lvsalert.director.file_commands import run_callback
from lvsalert.director.outside import need_outside
from lvsalert.director.reconcile import Director
from lvsalert.errors import LvsalertError
from lvsalert.host import mon_cf_file
from lvsalert.host.running_mon import mon_above
from lvsalert.ldirectord import mon_cf
from lvsalert.ldirectord.file import DirectorFile, as_accepted, load
from lvsalert.ledger.reader import ask_ledger
from lvsalert.mon.report import printable

_LOCK = "autoreload.lock"
_WHO = "director autoreload"


def take(upkeep: Upkeep, given: Mapping[str, Any]) -> None:
    """Bring the table to what the file says now, and have mon watch that; run its callback.

    One alert does so for all that find the same. What goes wrong is one line for syslog.
    """
    with alone(given["state_dir"], _LOCK) as is_alone:
        if not is_alone:
            return
        if upkeep.is_newer or _have_come(upkeep.missing):
            _take(upkeep, given)
        if upkeep.callback:
            log(NAME, "warning", _told(upkeep, director_of(given, given["journal_days"])))


def _told(upkeep: Upkeep, director: Director) -> list[str]:
    """Tell the callback of a change; return what went wrong."""
    try:
        told = run_callback(director, upkeep.path, upkeep.accepted, upkeep.callback)
    except LvsalertError as error:
        told = [f"callback: {error}"]
    return [printable(each) for each in told]


def _take(upkeep: Upkeep, given: Mapping[str, Any]) -> None:
    """Bring the table to what the file says now, and have mon watch that."""
    need_outside()
    try:
        mon, path = mon_above(os.getppid())
        text = "" if path is None else _text(path)
        is_ours = upkeep.path in mon_cf.written_from(text)
        compared = mon_cf.comparison_in(text) if is_ours else {}
        via = is_ours and mon_cf.has_via(text)
        asked = {**given, "unchecked": False, "via": via}
        file = reloaded(upkeep.path, asked, _WHO, compared)
        _tell_mon(file, given, mon, path, compared)
    except LvsalertError as error:
        log(NAME, "err", [f"{printable(str(error))}: not reloaded"])


def _have_come(missing: Mapping[int, Sequence[str]]) -> bool:
    """Return whether any of these names has an address by now."""
    return any(any(lookup(names, family).values()) for family, names in missing.items())


def _tell_mon(
    file: DirectorFile,
    given: Mapping[str, Any],
    mon: int,
    path: str | None,
    compared: Mapping[str, str],
) -> None:
    """Write the mon.cf of the mon that called, where it is ours, and have it read that.

    At HUP mon reads its file anew and keeps its state (reset_server in mon 1.3.6 and 1.4.1).
    """
    text = "" if path is None else _text(path)
    paths = mon_cf.written_from(text)
    if path is None or file.path not in paths:
        what = "no mon called" if path is None else f"{path} is not its mon.cf"
        said = f"{file.path} was reloaded, and {what}: mon watches what it did"
        log(NAME, "warning", [said])
        return
    # Where mon found the alert are the other plugins, too.
    prefix = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
    files = [file if each == file.path else _as_accepted(each, given) for each in paths]
    new = mon_cf.text_of(files, prefix, _more(), compared, via=mon_cf.has_via(text))
    if mon_cf_file.replace(path, new):
        os.kill(mon, signal.SIGHUP)


def _more() -> dict[str, str]:
    """Return what mon's service has of what the file does not say; mon hands its variables on."""
    names = (mon_cf.BETWEEN, mon_cf.DAMP)
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _as_accepted(path: str, given: Mapping[str, Any]) -> DirectorFile:
    """Return another file of the same mon's."""
    accepted, _ = ask_ledger(given["state_dir"], lambda ledger: ledger.files.find([path]))
    if accepted is None:
        return load(path, lookup)
    return as_accepted(path, accepted.text, accepted.names)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
