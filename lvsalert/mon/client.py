"""A client of mon's own port, as moncmd(1) is: what mon knows of its services and groups.

The protocol is a line a command; mon answers with lines, the last of which starts with three digits
and a blank: 220 is done, everything else a refusal. Read in client_command of mon 1.3.6.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from lvsalert.errors import NotDoneError, UsageError
from lvsalert.model import join_endpoint, parse_port, split_endpoint

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_PORT = 2583
_DONE = "220"
_FAULTY = "520 reset"
_STATUS = re.compile(r"\d{3} ", re.ASCII)
# mon writes what is not plain in quotes' stead as a backslash and two digits (esc_str).
_ESCAPED = re.compile(r"\\(\\|[0-9a-f]{2})")
# More than mon could hold of summaries and details; whoever sends that is not mon.
_MOST_BYTES = 1 << 26

FAIL, OK = 0, 1
STATUS_NAMES = (
    *("fail", "ok", "coldstart", "warmstart", "linkdown"),
    *("unknown", "timeout", "untested", "depend", "warn"),
)
"""What the numbers of opstatus mean, in order."""


class Login(NamedTuple):
    """A user of mon's and the password."""

    user: str
    password: str


class Opstatus(NamedTuple):
    """What mon says of a service: ``status`` is one of ``STATUS_NAMES``, by number.

    ``retval`` is the monitor's exit status, None before the first check; ``time`` (epoch) is when
    the check ended that says so, None where there was none.
    """

    status: int
    retval: int | None
    time: int | None
    summary: str
    detail: str

    @property
    def name(self) -> str:
        """Return the status as mon calls it."""
        return STATUS_NAMES[self.status] if self.status < len(STATUS_NAMES) else str(self.status)


class MonState(NamedTuple):
    """What mon was asked: services by group and name, the hosts of groups, what is disabled.

    A host that is disabled carries a ``*``. ``disabled`` holds (group, service), and for a whole
    watch (group, "").
    """

    services: Mapping[tuple[str, str], Opstatus]
    groups: Mapping[str, tuple[str, ...]]
    disabled: frozenset[tuple[str, str]]


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``host`` or ``host:port``; UsageError for what is neither."""
    host, port = split_endpoint(text)
    return host, DEFAULT_PORT if port is None else parse_port(port)


def ask(
    address: tuple[str, int], login: Login | None, groups: Iterable[str], timeout: float
) -> MonState:
    """Return what mon at ``address`` says, within ``timeout`` seconds for all of it.

    A group that mon does not have is left out. NotDoneError where mon cannot be reached or refuses.
    """
    with _Connection(address, timeout) as mon:
        if login is not None:
            mon.log_in(login)
        services = dict(map(_opstatus, mon.done("list opstatus")))
        disabled = frozenset(filter(None, map(_disabled, mon.done("list disabled"))))
        known = {}
        for group in groups:
            status, lines = mon.command(f"list group {group}")
            if status.startswith(_DONE):
                known[group] = tuple(word for line in lines for word in line.split()[2:])
    return MonState(services, known, disabled)


def reset(address: tuple[str, int], login: Login | None, timeout: float) -> bool:
    """Have mon at ``address`` read its configuration anew and keep its state.

    Return whether mon takes it. Errors are those of ``ask``.
    """
    with _Connection(address, timeout) as mon:
        if login is not None:
            mon.log_in(login)
        status, _ = mon.command("reset keepstate")
        if status.startswith((_DONE, _FAULTY)):
            return status.startswith(_DONE)
        raise NotDoneError(
            f"{join_endpoint(*address)}: mon refuses to be reset: {status}"
            " (its auth.cf says who may)"
        )


class _Connection:
    """An open connection to mon with a deadline for everything that is said on it."""

    def __init__(self, address: tuple[str, int], timeout: float) -> None:
        self._name = join_endpoint(*address)
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._received = bytearray()
        try:
            self._socket = socket.create_connection(address, timeout)
        except OSError as error:
            raise self._trouble(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def log_in(self, login: Login) -> None:
        words = f"login {login.user} {login.password}"
        if re.search(r"[\r\n]", words) or re.search(r"\s|^$", login.user):
            raise UsageError("mon takes no user with a blank and no password with a line's end")
        status, _ = self.command(words)
        if not status.startswith(_DONE):
            raise NotDoneError(f"{self._name}: mon refuses to let {login.user!r} in: {status}")

    def done(self, command: str) -> list[str]:
        """Return what mon answers to a command that it has to do."""
        status, lines = self.command(command)
        if not status.startswith(_DONE):
            raise NotDoneError(
                f"{self._name}: mon refuses {command!r}: {status} (its auth.cf says who may list)"
            )
        return lines

    def command(self, line: str) -> tuple[str, list[str]]:
        """Return the last line of mon's answer to a command, and the lines before it."""
        lines: list[str] = []
        try:
            self._socket.sendall(f"{line}\n".encode("utf-8", "surrogateescape"))
            while True:
                answer = self._line()
                if _STATUS.match(answer):
                    return answer, lines
                lines.append(answer)
        except OSError as error:
            raise self._trouble(error) from None

    def _line(self) -> str:
        looked_at = 0
        while (end := self._received.find(b"\n", looked_at)) < 0:
            looked_at = len(self._received)
            self._receive()
        line = self._received[:end].decode("utf-8", "surrogateescape")
        del self._received[: end + 1]
        return line.rstrip("\r")

    def _receive(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout
        if len(self._received) > _MOST_BYTES:
            raise NotDoneError(f"{self._name}: this is not mon: its answer has no end")
        self._socket.settimeout(left)
        more = self._socket.recv(1 << 16)
        if not more:
            raise NotDoneError(
                f"{self._name}: mon hung up without an answer (its clientallow says who may ask)"
            )
        self._received += more

    def _trouble(self, error: OSError) -> NotDoneError:
        if isinstance(error, socket.timeout):
            return NotDoneError(f"{self._name}: mon did not answer in {self._timeout:g} s")
        reason = (error.strerror or str(error)).lower()
        return NotDoneError(f"{self._name}: mon cannot be reached: {reason}")


def _opstatus(line: str) -> tuple[tuple[str, str], Opstatus]:
    """Return group and service, and what a line of ``list opstatus`` says of it."""
    pairs = dict(word.partition("=")[::2] for word in line.split(" "))
    try:
        status = int(pairs["opstatus"])
        name = pairs["group"], pairs["service"]
    except (KeyError, ValueError):
        raise NotDoneError(f"mon's list opstatus cannot be read: {line[:80]!r}") from None
    ended = pairs.get("last_success" if status == OK else "last_failure", "")
    return name, Opstatus(
        status,
        _number(pairs.get("exitval", "")),
        # mon has 0 where there was none.
        _number(ended) or None,
        unescape(pairs.get("last_summary", "")),
        unescape(pairs.get("last_detail", "")),
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def unescape(text: str) -> str:
    """Return what mon's esc_str escaped, which knows bytes only."""
    plain = _ESCAPED.sub(lambda found: _plain(found[1]), text)
    return plain.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


def _plain(escaped: str) -> str:
    return escaped if escaped == "\\" else chr(int(escaped, 16))


def _disabled(line: str) -> tuple[str, str] | None:
    """Return the service or watch that a line of ``list disabled`` names, None for a host."""
    kind, name, *rest = line.split()
    return (name, rest[-1] if rest else "") if kind == "watch" else None
