"""lvs-director start, stop, reload and mon-config: the table from one file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, Callable

import click

from lvsalert import director, maintenance
from lvsalert.commands.entry import Outcome
from lvsalert.commands.options import EnvOption, command, whole
from lvsalert.commands.place import lock_option, lookup, table_options, user_name
from lvsalert.commands.syslogging import log
from lvsalert.errors import IpvsadmError, LvsalertError, NoKernelError
from lvsalert.ipvsadm import Ipvsadm
from lvsalert.mon import printable
from lvsalert.step import Place, describe
from lvsalert.table import Endpoint, Table
from lvsalert.watches import shortfalls
from lvsalert.www_cf import DEFAULT_FILE, DirectorFile, FileService, candidates, load

_NAME = "lvs-director"
_JOURNAL_DAYS = 90.0
_FORWARDING = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")
# What a kernel with IPVS shows of its table.
_KERNEL_TABLE = "/proc/net/ip_vs"

_file = click.argument("file", default=DEFAULT_FILE, metavar="[FILE]")
_unchecked = click.option(
    "--unchecked", cls=EnvOption, is_flag=True, help="Let traffic to all real servers at once."
)
_sync = (
    click.option(
        "--sync-interface",
        cls=EnvOption,
        metavar="IF",
        help="Synchronise connections with the other director over this interface.",
    ),
    click.option(
        "--sync-id",
        cls=EnvOption,
        type=whole("a synchronisation id", 0, 255),
        default=0,
        show_default=True,
        help="Only directors of the same id listen to each other.",
    ),
)


def _sync_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_sync):
        function = option(function)
    return function


@command("start")
@_unchecked
@_sync_options
@table_options
@lock_option
@_file
def start_command(file: str, **given: Any) -> Outcome:
    """Set up the virtual services of FILE with the real servers that are alive.

    FILE is ldirectord's (www.cf), found in /etc/ha.d, /etc/ha.d/conf or as given, with or without
    .cf. Every real server is checked once before any traffic goes to it. What else is in the table
    stays, and a table that is right already is left alone.
    """
    place, found = _place(given), load(file, lookup)
    done = director.start(place, found, _who(), _checks(given), _kept_out(found))
    remarks = [*_warnings(found), *done.remarks]
    if director.masquerades(found):
        remarks += _forward_packets()
    remarks += _synchronise(place, "master", given)
    return _told(done, remarks)


@command("reload")
@_unchecked
@table_options
@lock_option
@_file
def reload_command(file: str, **given: Any) -> Outcome:
    """Bring the table to FILE with the least change.

    Real servers that are new are checked first. A file with a fault changes nothing, and what a
    drain, a cause or a slow start has made of a weight stays.
    """
    place, found = _place(given), load(file, lookup)
    done = director.reload(place, found, _who(), _checks(given), _kept_out(found))
    remarks = [*_warnings(found), *done.remarks]
    if director.masquerades(found):
        remarks += _forward_packets()
    return _told(done, remarks)


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
        services = load(file, lookup).services
    except LvsalertError as error:
        remarks.append(str(error))
    place = _place(given)
    try:
        done = director.stop(place, candidates(file), services, _who())
        remarks += _synchronise(place, "backup", given)
    except NoKernelError as error:
        return Outcome(0, f"{printable(str(error))}: nothing to stop\n")
    except IpvsadmError as error:
        if shutil.which(given["ipvsadm"]) is not None or os.path.exists(_KERNEL_TABLE):
            raise
        return Outcome(0, f"{printable(str(error))}: nothing to stop\n")
    return _told(done, remarks)


@command("mon-config")
@click.argument("file", default=DEFAULT_FILE, metavar="[FILE]")
def mon_config_command(file: str) -> Outcome:
    """Print the mon.cf for FILE: a watch for each virtual service, with redistribute."""
    from lvsalert import mon_cf

    found = load(file, lookup)
    told = [*_warnings(found), *mon_cf.shortfalls(found)]
    warnings = "".join(f"{_NAME}: {printable(each)}\n" for each in told)
    return Outcome(0, mon_cf.text_of(found), warnings)


def running(file: str, given: Mapping[str, Any]) -> Outcome:
    """Return what ``status FILE`` says: running or stopped, with status 0 or 3 (LSB)."""
    from lvsalert.view import consult

    lines = []
    try:
        virtuals = [str(service.virtual) for service in load(file, lookup).services]
    except LvsalertError as error:
        lines.append(str(error))
        # A slip of the pen in a file that is there does not make another node take over.
        paths = [each for each in candidates(file) if os.path.isfile(each)]
        virtuals, _ = consult(given["state_dir"], lambda ledger: director.kept(ledger, paths))
    table: Table = {}
    try:
        table = Ipvsadm(given["ipvsadm"], given["ipvsadm_timeout"]).read()
    except NoKernelError as error:
        lines.append(str(error))
    errors = "".join(f"{_NAME}: {printable(line)}\n" for line in lines)
    stops, _ = consult(given["state_dir"], lambda ledger: ledger.stops())
    if director.is_running(table, virtuals, stops):
        return Outcome(0, "running\n", errors)
    return Outcome(3, "stopped\n", errors)


def _warnings(file: DirectorFile) -> list[str]:
    return [*file.config.warnings, *shortfalls(file)]


def _kept_out(file: DirectorFile) -> dict[Endpoint, str]:
    folder = file.config.maintenance_dir
    return maintenance.kept_out(folder, file.services, maintenance.names_of)


def _checks(given: Mapping[str, Any]) -> director.Probe | None:
    """Return what checks real servers before traffic goes to them."""
    if given["unchecked"]:
        return None
    from lvsalert.commands.probing import probe

    return probe


def _place(given: Mapping[str, Any]) -> Place:
    door = Ipvsadm(given["ipvsadm"], given["ipvsadm_timeout"])
    return Place(door, given["state_dir"], given["lock_timeout"], _JOURNAL_DAYS)


def _synchronise(place: Place, role: str, given: Mapping[str, Any]) -> list[str]:
    """Synchronise connections where that is asked for; return what went wrong.

    It is no reason to refuse a service, nor to fail a stop, after which heartbeat reboots.
    """
    if given["sync_interface"] is None:
        return []
    try:
        place.door.synchronise(role, given["sync_interface"], given["sync_id"])
    except NoKernelError:
        raise
    except IpvsadmError as error:
        return [f"connections are not synchronised: {error}"]
    return []


def _who() -> str:
    return f"director {user_name()}"


def _told(done: director.Outcome, remarks: Sequence[str]) -> Outcome:
    """Return what to print of a run, and tell syslog of it."""
    lines = [describe(change, _who()) for change in done.changes]
    log(_NAME, "notice", lines)
    said = [printable(each) for each in remarks]
    said += [f"not remembered: {printable(str(each))}" for each in done.troubles]
    log(_NAME, "warning", said)
    errors = "".join(f"{_NAME}: {each}\n" for each in said)
    return Outcome(0, "".join(f"{line}\n" for line in lines), errors)


def _forward_packets() -> list[str]:
    """Have the kernel forward packets, as masquerading needs; return what went wrong."""
    wrong = []
    for path in _FORWARDING:
        try:
            with open(path, "r+", encoding="ascii") as switch:
                if switch.read().strip() == "0":
                    switch.seek(0)
                    switch.write("1\n")
        except FileNotFoundError:
            continue
        except OSError as error:
            wrong.append(f"{path}: {error.strerror}, so nothing is masqueraded")
    return wrong
