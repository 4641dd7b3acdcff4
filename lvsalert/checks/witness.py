"""Whether the network beyond the director can be reached at all."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from lvsalert.checks.sweep import WRITE, Conversation, Target, Verdict, sweep
from lvsalert.errors import LvsalertError
from lvsalert.model import State, parse_port, split_endpoint

# Together shorter than the time for which other runs wait for the lock.
_SECONDS = 3.0
_TRIES = 3

# How the sweep words a refusal; a host that refuses has answered.
_REFUSED = "Connection refused"


def any_answers(witnesses: Sequence[str]) -> bool:
    """Return whether at least one witness answers within a few seconds.

    A witness with a port is connected to, and one that refuses has answered too; one without is
    sent echo requests. Where echo requests may not be sent at all, such a witness does not answer.
    """
    parted = [split_endpoint(witness) for witness in witnesses]
    targets = [
        Target(witness, name, parse_port(port))
        for witness, (name, port) in zip(witnesses, parted)
        if port is not None
    ]
    return _any_accepts(targets) or _any_echoes([name for name, port in parted if port is None])


def _any_accepts(targets: Sequence[Target]) -> bool:
    results = sweep(
        targets,
        _connect,
        timeout=_SECONDS,
        deadline=time.monotonic() + _SECONDS,
        concurrency=len(targets) or 1,
    )
    return any(each.state is State.GOOD or each.reason == _REFUSED for each in results)


def _connect(sock: socket.socket, _target: Target) -> Conversation:
    yield WRITE
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, "")
    return Verdict("", b"")


def _any_echoes(names: Sequence[str]) -> bool:
    if not names:
        return False
    from lvsalert.checks.icmp import ping

    try:
        results = ping(
            names,
            prefer_ipv6=False,
            retries=_TRIES - 1,
            wait=_SECONDS / _TRIES,
            deadline=time.monotonic() + _SECONDS,
            lookup_timeout=_SECONDS,
        )
    except LvsalertError:
        return False
    return any(each.state is State.GOOD for each in results)
