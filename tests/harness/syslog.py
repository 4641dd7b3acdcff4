"""A syslog of a test's own: a /dev/log that one program and its children see, and nobody else."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.harness.places import is_root
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

# A /dev with nothing but what programs need and the log, since on a machine without a syslog
# daemon there is no /dev/log to put ours over.
_WITH_OWN_DEV = """
set -e
socket=$1 dev=$2
shift 2
mount -t tmpfs -o mode=755 dev "$dev"
for name in null zero full random urandom tty ptmx; do
    : >"$dev/$name"
    mount --bind "/dev/$name" "$dev/$name"
done
for name in pts shm; do
    mkdir "$dev/$name"
    mount --rbind "/dev/$name" "$dev/$name"
done
ln -s /proc/self/fd "$dev/fd"
ln -s "$socket" "$dev/log"
mount --rbind "$dev" /dev
exec "$@"
"""

WARNING = 4
"""The least severe level that is a complaint (syslog(3): 0 is an emergency, 7 debugging)."""

_DAILY_WORK = r"mon\[\d+\]: (calling|failure for) "


@dataclass(frozen=True)
class Entry:
    """One message: facility and severity as in syslog(3), and the text from the ident on."""

    facility: int
    severity: int
    text: str

    @classmethod
    def parse(cls, datagram: bytes) -> Entry:
        """Take apart `<priority>Mmm dd hh:mm:ss ident[pid]: text`, as syslog(3) writes it."""
        text = datagram.decode(errors="replace").rstrip("\n\0")
        match = re.match(r"<(\d+)>(?:\w{3} [ \d]\d \d\d:\d\d:\d\d )?(.*)", text, re.DOTALL)
        assert match is not None, f"not a syslog message: {text!r}"
        priority = int(match[1])
        return cls(priority >> 3, priority & 7, match[2])


class Syslog:
    """Collects what is logged by the programs that are started with `for_program`."""

    def __init__(self, folder: Path) -> None:
        """Choose the socket's place in `folder`, one that every user may enter."""
        self._path = folder / "syslog"
        self._dev = folder / "dev"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self.entries: list[Entry] = []

    def __enter__(self) -> Self:
        """Listen."""
        self._dev.mkdir(exist_ok=True)
        self._socket.bind(str(self._path))
        self._path.chmod(0o666)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)
        self._thread.join()
        self._socket.close()

    def _collect(self) -> None:
        while datagram := self._socket.recv(65536):
            self.entries.append(Entry.parse(datagram))

    def for_program(self, argv: list[str]) -> list[str]:
        """Return the argv that runs `argv` with /dev/log being this one.

        Without root a user namespace gives the right to mount; the program sees itself as root
        then, without having any of root's rights outside.
        """
        user = [] if is_root() else ["--user", "--map-root-user"]
        mount = ["unshare", *user, "--mount", "sh", "-c", _WITH_OWN_DEV, "sh"]
        return [*mount, str(self._path), str(self._dev), *argv]

    @property
    def lines(self) -> list[str]:
        """All messages so far."""
        return [entry.text for entry in self.entries]

    def complaints(self) -> list[str]:
        """The messages at level warning or worse that are not mon's daily work.

        It notes each failure at level crit, and each alert that it calls at level alert.
        """
        return [
            entry.text
            for entry in self.entries
            if entry.severity <= WARNING and not re.match(_DAILY_WORK, entry.text)
        ]

    def wait_for(self, pattern: str) -> str:
        """Wait for a message that `pattern` is found in, and return it."""

        def found() -> str | None:
            return next((line for line in self.lines if re.search(pattern, line)), None)

        line = wait_until(found, lambda: f"{pattern!r} in syslog:\n" + "\n".join(self.lines))
        assert line is not None
        return line
