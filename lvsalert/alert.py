"""From what mon reports to the table that should be, with what other sources said before."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Callable

from lvsalert.errors import LvsalertError, NotDoneError, UsageError
from lvsalert.ipvsadm import Ipvsadm
from lvsalert.ledger import Ledger, Run
from lvsalert.model import (
    RealServer,
    VirtualService,
    join_endpoint,
    split_endpoint,
)
from lvsalert.mon import AlertCall, Event, printable, reasons
from lvsalert.naming import (
    Host,
    Lookup,
    address_of,
    entry_of,
    port_of,
    resolve,
    virtual_service,
)
from lvsalert.policy import NOTHING, Known, Member, Rules, decide, serving
from lvsalert.step import Author, Place, Proposal, take_step
from lvsalert.table import Change, Endpoint, Service, Table
from lvsalert.tuples import NamedTuple
from lvsalert.verdicts import (
    Source,
    Verdict,
    bystanders,
    take_checks,
    take_operator,
    why_changed,
)
from lvsalert.wish import Asked, Wish, wish

if TYPE_CHECKING:
    from lvsalert.filed import Filed


class Outside(NamedTuple):
    """What an alert asks of the world: addresses of names, whether a witness answers, who asks."""

    lookup: Lookup
    witness_answers: Callable[[], bool]
    operator: str


class Outcome(NamedTuple):
    """What a run did: the changes (made, or with a dry run only planned) and what to tell.

    ``errors`` are what could not be done, ``troubles`` what could not be remembered, ``held`` the
    real servers that stay in though they fail, where that is new. ``is_cut_off`` is whether no
    witness answered, ``is_remembered`` whether a ledger that lasts knows of it.
    """

    virtual: VirtualService
    who: str
    changes: Sequence[Change] = ()
    remark: str = ""
    errors: Sequence[LvsalertError] = ()
    troubles: Sequence[LvsalertError] = ()
    held: Sequence[str] = ()
    is_cut_off: bool = False
    is_remembered: bool = True


def run(
    call: AlertCall,
    asked: Asked,
    place: Place,
    outside: Outside,
    *,
    filed: Filed | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Bring the table to what the alert wants.

    With ``filed`` the entries and the shape of the service are those of the director's file.
    Names are looked up before the lock is taken. A host whose name has no address is left as it is
    and comes back among the errors; the others are done all the same. LvsalertError where nothing
    could be done at all.
    """
    virtual = virtual_service(
        asked.virtual, asked.protocol, outside.lookup, ipv6_fwmark=asked.ipv6_fwmark
    )
    who = printable(f"operator {outside.operator}" if call.by_hand else call.who)
    if asked.real_server is not None:
        split_endpoint(asked.real_server)
    wanted = wish(call, asked)
    if not wanted.hosts_in and not wanted.hosts_out:
        return Outcome(virtual, who, remark=wanted.remark)
    alert = _Alert(call, asked, virtual, who=who, outside=outside, door=place.door, filed=filed)
    alert.look_up(wanted)
    done = take_step(place, alert.decide, dry_run=dry_run)
    return Outcome(
        virtual,
        who,
        done.changes,
        alert.remark,
        errors=alert.errors,
        troubles=done.troubles,
        is_remembered=done.is_remembered,
        held=alert.held,
        is_cut_off=alert.is_cut_off,
    )


