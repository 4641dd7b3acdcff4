"""Where a monitor's time goes: the share of each stage in the CPU of a run."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.harness.places import loopback

if TYPE_CHECKING:
    from tests.bench.world import World

STAGES = (
    "interpreter",
    "imports",
    "option parsing",
    "name resolution",
    "sockets",
    "report",
)
_REPEATS = 11


class Room(NamedTuple):
    """The seconds of CPU that each stage of a monitor's run over `hosts` hosts took."""

    monitor: str
    hosts: int
    seconds: dict[str, float]

    def row(self) -> str:
        """Return them as a row of a table: each stage's share, and the seconds of them all."""
        total = sum(self.seconds.values())
        shares = [f"{self.seconds.get(stage, 0) / total:.0%}" for stage in STAGES]
        work = f"{self.monitor}, {self.hosts:,} host{'s'[: self.hosts != 1]}"
        return f"| {' | '.join([work, *shares, f'{total:.3g}'])} |"


def measure(world: World) -> Iterator[Room]:
    """Measure each monitor with one host and with a thousand."""
    ports = {"http.monitor": world.http, "ftp.monitor": world.ftp, "fping.monitor": None}
    for monitor, port in ports.items():
        options = [] if port is None else ["-p", str(port)]
        for count in (1, 1000):
            runs = [_run(world, monitor, [*options, *loopback(0, count)]) for _ in range(_REPEATS)]
            stages = {each: statistics.median(run[each] for run in runs) for each in runs[0]}
            yield Room(monitor, count, stages)


def _run(world: World, monitor: str, arguments: Sequence[str]) -> dict[str, float]:
    python = world.installation.bin / "python"
    (packages,) = (world.installation.folder / "venv" / "lib").glob("python*/site-packages")
    script = Path(__file__).parent / "stages.py"
    argv = [python, "-IS", script, packages, monitor.replace(".", "_"), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    stages: dict[str, float] = json.loads(done.stderr)
    return stages
