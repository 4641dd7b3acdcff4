"""The lab's two sides: the host, which boots guests, and the guest, where scenarios happen."""

from __future__ import annotations

import contextlib
import os
import sys

import pytest

from tests.lab import packages
from tests.lab.remote import (
    LONG,
    NEWER,
    SCENARIOS,
    SECONDS,
    Guests,
    Scenario,
    in_guest,
    is_for_newer,
    run_what_is_left,
    write_report,
)

GUESTS = pytest.StashKey[tuple[Guests, Guests]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take --quick."""
    parser.addoption("--quick", action="store_true", help="leave the lab's long scenarios out")


def pytest_configure(config: pytest.Config) -> None:
    """Have the same guests for the whole run, on either kernel."""
    newer = Guests(NEWER)
    config.stash[GUESTS] = (Guests(others=newer), newer)
    config.pluginmanager.register(Doubles())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Switch them off."""
    for guests in config.stash[GUESTS]:
        guests.close()


class Doubles:
    """Adds the scenarios that happen on the newer kernel too, before any are chosen by name."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Do it on the host."""
        _, newer = config.stash[GUESTS]
        if not in_guest():
            items += [Scenario.of(item, newer) for item in items if is_for_newer(item)]

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Boot one more guest where a core is free for it by now."""
        begin(item.config, is_ours=isinstance(item, Scenario))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On the host, put what waits for the guest in the place of each scenario that was chosen."""
    if in_guest():
        return
    if config.option.quick:
        _leave_long_ones_out(config, items)
    guests, _ = config.stash[GUESTS]
    reason = packages.why_not()
    for index, item in enumerate(items):
        if not item.path.is_relative_to(SCENARIOS):
            continue
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"the lab is left out: {reason}"))
            continue
        scenario = item if isinstance(item, Scenario) else Scenario.of(item, guests)
        items[index] = scenario
        scenario.guests.names.append(scenario.there)
    if not hasattr(config, "workerinput"):
        # What is waited for last goes on beside all the others.
        items.sort(key=lambda item: isinstance(item, Scenario))


def _leave_long_ones_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    long = [item for item in items if item.name in LONG]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """In the guest, share the tests with the other guests; on the host, boot those.

    The scenarios go on beside all other tests, and the first that is waited for tells why there is
    no guest.
    """
    if session.testsfailed:
        return None
    if not in_guest():
        begin(session.config)
        return None
    run_what_is_left(session.items)
    return True


def begin(config: pytest.Config, *, is_ours: bool = False) -> None:
    """On the host, boot the guests that the machine carries now.

    Of processes that share the tests, one has the scenarios, and begins with the first of them,
    which `is_ours`.
    """
    if is_ours or not (in_guest() or hasattr(config, "workerinput")):
        with contextlib.suppress(Exception):
            for guests in reversed(config.stash[GUESTS]):
                guests.begin()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the guest, tell the host how each phase went; there, show that a scenario is done."""
    if in_guest():
        write_report(report)
        return
    seconds = dict(report.user_properties).get(SECONDS)
    is_shown = "PYTEST_XDIST_WORKER" not in os.environ
    if report.when == "call" and seconds is not None and is_shown:
        sys.stdout.write(f" {report.nodeid.rpartition('::')[2]} {seconds:.0f} s ")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """On the host, show what scenarios told of beside their outcome, and what was left out."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties if report.when == "call" else ():
                if name != SECONDS:
                    terminalreporter.write_line(f"{report.nodeid}: {name}: {value}")
    for name in LONG if config.option.quick else ():
        terminalreporter.write_line(f"LEFT OUT by --quick: {name}")
