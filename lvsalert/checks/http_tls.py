"""A web server's answer to one request over TLS (RFC 9110, 4.2.2)."""

from __future__ import annotations

import functools
import ssl
from typing import TYPE_CHECKING

from lvsalert.checks import http, tls
from lvsalert.model import split_endpoint

if TYPE_CHECKING:
    import socket

    from lvsalert.checks.sweep import Conversation, Target

PORT = 443


def probe(
    check: http.Check, context: ssl.SSLContext, sock: socket.socket, target: Target
) -> Conversation:
    """Ask one host and return the verdict, or raise Redirected, as http.probe does.

    Its certificate is to be for the name that is asked.
    """
    talk = functools.partial(http.probe, check, default_port=PORT)
    name, _ = split_endpoint(http.host_header(check, target, PORT))
    # A name's last dot is for look-ups, not for certificates (RFC 6066, 3).
    return tls.over(talk, context, name.rstrip("."), sock, target)
