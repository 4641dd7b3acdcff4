"""Taking a real server out of work by hand, its connections unbroken, and putting it back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Callable

from lvsalert.errors import LvsalertError, NotDoneError
from lvsalert.history import weight_of
from lvsalert.ipvsadm import Ipvsadm
from lvsalert.ledger import DIRECTOR, OPERATOR, Cause, Ledger
from lvsalert.model import (
    Forwarding,
    RealServer,
    VirtualService,
    join_endpoint,
    parse_forwarding,
)
from lvsalert.mon import printable
from lvsalert.naming import Lookup, address_of, entry_of, port_of, resolve
from lvsalert.policy import Member, Rules, Want, decide
from lvsalert.step import Author, Place, Proposal, take_step
from lvsalert.table import Change, Endpoint, Service, Table
from lvsalert.tuples import NamedTuple
from lvsalert.view import Wanted, places
from lvsalert.www_cf import OPTION, FileService, load_service

Drained = tuple[VirtualService, Endpoint]


class Outside(NamedTuple):
    """What is asked of the world: addresses of names, and who the operator is."""

    lookup: Lookup
    operator: str


class Outcome(NamedTuple):
    """What was done: the changes, what to tell of servers that none was made for, and what failed.

    ``drained`` are the entries that take no new connections now. ``troubles`` are what could not be
    remembered of what was done.
    """

    who: str
    changes: Sequence[Change]
    remarks: Sequence[str]
    errors: Sequence[LvsalertError]
    drained: Sequence[Drained]
    troubles: Sequence[LvsalertError]


def drain(place: Place, asked: Wanted, outside: Outside) -> Outcome:
    """Give a real server the operator's cause and weight 0, in each service that has it.

    UsageError where nobody knows it, NotDoneError where the table cannot be had or the ledger could
    not keep the cause: mon's next check would then put it back.
    """
    return _run(place, _Hand(asked, outside, _Hand.drain, "drained by hand"))


def resume(place: Place, asked: Wanted, outside: Outside) -> Outcome:
    """Take the operator's cause away, and put a real server back that no other cause keeps out.

    It gets the weight that it had when it last served. Errors are those of ``drain``.
    """
    return _run(place, _Hand(asked, outside, _Hand.resume, "resumed by hand"))


def _run(place: Place, hand: _Hand) -> Outcome:
    done = take_step(place, hand.decide)
    if not hand.is_lasting:
        said = "; ".join(map(str, done.troubles))
        raise NotDoneError(f"nothing was changed, since it could not be remembered: {said}")
    return Outcome(
        hand.author.who, done.changes, hand.remarks, hand.errors, hand.drained, done.troubles
    )


class _Hand:
    """One request on its way: what it finds to tell while it decides."""

    def __init__(
        self,
        asked: Wanted,
        outside: Outside,
        act: Callable[[_Hand, _Spot], Member | None],
        why: str,
    ) -> None:
        self._asked = asked
        self._outside = outside
        self._act = act
        self._now = time.time()
        self.author = Author(f"operator {outside.operator}", why)
        self.is_lasting = True
        self.remarks: list[str] = []
        self.errors: list[LvsalertError] = []
        self.drained: list[Drained] = []

    def decide(self, actual: Table, ledger: Ledger) -> Proposal:
        """Write the operator's word into the ledger and return the table that should be."""
        self.remarks, self.errors, self.drained = [], [], []
        self.is_lasting = ledger.is_lasting
        if not ledger.is_lasting:
            return Proposal(None, self.author)
        standing = {str(virtual): service for virtual, service in actual.items()}
        desired = dict(actual)
        for name, endpoint in places(actual, ledger, self._asked):
            service = standing.get(name)
            options = _options(ledger, name, endpoint)
            filed = None if service is None else self._filed(service.virtual, options)
            spot = _Spot(ledger, name, endpoint, service, options, filed)
            member = self._act(self, spot)
            if service is None or member is None:
                continue
            decision = decide(
                service,
                [member],
                ledger.known(name),
                self._rules(service, spot),
                now=self._now,
                connections={},
            )
            ledger.remember(name, decision.known)
            standing[name] = desired[service.virtual] = decision.service
        return Proposal(desired, self.author)

    def drain(self, spot: _Spot) -> Member | None:
        """Set the operator's cause; return that the real server is to go out."""
        reason = f"drained by {self._outside.operator}"
        cause = Cause(OPERATOR, self._now, reason, drain=True)
        spot.ledger.set_cause(spot.name, spot.endpoint, cause)
        if spot.service is None or spot.standing is None:
            self.remarks.append(f"{spot} is out, and stays out until it is resumed")
            return None
        self.drained.append((spot.service.virtual, spot.endpoint))
        if spot.standing.weight == 0:
            self.remarks.append(f"{spot} is at weight 0 already, and stays so until it is resumed")
        return Member(spot.standing, Want.OUT)

    def resume(self, spot: _Spot) -> Member | None:
        """Clear the operator's cause; return that the real server is to come in, if it is."""
        spot.ledger.clear_cause(spot.name, spot.endpoint, OPERATOR)
        left = spot.ledger.causes(spot.name).get(spot.endpoint, [])
        if spot.standing is not None and spot.standing.weight > 0:
            self.remarks.append(f"{spot} is in already")
        elif left:
            said = ", ".join(f"{each.cause} ({printable(each.reason)})" for each in left)
            self.remarks.append(f"{spot} is still kept out by {said}")
        elif spot.service is None:
            self.errors.append(NotDoneError(f"{spot.name}: no such virtual service"))
        else:
            real = _as_it_served(spot)
            if real is not None:
                return Member(real, Want.IN)
            self.errors.append(
                NotDoneError(
                    f"{spot}: the weight that it had is not known: put it in with lvs.alert -u"
                )
            )
        return None

    def _filed(self, virtual: VirtualService, options: Mapping[str, str]) -> FileService | None:
        """Return what the file that the last run went by says of the service.

        Names are looked up under the lock, since the ledger has to be read first; mostly there are
        none.
        """
        if OPTION not in options:
            return None
        try:
            return load_service(options[OPTION], self._outside.lookup, virtual).services[0]
        except LvsalertError as error:
            # Once for all the places that a real server has there.
            if str(error) not in map(str, self.errors):
                self.errors.append(error)
            return None

    def _rules(self, service: Service, spot: _Spot) -> Rules:
        fallback = self._fallback(service, spot)
        if fallback is not None and (fallback.address, fallback.port) == spot.endpoint:
            fallback = None
        return Rules(quiesce=True, slow_start=_slow_start(spot.options), fallback=fallback)

    def _fallback(self, service: Service, spot: _Spot) -> RealServer | None:
        """Return the entry of the fallback that the last run asked for, or else the file's."""
        options = spot.options
        spelled = options.get("LVSALERT_FALLBACK")
        if spelled is None:
            return None if spot.filed is None else spot.filed.own_fallback
        virtual = service.virtual
        hosts = resolve([spelled], virtual.family, self._outside.lookup, self.errors)
        try:
            for host in hosts:
                address = address_of(host, [address for address, _ in service.real_servers])
                forwarding = _forwarding(options)
                port = port_of(virtual, forwarding, host.port, options.get("LVSALERT_REAL_PORT"))
                return entry_of(virtual, RealServer(address, port, forwarding))
        except LvsalertError as error:
            self.errors.append(error)
        return None


