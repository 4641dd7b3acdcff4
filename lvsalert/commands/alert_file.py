"""lvs.alert --config: the options that the director's file gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvsalert import maintenance
from lvsalert.commands.place import lookup
from lvsalert.filed import Filed, Override
from lvsalert.model import Protocol, parse_port
from lvsalert.naming import virtual_service
from lvsalert.wish import Asked
from lvsalert.www_cf import load_service


def with_file(
    path: str, asked: Asked, given: Mapping[str, Any], options: Mapping[str, str]
) -> tuple[Filed, Asked]:
    """Return what the director's file says of the service, and what is asked for beside it.

    An option that was given wins over the file.
    """
    virtual = virtual_service(asked.virtual, asked.protocol, lookup, ipv6_fwmark=asked.ipv6_fwmark)
    file = load_service(path, lookup, virtual)
    (service,) = file.services
    says = {f"LVSALERT_{name}" for name in ("QUIESCE", "QUIESCE_FIRST")}
    if says.isdisjoint(options):
        asked = asked._replace(quiesce=service.configured.quiescent)
    if "LVSALERT_FALL" not in options:
        asked = asked._replace(fall=service.configured.failure_count)
    protocol = "udp" if virtual.protocol is Protocol.UDP else "tcp"
    override = Override(
        weight=given["weight"] if "LVSALERT_WEIGHT" in options else None,
        forwarding=given["forwarding"] if "LVSALERT_FORWARDING" in options else None,
        real_port=None if asked.real_port is None else parse_port(asked.real_port, protocol),
        upper=asked.upper,
        lower=asked.lower,
    )
    maintained = maintenance.kept_out(
        file.config.maintenance_dir, file.services, maintenance.names_of
    )
    return Filed(file.path, service, override, maintained), asked
