"""How a director stands, as measurements for Prometheus.

A label is a virtual service, a real server, a check, or one of few words: there are as many as
mon's configuration has names, and none is a text that a server or a person wrote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from lvsalert import __version__
from lvsalert.director.accepted import news_of
from lvsalert.director.measured import Known, Measured, known, measured
from lvsalert.director.status import ServerStatus, State
from lvsalert.errors import LvsalertError
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ledger.reader import ask_ledger
from lvsalert.ledger.records import DIRECTOR
from lvsalert.openmetrics import Family, Kind, Sample


class Reading(NamedTuple):
    """What was measured, and what kept the rest from it: no table, or no ledger."""

    families: Sequence[Family]
    lacking: Sequence[LvsalertError]


def read(door: Ipvsadm, state_dir: str) -> Reading:
    """Return what can be measured. Where the table cannot be read, nothing of services."""
    of_ledger, error = ask_ledger(state_dir, known)
    lacking = [] if error is None else [error]
    services: list[Measured] | None = None
    try:
        services = measured(door.read(), door.connections(), of_ledger)
    except LvsalertError as trouble:
        lacking.append(trouble)
    families = [
        *_readable(of_table=services is not None, of_ledger=error is None),
        *_files(of_ledger),
        *_checks(of_ledger),
        _changes(of_ledger),
        *_of_services(services or ()),
        *_of_servers(services or (), of_ledger),
    ]
    return Reading(families, lacking)


def _gauge(name: str, text: str, samples: Iterable[Sample]) -> Family:
    return Family(f"lvsalert_{name}", Kind.GAUGE, text, list(samples))


def _time(name: str, text: str, samples: Iterable[Sample]) -> Family:
    return _gauge(f"{name}_timestamp_seconds", text, samples)._replace(unit="seconds")


def _readable(*, of_table: bool, of_ledger: bool) -> Iterator[Family]:
    version = [Sample({"version": __version__}, 1)]
    yield Family("lvsalert_build", Kind.INFO, "The version of lvsalert.", version)
    yield _gauge(
        "table_readable",
        "Whether the kernel's table could be read; where not, there is nothing of services.",
        [Sample({}, of_table)],
    )
    yield _gauge(
        "ledger_readable",
        "Whether the ledger, which knows why servers are out, could be read.",
        [Sample({}, of_ledger)],
    )


def _files(known: Known) -> Iterator[Family]:
    yield _time(
        "file_accepted",
        "When the director's file was last found good and taken.",
        [Sample({"file": each.path}, each.since) for each in known.files],
    )
    yield _gauge(
        "file_differs",
        "Whether the director's file says something else by now than what was taken.",
        [Sample({"file": each.path}, news_of(each) is not None) for each in known.files],
    )


def _checks(known: Known) -> Iterator[Family]:
    """Yield when each check was heard of, and whether it can tell."""
    heard: dict[tuple[str, str], float] = {}
    without: dict[tuple[str, str], int] = {}
    for virtual, runs in known.runs.items():
        for run in runs:
            if run.source != DIRECTOR:
                key = virtual, run.source
                heard[key], without[key] = max(run.time, heard.get(key, 0)), 0
    for virtual, sources in known.unjudged.items():
        for source, each in sources.items():
            key = virtual, source
            heard[key], without[key] = max(each.time, heard.get(key, 0)), each.times
    yield _time(
        "check_last",
        "When lvs.alert last heard of a check of a virtual service.",
        [Sample(_check(*key), when) for key, when in heard.items()],
    )
    yield _gauge(
        "check_without_verdict",
        "How many times in a row the check could not tell.",
        [Sample(_check(*key), times) for key, times in without.items()],
    )


def _check(virtual: str, source: str) -> dict[str, str]:
    return {"service": virtual, "check": source}


def _changes(known: Known) -> Family:
    """Return how many changes were made by whom; all persons are one."""
    made: Counter[tuple[str, str]] = Counter()
    for (virtual, who), lines in known.changes.items():
        if virtual in known.memory:
            made[virtual, who.partition(" ")[0]] += lines
    return Family(
        "lvsalert_changes",
        Kind.COUNTER,
        "Changes of the table since the ledger was begun, by the check that wanted them,"
        " or operator or director.",
        [Sample({"service": one, "by": two}, count) for (one, two), count in made.items()],
    )


def _of_services(services: Sequence[Measured]) -> Iterator[Family]:
    def of_each(name: str, text: str, values: Iterable[float | None]) -> Family:
        samples = [
            Sample({"service": each.status.virtual}, value)
            for each, value in zip(services, values)
            if value is not None
        ]
        return _gauge(f"service_{name}", text, samples)

    yield of_each(
        "present",
        "Whether the virtual service stands in the table.",
        (each.status.scheduler is not None for each in services),
    )
    yield of_each(
        "stopped",
        "Whether somebody has stopped the virtual service, so that it need not stand.",
        (each.status.stopped is not None for each in services),
    )
    yield _gauge(
        "service_servers",
        "Real servers that are known, by state; missing are those that the table ought to have.",
        [
            Sample({"service": each.status.virtual, "state": state.value}, count[state])
            for each in services
            for count in [Counter(server.state for server in each.servers)]
            for state in State
        ],
    )
    yield of_each(
        "servers_min",
        "Real servers that checks leave in at least, as --min-in says.",
        (each.floor for each in services),
    )
    yield of_each(
        "servers_held",
        "Real servers that --min-in keeps in although they fail.",
        (each.held for each in services),
    )
    yield of_each(
        "servers_unjudged",
        "Real servers of which a check has not been able to tell for long.",
        (each.unjudged for each in services),
    )
    yield of_each(
        "fallbacks_in",
        "Fallbacks that serve while no real server does; they are not among the real servers.",
        (each.fallbacks_in for each in services),
    )
    yield of_each(
        "differences",
        "Real servers, and the service itself, that stand otherwise than the ledger wants.",
        (each.differences for each in services),
    )


def _of_servers(services: Sequence[Measured], known: Known) -> Iterator[Family]:
    servers = [
        ({"service": each.status.virtual, "server": server.name}, server)
        for each in services
        for server in each.servers
    ]

    def of_each(name: str, text: str, values: Iterable[float | None]) -> Family:
        samples = [
            Sample(labels, value)
            for (labels, _), value in zip(servers, values)
            if value is not None
        ]
        return _gauge(f"server_{name}", text, samples)

    yield Family(
        "lvsalert_server",
        Kind.INFO,
        "The labels that node_exporter's ipvs collector gives a real server.",
        [
            Sample({**labels, **_node_labels(labels["service"], each)}, 1)
            for labels, each in servers
        ],
    )
    yield _gauge(
        "server_state",
        "1 for the state that the real server is in, 0 for the others.",
        [
            Sample({**labels, "state": state.value}, each.state is state)
            for labels, each in servers
            for state in State
        ],
    )
    yield of_each(
        "weight",
        "The weight of the real server in the table.",
        (each.weight for _, each in servers),
    )
    yield of_each(
        "connections_active",
        "The active connections of the real server.",
        (each.active for _, each in servers),
    )
    yield of_each(
        "connections_inactive",
        "The inactive connections of the real server.",
        (each.inactive for _, each in servers),
    )
    yield _time(
        "server_cause",
        "Since when the real server is to be out because of this cause: a check, or operator.",
        [
            Sample({**labels, "cause": cause.cause}, cause.since)
            for labels, each in servers
            for cause in each.causes
        ],
    )
    yield _time(
        "server_drain_end",
        "When the drain of the real server ends by itself.",
        [
            Sample(labels, known.ends[labels["service"]][each.endpoint])
            for labels, each in servers
            if each.endpoint in known.ends.get(labels["service"], {})
        ],
    )


def _node_labels(virtual: str, server: ServerStatus) -> Mapping[str, str]:
    """Return a real server's labels in node_ipvs_backend_weight and its like.

    They are those of /proc/net/ip_vs, where a mark has eight hexadecimal digits.
    """
    protocol, _, name = virtual.partition(" ")
    address, port, mark = "", "0", ""
    if protocol == "fwm":
        mark = f"{int(name.partition(' ')[0]):08X}"
    else:
        address, _, port = name.rpartition(":")
    return {
        "local_address": address.strip("[]"),
        "local_port": port,
        "local_mark": mark,
        "remote_address": server.endpoint[0],
        "remote_port": str(server.endpoint[1]),
        "proto": protocol.upper(),
    }
