"""A SIP server's answer to OPTIONS (RFC 3261, 11), over UDP or TCP."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Generator

from lvsalert.checks import datagrams
from lvsalert.checks.lines import Lines, Refused, converse, words
from lvsalert.checks.sweep import WRITE, Conversation, Repeating, Target
from lvsalert.errors import UsageError
from lvsalert.model import join_endpoint

PORT = 5060
_STATUS = re.compile(rb"SIP/2\.0 (\d{3})\b")


def parse_login(text: str) -> str:
    """Return the address that is asked for, ``user@host``; UsageError for what cannot be one."""
    if not text or not text.isascii() or not text.isprintable() or re.search(r"[\s<>]", text):
        raise UsageError(f"{text!r} is not the address of a user: write user@host")
    return text


def probe(login: str, sock: socket.socket, target: Target) -> Repeating:
    """Ask over UDP, again while no answer comes."""
    call = secrets.token_hex(8)

    def judge(answer: bytes) -> str | None:
        first, _, rest = answer.partition(b"\r\n")
        return _reason(first) if call.encode() in rest else None

    return datagrams.ask(_request(login, call, "UDP", sock, target), judge, sock)


def probe_tcp(login: str, sock: socket.socket, target: Target) -> Conversation:
    """Ask over TCP."""

    def talk(lines: Lines) -> Generator[int, None, None]:
        lines.stage = "no answer"
        request = _request(login, secrets.token_hex(8), "TCP", sock, target)
        yield from lines.say(request.removesuffix(b"\r\n"))
        reason = _reason((yield from lines.line()))
        if reason:
            raise Refused(reason)

    # Its own address is known once it is connected.
    yield WRITE
    return (yield from converse(talk, sock))


def _reason(status: bytes) -> str:
    found = _STATUS.match(status)
    if found is None:
        return f"not SIP: {words(status)}"
    return "" if found[1] == b"200" else f"answer: {words(status)}"


def _request(login: str, call: str, over: str, sock: socket.socket, target: Target) -> bytes:
    here, port, *_ = sock.getsockname()
    via = join_endpoint(here.partition("%")[0], port)
    user = login or f"ldirectord@{target.name}"
    return (
        f"OPTIONS sip:{user} SIP/2.0\r\n"
        f"Via: SIP/2.0/{over} {via};branch=z9hG4bK{call};rport\r\n"
        "Max-Forwards: 70\r\n"
        f"To: <sip:{user}>\r\n"
        f"From: <sip:{user}>;tag={call[:8]}\r\n"
        f"Call-ID: {call}\r\n"
        "CSeq: 1 OPTIONS\r\n"
        f"Contact: <sip:{user}>\r\n"
        "Accept: application/sdp\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode("ascii", "replace")
