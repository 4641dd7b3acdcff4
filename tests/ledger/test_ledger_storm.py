"""The ledger under real processes: killed at any moment, a hundred at once, a disk that is full."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvsalert import standin
from lvsalert.ledger.database import FILE_NAME
from lvsalert.ledger.journal import Entry
from lvsalert.ledger.ledger import Ledger
from tests.harness.alerts import Director
from tests.harness.places import CHECKOUT, is_root
from tests.harness.syslog import Syslog
from tests.harness.table_file import TableFile

VIRTUAL = "10.0.0.3:80"
SERVICE = f"tcp {VIRTUAL}"
HOSTS = tuple(f"192.0.2.{number}" for number in range(1, 5))
NOW = 1_700_000_000
# Where a hundred processes want the processor, none is given up.
_PATIENT = ("--lock-timeout", "300", "--ipvsadm-timeout", "300")
# As alert.d/lvs.alert does it, without the search for the package that is installed.
_PROGRAM = (
    "import sys; sys.path[:0] = sys.argv.pop(1).split(':');"
    "from lvsalert.commands.entry import lvs_alert; lvs_alert()"
)
# Kills its parent, and the parent's session with it, at the call whose number is in the file.
_KILLING = """#!/bin/sh
count=0
until mkdir {folder}/call-$count 2>/dev/null; do count=$((count + 1)); done
if [ "$count" = "$(cat {folder}/before 2>/dev/null)" ]; then kill -9 $PPID; exit 1; fi
{program} "$@"
status=$?
if [ "$count" = "$(cat {folder}/after 2>/dev/null)" ]; then kill -9 $PPID; fi
exit $status
"""


class Machine:
    """A table, a state directory, and lvs.alert as processes."""

    def __init__(self, folder: Path) -> None:
        """Begin with an empty service and an empty ledger."""
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir()
        self.kernel = TableFile(folder / "table")
        self.ipvsadm = folder / "ipvsadm"
        standin.write_executable(self.ipvsadm, self.kernel.path, "/usr/bin/python3")
        self.kernel.fill(f"-A -t {VIRTUAL} -s wlc")

    def argv(self, failed: str, when: int, *options: str, service: str = "http") -> list[str]:
        """Return the argv of an alert of mon's, run by this interpreter."""
        paths = ":".join([str(CHECKOUT), *(each for each in sys.path if "site-packages" in each)])
        return [
            *(sys.executable, "-S", "-c", _PROGRAM, paths),
            *("-s", service, "-g", "www", "-h", " ".join(HOSTS), "-t", str(when)),
            *([] if failed else ["-u"]),
            *("-V", VIRTUAL, "-W", "5", *_PATIENT, *options),
        ]

    def environment(self, failed: str) -> dict[str, str]:
        """Return the environment of such an alert."""
        return {
            "PATH": "/usr/bin:/bin",
            "MON_ALERTTYPE": "failure" if failed else "up",
            "MON_RETVAL": "1" if failed else "0",
            "LVSALERT_STATE_DIR": str(self.state),
            "LVSALERT_IPVSADM": str(self.ipvsadm),
        }

    def start(
        self, failed: str, when: int, *options: str, service: str = "http"
    ) -> subprocess.Popen[str]:
        """Start an alert; it has its standard input already."""
        with tempfile.TemporaryFile("w+") as stdin:
            stdin.write(f"{failed}\n")
            stdin.seek(0)
            return subprocess.Popen(
                self.argv(failed, when, *options, service=service),
                env=self.environment(failed),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd="/",
            )

    def run(self, failed: str, when: int, *options: str, service: str = "http") -> int:
        """Run an alert to its end, and return its status: negative where it was killed."""
        with self.start(failed, when, *options, service=service) as process:
            process.communicate()
        return process.returncode

    @property
    def servers(self) -> dict[str, str]:
        """The table in the words of the journal."""
        rule = rf"^-a -t {re.escape(VIRTUAL)} -r (\S+) -g -w (\d+)"
        found = re.findall(rule, "\n".join(self.kernel.rules), re.MULTILINE)
        return {place: f"dr weight {weight}" for place, weight in found}

    def agree(self) -> Sequence[Entry]:
        """Find ledger and table at one, and return the journal."""
        ledger = Ledger.open(str(self.state))
        try:
            assert ledger._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert ledger.journal.unfinished() == []
            entries = ledger.journal.history()
            out = {f"{address}:{port}" for address, port in ledger.causes(SERVICE)}
        finally:
            ledger.close()
        assert replayed(entries) == self.servers
        assert {place for place, state in self.servers.items() if state != "dr weight 0"} == {
            f"{host}:80" for host in HOSTS
        } - out
        return entries


