"""A web server's answer to one request over TLS (RFC 9110, 4.2.2)."""

from __future__ import annotations

import functools
import ssl
from typing import TYPE_CHECKING

from lvsalert.errors import UsageError
from lvsalert.model import split_endpoint
from lvsalert.probes import http, tls

if TYPE_CHECKING:
    from lvsalert import sockets
    from lvsalert.sweep import Conversation, Target

PORT = 443


def trust(ca_file: str | None, *, verify: bool) -> ssl.SSLContext:
    """Return what to trust: the certificates in ``ca_file``, by default the system's, or any.

    UsageError where ``ca_file`` holds none.
    """
    try:
        # To read the system's certificates takes longer than to ask a host.
        if verify or ca_file is not None:
            context = ssl.create_default_context(cafile=ca_file)
        else:
            context = tls.any_certificate()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise UsageError(f"--cacert: {ca_file!r}: {reason or error}") from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # A server that could speak HTTP/2 too is not left to guess (RFC 7301).
    context.set_alpn_protocols(["http/1.1"])
    return context


def probe(
    check: http.Check, context: ssl.SSLContext, sock: sockets.socket, target: Target
) -> Conversation:
    """Ask one host and return the verdict, or raise Redirected, as http.probe does.

    Its certificate is to be for the name that is asked.
    """
    talk = functools.partial(http.probe, check, default_port=PORT)
    name, _ = split_endpoint(http.host_header(check, target, PORT))
    # A name's last dot is for look-ups, not for certificates (RFC 6066, 3).
    return tls.over(talk, context, name.rstrip("."), sock, target)
