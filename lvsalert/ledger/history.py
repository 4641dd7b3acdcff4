"""What the journal tells: its lines, what each did to the table, and when each server was out."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import socket
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from lvsalert.errors import UsageError
from lvsalert.ipvs.naming import Lookup
from lvsalert.ledger.database import FILE_NAME, ledger_error
from lvsalert.ledger.journal import Entry
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import OPERATOR, LastRun
from lvsalert.ledger.text import Words
from lvsalert.ledger.timeline import Lane, OutTime
from lvsalert.model import canonical_address, join_endpoint, parse_port, split_endpoint

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGO = re.compile(r"(\d{1,9})([smhd])", re.ASCII)


class Selection(NamedTuple):
    """Which part of the journal is asked for: from when on (epoch), which service and server.

    ``service`` is as ``service_name`` and ``servers`` as ``server_names`` spell it, None for all.
    """

    since: float = 0.0
    service: str | None = None
    servers: Sequence[str] | None = None

    def takes(self, virtual: str, real: str) -> bool:
        """Return whether a virtual service and a real server, as the journal has them, are meant.

        A service is told by its name with or without the protocol, a server by its address with
        or without the port.
        """
        services = (None, virtual, virtual.partition(" ")[2])
        named = {real, real.rpartition(":")[0]}
        return self.service in services and (
            self.servers is None or not named.isdisjoint(self.servers)
        )


class Move(NamedTuple):
    """What one line of the journal did to one real server, or with ``real`` "" to the service.

    ``before`` and ``after`` are None where it was not in the table; a service is in the words that
    create it.
    """

    entry: Entry
    real: str
    before: Words | None
    after: Words | None

    @property
    def key(self) -> tuple[str, str]:
        """Return what it is about: the virtual service and the real server."""
        return self.entry.virtual, self.real


@contextlib.contextmanager
def opened(state_dir: str) -> Iterator[Ledger]:
    """Give the ledger in ``state_dir`` to read; LedgerError where there is none to be read."""
    ledger = Ledger.open_to_read(state_dir)
    try:
        yield ledger
    except sqlite3.Error as error:
        raise ledger_error(os.path.join(state_dir, FILE_NAME), error) from None
    finally:
        ledger.close()


def moment(text: str, now: float) -> float:
    """Return the time (epoch) that ``90s``, ``15m``, ``2h`` or ``3d`` ago was, or an ISO 8601 time.

    A time without an offset is local. UsageError for what is neither.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return now - int(ago[1]) * _SECONDS[ago[2]]
    try:
        # Python takes the Z only from 3.11 on.
        return datetime.datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{text!r} is not a time: write 90s, 15m, 2h or 3d (ago), or 2024-12-31T23:59:59"
        ) from None


def duration(text: str) -> float:
    """Return the seconds of ``90s``, ``15m``, ``2h`` or ``3d``; UsageError for what is none."""
    found = _AGO.fullmatch(text)
    if found is None or not int(found[1]):
        raise UsageError(f"{text!r} is not a length of time: write 90s, 15m, 2h or 3d")
    return int(found[1]) * float(_SECONDS[found[2]])


def service_name(text: str) -> str:
    """Return a virtual service as the journal names it, the protocol where it was given.

    ``tcp 10.0.0.3:80``, ``10.0.0.3:80`` and the mark ``7`` are taken. UsageError for other text.
    """
    *protocol, name = text.split() or [text]
    if name == "-6" and protocol:
        # A firewall mark of IPv6.
        *protocol, name = *protocol[:-1], f"{protocol[-1]} -6"
    elif not name.isdigit():
        name = _canonical(name)
    return " ".join([*(each.lower() for each in protocol), name])


def server_names(text: str, lookup: Lookup) -> list[str]:
    """Return a real server as the journal names it, with its port where it was given.

    A name of a host stands for all its addresses. UsageError for what is no host, or has none.
    """
    host, port = split_endpoint(text)
    address = canonical_address(host)
    addresses = lookup([host], socket.AF_UNSPEC)[host] if address is None else [address]
    if not addresses:
        raise UsageError(f"{host}: no address found")
    return [_joined(each, port) for each in addresses]


