"""A DNS server's answer to one question (RFC 1035, RFC 7766), in dnspython's messages."""

from __future__ import annotations

import functools
import re
import socket
import struct
from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

from lvsalert.checks import datagrams
from lvsalert.checks.sweep import READ, WRITE, Conversation, Repeating, Target, TimedOut, Verdict
from lvsalert.errors import UsageError
from lvsalert.model import canonical_address

if TYPE_CHECKING:
    import dns.message

PORT = 53
_LENGTH = struct.Struct("!H")


class Question(NamedTuple):
    """What is asked: a name and a type of records, and what one of the answer's has to match.

    ``receive`` is searched in each record's data as it is written (an address, a name); None where
    any record of the type will do.
    """

    name: str
    type: str = "A"
    receive: re.Pattern[str] | None = None


def question_of(name: str, type: str | None, receive: re.Pattern[str] | None) -> Question:  # noqa: A002
    """Return the question for a name, or for the name of an address; UsageError for what is none.

    As a resolver does, it asks for the name of what is an address (PTR), and else for addresses.
    """
    import dns.exception
    import dns.name
    import dns.rdatatype
    import dns.reversename

    address = canonical_address(name)
    kind = (type or ("PTR" if address else "A")).upper()
    try:
        dns.rdatatype.from_text(kind)
        asked = dns.reversename.from_address(address) if address else dns.name.from_text(name)
    except (dns.exception.DNSException, UnicodeError, ValueError) as error:
        raise UsageError(f"{name!r} cannot be asked for: {error}") from None
    return Question(asked.to_text(), kind, receive)


def probe(question: Question, sock: socket.socket, _target: Target) -> Repeating:
    """Ask over UDP, again while no answer comes."""
    query = _query(question)
    judge = functools.partial(_judge, question, query)
    return datagrams.ask(query.to_wire(), judge, sock)


def probe_tcp(question: Question, sock: socket.socket, _target: Target) -> Conversation:
    """Ask over TCP."""
    query = _query(question)
    wire = query.to_wire()
    heard = b""
    try:
        unsent = _LENGTH.pack(len(wire)) + wire
        while unsent:
            try:
                unsent = unsent[sock.send(unsent) :]
            except BlockingIOError:
                yield WRITE
        heard = yield from _exactly(sock, b"", _LENGTH.size)
        (length,) = _LENGTH.unpack(heard[: _LENGTH.size])
        heard = yield from _exactly(sock, heard[_LENGTH.size :], length)
    except TimedOut as late:
        return Verdict(f"{late}, no answer", b"")
    except (ConnectionResetError, BrokenPipeError):
        return Verdict("connection reset, no answer", b"")
    except EOFError:
        return Verdict("closed without an answer", b"")
    reason = _judge(question, query, heard)
    return Verdict("the answer is to another question" if reason is None else reason, b"")


def _exactly(sock: socket.socket, heard: bytes, length: int) -> Generator[int, None, bytes]:
    while len(heard) < length:
        yield READ
        piece = sock.recv(length - len(heard))
        if not piece:
            raise EOFError
        heard += piece
    return heard


def _query(question: Question) -> dns.message.QueryMessage:
    import dns.message

    return dns.message.make_query(question.name, question.type)


def _judge(question: Question, query: dns.message.QueryMessage, wire: bytes) -> str | None:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.rcode

    try:
        answer = dns.message.from_wire(wire, ignore_trailing=True)
        is_answer = query.is_response(answer)
    except (dns.exception.DNSException, ValueError) as error:
        # Some servers refuse in a message that names no question.
        return None if wire[:2] != query.to_wire()[:2] else f"not DNS: {error}"
    if not is_answer:
        return None
    if answer.rcode() != 0:
        return f"the answer is {dns.rcode.to_text(answer.rcode())}"
    missing = _missing(question, answer)
    # More than a datagram holds is cut off whole records (RFC 2181, section 9); those that came
    # prove the server as well as all of them would.
    is_cut = answer.flags & dns.flags.TC
    return f"the answer is cut short: {missing}" if missing and is_cut else missing


def _missing(question: Question, answer: dns.message.Message) -> str:
    """Return what an answer lacks of what is wanted, nothing where it is all there."""
    import dns.rdatatype

    kind = dns.rdatatype.from_text(question.type)
    found = [
        record.to_text().rstrip(".")
        for records in answer.answer
        if records.rdtype == kind
        for record in records
    ]
    if not found:
        return f"no {question.type} record in the answer"
    if question.receive is None or any(map(question.receive.search, found)):
        return ""
    return f"no match for {question.receive.pattern!r}: {' '.join(found[:5])}"
