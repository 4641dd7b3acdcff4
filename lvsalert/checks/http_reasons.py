"""What went wrong between here and a web server, out of the layers of requests and urllib3."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from typing import TYPE_CHECKING

from lvsalert.checks import tls

if TYPE_CHECKING:
    from lvsalert.checks.threads import Reach

# How a reset shows, by where in a conversation it comes.
_RESET = frozenset((errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN))
# In this order, since one may come of another.
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (http.client.RemoteDisconnected, "closed without a word"),
    (http.client.BadStatusLine, "the answer is not HTTP"),
    (http.client.UnknownProtocol, "the answer is not HTTP"),
    (http.client.IncompleteRead, "closed too early, {stage}"),
)


def reason_of(error: BaseException, reach: Reach, stage: str) -> str:
    """Return the reason for an error that a request came to at a stage of it."""
    causes = _causes(error)
    if any(isinstance(each, (TimeoutError, socket.timeout)) for each in causes):
        return f"{reach.late}, {stage}"
    for kind, reason in _REASONS:
        if any(isinstance(each, kind) for each in causes):
            return reason.format(stage=stage)
    for each in causes:
        if isinstance(each, ssl.SSLError) or (isinstance(each, OSError) and each.errno in _RESET):
            return tls.broken_off(each, stage)
    last = causes[-1]
    if isinstance(last, OSError) and last.strerror:
        return last.strerror
    return str(last) or type(last).__name__


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and what it came from, the innermost last."""
    found = [error]
    while True:
        last = found[-1]
        inner = getattr(last, "reason", None)
        if not isinstance(inner, BaseException):
            inner = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if inner is None and last.args and isinstance(last.args[0], BaseException):
            inner = last.args[0]
        if inner is None or inner in found:
            return found
        found.append(inner)
