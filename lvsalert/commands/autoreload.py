"""What an alert does when the director's file is to be taken by itself and has changed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from lvsalert.commands.director_services import NAME, reloaded
from lvsalert.commands.syslog import log
from lvsalert.commands.table_options import lookup
from lvsalert.director.accepted import News
from lvsalert.errors import LvsalertError
from lvsalert.host import mon_cf_file
from lvsalert.ldirectord import mon_cf
from lvsalert.ldirectord.file import DirectorFile, load, parsed
from lvsalert.ledger.reader import ask_ledger
from lvsalert.mon.report import printable

_LOCK = "autoreload.lock"
_WHO = "director autoreload"


def take(news: News, given: Mapping[str, Any]) -> None:
    """Bring the table to what the file says now, and have mon watch that.

    One alert does so for all that find the same. What goes wrong is one line for syslog.
    """
    with _alone(given["state_dir"]) as is_alone:
        if not is_alone:
            return
        try:
            file = reloaded(news.path, {**given, "unchecked": False}, _WHO)
            _tell_mon(file, given)
        except LvsalertError as error:
            log(NAME, "err", [f"{printable(str(error))}: not reloaded"])


@contextlib.contextmanager
def _alone(state_dir: str) -> Iterator[bool]:
    """Tell whether no other alert is about it."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(os.path.join(state_dir, _LOCK), flags, 0o660)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _tell_mon(file: DirectorFile, given: Mapping[str, Any]) -> None:
    """Write the mon.cf of the mon that called, where it is ours, and have it read that.

    At HUP mon reads its file anew and keeps its state (reset_server in mon 1.3.6 and 1.4.1).
    """
    mon, path = mon_cf_file.mon_above(os.getppid())
    paths = mon_cf.written_from(_text(path)) if path is not None else []
    if path is None or file.path not in paths:
        what = "no mon called" if path is None else f"{path} is not its mon.cf"
        said = f"{file.path} was reloaded, and {what}: mon watches what it did"
        log(NAME, "warning", [said])
        return
    # Where mon found the alert are the other plugins, too.
    prefix = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
    files = [file if each == file.path else _as_accepted(each, given) for each in paths]
    if mon_cf_file.replace(path, mon_cf.text_of(files, prefix)):
        os.kill(mon, signal.SIGHUP)


def _as_accepted(path: str, given: Mapping[str, Any]) -> DirectorFile:
    """Return another file of the same mon's."""
    accepted, _ = ask_ledger(given["state_dir"], lambda ledger: ledger.files.find([path]))
    return load(path, lookup) if accepted is None else parsed(path, accepted.text, lookup)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
