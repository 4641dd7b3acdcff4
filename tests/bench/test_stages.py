"""The stopwatch of the benchmark still finds the stages of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.harness import misbehaving
from tests.harness.misbehaving import OK, Misbehaving
from tests.harness.places import CHECKOUT

STAGES = ("interpreter", "imports", "option parsing", "name resolution", "sockets", "report")
SERVERS = {
    "http_monitor": misbehaving.replies(OK + b"\r\ntest page\n"),
    "ftp_monitor": misbehaving.ftp(),
    "fping_monitor": misbehaving.silent,
}


@pytest.mark.parametrize("module", SERVERS)
def test_every_stage_is_timed(module: str) -> None:
    """Each monitor's run falls into the stages that the table has."""
    packages = Path(click.__file__).parents[1]
    with Misbehaving(SERVERS[module]) as server:
        argv = [sys.executable, str(CHECKOUT / "tests/bench/stages.py"), str(packages), module]
        done = subprocess.run(
            [*argv, server.place], capture_output=True, text=True, check=False, cwd=CHECKOUT
        )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stderr)) == set(STAGES)
