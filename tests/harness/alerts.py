"""lvs.alert in the test's own process, on the stand-in: fast enough for hundreds of alerts."""

from __future__ import annotations

import os
import socket
import syslog
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from lvsalert import standin
from lvsalert.commands import lvs_alert
from lvsalert.director import reconcile
from lvsalert.ipvs import ipvsadm
from tests.harness.table_file import TableFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pytest

    from lvsalert.commands.entry import Outcome

NOW = 1_700_000_000
FLAGS = {"up": "-u", "ack": "-a", "disable": "-D", "trap": "-T", "traptimeout": "-O"}
"""The flag that mon gives with an alert of this type; others carry none."""


class Logged(NamedTuple):
    """One message to syslog(3)."""

    ident: str
    facility: int
    level: int
    text: str


class Director:
    """A director's table, its names, its syslog, and lvs.alert called as mon or a person would."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of ipvsadm, of name resolution and of syslog."""
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir()
        self.common_lock = folder / "common-lock"
        self.kernel = TableFile(folder / "table")
        self._hanging: dict[str, threading.Event] = {}
        self.names: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.commands: list[tuple[str, ...]] = []
        self.log: list[Logged] = []
        self.time = NOW
        self._ident = ("", 0)
        self.environ = {"LVSALERT_STATE_DIR": str(self.state)}
        self._monkeypatch = monkeypatch
        self._real_run = ipvsadm.Ipvsadm._run
        monkeypatch.setattr(ipvsadm.Ipvsadm, "_run", self._run)
        for module in (ipvsadm, reconcile):
            monkeypatch.setattr(module, "FALLBACK_LOCK", str(self.common_lock))
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)
        monkeypatch.setattr(syslog, "openlog", self._open_log)
        monkeypatch.setattr(syslog, "syslog", self._log)

    def alert(
        self, *argv: str, environ: Mapping[str, str] | None = None, stdin: str = ""
    ) -> Outcome:
        """Run lvs.alert with these words."""
        return lvs_alert.run(argv, {**self.environ, **(environ or {})}, lambda: stdin)

    def use(self, *lines: str) -> str:
        """Run a real program from now on, a shell script of these lines, and return its path.

        `$honest` in them is a stand-in on the same table.
        """
        honest, program = self.folder / "honest", self.folder / "ipvsadm"
        standin.write_executable(str(honest), str(self.kernel.path))
        text = "\n".join(["#!/bin/sh", f"folder={self.folder}", f"honest={honest}", *lines])
        program.write_text(f"{text}\n")
        program.chmod(0o755)
        self.environ["LVSALERT_IPVSADM"] = str(program)
        self._monkeypatch.setattr(ipvsadm.Ipvsadm, "_run", self._real_run)
        return str(program)

    def by_mon(
        self,
        event: str,
        summary: str = "",
        *options: str,
        hosts: str = "192.0.2.1 192.0.2.2 192.0.2.3",
        environ: Mapping[str, str] | None = None,
        flag: str | None = None,
        detail: str = "detail",
    ) -> Outcome:
        """Run lvs.alert as mon does, a minute after the run before."""
        self.time += 60
        flags = [FLAGS[event]] if flag is None and event in FLAGS else [flag] if flag else []
        called = ["-s", "http", "-g", "www", "-h", hosts, "-t", str(self.time), *flags]
        if not any(word in {"-V", "--virtual-service"} for word in options):
            called += ["-V", "10.0.0.3:80"]
        told = {"MON_ALERTTYPE": event, "MON_GROUP": "www", "MON_SERVICE": "http"}
        told["MON_RETVAL"] = "0" if event == "up" else "1"
        told.update(environ or {})
        return self.alert(*called, *options, environ=told, stdin=f"{summary}\n{detail}\n")

    def by_hand(self, *options: str) -> Outcome:
        """Run lvs.alert as a person would, on the web service."""
        return self.alert("-V", "10.0.0.3:80", *options)

    @contextmanager
    def hanging(self, name: str) -> Iterator[None]:
        """Let the look-up of a name take until the end."""
        self._hanging = {name: threading.Event()}
        try:
            yield
        finally:
            self._hanging[name].set()

    @property
    def servers(self) -> dict[str, str]:
        """What stands in the web service: each real server, with its method and weight."""
        return self.servers_of("-t 10.0.0.3:80")

    def servers_of(self, service: str) -> dict[str, str]:
        """What stands in a service that is told in ipvsadm's words."""
        begin = f"-a {service} -r "
        rules = [rule[len(begin) :] for rule in self.kernel.rules if rule.startswith(begin)]
        return dict(rule.split(" ", 1) for rule in rules)

    @property
    def batches(self) -> int:
        """How often the table was written to."""
        return self.commands.count(("-R",))

    @property
    def told(self) -> list[str]:
        """The texts that went to syslog."""
        return [each.text for each in self.log]

    def _run(
        self, *commands: Sequence[str], stdin: int | None = None, **_more: object
    ) -> list[ipvsadm.Answer]:
        text = ""
        if stdin is not None:
            size = os.fstat(stdin).st_size
            text = os.pread(stdin, size, 0).decode()
        self.commands += map(tuple, commands)
        return [ipvsadm.Answer(*self.kernel.ask(*arguments, stdin=text)) for arguments in commands]

    def _look_up(
        self, name: str, _port: object, family: int = 0, *_more: object
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        self.asked.append(name)
        if name in self._hanging:
            self._hanging[name].wait()
        found: list[tuple[int, int, int, str, tuple[str, int]]] = [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, 1, 6, "", (address, 0))
            for address in self.names.get(name, ())
        ]
        found = [each for each in found if family in (0, each[0])]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found

    def _open_log(self, ident: str, _option: int, facility: int) -> None:
        self._ident = (ident, facility)

    def _log(self, level: int, text: str) -> None:
        self.log.append(Logged(*self._ident, level, text))
