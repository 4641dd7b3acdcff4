"""The real mon, with folders, ports and a syslog of its own, as an unprivileged user."""

from __future__ import annotations

import functools
import re
import shutil
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.places import answers, free_port, is_root
from tests.harness.processes import Program
from tests.harness.syslog import Syslog
from tests.harness.waiting import patience, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

USER = "mon"

STOCK = Path("/usr/lib/mon")
"""Where Debian's package keeps mon's own monitors and alerts."""

# What the drop-in for mon's unit grants (systemd.exec(5), AmbientCapabilities), in setpriv's words.
_CAPABILITIES = "-all,+net_admin,+net_raw"

_COMMANDS = (
    "ack checkauth clear disable dump enable get list loadstate protid quit reload reset savestate"
    " servertime set start stop term test version"
)


class Mon:
    """One mon: its configuration is a text, what it logs is in `syslog`.

    As root it runs as the user mon, with CAP_NET_ADMIN and CAP_NET_RAW as the only capabilities;
    else as whoever runs the tests. It can be stopped, killed and started again.
    """

    def __init__(
        self,
        folder: Path,
        configuration: str,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Lay out `folder`, a new one that every user may enter.

        `environment` comes on top of a bare PATH; mon hands it on to monitors and alerts. `options`
        are those of mon(8), such as `-S`: do not check anything.
        """
        folder.mkdir()
        for name in ("state", "log"):
            (folder / name).mkdir()
            if is_root():
                shutil.chown(folder / name, USER, USER)
        self._auth = folder / "auth.cf"
        self.allow(*_COMMANDS.split())
        self.file = folder / "mon.cf"
        self.configure(configuration)
        self._port, self._trap_port = free_port(), free_port()
        self.syslog = Syslog(folder)
        self._program = Program(
            self.syslog.for_program([*as_user(), *self._argv(folder), *options]),
            folder / "output",
            {"PATH": "/usr/bin:/bin", **(environment or {})},
        )

    def _argv(self, folder: Path) -> list[str]:
        options = {
            "-c": self.file,
            "-A": self._auth,
            "-B": folder,
            "-D": folder / "state",
            "-L": folder / "log",
            "-P": folder / "state" / "pid",
            "-p": self._port,
            "-t": self._trap_port,
        }
        return ["/usr/sbin/mon", *(str(word) for pair in options.items() for word in pair)]

    @property
    def place(self) -> str:
        """Where it takes commands."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._program.pid

    @property
    def trap_place(self) -> str:
        """Where it takes traps."""
        return f"127.0.0.1:{self._trap_port}"

    def allow(self, *commands: str, traps: str = "127.0.0.1 * *") -> None:
        """Let everybody give these commands, and send traps as a line of auth.cf says."""
        lines = [f"{command}: all" for command in commands]
        self._auth.write_text("\n".join([*lines, "trap section", traps, ""]))

    def configure(self, configuration: str) -> None:
        """Write mon.cf anew; a running mon reads it at the command `reset`."""
        self.file.write_text(configuration)

    def __enter__(self) -> Self:
        """Start it."""
        self.syslog.__enter__()
        try:
            self.start()
        except BaseException:
            self._program.kill()
            self.syslog.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()
        self.syslog.__exit__(kind, error, trace)

    def start(self) -> None:
        """Start it, and wait until it takes commands."""
        self._program.start()
        wait_until(self._is_up, lambda: f"mon answers\n{self.story}")

    def _is_up(self) -> bool:
        assert self._program.runs, f"mon ended\n{self.story}"
        return answers(f"127.0.0.1:{self._port}")

    def stop(self) -> None:
        """End it in good order."""
        self._program.stop()

    def kill(self) -> None:
        """End it, and what it runs, at once."""
        self._program.kill()

    def signal(self, number: int) -> None:
        """Send mon itself a signal."""
        self._program.signal(number)

    @property
    def output(self) -> str:
        """What mon wrote to stdout and stderr, warnings of its configuration among them."""
        return self._program.output

    @property
    def story(self) -> str:
        """Everything that tells what mon did, for the message of a failure."""
        return "\n".join(["output:", self.output, "syslog:", *self.syslog.lines])

    def command(self, line: str) -> list[str]:
        """Give mon a command as moncmd(1) does, and return the lines of its answer.

        An answer that ends in anything but `220 …` is an AssertionError.
        """
        with (
            socket.create_connection(("127.0.0.1", self._port), timeout=patience()) as connection,
            connection.makefile("rw") as stream,
        ):
            stream.write(f"{line}\n")
            stream.flush()
            lines: list[str] = []
            for answer in stream:
                if re.match(r"\d{3} ", answer):
                    assert answer.startswith("220 "), f"{line}: {answer.strip()}"
                    return lines
                lines.append(answer.rstrip("\n"))
        raise AssertionError(f"{line}: mon hung up after {lines}")

    def status(self, group: str, service: str) -> dict[str, str]:
        """Return mon's view of a service: opstatus, last_summary, exitval and the like."""
        (line,) = self.command(f"list opstatus {group},{service}")
        pairs = re.findall(r"(\w+)=(?:'([^']*)'|(\S*))", line)
        return {name: quoted or plain for name, quoted, plain in pairs}

    def wait_for_check(self, group: str, service: str) -> None:
        """Wait until a check that begins from now on has ended."""
        self.wait_for_checks([(group, service)])

    def wait_for_checks(self, watches: Sequence[tuple[str, str]]) -> None:
        """Wait until of each group and service a check that begins from now on has ended."""
        begun = int(time.time())

        def checked(group: str, service: str) -> bool:
            status = self.status(group, service)
            return int(status["last_check"] or 0) > begun and status["monitor_running"] == "0"

        for group, service in watches:
            wait_until(
                functools.partial(checked, group, service),
                lambda: f"all of {watches} checked\n{self.story}",
                pause=0.2,
            )


def as_user() -> list[str]:
    """Return what starts a program as mon, with its two capabilities, where that can be."""
    if not is_root():
        return []
    return [
        "setpriv",
        f"--reuid={USER}",
        f"--regid={USER}",
        "--init-groups",
        f"--inh-caps={_CAPABILITIES}",
        f"--ambient-caps={_CAPABILITIES}",
    ]