class _Alert:
    """One alert on its way: names looked up first, then the decision under the lock."""

    def __init__(
        self,
        call: AlertCall,
        asked: Asked,
        virtual: VirtualService,
        *,
        who: str,
        outside: Outside,
        door: Ipvsadm,
        filed: Filed | None,
    ) -> None:
        self._call = call
        self._asked = asked
        self._virtual = virtual
        self._outside = outside
        self._who = who
        self._door = door
        self._filed = filed
        self._started = time.time()
        self._now = self._started
        self._key = str(virtual)
        self._hosts: list[tuple[Host, bool]] = []
        self._fallback: Host | None = None
        self._unnamed: list[LvsalertError] = []
        self.errors: list[LvsalertError] = []
        self.held: list[str] = []
        self.is_cut_off = False
        self.remark = ""

    def look_up(self, wanted: Wish) -> None:
        """Find the addresses of all names at once."""
        fallback = self._asked.fallback
        extra = () if fallback is None else (fallback,)
        hosts = resolve(
            (*wanted.hosts_in, *wanted.hosts_out, *extra),
            self._virtual.family,
            self._outside.lookup,
            self._unnamed,
        )
        if hosts and fallback is not None and hosts[-1].spelled == fallback:
            self._fallback = hosts.pop()
        hosts_out = frozenset(wanted.hosts_out)
        self._hosts = [(host, host.spelled in hosts_out) for host in hosts]

    def decide(self, actual: Table, ledger: Ledger) -> Proposal:
        """Note what the alert says in the ledger and return the table that should be."""
        self.errors = list(self._unnamed)
        # Other runs may have been waited for, and what they noted must not lie in the future.
        self._now = time.time()
        standing = actual.get(self._virtual)
        if standing is None and self._is_stopped(ledger):
            self._note(ledger, self._verdicts(Service(self._virtual, "", (), {})))
            return Proposal(actual, self._author({}))
        return self._bring(actual, ledger, self._shaped(standing))

    def _bring(self, actual: Table, ledger: Ledger, service: Service) -> Proposal:
        """Return the table with the service as the verdicts want it."""
        verdicts = self._verdicts(service)
        fallback = self._fallback_entry(service, verdicts)
        members = self._note(ledger, verdicts)
        causes = ledger.causes(self._key)
        known = ledger.known(self._key, causes)
        decision = decide(
            service,
            members + self._bystanders(service, members, known, fallback),
            known,
            self._rules(fallback),
            now=self._now,
            connections=self._connections(known),
        )
        if self._needs_witness(service, decision.service):
            self.is_cut_off = not self._outside.witness_answers()
        if self.is_cut_off:
            return Proposal(None, self._author({}))
        changed = {
            endpoint: each
            for endpoint, each in decision.known.items()
            if each != known.get(endpoint, NOTHING)
        }
        ledger.remember(self._key, changed)
        if any(changed.get(endpoint, NOTHING).held for endpoint in decision.held):
            self.held = [join_endpoint(*endpoint) for endpoint in decision.held]
        good = "put in by hand" if self._call.by_hand else "passed its check"
        reasons = why_changed(causes, verdicts, good)
        if fallback is not None:
            reasons[fallback[:2]] = "the fallback, for when no real server is in"
        desired = decision.service
        if self._filed is not None:
            desired = self._filed.with_thresholds(desired)
        return Proposal({**actual, self._virtual: desired}, self._author(reasons))

    def _is_stopped(self, ledger: Ledger) -> bool:
        """Return whether the service is to stay away until the director starts it, and say so."""
        stop = ledger.stops().get(self._key)
        if stop is not None:
            self.remark = f"stopped by {stop.who}: noted, and not set up before it is started"
        return stop is not None

    def _author(self, reasons: Mapping[Endpoint, str]) -> Author:
        why = "by hand" if self._call.by_hand else self._call.event.value
        return Author(self._who, why, {self._virtual: reasons})

    def _shaped(self, service: Service | None) -> Service:
        if self._filed is not None:
            return self._filed.shaped(service, self._asked.scheduler)
        if service is not None:
            return service
        if self._asked.scheduler is None:
            raise NotDoneError(
                f"{self._virtual}: no such virtual service (--scheduler would create it)"
            )
        return Service(self._virtual, self._asked.scheduler, (), {})

    def _verdicts(self, service: Service) -> list[Verdict]:
        """Return what the alert says of each host whose address is known."""
        standing = frozenset(address for address, _ in service.real_servers)
        why = reasons(self._call.detail)
        said = "taken out by hand" if self._call.by_hand else self._call.event.value
        verdicts = []
        for host, failed in self._hosts:
            try:
                entries = self._entries(host, standing)
            except LvsalertError as error:
                self.errors.append(error)
                continue
            reason = printable(why.get(host.spelled, said)) if failed else ""
            verdicts += [Verdict(real, failed, reason) for real in entries]
        return verdicts

    def _entries(self, host: Host, standing: Container[str]) -> list[RealServer]:
        """Return the entries that a host stands for: one, or all that the file has there."""
        if self._filed is not None:
            return self._filed.entries(self._call.group, host)
        return [self._entry(host, standing, self._asked.weight)]

    def _entry(self, host: Host, standing: Container[str], weight: int) -> RealServer:
        asked = self._asked
        port = port_of(self._virtual, asked.forwarding, host.port, asked.real_port)
        address = address_of(host, standing)
        return entry_of(self._virtual, RealServer(address, port, asked.forwarding, weight))

    def _note(self, ledger: Ledger, verdicts: Sequence[Verdict]) -> list[Member]:
        """Write the verdicts into the ledger; return what is wanted of each real server."""
        now, call, asked = self._now, self._call, self._asked
        if self._filed is not None:
            self._filed.note_maintenance(ledger, now=now)
        if call.by_hand:
            return [
                take_operator(ledger, self._key, each, now=now, drain=asked.quiesce)
                for each in verdicts
            ]
        # Only checks are counted; a trap or a startupalert is one word, and a ledger that forgets
        # would count each check as the first.
        counts = call.event in (Event.FAILURE, Event.UP) and ledger.is_lasting
        source = Source(
            self._who,
            int(self._started) if call.time is None else call.time,
            fall=asked.fall if counts else 1,
            rise=asked.rise if counts else 1,
            repeats=call.event is Event.UP and not call.is_recovery,
            may_be_last=call.is_recovery,
        )
        is_whole = asked.real_server is None and not self.errors
        members = take_checks(ledger, self._key, verdicts, source, now=now, is_whole=is_whole)
        ledger.set_run(Run(self._key, self._who, asked.real_server or "", now, dict(asked.options)))
        return members

    def _bystanders(
        self,
        service: Service,
        members: Sequence[Member],
        known: Mapping[Endpoint, Known],
        fallback: RealServer | None,
    ) -> list[Member]:
        """Return the service's other real servers where the floor has to count them."""
        is_whole = self._asked.real_server is None and self._filed is None
        if is_whole or self._asked.floor is None:
            return []
        causes = [endpoint for endpoint, each in known.items() if each.since is not None]
        others = bystanders(list(service.real_servers.values()), causes, members)
        return [each for each in others if fallback is None or each.real[:2] != fallback[:2]]

    def _rules(self, fallback: RealServer | None) -> Rules:
        asked = self._asked
        return Rules(
            quiesce=asked.quiesce,
            quiesce_first=asked.quiesce_first,
            slow_start=asked.slow_start,
            floor=asked.floor,
            fallback=fallback,
            upper=asked.upper,
            lower=asked.lower,
        )

    def _fallback_entry(self, service: Service, verdicts: Sequence[Verdict]) -> RealServer | None:
        """Return the fallback as it stands when it is in; one that is a member is none."""
        if self._fallback is None:
            return None if self._filed is None else self._filed.service.own_fallback
        try:
            real = self._entry(self._fallback, [address for address, _ in service.real_servers], 1)
            if any(each.real[:2] == real[:2] for each in verdicts):
                raise UsageError(
                    f"--fallback: {real.endpoint} is a real server of the group itself"
                )
        except LvsalertError as error:
            self.errors.append(error)
            return None
        return real

    def _connections(self, known: Mapping[Endpoint, Known]) -> Mapping[Endpoint, int]:
        """Return the active connections where somebody waits for them to end."""
        if all(each.quiesced_until is None for each in known.values()):
            return {}
        return {
            endpoint: active
            for endpoint, (active, _) in self._door.connections().get(self._virtual, {}).items()
        }

    def _needs_witness(self, before: Service, after: Service) -> bool:
        """Return whether this takes out so many that the fault may be the director's own."""
        is_asked_for = self._asked.has_witness and not self._call.by_hand
        return is_asked_for and len(serving(before) - serving(after)) > 1
