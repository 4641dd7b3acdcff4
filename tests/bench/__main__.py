"""Measure what the suite costs, side by side with what one would use instead.

python -m tests.bench [--document FILE] [--json FILE] [--only WORDS] [--lab]

Prints a table in Markdown. It asserts nothing about the figures.
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

from tests.bench.comparisons import all_of
from tests.bench.lab import measure as in_lab
from tests.bench.measuring import HEAD, Measure, as_json
from tests.bench.shares import STAGES
from tests.bench.shares import measure as measure_shares
from tests.bench.world import build


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    parser.add_argument("--document", type=Path, help="the document with the Perl lvs.alert")
    parser.add_argument("--json", type=Path, help="where the figures go as JSON")
    parser.add_argument("--lab", action="store_true", help="only what needs the lab's kernel")
    parser.add_argument("--only", default="", help="compare only what has these words in it")
    given = parser.parse_args()
    if given.lab:
        in_lab(given.document, given.only)
        return
    with build() as world:
        comparisons, left_out = all_of(world, given.document)
        measure = Measure(world.folder)
        found = []
        print(f"{platform.platform()}, Python {platform.python_version()}\n")
        print(HEAD)
        for comparison in comparisons:
            if given.only in comparison.work:
                found.append(measure.compare(comparison))
                print(found[-1].row(), flush=True)
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


if __name__ == "__main__":
    main()
