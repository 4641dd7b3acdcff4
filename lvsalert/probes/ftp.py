"""An FTP server's greeting and farewell (RFC 959), and, through ftplib, a log-in and a file."""

from __future__ import annotations

import re
import socket
from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

from lvsalert.probes.threaded import NotConnected
from lvsalert.resolve import Address
from lvsalert.sweep import READ, WRITE, Conversation, Target, TimedOut, Verdict

if TYPE_CHECKING:
    import ftplib

DEFAULT_MAX_BYTES = 1 << 20
_MAX_REPLY = 1 << 16

# A reply's last line: three digits and a blank. "220-" begins a reply of several lines (4.2).
_CODE = re.compile(rb"(\d{3})([ -])")


class Login(NamedTuple):
    """A log-in, and a file to look into.

    ``path`` is retrieved where it is not None, up to ``max_bytes`` of it, and ``match`` searched in
    that.
    """

    user: str
    password: str
    path: str | None = None
    match: re.Pattern[bytes] | None = None
    max_bytes: int = DEFAULT_MAX_BYTES


class _Broken(Exception):
    """The server's bytes are no reply; the message says how."""


def probe(sock: socket.socket, _target: Target) -> Conversation:
    """Wait for a greeting of 220, say QUIT, and wait for a farewell of 221."""
    said, stage = b"", "no greeting"
    try:
        reply, rest = yield from _reply(sock, b"")
        said = reply
        if not reply.startswith(b"220"):
            return Verdict(f"greeting: {_last_line(reply)}", said)
        stage = "no answer to QUIT"
        try:
            sock.send(b"QUIT\r\n")
        except BlockingIOError:
            yield WRITE
            sock.send(b"QUIT\r\n")
        reply, _ = yield from _reply(sock, rest)
        said += reply
    except _Broken as error:
        return Verdict(f"{stage}: {error}", said)
    except TimedOut as error:
        return Verdict(f"{error}, {stage}", said)
    except (ConnectionResetError, BrokenPipeError):
        return Verdict(f"{stage}: connection reset", said)
    if not reply.startswith(b"221"):
        return Verdict(f"after QUIT: {_last_line(reply)}", said)
    return Verdict("", said)


def _reply(sock: socket.socket, data: bytes) -> Generator[int, None, tuple[bytes, bytes]]:
    """Read one reply; return it and what came after it."""
    while (end := _end_of_reply(data)) is None:
        if len(data) > _MAX_REPLY:
            raise _Broken(f"a reply of more than {_MAX_REPLY} bytes")
        yield READ
        piece = sock.recv(4096)
        if not piece:
            raise _Broken(f"closed after {data!r}" if data else "closed without a word")
        data += piece
    return data[:end], data[end:]


def _end_of_reply(data: bytes) -> int | None:
    """Return where the first reply in ``data`` ends, None where it has not come whole.

    Raises _Broken for what is none. A reply of several lines ends with the line that repeats its
    code with a blank.
    """
    first = _CODE.match(data)
    if first is None:
        if len(data) >= 4 or b"\n" in data:
            raise _Broken(f"not FTP: {_last_line(data)}")
        return None
    if first[2] == b" ":
        end = data.find(b"\n")
        return end + 1 or None
    last = re.search(rb"\n" + first[1] + rb" [^\n]*\n", data)
    return last.end() if last else None


def _last_line(reply: bytes) -> str:
    return reply.rstrip(b"\r\n").rpartition(b"\n")[2].decode("utf-8", "backslashreplace")[:200]


def fetch(login: Login, target: Target, address: Address, timeout: float) -> Verdict:
    """Log in at one address and look into the file. NotConnected where nothing listens."""
    import ftplib

    said: list[str] = []
    with ftplib.FTP(timeout=timeout) as ftp:  # noqa: S321 - FTP is what is asked about
        try:
            try:
                said.append(ftp.connect(address.text, target.port))
            except (ConnectionRefusedError, TimeoutError, socket.timeout) as error:
                raise NotConnected(error.strerror or f"timed out after {timeout:g} s") from None
            said.append(ftp.login(login.user, login.password))
            reason = _look_into(ftp, login)
            if not reason:
                said.append(ftp.quit())
        except ftplib.all_errors as error:
            reason = str(error) or type(error).__name__
        return Verdict(reason, "\n".join(said).encode("utf-8", "surrogateescape"))


def _look_into(ftp: ftplib.FTP, login: Login) -> str:
    """Return why the file is not as it should be, or an empty string."""
    if login.path is None:
        return ""
    pieces: list[bytes] = []
    connection = ftp.transfercmd(f"RETR {login.path}")
    with connection:
        left = login.max_bytes
        while left > 0 and (piece := connection.recv(min(left, 65536))):
            pieces.append(piece)
            left -= len(piece)
    if left:
        ftp.voidresp()
    else:
        # The rest is not awaited; a server may answer 226 or 426, both are its word on that.
        ftp.getmultiline()
    if login.match is not None and not login.match.search(b"".join(pieces)):
        return f"no match in {login.path} for {login.match.pattern.decode('utf-8', 'replace')!r}"
    return ""
