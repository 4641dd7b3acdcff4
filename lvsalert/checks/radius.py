"""A RADIUS server's answer to a log-in (RFC 2865, RFC 2869), in pyrad's packets."""

from __future__ import annotations

import io
import socket
from typing import NamedTuple

from lvsalert.checks import datagrams
from lvsalert.checks.sweep import Repeating, Target

PORT = 1812
# What of a RADIUS dictionary a log-in needs (RFC 2865, 5; RFC 2869, 5.14).
_DICTIONARY = """
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 string
ATTRIBUTE Reply-Message 18 string
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Message-Authenticator 80 octets
"""


class Login(NamedTuple):
    """A user, the password, and the secret that the server shares with us."""

    user: str
    password: str
    secret: str


def probe(login: Login, sock: socket.socket, _target: Target) -> Repeating:
    """Ask whether the user may log in, again while no answer comes."""
    from pyrad.dictionary import Dictionary
    from pyrad.packet import AccessAccept, AuthPacket, PacketError

    known = Dictionary(io.StringIO(_DICTIONARY))
    secret = login.secret.encode("utf-8", "surrogateescape")
    request = AuthPacket(secret=secret, dict=known)
    request["User-Name"] = login.user
    request["User-Password"] = request.PwCrypt(login.password)
    request["NAS-Identifier"] = "lvsalert"
    # Without it a server that knows of forged answers does not listen.
    request.add_message_authenticator()

    def judge(wire: bytes) -> str | None:
        try:
            answer = request.CreateReply(packet=wire)
            if answer.id != request.id:
                return None
            if not request.VerifyReply(answer, wire):
                return "the answer is signed with another secret"
        except (PacketError, LookupError, ValueError) as error:
            return f"not RADIUS: {error}"
        if answer.code == AccessAccept:
            return ""
        return "log-in: refused"

    return datagrams.ask(request.RequestPacket(), judge, sock)
