"""A log-in to an FTP server and a look into a file, through ftplib (RFC 959, 2428 and 4217)."""

from __future__ import annotations

import ftplib
import functools
import io
import re
import socket
import ssl
from typing import NamedTuple

from lvsalert.checks import tls
from lvsalert.checks.sweep import Verdict
from lvsalert.checks.threads import Judge, Reach, TimedReader

DEFAULT_MAX_BYTES = 1 << 20
_MAX_REPLY = 1 << 16


class Login(NamedTuple):
    """A log-in, and a file to look into.

    ``path`` is retrieved where it is not None, up to ``max_bytes`` of it, and ``match`` searched in
    that. With ``trust`` all is said over TLS, from the start where it is ``implicit``.
    """

    user: str
    password: str
    path: str | None = None
    match: re.Pattern[bytes] | None = None
    max_bytes: int = DEFAULT_MAX_BYTES
    trust: ssl.SSLContext | None = None
    implicit: bool = False


def fetch(login: Login, reach: Reach) -> Judge:
    """Log in at one address and fetch the file; return what judges it.

    NotConnected where nothing listens there.
    """
    client = _Client(reach.connect(reach.target.port), reach, login)
    reason, content = "", b""
    try:
        content = client.visit()
    except EOFError:
        reason = f"{client.stage}: closed without a word"
    except (ConnectionResetError, BrokenPipeError):
        reason = f"{client.stage}: connection reset"
    except ssl.SSLError as error:
        reason = tls.broken_off(error, client.stage)
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

    def __init__(self, sock: socket.socket, reach: Reach, login: Login) -> None:
        # Latin-1 takes any bytes of a server's; what is sent is UTF-8 in its guise.
        super().__init__(encoding="latin-1")
        self._reach = reach
        self._login = login
        self._size = 0
        self._plain = sock
        self.af = sock.family
        self._listen(sock)
        self.stage = "greeting"
        self.said: list[str] = []

    def visit(self) -> bytes:
        """Hear the greeting, log in, retrieve the file, say good-bye; return the file's content."""
        login = self._login
        if login.trust is not None and login.implicit:
            self._secure(login.trust)
        self._expect("220", self.getresp())
        if login.trust is not None and not login.implicit:
            self.stage = "AUTH TLS"
            self._expect("234", self.sendcmd("AUTH TLS"))
            self._secure(login.trust)
        self.stage = "log-in"
        self._expect("230", self.login(_wire(login.user), _wire(login.password)))
        content = b""
        if login.path is not None:
            self.stage = login.path
            if login.trust is not None:
                self.voidcmd("PBSZ 0")
                self.voidcmd("PROT P")
            content = self._retrieve(_wire(login.path), login.max_bytes)
        self.stage = "after QUIT"
        self._expect("221", self.sendcmd("QUIT"))
        return content

    def _secure(self, trust: ssl.SSLContext) -> None:
        stage, self.stage = self.stage, tls.NOT_UP
        self._listen(self._over_tls(trust, self._plain))
        self.stage = stage

    def _listen(self, sock: socket.socket) -> None:
        self.sock = sock
        raw = TimedReader(socket.SocketIO(sock, "r"), sock, self._reach)
        self.file = io.TextIOWrapper(io.BufferedReader(raw), encoding="latin-1")

    def _over_tls(
        self, trust: ssl.SSLContext, sock: socket.socket, session: ssl.SSLSession | None = None
    ) -> ssl.SSLSocket:
        sock.settimeout(self._reach.seconds_left())
        name = tls.name_to_verify(self._reach.target.certified)
        return trust.wrap_socket(sock, server_hostname=name, session=session)

    def ntransfercmd(
        self, cmd: str, rest: int | str | None = None
    ) -> tuple[socket.socket, int | None]:
        """Return a connection for data; a server may want the session of the other one there."""
        sock, size = super().ntransfercmd(cmd, rest)
        if isinstance(self.sock, ssl.SSLSocket):
            sock = self._over_tls(self.sock.context, sock, self.sock.session)
        return sock, size

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
