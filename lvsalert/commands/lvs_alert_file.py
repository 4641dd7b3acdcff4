"""lvs.alert --config: the options that the director's file gives."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lvsalert.commands.table_options import lookup
from lvsalert.director import maintenance
from lvsalert.director.accepted import check_names, file_with, news_of, no_such_service
from lvsalert.director.alert import Job
from lvsalert.director.file_rules import FileRules, Overrides
from lvsalert.director.request import Request
from lvsalert.errors import LvsalertError, ResolveError
from lvsalert.ipvs.naming import virtual_service
from lvsalert.ldirectord.file import (
    DirectorFile,
    FileService,
    as_accepted,
    candidates,
    parsed,
)
from lvsalert.ldirectord.names import names_of
from lvsalert.ledger.accepted import Accepted
from lvsalert.ledger.reader import ask_ledger
from lvsalert.model import Protocol, parse_port


class Upkeep(NamedTuple):
    """What is to be done about the file at ``path`` once the alert is done.

    ``is_newer`` is whether it is to be taken anew, ``missing`` are the names, by their family, that
    had no address when it was accepted. ``accepted`` is what was accepted, ``callback`` the program
    that wants to know of changes.
    """

    path: str
    is_newer: bool
    missing: Mapping[int, Sequence[str]]
    accepted: str
    callback: str


class Filed(NamedTuple):
    """What is asked for with the director's file: the jobs, what cannot be done, and the upkeep.

    ``is_settled`` is whether the file says all of it, as it was accepted, and nothing that lies
    elsewhere: no name, no folder, no program.
    """

    jobs: list[Job]
    errors: list[LvsalertError]
    upkeep: Upkeep | None
    is_settled: bool


def _check(accepted: Accepted, path: str, text: str) -> None:
    """Raise LvsalertError where what a file says now cannot be taken.

    Only for a name that is new in it is a name server asked, as it may keep the alert waiting.
    """
    try:
        check_names(as_accepted(path, text, accepted.names), accepted)
    except ResolveError:
        check_names(parsed(path, text, lookup, accepted.names), accepted)


def with_file(
    path: str, requests: Sequence[Request], given: Mapping[str, Any], options: Mapping[str, str]
) -> Filed:
    """Return the requests with what the director's file says of their services.

    An option that was given wins over the file. What was accepted of the file at the last start or
    reload counts. Errors tell of services that it has not; LvsalertError where it has none of them,
    unless it is to be read anew.
    """
    virtuals = [
        virtual_service(each.virtual, each.protocol, lookup, ipv6_fwmark=each.ipv6_fwmark)
        for each in requests
    ]
    paths = candidates(path)
    accepted, _ = ask_ledger(given["state_dir"], lambda ledger: ledger.files.find(paths))
    file = file_with(path, lookup, virtuals, lambda _: accepted)
    news, fault = None, None
    if accepted is not None and file.config.autoreload:
        news = news_of(accepted, functools.partial(_check, accepted))
        fault = "" if news is None else news.fault
    services = {each.virtual: each for each in file.services}
    jobs: list[Job] = []
    errors: list[LvsalertError] = []
    for request, virtual in zip(requests, virtuals):
        if virtual in services:
            asked, rules = _with_service(file, services[virtual], request, given, options)
            jobs.append(Job(asked, rules._replace(fault=fault, accepted=accepted)))
        else:
            errors.append(no_such_service(file.path, virtual, is_accepted=accepted is not None))
    is_newer = news is not None and not news.fault
    if not jobs and not is_newer:
        raise errors[0]
    if accepted is None:
        return Filed(jobs, errors, None, is_settled=False)
    missing = names_of(file.config.services, accepted.names)
    callback = file.config.callback
    if is_newer or missing or callback:
        upkeep = Upkeep(file.path, is_newer, missing, accepted.text, callback)
        return Filed(jobs, errors, upkeep, is_settled=False)
    has_command = any(each.configured.fallback_command for each in services.values())
    is_settled = not (has_command or file.config.maintenance_dir or errors)
    return Filed(jobs, errors, None, is_settled)


def _with_service(
    file: DirectorFile,
    service: FileService,
    request: Request,
    given: Mapping[str, Any],
    options: Mapping[str, str],
) -> tuple[Request, FileRules]:
    """Return a request beside what the file says of its service."""
    says = {f"LVSALERT_{name}" for name in ("QUIESCE", "QUIESCE_FIRST")}
    if says.isdisjoint(options):
        request = request._replace(quiesce=service.configured.quiescent)
    if "LVSALERT_FALL" not in options:
        request = request._replace(fall=service.configured.failure_count)
    protocol = "udp" if service.virtual.protocol is Protocol.UDP else "tcp"
    override = Overrides(
        weight=given["weight"] if "LVSALERT_WEIGHT" in options else None,
        forwarding=given["forwarding"] if "LVSALERT_FORWARDING" in options else None,
        real_port=None if request.real_port is None else parse_port(request.real_port, protocol),
        upper=request.upper,
        lower=request.lower,
    )
    maintained = maintenance.kept_out(file.config.maintenance_dir, [service], maintenance.names_of)
    return request, FileRules(file.path, service, override, maintained)
