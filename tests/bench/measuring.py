"""What commands cost: CPU of the whole process tree, time, and peak memory; sides interleaved."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple

if TYPE_CHECKING:
    from tests.harness.resident import Resident

_COLUMNS = ("work", "ours, other's", "CPU s", "wall s", "peak MiB", "ratio", "aimed at")
HEAD = f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|"
SOURCES = Path(__file__).parent


def compile_program(folder: Path, name: str) -> Path:
    """Compile one of the C programs beside this file into `folder`, and return its path."""
    program = folder / name
    subprocess.run(["cc", "-O2", "-o", program, SOURCES / f"{name}.c"], check=True)
    return program


class Side(NamedTuple):
    """One of the two that are compared: commands that are run one after the other.

    `statuses` are the exit statuses that are right; `before` sets up what each run uses up. What a
    `resident` does for them counts as theirs; it is told that an alert is of mon's type `alert`.
    """

    commands: Sequence[Sequence[str]]
    statuses: Sequence[int] = (0,)
    stdin: str = ""
    before: Callable[[], None] | None = None
    resident: Resident | None = None
    alert: str = "up"


class Figures(NamedTuple):
    """What a run took: seconds of CPU (user and system) and in all, KiB of the largest process."""

    cpu: float
    wall: float
    memory: float


class Comparison(NamedTuple):
    """A piece of work, who does it, and which ratios (ours to the other's) are aimed at.

    `per` divides the figures of a side, where the two do work of different sizes.
    """

    work: str
    names: tuple[str, str]
    ours: Side
    other: Side
    targets: Mapping[str, float]
    repeats: int
    per: tuple[int, int] = (1, 1)


class Measured(NamedTuple):
    """The medians of both sides, and their ratios."""

    comparison: Comparison
    ours: Figures
    other: Figures

    def ratio(self, figure: str) -> float:
        """Return ours divided by the other's, each by the size of its work where that differs."""
        own, others = self.comparison.per
        other: float = getattr(self.other, figure) / others
        ours: float = getattr(self.ours, figure) / own
        return ours / other if other else float("inf")

    def row(self) -> str:
        """Return them as a row of the table that HEAD begins."""
        comparison = self.comparison
        both = (self.ours, self.other)
        cells = [
            " / ".join(_number(getattr(figures, name) / by) for figures in both)
            for name, by in zip(Figures._fields, (1, 1, 1024))
        ]
        aims = dict(comparison.targets) or {"cpu": None}
        ratios = ", ".join(f"{name} {self.ratio(name):.3g}" for name in aims)
        targets = ", ".join("" if aim is None else f"≤ {aim:g}" for aim in aims.values())
        names = " / ".join(comparison.names)
        return f"| {comparison.work} | {names} | {' | '.join(cells)} | {ratios} | {targets} |"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


class Measure:
    """Runs sides through the compiled launcher, whose own memory is small."""

    def __init__(self, folder: Path) -> None:
        """Compile the launcher into `folder`."""
        self._folder = folder
        self._launcher = compile_program(folder, "measure")

    def run(self, side: Side) -> Figures:
        """Run a side once. AssertionError where a status is not one of those that are right."""
        if side.before is not None:
            side.before()
        commands, stdin, output = (self._folder / name for name in ("commands", "stdin", "output"))
        commands.write_text("".join("\t".join(words) + "\n" for words in side.commands))
        stdin.write_text(side.stdin)
        output.unlink(missing_ok=True)
        spent = 0.0 if side.resident is None else side.resident.cpu()
        done = subprocess.run(
            [self._launcher, commands, stdin, output],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL": "C.UTF-8",
                "LVSALERT_SOCKET": "" if side.resident is None else str(side.resident.path),
                # What a person calls runs by itself.
                **({} if side.resident is None else {"MON_ALERTTYPE": side.alert}),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        user, system, wall, memory, status = done.stdout.split()
        said = output.read_text(errors="replace")[:2000]
        assert int(status) in side.statuses, f"{side.commands[0][:4]}: status {status}: {said}"
        if side.resident is not None:
            spent = side.resident.cpu() - spent
        return Figures(float(user) + float(system) + spent, float(wall), float(memory))

    def compare(self, comparison: Comparison) -> Measured:
        """Run both sides in turn, once beforehand and not counted, and return the medians."""
        found: tuple[list[Figures], list[Figures]] = ([], [])
        for turn in range(comparison.repeats + 1):
            for figures, side in zip(found, (comparison.ours, comparison.other)):
                if turn or comparison.repeats > 3:
                    figures.append(self.run(side))
        if comparison.repeats > 3:
            found[0].pop(0), found[1].pop(0)
        return Measured(comparison, median(found[0]), median(found[1]))


def median(runs: Sequence[Figures]) -> Figures:
    """Return the medians of each figure."""
    return Figures(*(statistics.median(each) for each in zip(*runs)))


def as_json(measured: Sequence[Measured], shares: Sequence[Mapping[str, object]]) -> str:
    """Return what was measured as JSON."""
    comparisons = [
        {
            "work": each.comparison.work,
            "ours": {"name": each.comparison.names[0], **each.ours._asdict()},
            "other": {"name": each.comparison.names[1], **each.other._asdict()},
            "ratios": {name: each.ratio(name) for name in Figures._fields},
            "targets": dict(each.comparison.targets),
            "repeats": each.comparison.repeats,
        }
        for each in measured
    ]
    return json.dumps({"comparisons": comparisons, "shares": shares}, indent=1)
