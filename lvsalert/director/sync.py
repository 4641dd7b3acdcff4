"""What mon says now, as the alerts that would bring ledger and table to it. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lvsalert.ldirectord.file import OPTION, DirectorFile
from lvsalert.ldirectord.watches import shared_watches
from lvsalert.ledger.records import LastRun
from lvsalert.mon import client
from lvsalert.mon.alert_call import Event
from lvsalert.mon.client import MonState, Opstatus


class Call(NamedTuple):
    """An alert as mon would call it: arguments, variables and the monitor's output.

    ``about`` names the source and the virtual service, ``said`` is what mon says of them. A run for
    which mon's word changes nothing has no ``argv``.
    """

    about: str
    said: str
    argv: Sequence[str] | None = None
    environ: Mapping[str, str] = {}
    output: str = ""

    def stdin(self) -> str:
        """Return the monitor's output, which mon writes to the alert."""
        return self.output


def with_file(runs: Sequence[LastRun], file: DirectorFile) -> list[LastRun]:
    """Return ``runs`` with those that mon makes for the services of ``file``, in their stead."""
    found = {(run.virtual, run.source): run for run in runs}
    for virtual, watches in shared_watches(file.services).items():
        for watch in watches:
            source = f"{watch.group}/{watch.service}"
            options = {**watch.variables, OPTION: file.path}
            found[str(virtual), source] = LastRun(str(virtual), source, "", 0.0, options)
    return list(found.values())


def groups(runs: Sequence[LastRun]) -> list[str]:
    """Return the hostgroups that the sources of ``runs`` watch."""
    return sorted({_parts(run.source)[0] for run in runs})


def calls(runs: Sequence[LastRun], state: MonState, own: Mapping[str, str]) -> list[Call]:
    """Return what each source of ``runs`` would be called with, in the order of the runs.

    The options are those of the source's last run, with the variables ``own`` in their stead where
    both name one. A service that mon has not tested, or does not test now, gets no call: only a
    verdict moves a real server.
    """
    return [_call(run, state, own) for run in runs]


def _parts(source: str) -> tuple[str, str]:
    """Return group and service; mon's names hold no slash."""
    group, _, service = source.partition("/")
    return group, service


def _call(run: LastRun, state: MonState, own: Mapping[str, str]) -> Call:
    about = f"{run.source}: {run.virtual}"
    group, service = _parts(run.source)
    status = state.services.get((group, service))
    hosts = state.groups.get(group)
    if status is None or hosts is None:
        return Call(about, "mon does not know this service, nothing changed")
    if {(group, service), (group, "")} & state.disabled:
        return Call(about, "disabled in mon, nothing changed")
    if status.status not in (client.FAIL, client.OK):
        return Call(about, f"{status.name} in mon, nothing changed")
    environ = {**run.options, **own}
    environ |= {
        "MON_ALERTTYPE": (Event.UP if status.status == client.OK else Event.FAILURE).value,
        "MON_GROUP": group,
        "MON_SERVICE": service,
    }
    if status.retval is not None:
        environ["MON_RETVAL"] = str(status.retval)
    argv = ["-s", service, "-g", group, "-h", " ".join(hosts)]
    argv += [] if status.time is None else ["-t", str(status.time)]
    argv += ["-u"] if status.status == client.OK else []
    return Call(about, f"{status.name} in mon", argv, environ, _output(status))


def _output(status: Opstatus) -> str:
    """Return the monitor's output as mon would hand it to the alert."""
    return f"{status.summary}\n{status.detail}"