def _canonical(text: str) -> str:
    host, port = split_endpoint(text)
    address = canonical_address(host)
    if address is None:
        raise UsageError(
            f"{text!r} is not a virtual service: write address:port or a firewall mark"
        )
    return _joined(address, port)


def _joined(address: str, port: str | None) -> str:
    if port is None:
        return join_endpoint(address, 0).removesuffix(":0")
    return join_endpoint(address, 0 if port == "0" else parse_port(port))


def lines(ledger: Ledger, asked: Selection) -> list[Entry]:
    """Return the lines of the journal that are asked for, the oldest first."""
    return [
        entry
        for entry in ledger.journal.history(since=asked.since)
        if asked.takes(entry.virtual, entry.real)
    ]


def local_time(when: float) -> datetime.datetime:
    """Return a time (epoch) with the offset of the local zone."""
    return datetime.datetime.fromtimestamp(when).astimezone()


def moves(entries: Iterable[Entry]) -> list[Move]:
    """Return what each line did, in their order."""
    return [
        Move(entry, entry.real, _words(entry, "before"), _words(entry, "after"))
        for entry in entries
    ]


def _words(entry: Entry, when: str) -> Words | None:
    """Return how an entry or a service stood; a service as the command that would create it."""
    words = entry.words[when]
    if words is None:
        return None
    return words if entry.real else ("-A", *words[1:])


def lanes(ledger: Ledger, asked: Selection) -> list[Lane]:
    """Return when each real server of the journal was out, one lane each, sorted.

    What was known before ``asked.since`` counts, since a server may have been out by then. A
    fallback, which is out while all is well, has no lane.
    """
    found: dict[tuple[str, str], Lane] = {}
    for move in moves(ledger.journal.history()):
        if not move.real or not asked.takes(*move.key):
            continue
        entry = move.entry
        # One that was there at its first line was there before it.
        first = entry.time if move.before is None else 0.0
        outs = found.setdefault(move.key, Lane(*move.key, first, [])).outs
        if outs and outs[-1].end is None:
            outs[-1] = outs[-1]._replace(end=entry.time)
        if not _serves(move.after):
            why = f"{entry.who}: {entry.why}"
            quiesced = move.after is not None
            outs.append(OutTime(entry.time, None, _cause(entry.who), quiesced, why))
    left_out = {virtual: fallbacks(ledger, virtual) for virtual, _ in found}
    return [
        lane._replace(outs=[out for out in lane.outs if out.end is None or out.end > asked.since])
        for (virtual, real), lane in sorted(found.items(), key=_by_numbers)
        if split_endpoint(real)[0] not in left_out[virtual]
    ]


def _by_numbers(item: tuple[tuple[str, str], Lane]) -> list[list[tuple[int, str]]]:
    """Return what sorts a lane's names as people do: :80 before :443."""
    return [
        [
            (int(part), "") if part.isascii() and part.isdigit() else (-1, part)
            for part in re.split("([0-9]+)", name)
        ]
        for name in item[0]
    ]


def fallbacks(ledger: Ledger, virtual: str) -> set[str]:
    """Return the addresses of a service's fallbacks, as ``fallback_addresses`` does."""
    return fallback_addresses(run for run in ledger.runs.all() if run.virtual == virtual)


def fallback_addresses(runs: Iterable[LastRun]) -> set[str]:
    """Return the addresses of a service's fallbacks; one that was given by name is not found."""
    variable = "LVSALERT_FALLBACK"
    given = (run.options[variable] for run in runs if variable in run.options)
    found = (canonical_address(split_endpoint(each)[0]) for each in given)
    return {each for each in found if each is not None}


def _serves(words: Words | None) -> bool:
    return words is not None and weight_of(words) > 0


def weight_of(words: Sequence[str]) -> int:
    """Return the weight in an entry's words."""
    return int(words[words.index("-w") + 1])


def _cause(who: str) -> str:
    """Return who took a server out as the picture tells it: all persons are the operator."""
    return OPERATOR if who.startswith(f"{OPERATOR} ") else who
