"""Many alerts at once, and alerts that are killed: the table ends as the last state asks."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lvsalert import standin
from lvsalert.ipvs.ipvsadm import Ipvsadm
from tests.harness.places import CHECKOUT
from tests.harness.table_file import TableFile
from tests.harness.waiting import patience, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALERT = [sys.executable, str(CHECKOUT / "alert.d" / "lvs.alert")]
NUMBERS = range(1, 11)
HOSTS = " ".join(f"192.0.2.{number}" for number in NUMBERS)
START = 1_700_000_000
LAST = START + 1_000
PROCESSES = 100


class Director:
    """A web service of ten real servers, and lvs.alert as processes on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir()
        self.kernel = TableFile(folder / "table")
        self.kernel.fill("-A -t 10.0.0.3:80 -s wlc")
        self.honest = folder / "honest"
        standin.write_executable(str(self.honest), str(self.kernel.path))
        self.environ = {
            "LVSALERT_IPVSADM": str(self.honest),
            "LVSALERT_STATE_DIR": str(self.state),
            "LVSALERT_VIRTUAL_SERVICE": "10.0.0.3:80",
            "LVSALERT_WEIGHT": "5",
            "LVSALERT_LOCK_TIMEOUT": "300",
            "LVSALERT_IPVSADM_TIMEOUT": "300",
        }

    def start(
        self, failed: Sequence[int], time: int, *options: str, event: str | None = None
    ) -> subprocess.Popen[str]:
        """Start the alert that mon would start when these servers fail."""
        event = event or ("failure" if failed else "up")
        call = ["-s", "http", "-g", "www", "-h", HOSTS, "-t", str(time)]
        return self._start(
            [*call, *options],
            {"MON_ALERTTYPE": event, "MON_RETVAL": "1"},
            " ".join(f"192.0.2.{number}" for number in failed),
        )

    def start_by_hand(self, *options: str) -> subprocess.Popen[str]:
        """Start it as a person would."""
        return self._start(list(options), {}, "")

    def _start(
        self, argv: list[str], environ: dict[str, str], summary: str
    ) -> subprocess.Popen[str]:
        (self.folder / "stdin").write_text(f"{summary}\n")
        with (self.folder / "stdin").open() as stdin:
            (self.folder / "stdin").unlink()
            return subprocess.Popen(
                [*ALERT, *argv],
                env={**self.environ, **environ},
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    def finish(self, process: subprocess.Popen[str]) -> None:
        """Wait for a process, which has to succeed without a word on stderr."""
        _, stderr = process.communicate(timeout=patience())
        assert (process.returncode, stderr) == (0, "")

    @property
    def serving(self) -> set[int]:
        """The real servers in the table, each as the alerts ask for it."""
        begin, end = "-a -t 10.0.0.3:80 -r 192.0.2.", ":80 -g -w 5"
        entries = [rule for rule in self.kernel.rules if rule.startswith("-a")]
        assert all(rule.startswith(begin) and rule.endswith(end) for rule in entries), entries
        return {int(rule[len(begin) : -len(end)]) for rule in entries}

    def check_whole(self) -> None:
        """Check that the lock is free, the table can be read and the ledger is sound."""
        with Ipvsadm("none", 1).locked(str(self.state / "lock"), 60):
            pass
        answer = self.kernel.ask("-Sn")
        assert (answer.status, answer.stderr) == (0, "")
        with closing(sqlite3.connect(self.state / "ledger.db")) as ledger:
            assert ledger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            unfinished = "SELECT * FROM journal EXCEPT SELECT * FROM changes"
            assert ledger.execute(unfinished).fetchall() == []

    def check_none_is_left(self) -> None:
        """Check that every process of this table has ended, those of killed alerts too."""
        wait_until(lambda: not self._running(), lambda: f"all have ended: {self._running()}")

    def _running(self) -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(self.folder) in path.read_text(errors="replace"):
                    found.append(path.parent.name)
        return found


@pytest.fixture
def director(tmp_path: Path) -> Director:
    """A director with an empty web service."""
    return Director(tmp_path)


@contextmanager
def ended(processes: list[subprocess.Popen[str]]) -> Iterator[None]:
    """Leave no process behind, whatever a test finds."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def is_working(process: subprocess.Popen[str]) -> bool:
    """Say whether a process has an ipvsadm running: it holds the lock, and not just waits."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        return bool(path.read_text().strip())
    except OSError:
        return False


def kill_some(processes: list[subprocess.Popen[str]], count: int, choose: random.Random) -> None:
    """Kill so many of the processes: now one that works on the table, now any, spread over all."""
    left = list(processes)
    for number in range(count):
        enough = len(processes) * number // (count * 2)

        def are_so_far(enough: int = enough) -> bool:
            return sum(each.poll() is not None for each in processes) >= enough

        wait_until(are_so_far, f"{enough} have ended", pause=0.001)
        alive = [each for each in left if each.poll() is None]
        if not alive:
            return
        working = [each for each in alive if is_working(each)]
        victim = choose.choice(working if working and number % 2 else alive)
        left.remove(victim)
        victim.kill()


def test_hundred_alerts_and_a_third_of_them_killed(director: Director) -> None:
    """Contradictory and repeated requests at once, a third killed: the last state decides."""
    choose = random.Random(7)
    processes: list[subprocess.Popen[str]] = []
    with ended(processes):
        for number in range(PROCESSES):
            failed = choose.sample(NUMBERS, choose.choice([0, 0, 1, 2, 5, 10]))
            time = START + choose.randrange(100)
            if number % 10 == 9:
                options = ["-R", "192.0.2.10", *choose.choice([["-u"], []])]
                processes.append(director.start_by_hand(*options))
            elif number % 10 == 8:
                event = choose.choice(["failure", "up"])
                processes.append(director.start([4], time, "-R", "192.0.2.4", event=event))
            else:
                processes.append(director.start(failed, time))
        kill_some(processes, PROCESSES // 3, choose)
        for process in processes:
            _, stderr = process.communicate(timeout=patience())
            assert process.returncode in {0, -signal.SIGKILL}
            assert stderr == ""
        killed = [each for each in processes if each.returncode]
        assert 0 < len(killed) <= PROCESSES // 3
    director.finish(director.start_by_hand("-R", "192.0.2.10", "-u"))
    director.finish(director.start([3, 7], LAST))
    assert director.serving == set(NUMBERS) - {3, 7}
    director.finish(director.start([], LAST + 1))
    assert director.serving == set(NUMBERS)
    director.check_whole()
    director.check_none_is_left()


def test_alerts_that_overtake_each_other(director: Director) -> None:
    """Started together, whatever order they run in, the latest check of the group decides."""
    failing = [[number] for number in NUMBERS] + [[1, 2, 3], []]
    for last in ([2, 9], []):
        processes = [director.start(failed, START) for failed in failing]
        with ended(processes):
            processes.append(director.start(last, START + 500))
            processes += [director.start(failed, START + 100) for failed in failing]
            for process in processes:
                director.finish(process)
        assert director.serving == set(NUMBERS) - set(last)
        for file in director.state.iterdir():
            file.unlink()
    director.check_none_is_left()


# An ipvsadm that ends whoever called it: at the call of this number, before or after doing its own.
# Two that are called at once count as one and the next.
MURDERER = """#!/bin/sh
folder={folder}
call=1
until mkdir $folder/call-$call 2>/dev/null; do call=$((call + 1)); done
[ $call = {number} ] || exec $folder/honest "$@"
case {moment} in
    before) kill -KILL $PPID ;;
    half) head -n 3 | $folder/honest "$@"; kill -KILL $PPID; exit ;;
esac
$folder/honest "$@"
case {moment} in after) kill -KILL $PPID ;; esac
"""


@pytest.mark.parametrize(
    ("number", "moment"),
    [(number, moment) for number in range(1, 6) for moment in ("before", "after")] + [(3, "half")],
)
@pytest.mark.parametrize(("before", "failed"), [([], [1, 5, 9]), ([1, 2, 3, 4], [4, 5, 6, 7])])
def test_alert_killed_at_any_call(
    *, director: Director, number: int, moment: str, before: list[int], failed: list[int]
) -> None:
    """Killed before, amid or after each of its five calls of ipvsadm: the next one finishes."""
    director.finish(director.start(before, START))
    program = director.folder / "murderer"
    program.write_text(MURDERER.format(folder=director.folder, number=number, moment=moment))
    program.chmod(0o755)
    honest = director.environ["LVSALERT_IPVSADM"]
    director.environ["LVSALERT_IPVSADM"] = str(program)
    process = director.start(failed, START + 60)
    with ended([process]):
        process.communicate(timeout=patience())
    assert process.returncode == -signal.SIGKILL
    director.environ["LVSALERT_IPVSADM"] = honest
    director.finish(director.start(failed, START + 120))
    assert director.serving == set(NUMBERS) - set(failed)
    director.check_whole()
    director.finish(director.start([], START + 180))
    assert director.serving == set(NUMBERS)
    director.check_none_is_left()


def test_large_batch_of_a_killed_alert_is_done_whole(director: Director) -> None:
    """A batch of a thousand lines does not break off where its sender is killed meanwhile."""
    rules = "".join(
        f"-a -t 10.0.0.3:80 -r 198.51.{100 + number // 250}.{number % 250 + 1}:80 -g -w 5\n"
        for number in range(1000)
    )
    director.kernel.change(rules)
    program = director.folder / "slow"
    murder = '[ "$1" != -R ] || kill -KILL $PPID'
    program.write_text(f'#!/bin/sh\n{murder}\nexec {director.honest} "$@"\n')
    program.chmod(0o755)
    director.environ["LVSALERT_IPVSADM"] = str(program)
    hosts = " ".join(f"198.51.{100 + number // 250}.{number % 250 + 1}" for number in range(1000))
    process = director.start([], START, "-h", hosts, "-W", "6")
    with ended([process]):
        process.communicate(timeout=patience())
    assert process.returncode == -signal.SIGKILL
    director.environ["LVSALERT_IPVSADM"] = str(director.honest)
    with Ipvsadm("none", 1).locked(str(director.state / "lock"), 60):
        weights = {rule.rsplit(" ", 1)[1] for rule in director.kernel.rules[1:]}
    assert weights == {"6"}
    assert len(director.kernel.rules) == 1001
    director.check_none_is_left()
