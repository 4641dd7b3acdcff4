"""Scenarios are collected here, on the host, and run in a guest: one boot for many of them."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.places import remove_tree
from tests.harness.waiting import IN_GUEST, unit, wait_until
from tests.lab import kernel, packages
from tests.lab.machine import TOGETHER, Machine, MachineError

if TYPE_CHECKING:
    from collections.abc import Sequence

SCENARIOS = Path(__file__).with_name("scenarios")
REPORTS = "reports"
SECONDS = "seconds in the guest"
NEWER = "trixie"
# What tells of the kernel's table happens on the kernel of this Debian, 13, too.
_ON_THE_NEWER = ("test_standin.py", "test_tunnel.py", "test_every_way.py")
# What takes longest begins first, so that no guest is left with it in the end.
LONG = (
    "test_crash_return_and_standby[pacemaker]",
    "test_a_long_time_of_it",
    "test_crash_return_and_standby[heartbeat]",
    "test_many_services_cost_what_they_cost[ldirectord]",
    "test_crash_return_and_standby[vrrp]",
    "test_the_documents_own_pieces",
    "test_faults_that_the_ordinary_check_passes",
)
# What a run may be told by the environment, for its scenarios too.
_TOLD = ("LVSALERT_SOAK_SECONDS", "LVSALERT_SOAK_SEED")
# A start of the interpreter that takes longer than this (seconds) is one on a machine that is slow,
# or busy, and carries no second guest.
_SLOW_START = 0.5


def guests_at_once(cores: int, start: float) -> int:
    """Return how many guests a machine carries, whose interpreter starts in `start` seconds.

    A guest has one processor, and waits half of its time, for mon's next check or for a time-out.
    """
    return 1 if start > _SLOW_START else cores + 1


def heaviest_first(names: Sequence[str]) -> list[str]:
    """Return scenarios in the order in which they are to begin."""
    rank = {name: place for place, name in enumerate(LONG)}
    return sorted(names, key=lambda each: rank.get(each.rpartition("::")[2], len(LONG)))


class Guest:
    """One guest with a pytest that does what scenarios are left, and what it reported so far."""

    def __init__(self, number: int, names: Sequence[str], taken: Path, release: str | None) -> None:
        self._machine = Machine(kernel.prepare(release), together=taken)
        left_out = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
        argv = [sys.executable, "-m", "pytest", "-q", *left_out]
        told = {name: os.environ[name] for name in _TOLD if name in os.environ}
        self._machine.start([*argv, *names], {IN_GUEST: str(number), **told})

    def reports(self, name: str) -> list[dict[str, Any]]:
        """Return the reports of a scenario's phases if its clean-up is among them, else nothing.

        Raises MachineError where the guest is gone without them.
        """
        running = self.is_running()
        file = self._machine.share / REPORTS
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        reports = [json.loads(line) for line in lines if line.endswith("\n")]
        mine = [report for report in reports if report["name"] == name]
        if any(report["when"] == "teardown" for report in mine):
            return mine
        if not running:
            raise MachineError(f"the guest is off and never reported {name}\n{self.tail()}")
        return []

    def is_running(self) -> bool:
        """Tell whether it is on."""
        return self._machine.is_running()

    def tail(self) -> str:
        """Return the last lines of its console."""
        return self._machine.tail()

    def close(self) -> None:
        """Switch it off and forget what it wrote."""
        self._machine.__exit__(None, None, None)


class Guests:
    """The guests that share the chosen scenarios. Each takes the first that none has taken yet.

    Their kernel is that of this machine's Debian, or of ``release``, of which there is one guest.
    As long as ``others`` are on, they have a core.
    """

    def __init__(self, release: str | None = None, others: Guests | None = None) -> None:
        self.names: list[str] = []
        self.release = release
        self._others = others
        self._guests: list[Guest] = []
        self._taken = Path(tempfile.mkdtemp(prefix="lvsalert-lab-taken-"))

    def begin(self) -> None:
        """Boot them, or those that a core is free for by now, where any scenario is left."""
        count = min(self._at_once(), len(self.names))
        if len(self._guests) >= count:
            return
        if not self._guests:
            packages.install()
            self.names = heaviest_first(self.names)
        for number in range(len(self._guests), count):
            if len(list(self._taken.iterdir())) < len(self.names):
                self._guests.append(Guest(number, self.names, self._taken, self.release))

    def _at_once(self) -> int:
        """Return how many of them there may be now."""
        if self.release:
            return 1
        at_once = guests_at_once(len(os.sched_getaffinity(0)), unit())
        return max(1, at_once - 1) if self._others and self._others.is_on() else at_once

    def is_on(self) -> bool:
        """Tell whether any of them is."""
        return any(guest.is_running() for guest in self._guests)

    def outcome(self, name: str) -> list[dict[str, Any]]:
        """Return the reports of a scenario's phases: set-up, call and clean-up.

        Raises MachineError where its guest is gone. A scenario that hangs is ended there.
        """
        # Others may come before it, and each of them may hang.
        limit = math.inf
        return wait_until(lambda: self._reports(name), "the scenario ends", pause=0.1, limit=limit)

    def _reports(self, name: str) -> list[dict[str, Any]]:
        """Return what the guest that took the scenario reports of it, once all of it is there."""
        self.begin()
        running = self.is_on()
        taken = self._taken / str(self.names.index(name))
        number = taken.read_text() if taken.exists() else ""
        if number:
            return self._guests[int(number)].reports(name)
        if not running:
            tails = "\n".join(guest.tail() for guest in self._guests)
            raise MachineError(f"the guests are off and none has done {name}\n{tails}")
        return []

    def close(self) -> None:
        """Switch the guests off."""
        for guest in self._guests:
            guest.close()
        remove_tree(self._taken)


def is_for_newer(item: pytest.Item) -> bool:
    """Tell whether a scenario happens on the newer kernel too."""
    return item.path.parent == SCENARIOS and item.path.name in _ON_THE_NEWER


class Scenario(pytest.Item):
    """Stands on the host for a test that runs in the guest, under the same name.

    On another release's kernel the name says so.
    """

    guests: Guests
    there: str
    line: int

    @classmethod
    def of(cls, item: pytest.Item, guests: Guests) -> Scenario:
        """Return what takes the collected test's place."""
        parent = item.parent
        assert parent is not None
        on = "" if guests.release is None else f" on {guests.release}"
        made: Scenario = cls.from_parent(parent, name=f"{item.name}{on}")
        made.there = item.nodeid
        made.own_markers[:] = item.own_markers
        # Its time runs in the guest.
        made.add_marker(pytest.mark.timeout(0))
        made.guests = guests
        made.line = item.reportinfo()[1] or 0
        return made

    def runtest(self) -> None:
        """Wait for the guest's verdict and make it ours."""
        reports = self.guests.outcome(self.there)
        self.user_properties += [(name, value) for name, value in reports[-1]["told"]]
        self.user_properties.append((SECONDS, sum(each["seconds"] for each in reports)))
        bad = [report for report in reports if report["outcome"] != "passed"]
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
        return self.path, self.line, self.name


