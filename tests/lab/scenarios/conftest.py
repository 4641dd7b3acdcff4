"""What scenarios ask for; everything here runs inside the guest."""

from __future__ import annotations

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


@pytest.fixture
def lab(topology: Topology) -> Iterator[Topology]:
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
