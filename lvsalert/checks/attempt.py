"""One host on its way through the sweep, and what the errors of its sockets mean."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from lvsalert.checks.resolve import Address, numeric
from lvsalert.model import join_endpoint

if TYPE_CHECKING:
    import socket

    from lvsalert.checks.sweep import Roaming, Target

# What a attempt whose name has no address was asked at.
_NOWHERE = Address(0, "")
# Errors that mean "we lack something", which is no verdict on a host.
SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
# Errors that mean "no connection came about", after which another address is worth a try.
NOT_CONNECTED = frozenset(
    (
        errno.ECONNREFUSED,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
        errno.ETIMEDOUT,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
        errno.EACCES,
        errno.EPERM,
        errno.EINVAL,
        errno.ENOPROTOOPT,
    )
)


class Attempt:
    """One host on its way: the addresses left to try, and the conversation with the present one.

    Its time ends at ``limit``; ``until`` is when it is looked at next if nothing comes, and with
    ``repeats`` the conversation goes on then.
    """

    __slots__ = (
        "address",
        "begun",
        "index",
        "limit",
        "mask",
        "repeats",
        "rest",
        "sock",
        "spent",
        "talk",
        "target",
        "until",
    )

    def __init__(self, index: int, target: Target) -> None:
        self.index = index
        self.target = target
        self.rest = numeric(target.name)
        self.spent = 0.0
        self.begun = 0.0
        self.limit = 0.0
        self.until = 0.0
        self.mask = 0
        self.repeats = False
        self.sock: socket.socket | None = None
        self.talk: Roaming | None = None
        self.address = _NOWHERE

    def begin(self, now: float, timeout: float) -> None:
        """Go on to the next address; with the first one the time of the host begins."""
        if not self.limit:
            self.begun = now - self.spent
            self.limit = self.begun + timeout
        self.address = self.rest.pop(0)
        self.mask = 0

    def tried(self) -> str:
        """Return the endpoint that was tried last, empty where there was none."""
        return join_endpoint(self.address.text, self.target.port) if self.address.text else ""

    def is_connected(self) -> bool:
        """Return whether its connection came about."""
        if self.sock is None:
            return False
        try:
            self.sock.getpeername()
        except OSError:
            return False
        return True
