"""Running the http, ftp, tcp and external monitors: in this process, and as mon runs them."""

from __future__ import annotations

import importlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lvsalert.commands import external_monitor, ftp_monitor, http_monitor, tcp_monitor
from lvsalert.commands.entry import Outcome
from lvsalert.mon.report import reasons_of
from tests.harness.places import CHECKOUT
from tests.harness.waiting import patience

PLUGINS = CHECKOUT / "mon.d"
NOTHING: Mapping[str, str] = {}
# The password goes with --user, which sends a run through requests or ftplib.
PASSWORD = {"LVSALERT_PASSWORD": "open sesame"}


def http(*argv: str, environ: Mapping[str, str] = NOTHING) -> Outcome:
    """Run http.monitor in this process; `environ` is its whole environment."""
    return http_monitor.run(argv, environ, lambda: "")


def ftp(*argv: str, environ: Mapping[str, str] = NOTHING) -> Outcome:
    """Run ftp.monitor in this process; `environ` is its whole environment."""
    return ftp_monitor.run(argv, environ, lambda: "")


def tcp(*argv: str, environ: Mapping[str, str] = NOTHING) -> Outcome:
    """Run tcp.monitor in this process; `environ` is its whole environment."""
    return tcp_monitor.run(argv, environ, lambda: "")


def external(*argv: str, environ: Mapping[str, str] = NOTHING) -> Outcome:
    """Run external.monitor in this process; `environ` is its whole environment."""
    return external_monitor.run(argv, environ, lambda: "")


def asked(monitor: str, *argv: str, environ: Mapping[str, str] = NOTHING) -> Outcome:
    """Run a monitor by its name in this process; `environ` is its whole environment."""
    module = importlib.import_module(f"lvsalert.commands.{monitor.replace('.', '_')}")
    outcome: Outcome = module.run(argv, environ, lambda: "")
    return outcome


def failed(outcome: Outcome) -> list[str]:
    """Return the hosts that the summary names, after a look at the rest of the contract."""
    assert outcome.stderr == ""
    summary = outcome.stdout.partition("\n")[0]
    hosts = summary.split()
    assert summary == " ".join(sorted(hosts))
    assert outcome.status in ((1,) if hosts else (0, 3))
    return hosts


def reasons(outcome: Outcome) -> dict[str, str]:
    """Return why each host failed; they are those of the summary."""
    hosts = failed(outcome)
    found = reasons_of(outcome.stdout)
    assert sorted(found) == hosts
    return found


def complaint(outcome: Outcome) -> str:
    """Return the one line of a run that judged nothing: status 3, and an empty summary before."""
    assert outcome.status == 3
    assert outcome.stderr == ""
    first, line, rest = outcome.stdout.split("\n", 2)
    assert first == rest == ""
    return line


def start(name: str, *argv: str, **more: Any) -> subprocess.Popen[bytes]:
    """Start a plugin as mon does: with no stdin, and stdout and stderr to be looked at."""
    environ: Mapping[str, str] = more.pop("env", {})
    return subprocess.Popen(
        [sys.executable, str(PLUGINS / name), *argv],
        stdin=subprocess.DEVNULL,
        stdout=more.pop("stdout", subprocess.PIPE),
        stderr=more.pop("stderr", subprocess.PIPE),
        env=environ,
        cwd=Path("/"),
        **more,
    )


def run(name: str, *argv: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a plugin to its end, at most a minute."""
    with start(name, *argv, **more) as process:
        try:
            out, err = process.communicate(timeout=patience())
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


class Names:
    """Names that are known in this process alone, in place of the machine's (getaddrinfo(3)).

    `hanging` are looked up until `close`.
    """

    def __init__(self, known: Mapping[str, Sequence[str]], hanging: Sequence[str] = ()) -> None:
        """Keep what each name stands for."""
        self._known = known
        self._hanging = frozenset(hanging)
        self._over = threading.Event()
        self.asked: list[str] = []

    def look_up(self, name: str, *_: Any) -> list[Any]:
        """Stand in for socket.getaddrinfo."""
        self.asked.append(name)
        if name in self._hanging:
            self._over.wait()
        if name not in self._known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, 0),
            )
            for address in self._known[name]
        ]

    def close(self) -> None:
        """End the look-ups that hang."""
        self._over.set()


@contextmanager
def knowing(known: Mapping[str, Sequence[str]], hanging: Sequence[str] = ()) -> Iterator[Names]:
    """Let this process know names of its own, and nothing else."""
    names = Names(known, hanging)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", names.look_up)
        try:
            yield names
        finally:
            names.close()


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
