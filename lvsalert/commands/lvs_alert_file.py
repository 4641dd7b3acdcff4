"""lvs.alert --config: the options that the director's file gives."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from lvsalert.commands.table_options import lookup
from lvsalert.director import maintenance
from lvsalert.director.accepted import News, file_with, news_of
from lvsalert.director.file_rules import FileRules, Overrides
from lvsalert.director.request import Request
from lvsalert.ipvs.naming import virtual_service
from lvsalert.ldirectord.file import candidates, parsed
from lvsalert.ledger.reader import ask_ledger
from lvsalert.model import Protocol, parse_port


def with_file(
    path: str, request: Request, given: Mapping[str, Any], options: Mapping[str, str]
) -> tuple[FileRules, Request, News | None]:
    """Return what the director's file says of the service, and what is asked for beside it.

    An option that was given wins over the file. What was accepted of the file at the last start or
    reload counts; the last value is what it says by now, where that is good and it is to be taken
    by itself.
    """
    virtual = virtual_service(
        request.virtual, request.protocol, lookup, ipv6_fwmark=request.ipv6_fwmark
    )
    paths = candidates(path)
    accepted, _ = ask_ledger(given["state_dir"], lambda ledger: ledger.files.find(paths))
    file = file_with(path, lookup, virtual, lambda _: accepted)
    (service,) = file.services
    says = {f"LVSALERT_{name}" for name in ("QUIESCE", "QUIESCE_FIRST")}
    if says.isdisjoint(options):
        request = request._replace(quiesce=service.configured.quiescent)
    if "LVSALERT_FALL" not in options:
        request = request._replace(fall=service.configured.failure_count)
    protocol = "udp" if virtual.protocol is Protocol.UDP else "tcp"
    override = Overrides(
        weight=given["weight"] if "LVSALERT_WEIGHT" in options else None,
        forwarding=given["forwarding"] if "LVSALERT_FORWARDING" in options else None,
        real_port=None if request.real_port is None else parse_port(request.real_port, protocol),
        upper=request.upper,
        lower=request.lower,
    )
    maintained = maintenance.kept_out(
        file.config.maintenance_dir, file.services, maintenance.names_of
    )
    rules = FileRules(file.path, service, override, maintained)
    if accepted is None or not file.config.autoreload:
        return rules, request, None
    news = news_of(accepted, functools.partial(parsed, lookup=lookup))
    fault = "" if news is None else news.fault
    return rules._replace(fault=fault), request, None if fault else news
