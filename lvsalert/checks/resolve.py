"""Names to addresses, all at once, none of which can hold up the others (getaddrinfo(3))."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from typing import NamedTuple

from lvsalert.checks.workers import Workers, gathered
from lvsalert.errors import ResolveError
from lvsalert.model import canonical_address

# Each look-up that hangs holds a thread; a name beyond so many waits for one that is given up.
MAX_LOOKUPS = 512


class Address(NamedTuple):
    """A numeric address and its family."""

    family: int
    text: str

    def at(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return it with a port as connect(2) takes it.

        Python passes over the zone of a text. OSError for a zone that is no interface here.
        """
        bare, percent, zone = self.text.partition("%")
        if not percent:
            return bare, port
        if zone.isdigit():
            return bare, port, 0, int(zone)
        try:
            return bare, port, 0, socket.if_nametoindex(zone)
        except OSError:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


def numeric(name: str) -> list[Address]:
    """Return the address that ``name`` itself is, without a look-up; none where it is a name."""
    text = canonical_address(name)
    if text is None:
        return []
    return [Address(socket.AF_INET6 if ":" in text else socket.AF_INET, text)]


def look_up(name: str, family: int = socket.AF_UNSPEC) -> list[Address]:
    """Return the addresses of ``name``, in getaddrinfo's order; may take long.

    ResolveError where there is none.
    """
    import socket

    try:
        found = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    except OSError as error:
        raise ResolveError(f"{name}: {error.strerror}") from None
    except UnicodeError:
        raise ResolveError(f"{name}: not a name that can be looked up") from None
    return list(dict.fromkeys(Address(int(each[0]), str(each[4][0])) for each in found))


class Found(NamedTuple):
    """What a look-up found: addresses, or the reason why there are none, and how long it took."""

    name: str
    addresses: list[Address]
    reason: str
    seconds: float


class Lookups:
    """Looks up names, up to ``limit`` at once, each in a thread of its own.

    A name's addresses come IPv4 first, or IPv6 first with ``prefer_ipv6``.
    """

    def __init__(self, names: Iterable[str], *, limit: int, prefer_ipv6: bool) -> None:
        self._workers: Workers[str, list[Address]] = Workers(look_up, names, limit)
        self._first = socket.AF_INET6 if prefer_ipv6 else socket.AF_INET

    def fileno(self) -> int:
        """Return a descriptor that is readable when there is something to take."""
        return self._workers.fileno()

    def take(self, timeout: float) -> list[Found]:
        """Return what was found since the last call; names that took ``timeout`` s are given up."""
        found = []
        for answer in self._workers.take():
            name, value, seconds = answer.job, answer.value, answer.seconds
            if isinstance(value, ResolveError):
                found.append(Found(name, [], str(value), seconds))
            elif isinstance(value, BaseException):
                raise value
            else:
                value.sort(key=lambda each: each.family != self._first)
                found.append(Found(name, value, "", seconds))
        for name in self._workers.overdue(timeout):
            late = f"{name}: look-up timed out after {timeout:g} s"
            found.append(Found(name, [], late, timeout))
        return found

    def next_overdue(self, timeout: float) -> float:
        """Return in how many seconds the next name is to be given up; ``timeout`` at most."""
        return self._workers.next_overdue(timeout)

    def close(self) -> None:
        """Drop the names that are left."""
        self._workers.close()


def addresses_of(names: Iterable[str], family: int, *, timeout: float) -> dict[str, list[str]]:
    """Return each name's numeric addresses, none where it has none or took over ``timeout`` s."""
    found = dict.fromkeys(names)
    answers = gathered(lambda name: look_up(name, family), list(found), MAX_LOOKUPS, timeout)
    return {name: [each.text for each in answers.get(name, ())] for name in found}
