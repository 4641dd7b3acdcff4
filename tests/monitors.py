"""Running the http and ftp monitors: in this process, and as mon runs them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lvsalert import mon
from lvsalert.commands import ftp_monitor, http_monitor
from lvsalert.commands.entry import Outcome
from tests.harness.places import CHECKOUT

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
    found = mon.reasons(outcome.stdout)
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
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
