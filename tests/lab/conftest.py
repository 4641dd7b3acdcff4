"""The lab's two sides: the host, which boots guests, and the guest, where scenarios happen."""

from __future__ import annotations

import pytest

from tests.lab import packages
from tests.lab.remote import (
    SCENARIOS,
    Guests,
    Scenario,
    in_guest,
    run_what_is_left,
    write_report,
)

GUESTS = pytest.StashKey[Guests]()


def pytest_configure(config: pytest.Config) -> None:
    """Have the same guests for the whole run."""
    config.stash[GUESTS] = Guests()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Switch them off."""
    config.stash[GUESTS].close()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On the host, put what waits for the guest in the place of each scenario that was chosen."""
    if in_guest():
        return
    guests = config.stash[GUESTS]
    reason = packages.why_not()
    for index, item in enumerate(items):
        if not item.path.is_relative_to(SCENARIOS):
            continue
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"the lab is left out: {reason}"))
        else:
            items[index] = Scenario.of(item, guests)
            guests.names.append(item.nodeid)


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """In the guest, share the tests with the other guests."""
    if not in_guest() or session.testsfailed:
        return None
    run_what_is_left(session.items)
    return True


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the guest, tell the host how each phase went."""
    if in_guest():
        write_report(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """On the host, show what scenarios told of beside their outcome."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties if report.when == "call" else ():
                terminalreporter.write_line(f"{report.nodeid}: {name}: {value}")
