"""From what mon reports to the table that should be, with what other sources said before."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Callable, NamedTuple

from lvsalert.errors import LvsalertError, NotDoneError, UsageError
from lvsalert.ipvsadm import Ipvsadm
from lvsalert.ledger import Ledger, Run
from lvsalert.model import (
    RealServer,
    VirtualService,
    join_endpoint,
    split_endpoint,
)
from lvsalert.mon import AlertCall, Event, reasons
from lvsalert.naming import (
    Host,
    Lookup,
    address_of,
    entry_at,
    port_of,
    resolve,
    virtual_service,
)
from lvsalert.policy import Known, Member, Rules, decide
from lvsalert.step import Author, Place, Proposal, take_step
from lvsalert.table import Change, Endpoint, Service, Table
from lvsalert.verdicts import Source, Verdict, bystanders, take_check, take_operator
from lvsalert.wish import Asked, Wish, wish


class Outside(NamedTuple):
    """What an alert asks of the world: addresses of names, whether a witness answers, who asks."""

    lookup: Lookup
    witness_answers: Callable[[], bool]
    operator: str


class Outcome(NamedTuple):
    """What a run did: the changes (made, or with a dry run only planned) and what to tell.

    ``errors`` are what could not be done, ``troubles`` what could not be remembered, ``held`` the
    real servers that stay in though they fail. ``is_cut_off`` is whether no witness answered.
    """

    virtual: VirtualService
    who: str
    changes: Sequence[Change] = ()
    remark: str = ""
    errors: Sequence[LvsalertError] = ()
    troubles: Sequence[LvsalertError] = ()
    held: Sequence[str] = ()
    is_cut_off: bool = False


def run(
    call: AlertCall, asked: Asked, place: Place, outside: Outside, *, dry_run: bool = False
) -> Outcome:
    """Bring the table to what the alert wants.

    Names are looked up before the lock is taken. A host whose name has no address is left as it is
    and comes back among the errors; the others are done all the same. LvsalertError where nothing
    could be done at all.
    """
    virtual = virtual_service(
        asked.virtual, asked.protocol, outside.lookup, ipv6_fwmark=asked.ipv6_fwmark
    )
    who = f"operator {outside.operator}" if call.by_hand else call.who
    if asked.real_server is not None:
        split_endpoint(asked.real_server)
    wanted = wish(call, asked)
    if not wanted.hosts_in and not wanted.hosts_out:
        return Outcome(virtual, who, remark=wanted.remark)
    alert = _Alert(call, asked, virtual, who=who, outside=outside, door=place.door)
    alert.look_up(wanted)
    done = take_step(place, alert.decide, dry_run=dry_run)
    return Outcome(
        virtual,
        who,
        done.changes,
        errors=alert.errors,
        troubles=done.troubles,
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
    ) -> None:
        self._call = call
        self._asked = asked
        self._virtual = virtual
        self._outside = outside
        self._who = who
        self._door = door
        self._now = time.time()
        self._key = str(virtual)
        self._hosts: list[tuple[Host, bool]] = []
        self._fallback: Host | None = None
        self._unnamed: list[LvsalertError] = []
        self.errors: list[LvsalertError] = []
        self.held: list[str] = []
        self.is_cut_off = False

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
        self._hosts = [(host, host.spelled in wanted.hosts_out) for host in hosts]

    def decide(self, actual: Table, ledger: Ledger) -> Proposal:
        """Note what the alert says in the ledger and return the table that should be."""
        self.errors = list(self._unnamed)
        service = self._standing(actual)
        verdicts = self._verdicts(service)
        members = self._note(ledger, verdicts, service)
        known = ledger.known(self._key)
        decision = decide(
            service,
            members,
            known,
            self._rules(service, members),
            now=self._now,
            connections=self._connections(known),
        )
        ledger.remember(self._key, decision.known)
        author = Author(
            self._who,
            "by hand" if self._call.by_hand else self._call.event.value,
            {verdict.real.endpoint: verdict.reason for verdict in verdicts},
        )
        desired = {**actual, self._virtual: decision.service}
        if self._needs_witness(service, decision.service):
            self.is_cut_off = not self._outside.witness_answers()
        self.held = [join_endpoint(*endpoint) for endpoint in decision.held]
        return Proposal(None if self.is_cut_off else desired, author)

    def _standing(self, actual: Table) -> Service:
        service = actual.get(self._virtual)
        if service is not None:
            return service
        if self._asked.scheduler is None:
            raise NotDoneError(
                f"{self._virtual}: no such virtual service (--scheduler would create it)"
            )
        return Service(self._virtual, self._asked.scheduler, (), {})

    def _verdicts(self, service: Service) -> list[Verdict]:
        """Return what the alert says of each host whose address is known."""
        standing = [address for address, _ in service.real_servers]
        why = reasons(self._call.detail)
        said = "taken out by hand" if self._call.by_hand else self._call.event.value
        verdicts = []
        for host, failed in self._hosts:
            try:
                real = self._entry(host, standing, self._asked.weight)
            except LvsalertError as error:
                self.errors.append(error)
                continue
            reason = why.get(host.spelled, said) if failed else ""
            verdicts.append(Verdict(real, failed, reason))
        return verdicts

    def _entry(self, host: Host, standing: Sequence[str], weight: int) -> RealServer:
        asked = self._asked
        port = port_of(self._virtual, asked.forwarding, host.port, asked.real_port)
        like = RealServer("", port, asked.forwarding, weight)
        return entry_at(self._virtual, address_of(host, standing), like)

    def _note(self, ledger: Ledger, verdicts: Sequence[Verdict], service: Service) -> list[Member]:
        """Write the verdicts into the ledger; return what is wanted of each real server."""
        now, call, asked = self._now, self._call, self._asked
        if call.by_hand:
            members = [
                take_operator(ledger, self._key, each, now=now, drain=asked.quiesce)
                for each in verdicts
            ]
        else:
            # Only checks are counted; a trap or a startupalert is one word, and a ledger that
            # forgets would count each check as the first.
            counts = call.event in (Event.FAILURE, Event.UP) and ledger.is_lasting
            fall, rise = (asked.fall, asked.rise) if counts else (1, 1)
            when = int(now) if call.time is None else call.time
            source = Source(call.who, when, fall, rise)
            members = [take_check(ledger, self._key, each, source, now=now) for each in verdicts]
            if asked.real_server is None and not self.errors:
                ledger.forget_others(self._key, call.who, [each.endpoint for each in members])
            ledger.set_run(
                Run(self._key, call.who, asked.real_server or "", now, dict(asked.options))
            )
        if asked.real_server is not None and asked.floor is not None:
            causes = list(ledger.causes(self._key))
            members += bystanders(list(service.real_servers.values()), causes, members)
        return members

    def _rules(self, service: Service, members: Sequence[Member]) -> Rules:
        asked = self._asked
        return Rules(
            quiesce=asked.quiesce,
            quiesce_first=asked.quiesce_first,
            slow_start=asked.slow_start,
            floor=asked.floor,
            fallback=self._fallback_entry(service, members),
            upper=asked.upper,
            lower=asked.lower,
        )

    def _fallback_entry(self, service: Service, members: Sequence[Member]) -> RealServer | None:
        """Return the fallback as it stands when it is in; one that is a member is none."""
        if self._fallback is None:
            return None
        try:
            real = self._entry(self._fallback, [address for address, _ in service.real_servers], 1)
            if any(member.endpoint == (real.address, real.port) for member in members):
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
        if not self._asked.has_witness or self._call.by_hand:
            return False
        gone = [
            endpoint
            for endpoint, real in before.real_servers.items()
            if real.weight > 0 and not _weight(after, endpoint)
        ]
        return len(gone) > 1


def _weight(service: Service, endpoint: Endpoint) -> int:
    real = service.real_servers.get(endpoint)
    return 0 if real is None else real.weight
