"""What scenarios ask for; everything here runs inside the guest."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness.places import open_folder
from tests.lab.by_way import ACCEPT_LOCAL
from tests.lab.configuration import LVS_DIRECTOR
from tests.lab.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


@pytest.fixture(scope="session")
def topology() -> Iterator[Topology]:
    """The hosts, made once."""
    with open_folder() as folder:
        yield Topology(folder)


@pytest.fixture(scope="session")
def installed() -> str:
    """The suite's plugins and its drop-in, where a user of Debian's mon has them.

    The value is what the installation said.
    """
    argv = [LVS_DIRECTOR, "install", "--systemd"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def lab(topology: Topology, installed: str) -> Iterator[Topology]:
    """The hosts, with nothing running, empty tables and nothing remembered."""
    yield topology
    topology.reset()


@pytest.fixture
def via(lab: Topology) -> Iterator[Topology]:
    """The hosts with their web servers up, and directors that take what comes from their own."""
    lab.start_web()
    for director in (lab.director1, lab.director2):
        director.set_sysctls({ACCEPT_LOCAL: 1})
    yield lab
    for director in (lab.director1, lab.director2):
        director.set_sysctls({ACCEPT_LOCAL: 0})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what everybody in the lab saw."""
    report = yield
    topology = getattr(item, "funcargs", {}).get("lab")
    if report.failed and call.when == "call" and topology is not None:
        report.sections.extend(topology.story())
    return report
