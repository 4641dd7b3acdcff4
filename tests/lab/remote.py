"""Scenarios are collected here, on the host, and run in a guest: one boot for many of them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.waiting import wait_until
from tests.lab import kernel, packages
from tests.lab.machine import Machine, MachineError

if TYPE_CHECKING:
    from collections.abc import Sequence

SCENARIOS = Path(__file__).with_name("scenarios")
REPORTS = "reports"
# What tells the guest's pytest that it is in the guest.
IN_GUEST = "LVSALERT_LAB_GUEST"
# For one scenario in the guest, and for its report to arrive here, in seconds; the guest's boot is
# among the first one's. A scenario that hangs shall be the one to say so.
TIMEOUT = 400.0
DEADLINE = 500.0
COUNT = 2


class Guest:
    """One guest with a pytest for some of the scenarios, and what it reported so far."""

    def __init__(self, names: Sequence[str]) -> None:
        self._machine = Machine(kernel.prepare())
        left_out = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
        argv = [sys.executable, "-m", "pytest", "-q", *left_out, f"--timeout={TIMEOUT:.0f}"]
        self._machine.start([*argv, *names], {IN_GUEST: "1"})

    def outcome(self, name: str) -> list[dict[str, Any]]:
        """Return the reports of a scenario's phases: set-up, call and clean-up.

        Raises MachineError where the guest is gone, or has not done it in time.
        """
        try:
            return wait_until(
                lambda: self._finished(name), DEADLINE, "the scenario ends", pause=0.1
            )
        except AssertionError as error:
            self._machine.stop()
            raise MachineError(f"{error}\n{self._machine.tail()}") from None

    def _finished(self, name: str) -> list[dict[str, Any]]:
        """Return the scenario's reports if its clean-up is among them, else nothing."""
        running = self._machine.is_running()
        file = self._machine.share / REPORTS
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        reports = [json.loads(line) for line in lines if line.endswith("\n")]
        mine = [report for report in reports if report["name"] == name]
        if any(report["when"] == "teardown" for report in mine):
            return mine
        if not running:
            tail = self._machine.tail()
            raise MachineError(f"the guest is off and never reported {name}\n{tail}")
        return []

    def close(self) -> None:
        """Switch it off and forget what it wrote."""
        self._machine.__exit__(None, None, None)


class Guests:
    """The guests that share the chosen scenarios; they boot when the first one is asked for.

    A guest waits a good deal, for mon's next check or for a time-out: two keep two cores busy.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._guests: dict[str, Guest] = {}

    def outcome(self, name: str) -> list[dict[str, Any]]:
        """Return the reports of a scenario, as Guest does."""
        if not self._guests:
            packages.install()
            count = min(COUNT, len(self.names))
            for first in range(count):
                names = self.names[first::count]
                self._guests.update(dict.fromkeys(names, Guest(names)))
        return self._guests[name].outcome(name)

    def close(self) -> None:
        """Switch the guests off."""
        for guest in set(self._guests.values()):
            guest.close()


class Scenario(pytest.Item):
    """Stands on the host for a test that runs in the guest, under the same name."""

    guests: Guests

    @classmethod
    def of(cls, item: pytest.Item, guests: Guests) -> Scenario:
        """Return what takes the collected test's place."""
        parent = item.parent
        assert parent is not None
        made: Scenario = cls.from_parent(parent, name=item.name)
        made.own_markers[:] = item.own_markers
        made.guests = guests
        return made

    def runtest(self) -> None:
        """Wait for the guest's verdict and make it ours."""
        bad = [
            report for report in self.guests.outcome(self.nodeid) if report["outcome"] != "passed"
        ]
        for report in bad:
            if report["outcome"] == "skipped":
                pytest.skip(f"in the guest: {report['text']}")
        if bad:
            raise ScenarioFailedError("\n".join(report["text"] for report in bad))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show what the guest's pytest showed; its traceback is the one that matters."""
        if isinstance(excinfo.value, (ScenarioFailedError, MachineError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Say where the scenario is written."""
        return self.path, None, self.name


class ScenarioFailedError(Exception):
    """A scenario failed in the guest; the message is the report from there."""


def in_guest() -> bool:
    """Tell whether this pytest is the one inside the guest."""
    return IN_GUEST in os.environ


def write_report(report: pytest.TestReport) -> None:
    """In the guest: hand a phase's report to the host."""
    text = "\n".join(
        [report.longreprtext, *(f"--- {name} ---\n{said}" for name, said in report.sections)]
    )
    line = {"name": report.nodeid, "when": report.when, "outcome": report.outcome, "text": text}
    with Path("/run/lab", REPORTS).open("a") as file:
        file.write(json.dumps(line) + "\n")
