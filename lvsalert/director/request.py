"""What is asked for, and which hosts a report wants in and out. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lvsalert.director.damping import Damp
from lvsalert.director.policy import Floor
from lvsalert.errors import UsageError
from lvsalert.model import Forwarding, Protocol, canonical_address, split_endpoint
from lvsalert.mon.alert_call import AlertCall, Event

# Our monitors' exit status for "nothing was judged"; their summary then names nobody.
_CANNOT_TELL = 3


class Request(NamedTuple):
    """What the options of lvs.alert ask for; times in seconds.

    ``virtual``, ``real_server``, ``fallback`` and the hosts in ``reserve`` are as the user wrote
    them. ``upper``, ``lower``,
    ``tunnel`` (words of ipvsadm) and ``scheduler`` are None where the table's own are to stay;
    ``flags`` (words of ipvsadm) are None where those that a service had last are to come back.
    ``options`` are the options as variables, for the ledger.
    """

    virtual: str
    protocol: Protocol | None = None
    real_server: str | None = None
    real_port: str | None = None
    weight: int = 1
    forwarding: Forwarding = Forwarding.GATEWAYING
    upper: int | None = None
    lower: int | None = None
    tunnel: tuple[str, ...] | None = None
    scheduler: str | None = None
    flags: tuple[str, ...] | None = None
    quiesce: bool = False
    startup_in: bool = False
    ipv6_fwmark: bool = False
    fall: int = 1
    rise: int = 1
    damp: Damp | None = None
    quiesce_first: float | None = None
    slow_start: float | None = None
    floor: Floor | None = None
    fallback: str | None = None
    reserve: tuple[str, ...] = ()
    has_witness: bool = False
    options: Mapping[str, str] = {}


class HostsWanted(NamedTuple):
    """Which hosts are to be in and which out; ``remark`` says why where it is none.

    ``is_unjudged`` is whether that is because the monitor could not tell.
    """

    hosts_in: tuple[str, ...] = ()
    hosts_out: tuple[str, ...] = ()
    remark: str = ""
    is_unjudged: bool = False


def hosts_wanted(call: AlertCall, request: Request) -> HostsWanted:
    """Return which hosts the alert wants in and out.

    With ``request.real_server`` that is the only host; otherwise they are those of the group. Only
    a verdict takes a host out: a monitor that could not tell, or whose summary names none of the
    hosts in question, changes nothing.
    """
    alone = (request.real_server,) if request.real_server is not None else ()
    if call.event is Event.UP or (call.event is Event.STARTUP and request.startup_in):
        return HostsWanted(hosts_in=alone or call.hosts)
    if call.event in (Event.TEST, Event.ACK, Event.DISABLE, Event.STARTUP):
        about = " ".join(alone or call.hosts)
        return HostsWanted(remark=f"{call.event.value} alert for {about}, nothing changed")
    if not call.by_hand:
        # A monitor that is not ours may have counted three failures: then it names them.
        if call.retval == _CANNOT_TELL and not call.failed:
            remark = "the monitor could not tell (exit status 3), nothing changed"
            return HostsWanted(remark=remark, is_unjudged=True)
        named = not call.failed.isdisjoint(_in_question(call, request))
        if call.event is Event.FAILURE and not named:
            return HostsWanted(remark="the summary names no host in question, nothing changed")
    return HostsWanted(hosts_out=alone) if alone else _parted(call)


def _parted(call: AlertCall) -> HostsWanted:
    """Return the hosts of the group, parted by whether the summary names them."""
    # A trap speaks for its service: one that names no host means all of them.
    out = tuple(host for host in call.hosts if host in call.failed) or call.hosts
    gone = frozenset(out)
    return HostsWanted(tuple(host for host in call.hosts if host not in gone), out)


def _in_question(call: AlertCall, request: Request) -> Sequence[str]:
    """Return the hosts whose failure takes out what was asked for.

    A real server that is itself one of the group's hosts stands for that host alone.
    """
    if request.real_server is None:
        return call.hosts
    return [host for host in call.hosts if _is_same(host, request.real_server)] or call.hosts


def _is_same(host: str, real_server: str) -> bool:
    """Return whether a host of the group and a real server are spelled for the same one.

    A port that only one of them has tells nothing: the host's is where checks go.
    """
    try:
        name, port = split_endpoint(host)
    except UsageError:
        return False
    other, other_port = split_endpoint(real_server)
    if None not in (port, other_port) and port != other_port:
        return False
    return (canonical_address(name) or name) == (canonical_address(other) or other)