class ScenarioFailedError(Exception):
    """A scenario failed in the guest; the message is the report from there."""


def in_guest() -> bool:
    """Tell whether this pytest is the one inside the guest."""
    return IN_GUEST in os.environ


def run_what_is_left(items: Sequence[pytest.Item]) -> None:
    """In the guest: run each test that no other guest has taken."""
    for index, item in enumerate(items):
        try:
            with Path(TOGETHER, str(index)).open("x") as taken:
                taken.write(os.environ[IN_GUEST])
        except FileExistsError:
            continue
        # pytest tears down what the next test does not share, and that one is not known yet.
        others = [other for other in items if other is not item]
        next_item = next((other for other in others if other.path != item.path), None)
        next_item = next_item or next(iter(others), None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=next_item)


def write_report(report: pytest.TestReport) -> None:
    """In the guest: hand a phase's report to the host."""
    text = "\n".join(
        [report.longreprtext, *(f"--- {name} ---\n{said}" for name, said in report.sections)]
    )
    line = {
        "name": report.nodeid,
        "when": report.when,
        "outcome": report.outcome,
        "text": text,
        "told": report.user_properties,
        "seconds": report.duration,
    }
    with Path("/run/lab", REPORTS).open("a") as file:
        file.write(json.dumps(line) + "\n")
