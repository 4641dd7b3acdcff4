"""The lab's two sides: the host, which boots the guest, and the guest, where scenarios happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab import packages
from tests.lab.remote import SCENARIOS, Guest, Scenario, in_guest, write_report

if TYPE_CHECKING:
    pass

GUEST = pytest.StashKey[Guest]()


def pytest_configure(config: pytest.Config) -> None:
    """Have one guest for the whole run."""
    config.stash[GUEST] = Guest()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Switch the guest off."""
    config.stash[GUEST].close()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On the host, put what waits for the guest in the place of each scenario that was chosen."""
    if in_guest():
        return
    guest = config.stash[GUEST]
    reason = packages.why_not()
    for index, item in enumerate(items):
        if not item.path.is_relative_to(SCENARIOS):
            continue
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"the lab is left out: {reason}"))
        else:
            items[index] = Scenario.of(item, guest)
            guest.names.append(item.nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the guest, tell the host how each phase went."""
    if in_guest():
        write_report(report)