class _Spot(NamedTuple):
    """One real server of one virtual service, which is None where the table lacks it.

    ``options`` are those of the last run that spoke of it, as variables; empty where none did.
    ``filed`` is what the file says of the service, None where they name none.
    """

    ledger: Ledger
    name: str
    endpoint: Endpoint
    service: Service | None
    options: Mapping[str, str]
    filed: FileService | None

    @property
    def standing(self) -> RealServer | None:
        """Return its entry of the table."""
        return None if self.service is None else self.service.real_servers.get(self.endpoint)

    def __str__(self) -> str:
        """Return virtual service and real server as the log names them."""
        return f"{self.name}: {join_endpoint(*self.endpoint)}"


def _options(ledger: Ledger, name: str, endpoint: Endpoint) -> Mapping[str, str]:
    """Return the options of the last run for a service, at best one that judged the real server.

    Of a run of the director's own that is the file, which says the rest.
    """
    judged = ledger.checks(name, endpoint)
    runs = [run for run in ledger.runs() if run.virtual == name]
    last = max(runs, key=lambda run: (run.source in judged, run.time), default=None)
    if last is None:
        return {}
    if last.source == DIRECTOR:
        return {name: text for name, text in last.options.items() if name == OPTION}
    return last.options


def _as_it_served(spot: _Spot) -> RealServer | None:
    """Return the entry as it last served, by the journal, or else as the last run wants it.

    Where a slow start may have been under way, the weight that it climbs to is the run's.
    """
    lines = spot.ledger.journal.history(virtual=spot.name, real=join_endpoint(*spot.endpoint))
    told = [line.words[when] for line in reversed(lines) for when in ("after", "before")]
    words = next((each for each in told if each is not None and weight_of(each) > 0), None)
    if words is None and not spot.options:
        return None
    asked = _as_asked(spot)
    if words is None:
        forwarding, weight = asked.forwarding, asked.weight
    else:
        forwarding, weight = Forwarding(words[0]), weight_of(words)
        if _slow_start(spot.options) is not None:
            weight = max(weight, asked.weight)
    if spot.standing is not None:
        forwarding = spot.standing.forwarding
    return RealServer(*spot.endpoint, forwarding, weight)


def _as_asked(spot: _Spot) -> RealServer:
    """Return the entry as the last run wants it: by its options, by the file, by default."""
    filed = () if spot.filed is None else spot.filed.servers
    own = next((each.real for each in filed if each.endpoint == spot.endpoint), None)
    real = own or RealServer(*spot.endpoint)
    if "LVSALERT_WEIGHT" in spot.options:
        real = real._replace(weight=int(spot.options["LVSALERT_WEIGHT"]))
    if "LVSALERT_FORWARDING" in spot.options:
        real = real._replace(forwarding=_forwarding(spot.options))
    return real


def _forwarding(options: Mapping[str, str]) -> Forwarding:
    return parse_forwarding(options.get("LVSALERT_FORWARDING", "dr"))


def _slow_start(options: Mapping[str, str]) -> float | None:
    return float(options.get("LVSALERT_SLOW_START", "0")) or None


def connections_left(door: Ipvsadm, drained: Sequence[Drained]) -> dict[Drained, int]:
    """Return the active connections of entries; one that is gone from the table has none."""
    columns = door.connections()
    return {
        (virtual, endpoint): columns.get(virtual, {}).get(endpoint, (0, 0))[0]
        for virtual, endpoint in drained
    }
