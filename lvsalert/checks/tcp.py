"""Whether a TCP port takes a connection, and what it says (RFC 9293)."""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

from lvsalert.checks.sweep import READ, WRITE, Conversation, Target, TimedOut, Verdict

# As much as is read in search of a match.
_MAX_SAID = 1 << 16


class Check(NamedTuple):
    """What is sent once connected, and what has to be found in the answer; None for neither.

    After what is sent comes the end of it, as ldirectord's ``simpletcp`` does, so that a server
    which answers only then does.
    """

    send: bytes | None = None
    match: re.Pattern[bytes] | None = None


def probe(check: Check, sock: socket.socket, _target: Target) -> Conversation:
    """Connect, send, and read until the match is found or the server ends."""
    yield WRITE
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, "")
    said = b""
    try:
        unsent = check.send or b""
        while unsent:
            try:
                unsent = unsent[sock.send(unsent) :]
            except BlockingIOError:
                yield WRITE
        if check.send is not None:
            sock.shutdown(socket.SHUT_WR)
        while check.match is not None and not check.match.search(said):
            if len(said) > _MAX_SAID:
                return Verdict(f"no match in {_MAX_SAID} bytes", said)
            yield READ
            piece = sock.recv(65536)
            if not piece:
                return Verdict("closed without a match" if said else "closed without a word", said)
            said += piece
    except TimedOut as late:
        return Verdict(f"{late}, {'no match' if said else 'nothing came'}", said)
    except (ConnectionResetError, BrokenPipeError):
        return Verdict(f"connection reset, {'no match' if said else 'nothing came'}", said)
    return Verdict("", said)
