"""The whole table from the director's file: start, stop, reload, and whether it runs.

Each ends in the same step as an alert. Only the file's own virtual services are touched; what else
is in the table stays.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Callable

from lvsalert.director.changes import Author
from lvsalert.director.reconcile import Director, Proposal, reconcile
from lvsalert.director.setup import FirstCheck, Outcome, Setup, kept, set_up
from lvsalert.errors import IpvsadmError
from lvsalert.ipvs.table import Endpoint, Table
from lvsalert.ldirectord.file import DirectorFile, FileService
from lvsalert.ldirectord.watches import Watch, check_of, shared_watches
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import Stop
from lvsalert.model import Forwarding, VirtualService

Probe = Callable[[Sequence[Watch]], Iterable[Sequence[tuple[int, FirstCheck]]]]
"""Checks all watches at once, and gives in batches what it finds, as it comes.

That is the number of a watch, and a check of some of its hosts.
"""


def start(
    director: Director,
    file: DirectorFile,
    who: str,
    probe: Probe | None,
    kept_out: Mapping[Endpoint, str],
    *,
    via: bool = False,
) -> Iterator[Outcome]:
    """Set up the file's services with the real servers that are alive; yield what each step did.

    ``probe`` checks every real server first, with ``via`` by way of its virtual address where that
    can be; None lets traffic to all of them unchecked. What keeps
    a server out by the ledger (an operator, another watch) still does. ``kept_out`` are those under
    maintenance, each with the file that says so. A service comes up with the first real servers
    that are found alive, and the last step is the whole. NotDoneError where the table cannot be had
    or be brought there.
    """
    setup = Setup(file, who, "start", kept_out, time.time(), {}, {})
    return _in_steps(director, setup, probe, shared_watches(file.services, via=via))


def reload(
    director: Director,
    file: DirectorFile,
    who: str,
    probe: Probe | None,
    kept_out: Mapping[Endpoint, str],
    *,
    via: bool = False,
) -> Iterator[Outcome]:
    """Bring the table to the file with the least change; yield what each step did.

    Only real servers that the table lacks are checked. What a drain, a cause or a slow start has
    made of a weight stays. The arguments are those of ``start``.
    """
    table = director.door.read()
    wanted = {}
    for virtual, watches in shared_watches(file.services, via=via).items():
        standing = table.get(virtual)
        have = standing.real_servers if standing is not None else {}
        lacking = [_lacking(watch, have) for watch in watches]
        wanted[virtual] = [watch for watch in lacking if watch.hosts]
    setup = Setup(file, who, "reload", kept_out, time.time(), {}, {})
    return _in_steps(director, setup, probe, wanted)


def _in_steps(
    director: Director,
    setup: Setup,
    probe: Probe | None,
    watches: Mapping[VirtualService, Sequence[Watch]],
) -> Iterator[Outcome]:
    """Bring the table to the file step by step, as the checks of real servers come in.

    One that several services have alike is made once. Where ipvsadm refuses a step, the last one
    asks for it again and raises, so that what is refused keeps nobody out who is checked later.
    """
    if probe is None:
        yield set_up(director, setup)
        return
    alike: dict[object, list[tuple[VirtualService, Watch]]] = {}
    for virtual, group in watches.items():
        for watch in group:
            alike.setdefault(check_of(watch), []).append((virtual, watch))
            setup.checked[virtual] = []
            setup.waiting[virtual] = {server.endpoint for each in group for server in each.servers}
    askers = list(alike.values())
    is_refused = False
    for batch in probe([each[0][1] for each in askers]):
        for number, check in batch:
            for virtual, watch in askers[number]:
                found = _as_found(watch, check)
                setup.checked[virtual].append(found)
                setup.waiting[virtual].difference_update(
                    server.endpoint for server in found.watch.servers
                )
        if any(setup.waiting.values()) and not is_refused:
            try:
                done = set_up(director, setup)
            except IpvsadmError:
                is_refused = True
            else:
                yield done
    setup.waiting.clear()
    yield set_up(director, setup)


def _as_found(watch: Watch, check: FirstCheck) -> FirstCheck:
    """Return what a check at some of the same hosts says of the servers of a watch."""
    hosts = {host: watch.hosts[host] for host in check.watch.hosts}
    failed = {
        server.endpoint: check.failed[judged.endpoint]
        for host, servers in check.watch.hosts.items()
        for judged in servers[:1]
        if judged.endpoint in check.failed
        for server in hosts[host]
    }
    return check._replace(watch=watch._replace(hosts=hosts), failed=failed)


def _lacking(watch: Watch, have: Collection[Endpoint]) -> Watch:
    """Return a watch of those hosts alone for which the table lacks a real server."""
    hosts = {
        host: servers
        for host, servers in watch.hosts.items()
        if any(server.endpoint not in have for server in servers)
    }
    return watch._replace(
        hosts=hosts, others=tuple(each for each in watch.hosts if each not in hosts)
    )


def stop(
    director: Director, paths: Sequence[str], services: Sequence[FileService], who: str
) -> Outcome:
    """Take the file's services out of the table, and nothing else.

    ``services`` are those that the file names now; those that a file at one of ``paths`` named at
    the last start go too, but for those whose ``cleanstop`` is no. Each is marked as stopped, so
    that a mon that still runs does not set it up again; one that still stands, be it that the stop
    was killed before it was done, is one that mon looks after.
    """

    now = time.time()

    def decide_(actual: Table, ledger: Ledger) -> Proposal:
        gone = {str(each.virtual) for each in services} | set(kept(ledger, paths))
        stay = {str(each.virtual) for each in services if not each.configured.clean_stop}
        desired = {key: each for key, each in actual.items() if str(key) not in gone - stay}
        ledger.files.drop(paths)
        for subject in (*paths, *gone):
            ledger.commands.drop(subject)
        for virtual in gone:
            ledger.runs.stop(virtual, Stop(now, who))
        return Proposal(desired, Author(who, "stop"))

    done = reconcile(director, decide_)
    return Outcome(done.changes, done.troubles, ())


def is_running(table: Table, virtuals: Collection[str], stops: Collection[str]) -> bool:
    """Return whether each of these services, if any, stands in the table and was not stopped."""
    return bool(virtuals) and set(virtuals) <= {str(virtual) for virtual in table} - set(stops)


def masquerades(file: DirectorFile) -> bool:
    """Return whether a service of the file needs the kernel to forward packets."""
    return any(
        server.real.forwarding is Forwarding.MASQUERADING
        for service in file.services
        for server in service.servers
    )