def replayed(entries: Sequence[Entry]) -> dict[str, str]:
    """Return the table that the journal leads to from an empty one, each line after the other."""
    table: dict[str, str] = {}
    for entry in entries:
        assert table.get(entry.real, "out") == entry.before
        table[entry.real] = entry.after
    assert [each.time for each in entries] == sorted(each.time for each in entries)
    return {place: state for place, state in table.items() if state != "out"}


@pytest.fixture
def machine(folder: Path) -> Machine:
    """A machine with an empty service."""
    return Machine(folder)


# Killed


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", range(6))
def test_killed_at_each_call_of_ipvsadm(machine: Machine, moment: str, call: int) -> None:
    """After the next run table and ledger agree, wherever the alert was killed."""
    assert machine.run("", NOW) == 0
    real = machine.ipvsadm
    machine.ipvsadm = machine.folder / "killing"
    machine.ipvsadm.write_text(_KILLING.format(folder=machine.folder, program=real))
    machine.ipvsadm.chmod(0o755)
    (machine.folder / moment).write_text(str(call))
    status = machine.run(f"{HOSTS[0]} {HOSTS[2]}", NOW + 10)
    assert status == (-signal.SIGKILL if call < 5 else 0)
    machine.ipvsadm = real
    assert machine.run(f"{HOSTS[0]} {HOSTS[3]}", NOW + 20) == 0
    machine.agree()
    assert set(machine.servers) == {f"{HOSTS[1]}:80", f"{HOSTS[2]}:80"}


def test_killed_at_random(machine: Machine) -> None:
    """Twenty alerts of two sources, most of them killed somewhere."""
    dice = random.Random(4)
    assert machine.run("", NOW) == 0
    started = time.monotonic()
    assert machine.run("", NOW + 1) == 0
    usual = time.monotonic() - started
    killed = 0
    for number in range(20):
        failed = " ".join(host for host in HOSTS if dice.random() < 0.5)
        with machine.start(failed, NOW + 10 + number, service=dice.choice(["http", "ping"])) as one:
            try:
                one.communicate(timeout=usual * dice.uniform(0.3, 1.1))
            except subprocess.TimeoutExpired:
                one.kill()
                one.communicate()
        killed += one.returncode == -signal.SIGKILL
        if number % 5 == 4:
            # Whatever was lost with a killed one, a check of each source says again.
            for service in ("http", "ping"):
                assert machine.run(failed, NOW + 11 + number, service=service) == 0
            machine.agree()
    assert killed > 3


# At once


def test_a_hundred_at_once_are_all_recorded(machine: Machine) -> None:
    """None is lost, none is done twice, and the last word of each source is what stands."""
    dice = random.Random(5)
    sources = [f"s{number}" for number in range(10)]
    events = [(source, NOW + when) for source in sources for when in range(10)]
    dice.shuffle(events)
    said = {event: dice.choice(["", *HOSTS, f"{HOSTS[0]} {HOSTS[1]}"]) for event in events}
    running = [machine.start(said[event], event[1], service=event[0]) for event in events]
    for process in running:
        stdout, stderr = process.communicate()
        assert (process.returncode, stderr) == (0, ""), stdout
    last = {source: said[source, NOW + 9] for source in sources}
    ledger = Ledger.open(str(machine.state))
    for host in HOSTS:
        judged = ledger.verdicts.of(SERVICE, (host, 80))
        assert {name: check.time for name, check in judged.items()} == {
            f"www/{source}": NOW + 9 for source in sources
        }
        causes = {each.cause for each in ledger.causes_of(SERVICE, (host, 80))}
        assert causes == {f"www/{source}" for source, failed in last.items() if host in failed}
    ledger.close()
    machine.agree()


