"""From one table to another: the commands of ipvsadm(8), and how single entries go in and out."""

from __future__ import annotations

from typing import NamedTuple

from lvsalert.ipvs.table import Endpoint, Service, Table
from lvsalert.model import Forwarding, RealServer, VirtualService


class Change(NamedTuple):
    """One step towards the wanted table: a command of ipvsadm and what it does to the entry.

    ``before`` and ``after`` are the real server's entry, None where there is none; both are None
    for a command on the service itself. ``why`` is for people, empty where nothing is known.
    """

    virtual: VirtualService
    words: tuple[str, ...]
    before: RealServer | None = None
    after: RealServer | None = None
    why: str = ""


def plan(actual: Table, desired: Table) -> list[Change]:
    """Return the commands that bring ``actual`` to ``desired``, none where they are equal.

    Services and real servers that are to serve come first, then those at weight 0, then what goes:
    a service that serves before and after never stands without a real server in between. A new one
    has its real servers right behind it, since it refuses its clients (ICMP port unreachable) until
    the first of them is there. Deleting a service takes its real servers with it.
    """
    serving: list[Change] = []
    quiesced: list[Change] = []
    gone: list[Change] = []
    for virtual, service in desired.items():
        standing, named = actual.get(virtual), virtual.words()
        if standing is None:
            serving.append(_service_change("-A", service))
        elif (standing.scheduler, standing.flags) != (service.scheduler, service.flags):
            serving.append(_service_change("-E", service))
        have = standing.real_servers if standing is not None else {}
        for endpoint, real in service.real_servers.items():
            was = have.get(endpoint)
            if was != real:
                verb = "-a" if was is None else "-e"
                words = (verb, *named, "-r", real.endpoint, *real.words())
                step = quiesced if real.weight == 0 else serving
                step.append(Change(virtual, words, was, real))
        gone += (
            Change(virtual, ("-d", *named, "-r", real.endpoint), real, None)
            for endpoint, real in have.items()
            if endpoint not in service.real_servers
        )
    gone += (
        Change(virtual, ("-D", *virtual.words())) for virtual in actual if virtual not in desired
    )
    return serving + quiesced + gone


def _service_change(verb: str, service: Service) -> Change:
    words = (verb, *service.virtual.words(), "-s", service.scheduler, *service.flags)
    return Change(service.virtual, words)


def put_in(
    entries: dict[Endpoint, RealServer],
    virtual: VirtualService,
    asked: RealServer,
    *,
    upper: int | None,
    lower: int | None,
    tunnel: tuple[str, ...] | None = None,
) -> None:
    """Put ``asked`` among the entries of a service.

    Thresholds and a tunnel that are not asked for (None) are those of the standing entry. With
    gatewaying and tunnelling the port is the service's, as the kernel makes it whatever was asked.
    """
    if asked.forwarding is not Forwarding.MASQUERADING and asked.port != virtual.port:
        asked = asked._replace(port=virtual.port)
    standing = entries.get((asked.address, asked.port))
    if standing is not None:
        same_method = standing.forwarding is asked.forwarding
        kept = (standing.upper, standing.lower, standing.flags if same_method else ())
        if kept != (asked.upper, asked.lower, asked.flags):
            asked = asked._replace(upper=kept[0], lower=kept[1], flags=kept[2])
    if tunnel is not None and asked.forwarding is Forwarding.TUNNELLING:
        asked = asked._replace(flags=tunnel)
    if upper is not None:
        asked = asked._replace(upper=upper)
    if lower is not None:
        asked = asked._replace(lower=lower)
    entries[asked.address, asked.port] = asked


def take_out(entries: dict[Endpoint, RealServer], endpoint: Endpoint, *, quiesce: bool) -> None:
    """Take an entry out of a service: delete it, or with ``quiesce`` bring it to weight 0.

    An entry that is not there stays away.
    """
    standing = entries.get(endpoint)
    if standing is None:
        return
    if quiesce:
        entries[endpoint] = standing._replace(weight=0)
    else:
        del entries[endpoint]
