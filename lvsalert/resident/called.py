"""What mon has called, as a run tells the watcher, which calls it again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lvsalert.resident import wire
from lvsalert.resident.connections import Place

_BY_HOST = b"\0"


class Called(NamedTuple):
    """A check that mon has called: every how many seconds it is to be made again, and its result.

    ``status`` and ``summary`` are what mon was told, ``hosts`` how many of the last words of
    ``call`` are hosts, ``are_apart`` whether some of them may be asked without the others. To
    ``open_to`` a connection may be left open, by the hosts that are there.
    """

    between: float
    status: int
    summary: str
    hosts: int
    are_apart: bool
    open_to: Mapping[str, Place]
    call: bytes

    @classmethod
    def read(cls, message: bytes) -> Called:
        """Return what a message holds."""
        between, status, summary, hosts, apart, call, *places = wire.unpack(message)
        open_to = {}
        for host, address, port in (each.split(_BY_HOST) for each in places):
            open_to[os.fsdecode(host)] = address.decode(), int(port)
        words = float(between), int(status), os.fsdecode(summary), int(hosts), bool(apart)
        return cls(*words, open_to, call)

    def message(self) -> bytes:
        """Return it as a message."""
        places = [
            _BY_HOST.join((os.fsencode(host), address.encode(), b"%d" % port))
            for host, (address, port) in self.open_to.items()
        ]
        apart = b"1" if self.are_apart else b""
        head = [repr(self.between).encode(), b"%d" % self.status, os.fsencode(self.summary)]
        return wire.pack([*head, b"%d" % self.hosts, apart, self.call, *places])

    @property
    def words(self) -> list[bytes]:
        """Return the words of the call, its program first."""
        return _parts_of(self.call)[1]

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment of the call."""
        pairs = (each.partition(b"=")[::2] for each in _parts_of(self.call)[2])
        return {os.fsdecode(name): os.fsdecode(value) for name, value in pairs}

    @property
    def names(self) -> list[str]:
        """Return the hosts."""
        return [os.fsdecode(each) for each in self.words[len(self.words) - self.hosts :]]

    @property
    def sameness(self) -> tuple[bytes, ...]:
        """Return what makes a check the same: its words, with the hosts, and our own variables."""
        _, words, environ = _parts_of(self.call)
        return (*words, *sorted(each for each in environ if each.startswith(b"LVSALERT_")))

    def of(self, hosts: Sequence[str]) -> bytes:
        """Return the call for these hosts alone."""
        head, words, environ = _parts_of(self.call)
        words = [*words[: len(words) - self.hosts], *map(os.fsencode, hosts)]
        return wire.pack([*head, b"%d" % len(words), *words, *environ])


def _parts_of(call: bytes) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Return what stands before the words of a call, the words, and its environment."""
    *head, count = wire.unpack(call)[:5]
    rest = wire.unpack(call)[5:]
    return head, rest[: int(count)], rest[int(count) :]