def test_changes_at_once_are_a_line_each(machine: Machine) -> None:
    """Each run changes a server of its own, and each is in the journal once."""
    hosts = [f"198.51.100.{number}" for number in range(30)]
    running = [
        machine.start("", NOW, "-R", host, service=f"s{number}")
        for number, host in enumerate(hosts)
    ]
    for process in running:
        _, stderr = process.communicate()
        assert (process.returncode, stderr) == (0, "")
    ledger = Ledger.open(str(machine.state))
    entries = ledger.journal.history()
    assert ledger.journal.unfinished() == []
    ledger.close()
    assert sorted(each.real for each in entries) == sorted(f"{host}:80" for host in hosts)
    assert replayed(entries) == machine.servers


# Without room


needs_mounts = pytest.mark.skipif(
    not is_root() or shutil.which("unshare") is None or shutil.which("setpriv") is None,
    reason="needs root, unshare and setpriv",
)

# A full disk: a small file system of its own, seen by this run alone.
_FULL = """
set -e
mount -t tmpfs -o size=64k,mode=777 small "$1"
[ "$2" = empty ] || cp "$2" "$1/ledger.db" 2>/dev/null || :
dd if=/dev/zero of="$1/filler" bs=4k 2>/dev/null || :
shift 2
"$@"
"""


class Told(NamedTuple):
    """How an alert went, and what syslog was told."""

    status: int
    output: str
    lines: list[str]


def logged(machine: Machine, argv: Sequence[str], failed: str) -> Told:
    """Run argv with a syslog of its own, and the summary `failed` as mon gives it."""
    folder = Path(tempfile.mkdtemp(dir=machine.folder))
    folder.chmod(0o755)
    with Syslog(folder) as syslog:
        done = subprocess.run(
            syslog.for_program(list(argv)),
            env=machine.environment(failed),
            input=f"{failed}\n",
            capture_output=True,
            text=True,
            check=False,
        )
    return Told(done.returncode, done.stdout + done.stderr, syslog.lines)


def duty(machine: Machine, before: Sequence[str], why: str) -> None:
    """Let an alert behind the words `before` take out a server that it cannot remember."""
    failed = HOSTS[0]
    told = logged(machine, [*before, *machine.argv(failed, NOW + 10)], failed)
    assert told.status == 0, told
    assert f"{HOSTS[0]}:80" not in machine.servers
    change, *rest = [re.sub(r"^lvs.alert\[\d+\]: ", "", line) for line in told.lines]
    assert change == f"www/http: {SERVICE}: {HOSTS[0]}:80 was dr weight 5, is out: failure"
    (forgotten,) = rest
    pattern = rf"www/http: {SERVICE}: not remembered of {HOSTS[0]}:80: \S+/{FILE_NAME}: {why}"
    assert re.fullmatch(pattern, forgotten), forgotten


@needs_mounts
@pytest.mark.parametrize("begun", [False, True], ids=["none yet", "one there"])
def test_full_disk_takes_nothing_from_the_table(machine: Machine, begun: bool) -> None:
    """What the ledger has no room for is told, and the server goes out all the same."""
    assert machine.run("", NOW) == 0
    copy = machine.folder / "copy"
    shutil.copy(machine.state / FILE_NAME, copy)
    before = ["unshare", "--mount", "sh", "-c", _FULL, "sh", str(machine.state)]
    why = r"(database or disk is full|disk I/O error|No space left on device|unable to open .*)"
    duty(machine, [*before, str(copy) if begun else "empty"], why)


@needs_mounts
@pytest.mark.parametrize("begun", [False, True], ids=["none yet", "one there"])
def test_state_directory_that_cannot_be_written(machine: Machine, begun: bool) -> None:
    """Another user's folder: no lock and no ledger can be made there."""
    assert machine.run("", NOW) == 0
    if not begun:
        shutil.rmtree(machine.state)
        machine.state.mkdir()
    machine.folder.chmod(0o777)
    machine.kernel.path.chmod(0o666)
    python, packages = "/usr/bin/python3", machine.folder / "packages"
    copy_packages(packages)
    program = machine.ipvsadm.read_text(encoding="utf-8")
    machine.ipvsadm.write_text(program.replace(repr(str(CHECKOUT)), repr(str(packages))))
    argv = machine.argv(HOSTS[0], NOW + 10)
    argv = [python, *argv[1:4], str(packages), *argv[5:]]
    become = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    told = logged(machine, [*become, *argv], HOSTS[0])
    assert told.status == 0, told
    assert f"{HOSTS[0]}:80" not in machine.servers
    assert "not remembered of 192.0.2.1:80" in told.lines[-1]


