"""What processes of the resident note of their work, for the one that exports it.

A note is one message on a socket that nobody waits for: where it is full, the note is lost.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter

from lvsalert.openmetrics import Family, Kind, Sample
from lvsalert.resident import wire
from lvsalert.resident.pool import MOST_WORKERS, Load

_MOST_BYTES = 1 << 16
RESULTS = ("passed", "failed", "unjudged")
"""What a check may come to."""


class Notes:
    """Where something is noted; None stands for a resident that exports nothing."""

    def __init__(self, sock: socket.socket | None) -> None:
        self._sock = sock

    def run(self, program: str, seconds: float, check: str, result: str) -> None:
        """Note that a run has ended: of a check (group/service) what it came to, else nothing."""
        self._note("run", program, repr(seconds), check, result)

    def load(self, waiting: int, load: Load) -> None:
        """Note how many alerts wait for those before them, and what the processes for runs do."""
        self._note("load", str(waiting), *map(str, load))

    def watches(self, count: int) -> None:
        """Note how many services are checked between mon's checks."""
        self._note("watches", str(count))

    def trap(self, check: str) -> None:
        """Note a trap to mon."""
        self._note("trap", check)

    def _note(self, *words: str) -> None:
        if self._sock is not None:
            message = wire.pack([word.encode("utf-8", "replace") for word in words])
            with contextlib.suppress(OSError):
                self._sock.send(message, socket.MSG_DONTWAIT)


def read(sock: socket.socket) -> list[str]:
    """Wait for the next note and return its words, none where there will be no more."""
    message = sock.recv(_MOST_BYTES)
    return [each.decode() for each in wire.unpack(message)] if message else []


class Counts:
    """What the notes come to since this process has begun."""

    def __init__(self) -> None:
        self._begun = time.time()
        self._waiting = self._watches = 0
        self._load = Load()
        self._runs: Counter[str] = Counter()
        self._last: dict[str, float] = {}
        self._checks: Counter[tuple[str, str]] = Counter()
        self._seconds: Counter[str] = Counter()
        self._traps: Counter[str] = Counter()

    def take(self, words: list[str]) -> None:
        """Take a note."""
        kind, *rest = words
        if kind == "run":
            self._take_run(*rest)
        elif kind == "load":
            self._waiting = int(rest[0])
            self._load = Load._make(map(int, rest[1:]))
        elif kind == "watches":
            self._watches = int(*rest)
        elif kind == "trap":
            self._traps[rest[0]] += 1

    def _take_run(self, program: str, seconds: str, check: str, result: str) -> None:
        self._runs[program] += 1
        self._last[program] = time.time()
        if result:
            self._checks[check, result] += 1
            # Mypy's Counter counts whole things.
            self._seconds[check] += float(seconds)  # type: ignore[assignment]

    def families(self) -> list[Family]:
        """Return the measurements."""
        made = sorted({check for check, _ in tuple(self._checks)})
        return [
            Family(
                "lvsalert_checks",
                Kind.COUNTER,
                "Checks that the resident process has made for mon, and between, by their result.",
                [
                    Sample({"check": check, "result": result}, self._checks[check, result])
                    for check in made
                    for result in RESULTS
                ],
            ),
            Family(
                "lvsalert_check_duration_seconds",
                Kind.SUMMARY,
                "How long these checks took.",
                [
                    sample
                    for check in made
                    for sample in (
                        Sample(
                            {"check": check},
                            sum(self._checks[check, result] for result in RESULTS),
                            "_count",
                        ),
                        Sample({"check": check}, self._seconds[check], "_sum"),
                    )
                ],
                "seconds",
            ),
            *self._of_runs(),
            _one("watches", "Services that are checked between mon's checks.", self._watches),
            Family(
                "lvsalert_resident_traps",
                Kind.COUNTER,
                "Traps by which mon was told of a change between its checks.",
                [Sample({"check": each}, count) for each, count in tuple(self._traps.items())],
            ),
        ]

    def _of_runs(self) -> list[Family]:
        programs = tuple(self._runs.items())
        return [
            _one(
                "start_time_seconds",
                "Since when the resident process has counted.",
                self._begun,
            )._replace(unit="seconds"),
            Family(
                "lvsalert_resident_runs",
                Kind.COUNTER,
                "Runs of plug-ins that the resident process has brought to their end.",
                [Sample({"program": each}, count) for each, count in programs],
            ),
            Family(
                "lvsalert_resident_run_last_timestamp_seconds",
                Kind.GAUGE,
                "When the last of these runs has ended.",
                [Sample({"program": each}, self._last[each]) for each, _ in programs],
                "seconds",
            ),
            _one("active_runs", "Runs that are under way.", self._load.active),
            _one("alerts_waiting", "Alerts that wait for those before them.", self._waiting),
            _one("workers", "Processes that there are for runs.", self._load.workers),
            _one("workers_max", "How many of them there may be.", MOST_WORKERS),
            _counter(
                "runs_refused",
                "Calls beyond the most, which the plug-ins ran by themselves.",
                self._load.refused,
            ),
            _counter(
                "runs_lost",
                "Runs that ended without an answer, as mon ended their plug-in or they crashed.",
                self._load.lost,
            ),
        ]


def _one(name: str, text: str, value: float) -> Family:
    return Family(f"lvsalert_resident_{name}", Kind.GAUGE, text, [Sample({}, value)])


def _counter(name: str, text: str, value: float) -> Family:
    return _one(name, text, value)._replace(kind=Kind.COUNTER)
