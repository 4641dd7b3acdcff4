"""A log-in to an FTP server and a look into a file, through ftplib (RFC 959, RFC 2428)."""

from __future__ import annotations

import ftplib
import functools
import io
import re
import socket

from lvsalert.probes.threaded import Judge, Reach, TimedReader
from lvsalert.sweep import Verdict
from lvsalert.tuples import NamedTuple

DEFAULT_MAX_BYTES = 1 << 20
_MAX_REPLY = 1 << 16


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


def fetch(login: Login, reach: Reach) -> Judge:
    """Log in at one address and fetch the file; return what judges it.

    NotConnected where nothing listens there.
    """
    client = _Client(reach.connect(reach.target.port), reach)
    reason, content = "", b""
    try:
        content = client.visit(login)
    except EOFError:
        reason = f"{client.stage}: closed without a word"
    except (ConnectionResetError, BrokenPipeError):
        reason = f"{client.stage}: connection reset"
    except (_Refused, ftplib.Error, OSError, ValueError, OverflowError) as error:
        reason = f"{client.stage}: {getattr(error, 'strerror', None) or error}"
    finally:
        client.close()
    said = "\n".join(client.said).encode("latin-1")
    return functools.partial(_judge, login, reason, content, said)


def _judge(login: Login, reason: str, content: bytes, said: bytes) -> Verdict:
    if not reason and login.match is not None and not login.match.search(content):
        words = login.match.pattern.decode("utf-8", "backslashreplace")
        reason = f"no match in {login.path} for {words!r}"
    return Verdict(reason, said)


class _Refused(Exception):
    """The server's words are not what they should be."""


class _Client(ftplib.FTP):
    """A client that keeps the host's time and the sizes of replies in bounds.

    ``stage`` is what it is about, ``said`` what the server said so far.
    """

    def __init__(self, sock: socket.socket, reach: Reach) -> None:
        # Latin-1 takes any bytes of a server's; what is sent is UTF-8 in its guise.
        super().__init__(encoding="latin-1")
        self._reach = reach
        self._size = 0
        self.sock, self.af = sock, sock.family
        raw = TimedReader(socket.SocketIO(sock, "r"), sock, reach)
        self.file = io.TextIOWrapper(io.BufferedReader(raw), encoding="latin-1")
        self.stage = "greeting"
        self.said: list[str] = []

    def visit(self, login: Login) -> bytes:
        """Hear the greeting, log in, retrieve the file, say good-bye; return the file's content."""
        self._expect("220", self.getresp())
        self.stage = "log-in"
        self._expect("230", self.login(_wire(login.user), _wire(login.password)))
        content = b""
        if login.path is not None:
            self.stage = login.path
            content = self._retrieve(_wire(login.path), login.max_bytes)
        self.stage = "after QUIT"
        self._expect("221", self.sendcmd("QUIT"))
        return content

    def getline(self) -> str:
        """Return the server's next line; a server that talks without end is broken off."""
        line = super().getline()
        self._size += len(line)
        if self._size > _MAX_REPLY:
            raise _Refused(f"replies of more than {_MAX_REPLY} bytes")
        return line

    def getmultiline(self) -> str:
        """Return the server's next reply; ftplib waits for the end of any line such as SSH-2.0."""
        first = last = self.getline()
        if not re.match(r"[0-9]{3}", first):
            raise _Refused(first)
        lines = [first]
        while first[3:4] == "-" and (last[:3] != first[:3] or last[3:4] != " "):
            last = self.getline()
            lines.append(last)
        return "\n".join(lines)

    def _expect(self, code: str, reply: str) -> None:
        self.said.append(reply)
        if reply[:4] not in (f"{code} ", f"{code}-"):
            raise _Refused(reply)

    def _retrieve(self, path: str, most: int) -> bytes:
        pieces, left = [], most
        self.voidcmd("TYPE I")
        self.timeout = self._reach.seconds_left()
        with self.transfercmd(f"RETR {path}") as connection:
            while left > 0:
                connection.settimeout(self._reach.seconds_left())
                piece = connection.recv(min(left, 65536))
                if not piece:
                    break
                pieces.append(piece)
                left -= len(piece)
        if left:
            self.voidresp()
        else:
            # The rest is not awaited; whether the server minds (426) or not (226) is no matter.
            self.getmultiline()
        return b"".join(pieces)


def _wire(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
