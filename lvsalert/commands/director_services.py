"""lvs-director start, stop and reload: the table from one file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable

import click

from lvsalert.commands.agreement import agree_options, variables_of
from lvsalert.commands.director_file import (
    NAME,
    accepted_of,
    left_out,
    loaded,
    warnings_of,
    watches_in,
)
from lvsalert.commands.entry import Outcome
from lvsalert.commands.first_checks import first_checks
from lvsalert.commands.ip_forward import forward_packets, is_any_off
from lvsalert.commands.options import HOW, command, option, whole
from lvsalert.commands.syslog import log
from lvsalert.commands.table_options import (
    director_of,
    lock_option,
    table_options,
    user_name,
)
from lvsalert.commands.via import via_flag
from lvsalert.director import lifecycle, maintenance, setup
from lvsalert.director.accepted import check_names
from lvsalert.director.changes import describe
from lvsalert.director.file_commands import run_fallback_commands
from lvsalert.director.outside import need_outside
from lvsalert.director.reconcile import Director
from lvsalert.errors import (
    IpvsadmError,
    LvsalertError,
    NoKernelError,
    NotDoneError,
)
from lvsalert.ipvs.plan import Change
from lvsalert.ipvs.table import Endpoint
from lvsalert.ldirectord.file import (
    DEFAULT_FILE,
    DirectorFile,
    FileService,
    candidates,
)
from lvsalert.mon.report import printable

_JOURNAL_DAYS = 90.0
# What a kernel with IPVS shows of its table.
_KERNEL_TABLE = "/proc/net/ip_vs"

_file = click.argument("file", default=DEFAULT_FILE, metavar="[FILE]")
_unchecked = option(
    "--unchecked",
    is_flag=True,
    help="Let traffic to all real servers at once, without a check.",
    section=HOW,
)
_sync = (
    option(
        "--sync-interface",
        metavar="IF",
        help="Synchronise connections with the other director over this interface.",
        section=HOW,
    ),
    option(
        "--sync-id",
        type=whole("a synchronisation id", 0, 255),
        default=0,
        show_default=True,
        help="Only directors of the same id listen to each other.",
        section=HOW,
    ),
)


def _sync_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for each in reversed(_sync):
        function = each(function)
    return function


@command("start")
@_unchecked
@agree_options
@via_flag
@_sync_options
@table_options
@lock_option
@_file
def start_command(file: str, **given: Any) -> Outcome:
    """Set up the virtual services of FILE with the real servers that are alive.

    FILE is ldirectord's (www.cf), found in /etc/ha.d, /etc/ha.d/conf or as given, with or without
    .cf. Every real server is checked once before any traffic goes to it; those that pass come in
    while others are still waited for. What else is in the table stays, and a table that is right
    already is left alone. The last line says how many real servers are in, after a failure too.
    """
    director, found = director_of(given, _JOURNAL_DAYS), loaded(file, accepted_of(file, given))
    _start_outside(found)
    checks = first_checks(given, variables_of(given, watches_in(found)))
    kept_out = _kept_out(found)
    steps = lifecycle.start(director, found, _who(), checks, kept_out, via=given["via"])
    done = _taken(director, found, steps, _who())
    remarks = [*warnings_of(found), *done.remarks]
    if done.failure is None:
        remarks += run_fallback_commands(director, found.services)
        if lifecycle.masquerades(found):
            remarks += forward_packets()
        remarks += _synchronise(director, "master", given)
    return _told(done, remarks, _who(), found)


@command("reload")
@_unchecked
@agree_options
@via_flag
@table_options
@lock_option
@_file
def reload_command(file: str, **given: Any) -> Outcome:
    """Bring the table to FILE with the least change.

    Real servers that are new are checked first. A file with a fault changes nothing, and what a
    drain, a cause or a slow start has made of a weight stays. The last line is that of start.
    """
    found, done = _reload(file, given, _who(), lambda file: variables_of(given, watches_in(file)))
    remarks = [*warnings_of(found), *done.remarks]
    if done.failure is None and lifecycle.masquerades(found):
        remarks += forward_packets()
    return _told(done, remarks, _who(), found)


def _reload(
    file: str,
    given: Mapping[str, Any],
    who: str,
    compared: Callable[[DirectorFile], Mapping[str, str]],
) -> tuple[DirectorFile, setup.Outcome]:
    before = accepted_of(file, given)
    director, found = director_of(given, _JOURNAL_DAYS), loaded(file, before)
    check_names(found, before)
    checks = first_checks(given, compared(found))
    kept_out = _kept_out(found)
    steps = lifecycle.reload(director, found, who, checks, kept_out, via=given["via"])
    done = _taken(director, found, steps, who)
    wrong = [] if done.failure else run_fallback_commands(director, found.services)
    return found, done._replace(remarks=[*done.remarks, *wrong])


def reloaded(
    file: str, given: Mapping[str, Any], who: str, compared: Mapping[str, str]
) -> DirectorFile:
    """Bring the table to a file, tell syslog of it, and return the file.

    ``compared`` are the variables by which web servers' answers are compared. NotDoneError where
    the table could not be brought there.
    """
    found, done = _reload(file, given, who, lambda _: compared)
    if done.failure is not None:
        raise done.failure
    _told(done, [*warnings_of(found), *done.remarks], who, found)
    return found


@command("stop")
@_sync_options
@table_options
@lock_option
@_file
def stop_command(file: str, **given: Any) -> Outcome:
    """Take the virtual services of FILE out of the table, and nothing else.

    One with cleanstop = no stays in it, and mon looks after it. Where FILE is missing or has a
    fault, all those that it had at the last start are taken out. A kernel without IPVS has no
    table, so there is nothing to stop. With --sync-interface the director goes on listening for the
    other's connections.
    """
    remarks: list[str] = []
    services: Sequence[FileService] = ()
    try:
        services = loaded(file, accepted_of(file, given)).services
    except LvsalertError as error:
        # Root may read it.
        need_outside()
        remarks.append(str(error))
    director = director_of(given, _JOURNAL_DAYS)
    try:
        done = lifecycle.stop(director, candidates(file), services, _who())
        _log_changes(done.changes, _who())
        remarks += _synchronise(director, "backup", given)
    except NoKernelError as error:
        # Root's ipvsadm loads the module, and may have something to synchronise then.
        need_outside()
        return Outcome(0, f"{printable(str(error))}: nothing to stop\n")
    except IpvsadmError as error:
        if shutil.which(given["ipvsadm"]) is not None or os.path.exists(_KERNEL_TABLE):
            raise
        return Outcome(0, f"{printable(str(error))}: nothing to stop\n")
    return _told(done, remarks, _who())


def _kept_out(file: DirectorFile) -> dict[Endpoint, str]:
    folder = file.config.maintenance_dir
    return maintenance.kept_out(folder, file.services, maintenance.names_of)


def _taken(
    director: Director, file: DirectorFile, steps: Iterable[setup.Outcome], who: str
) -> setup.Outcome:
    """Take steps one after the other, tell syslog of each, and return what they come to.

    Those after one that fails are left out.
    """
    changes: list[Change] = []
    troubles: dict[str, LvsalertError] = {}
    last = setup.Outcome((), (), ())
    try:
        for last in steps:
            _log_changes(last.changes, who)
            changes += last.changes
            troubles.update((str(each), each) for each in last.troubles)
    except NotDoneError as error:
        last = last._replace(failure=error, in_now=_in_now(director, file))
    return last._replace(changes=changes, troubles=list(troubles.values()))


def _log_changes(changes: Iterable[Change], who: str) -> None:
    log(NAME, "notice", [describe(change, who) for change in changes])


def _in_now(director: Director, file: DirectorFile) -> str:
    """Return how many real servers of a file the table has in, nothing where it cannot be read."""
    try:
        return setup.in_now(file, director.door.read())
    except NoKernelError:
        return setup.in_now(file, {})
    except IpvsadmError:
        return ""


def _synchronise(director: Director, role: str, given: Mapping[str, Any]) -> list[str]:
    """Synchronise connections where that is asked for; return what went wrong.

    It is no reason to refuse a service, nor to fail a stop, after which heartbeat reboots.
    """
    if given["sync_interface"] is None:
        return []
    try:
        director.door.synchronise(role, given["sync_interface"], given["sync_id"])
    except NoKernelError:
        raise
    except IpvsadmError as error:
        need_outside()
        return [f"connections are not synchronised: {error}"]
    return []


def _who() -> str:
    return f"director {user_name()}"


def _told(
    done: setup.Outcome, remarks: Sequence[str], who: str, file: DirectorFile | None = None
) -> Outcome:
    """Return what to print of a run, and tell syslog of what went wrong.

    What of ``file`` could not be set up is an error, though all the rest is done, and so is what is
    not remembered of it: the next check may undo it. A stop, which has no ``file``, is done all the
    same, since heartbeat reboots after one that fails.
    """
    failure = done.failure
    lines = [describe(change, who) for change in done.changes]
    if not lines and failure is None:
        lines.append("nothing to change")
    if done.in_now:
        lines.append(done.in_now)
    lacking = [] if file is None else left_out(file)
    said = [*remarks, *lacking, *(f"not remembered: {each}" for each in done.troubles)]
    if failure is not None:
        said.append(str(failure))
    said = list(map(printable, said))
    log(NAME, "warning", said)
    errors = "".join(f"{NAME}: {each}\n" for each in said)
    status = 1 if lacking or (file is not None and done.troubles) else 0
    return Outcome(
        status if failure is None else failure.status,
        "".join(f"{line}\n" for line in lines),
        errors,
    )


def _start_outside(file: DirectorFile) -> None:
    """Leave a start to root, before anything is done, where it takes that.

    It runs people's programs, the kernel has to be told to forward packets, or a folder is closed.
    """
    programs = {watch.monitor[0] for watch in watches_in(file)}
    told = [each for each in file.services if each.configured.fallback_command]
    folder = file.config.maintenance_dir
    if (
        "external.monitor" in programs
        or told
        or (lifecycle.masquerades(file) and is_any_off())
        or not (folder is None or os.access(folder, os.R_OK | os.X_OK))
    ):
        need_outside()
