"""lvs-director mon-config: the mon.cf for the director's files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from lvsalert.commands.agreement import agree_options, variables_of
from lvsalert.commands.alert_options import damp_option
from lvsalert.commands.director_file import (
    NAME,
    accepted_of,
    left_out,
    loaded,
    warnings_of,
    watches_in,
)
from lvsalert.commands.entry import Outcome
from lvsalert.commands.mon_options import login_of, mon_options
from lvsalert.commands.monitor_options import between_option
from lvsalert.commands.options import FAILING, HOW, WHERE, command, option
from lvsalert.commands.table_options import state_dir_option
from lvsalert.commands.via import via_flag
from lvsalert.errors import LvsalertError, NotDoneError, UsageError
from lvsalert.ldirectord.file import DEFAULT_FILE, DirectorFile, as_accepted, find, read
from lvsalert.mon.plugins import DEFAULT_PREFIX
from lvsalert.mon.report import printable


@command("mon-config")
@option(
    "--output",
    metavar="PATH",
    help="Write it there, whole or not at all; what it replaces stays as PATH.old.",
    section=WHERE,
)
@option(
    "--reset", is_flag=True, help="Have mon read it, with --output; its state is kept.", section=HOW
)
@option(
    "--prefix",
    default=DEFAULT_PREFIX,
    show_default=True,
    metavar="FOLDER",
    help="The folder with mon.d and alert.d.",
    section=WHERE,
)
@between_option
@agree_options
@damp_option
@via_flag
@option(
    "--accepted",
    is_flag=True,
    help="Of a file with a fault, take what start or reload found good last.",
    section=FAILING,
)
@state_dir_option
@mon_options
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.pass_context
def mon_config_command(ctx: click.Context, /, files: tuple[str, ...], **given: Any) -> Outcome:
    """Print the mon.cf for FILE: a watch for each virtual service, with redistribute.

    Services whose check is the same, at the same real servers, share a watch. One mon can look
    after several files, as long as no two have the same virtual service.
    """
    from lvsalert.ldirectord import mon_cf

    if given["reset"] and given["output"] is None:
        raise UsageError("--reset goes with --output")
    faults: list[str] = []
    found = [_to_watch(each, given, faults) for each in files or (DEFAULT_FILE,)]
    told = faults + [
        str(each)
        for file in found
        for each in (
            *warnings_of(file),
            *mon_cf.shortfalls(file, via=given["via"]),
            *left_out(file),
        )
    ]
    warnings = "".join(f"{NAME}: {printable(each)}\n" for each in told)
    more = {}
    if given["between"] is not None:
        more[mon_cf.BETWEEN] = f"{given['between']:g}"
    if given["damp"] is not None:
        more[mon_cf.DAMP] = str(given["damp"])
    compared = variables_of(given, (each for file in found for each in watches_in(file)))
    text = mon_cf.text_of(found, given["prefix"], more, compared, via=given["via"])
    if given["output"] is None:
        return Outcome(0, text, warnings)
    said = _written(text, given, ctx.obj.environ)
    return Outcome(0, "".join(f"{line}\n" for line in said), warnings)


def _to_watch(name: str, given: Mapping[str, Any], faults: list[str]) -> DirectorFile:
    """Return a file as mon is to watch it; with --accepted one with a fault as it was accepted.

    What was accepted is watched at the addresses that it has in the table.
    """
    before = accepted_of(name, given)
    try:
        path = find(name)
        if before is not None and before.text == read(path):
            return as_accepted(path, before.text, before.names)
        return loaded(name, before)
    except LvsalertError as error:
        if not given["accepted"] or before is None:
            raise
        faults.append(f"{error}: what was accepted before goes on")
        return as_accepted(before.path, before.text, before.names)


def _written(text: str, given: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Write a mon.cf and have mon read it; one that mon refuses is taken back."""
    from lvsalert.host import mon_cf_file
    from lvsalert.mon import client

    path = os.path.abspath(given["output"])
    is_new = mon_cf_file.replace(path, text)
    said = [f"{'wrote' if is_new else 'unchanged':<14}{path}"]
    if given["reset"]:
        login = login_of(given, environ)
        if not client.reset(given["mon"], login, given["mon_timeout"]):
            if not is_new:
                raise NotDoneError(f"{path}: mon finds a fault in it, as syslog says")
            mon_cf_file.restore(path)
            client.reset(given["mon"], login, given["mon_timeout"])
            raise NotDoneError(f"{path}: mon finds a fault in it, as syslog says: put back")
        said.append(f"{'read':<14}by mon, which keeps its state")
    return said
