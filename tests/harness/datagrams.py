"""A server of datagrams that answers as it is told, on one port of many addresses."""

from __future__ import annotations

import resource
import selectors
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Callable

from tests.harness.places import join

Reply = Callable[[bytes, str], "list[bytes]"]
"""Returns the answers to a question that came to an address."""


@contextmanager
def answering(reply: Reply, addresses: Sequence[str] = ("127.0.0.1",)) -> Iterator[list[str]]:
    """Answer each datagram, and give the places where that is done.

    Each address has a socket of its own, since an answer has to come from where it was asked.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, len(addresses) + 512), hard))
    family = socket.AF_INET6 if ":" in addresses[0] else socket.AF_INET
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        port = 0
        for address in addresses:
            server = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            server.bind((address, port))
            port = server.getsockname()[1]
            selector.register(server, selectors.EVENT_READ, address)
        over, ending = socket.socketpair()
        stack.enter_context(over)
        selector.register(over, selectors.EVENT_READ, None)
        thread = threading.Thread(target=_serve, args=(selector, reply))
        thread.start()
        try:
            yield [join(address, port) for address in addresses]
        finally:
            ending.close()
            thread.join()


def _serve(selector: selectors.BaseSelector, reply: Reply) -> None:
    while True:
        for key, _ in selector.select():
            if key.data is None:
                return
            assert isinstance(key.fileobj, socket.socket)
            question, client = key.fileobj.recvfrom(65536)
            for each in reply(question, key.data):
                key.fileobj.sendto(each, client)


def answer_dns(question: bytes, record: str = "192.0.2.1") -> bytes:
    """Return the answer to a question for a name's address."""
    import dns.message
    import dns.rrset

    query = dns.message.from_wire(question)
    answer = dns.message.make_response(query)
    answer.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", record))
    return answer.to_wire()


def answer_sip(question: bytes, status: bytes = b"200 OK") -> bytes:
    """Return the answer to a request, with what tells the two together (RFC 3261, 8.2.6)."""
    kept = (b"Via:", b"To:", b"From:", b"Call-ID:", b"CSeq:")
    lines = [line for line in question.split(b"\r\n") if line.startswith(kept)]
    return b"\r\n".join([b"SIP/2.0 " + status, *lines, b"Content-Length: 0", b"", b""])