def copy_packages(folder: Path) -> None:
    """Copy what lvs.alert needs to where every user may read it."""
    import click

    import lvsalert

    for module in (click, lvsalert):
        source = Path(str(module.__file__)).parent
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))


@needs_mounts
@pytest.mark.parametrize("kind", ["missing", "newer"])
def test_ledger_that_is_not_to_be_had(machine: Machine, kind: str) -> None:
    """The alert does its duty, and syslog is told what is not remembered and why."""
    assert machine.run("", NOW) == 0
    if kind == "missing":
        shutil.rmtree(machine.state)
        duty(machine, [], "No such file or directory")
    else:
        import sqlite3

        with sqlite3.connect(machine.state / FILE_NAME) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        duty(machine, [], r"made by a newer lvsalert \(version 99 of its tables\)")


@needs_mounts
@pytest.mark.parametrize("spoil", ["text", "garbage in the midst"])
def test_broken_ledger_is_told_though_nothing_changes(machine: Machine, spoil: str) -> None:
    """A run that finds nothing to do moves it aside, begins a new one, and says so."""
    assert machine.run("", NOW) == 0
    path = machine.state / FILE_NAME
    data = path.read_bytes()
    noise = random.Random(3).randbytes(len(data) - 4096)
    path.write_bytes(b"text" * 500 if spoil == "text" else data[:4096] + noise)
    told = logged(machine, machine.argv("", NOW + 10), "")
    assert told.status == 0
    assert re.search(rf"{path}: (file is not a database|database disk image)", told.lines[0])
    assert re.search(rf"{path}: moved aside as \S+, and a new one begun$", told.lines[1])
    assert len(told.lines) == 2
    assert logged(machine, machine.argv("", NOW + 20), "").lines == []


# Any story


STORY = st.lists(
    st.tuples(
        st.sampled_from(["www/http", "www/ping", "all/tcp", "operator"]),
        st.sets(st.sampled_from(HOSTS[:3])),
        st.integers(-2, 5),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(STORY)
def test_table_is_what_the_causes_say_in_every_story(
    story: list[tuple[str, set[str], int, bool]],
) -> None:
    """A server serves if and only if nothing keeps it out, and the journal leads to the table."""
    with pytest.MonkeyPatch.context() as monkeypatch, tempfile.TemporaryDirectory() as folder:
        director = Director(Path(folder), monkeypatch)
        director.kernel.fill(f"-A -t {VIRTUAL} -s wlc")
        when = NOW
        seen: set[str] = set()
        for source, failed, later, quiesce in story:
            when += later
            tell(director, source, failed, when, quiesce=quiesce)
            seen |= failed if source == "operator" else set(HOSTS[:3])
            agree(director, seen)


def tell(director: Director, source: str, failed: set[str], when: int, *, quiesce: bool) -> None:
    """Report what a source says, or what an operator does with each real server named."""
    options = ["-V", VIRTUAL, "-W", "5", *(["--quiesce"] if quiesce else [])]
    if source == "operator":
        for host in sorted(failed):
            director.alert(*options, "-R", host, *(["-u"] if when % 2 else []))
        return
    group, service = source.split("/")
    told = {"MON_ALERTTYPE": "failure" if failed else "up", "MON_RETVAL": "1" if failed else "0"}
    argv = ("-s", service, "-g", group, "-h", " ".join(HOSTS[:3]), "-t", str(when))
    stdin = " ".join(sorted(failed)) + "\n"
    assert director.alert(*argv, *options, environ=told, stdin=stdin).status == 0


def agree(director: Director, seen: set[str]) -> None:
    """Hold table, causes and journal against each other."""
    ledger = Ledger.open(str(director.state))
    out = {address for address, _ in ledger.causes(SERVICE)}
    entries = ledger.journal.history()
    assert ledger.journal.unfinished() == []
    ledger.close()
    table = {place: f"dr weight {words.split()[2]}" for place, words in director.servers.items()}
    serving = {place[: -len(":80")] for place, state in table.items() if state != "dr weight 0"}
    assert serving == seen - out
    assert replayed(entries) == table
