"""What the resident process checks between mon's checks, as it tells who asks."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from typing import NamedTuple

from lvsalert import __version__
from lvsalert.resident import wire

PROGRAM = "watched"
"""What is called, in place of a plug-in, by who wants to know."""

_SECONDS = 2.0
_MOST_BYTES = 1 << 20


class Watched(NamedTuple):
    """A service of mon's: seconds from check to check, and since the last one's answer.

    ``failed`` are the hosts that mon was told of.
    """

    group: str
    service: str
    every: float
    heard: float | None
    failed: list[str]


def told_of(services: Iterable[Watched]) -> bytes:
    """Return services as one message."""
    return json.dumps([list(each) for each in services]).encode()


def ask(path: str) -> list[Watched]:
    """Return what the resident at ``path`` checks; nothing where there is none that answers."""
    call = wire.pack([__version__.encode(), PROGRAM.encode(), b"/", b"", b"0"])
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_SECONDS)
            sock.connect(path)
            sock.sendall(call)
            heard = b""
            while piece := sock.recv(_MOST_BYTES):
                heard += piece
        _, stdout, _ = wire.unpack(heard[len(wire.TAKEN) :])
        return [Watched(*each) for each in json.loads(stdout)]
    except (OSError, ValueError, wire.Broken):
        return []


def relay(called: socket.socket) -> bytes:
    """Ask the watcher behind ``called``, and return what it tells; OSError where it does not."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(_SECONDS)
        socket.send_fds(called, [b"?"], [theirs.fileno()])
        theirs.close()
        return ours.recv(_MOST_BYTES)
