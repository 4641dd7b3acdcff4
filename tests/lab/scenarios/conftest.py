"""What scenarios ask for; everything here runs inside the guest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.places import open_folder
from tests.lab.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


@pytest.fixture(scope="session")
def topology() -> Iterator[Topology]:
    """The hosts, made once."""
    with open_folder() as folder:
        yield Topology(folder)


@pytest.fixture(scope="session")
def installed() -> None:
    """The suite's plugins and its drop-in, where a user of Debian's mon has them."""
    director = Path(sys.executable).with_name("lvs-director")
    subprocess.run([director, "install", "--systemd"], check=True)


@pytest.fixture
def lab(topology: Topology, installed: None) -> Iterator[Topology]:
    """The hosts, with nothing running and empty tables."""
    yield topology
    topology.reset()


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
