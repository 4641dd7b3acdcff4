"""Measure what the suite costs, side by side with what one would use instead.

python -m tests.bench [--document FILE] [--json FILE] [--only WORDS]

Prints a table in Markdown. It asserts nothing about the figures.
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

from tests.bench.comparisons import all_of
from tests.bench.measuring import Figures, Measure, Measured, as_json
from tests.bench.shares import STAGES
from tests.bench.shares import measure as measure_shares
from tests.bench.world import build


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    parser.add_argument("--document", type=Path, help="the document with the Perl lvs.alert")
    parser.add_argument("--json", type=Path, help="where the figures go as JSON")
    parser.add_argument("--only", default="", help="compare only what has these words in it")
    given = parser.parse_args()
    with build() as world:
        comparisons, left_out = all_of(world, given.document)
        measure = Measure(world.folder)
        found = []
        print(f"{platform.platform()}, Python {platform.python_version()}\n")
        print("| work | ours, other's | CPU s | wall s | peak MiB | ratio | aimed at |")
        print("|---|---|---|---|---|---|---|")
        for comparison in comparisons:
            if given.only in comparison.work:
                found.append(measure.compare(comparison))
                print(_row(found[-1]), flush=True)
        shares = []
        if not given.only:
            print(f"\n| CPU of a run | {' | '.join(STAGES)} | s |\n|{'---|' * (len(STAGES) + 2)}")
            for each in measure_shares(world):
                shares.append(each)
                print(each.row(), flush=True)
    for each in left_out:
        print(f"LEFT OUT: {each}", file=sys.stderr)
    if given.json is not None:
        given.json.write_text(as_json(found, [each._asdict() for each in shares]) + "\n")


def _row(measured: Measured) -> str:
    comparison = measured.comparison
    both = (measured.ours, measured.other)
    cells = [
        " / ".join(_number(getattr(figures, name) / by) for figures in both)
        for name, by in zip(Figures._fields, (1, 1, 1024))
    ]
    aims = dict(comparison.targets) or {"cpu": None}
    ratios = ", ".join(f"{name} {measured.ratio(name):.3g}" for name in aims)
    targets = ", ".join("" if aim is None else f"≤ {aim:g}" for aim in aims.values())
    names = " / ".join(comparison.names)
    return f"| {comparison.work} | {names} | {' | '.join(cells)} | {ratios} | {targets} |"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


if __name__ == "__main__":
    main()
