"""The ledger in its file: who may write it, what it refuses, what comes out of what went in."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
from pathlib import Path
from typing import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lvsalert
from lvsalert.ipvs.table import Endpoint
from lvsalert.ledger.database import FILE_NAME, CorruptError, LedgerError, ledger_error, set_aside
from lvsalert.ledger.journal import Entry
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import Cause, LastRun, LastVerdict, ServerMemory
from lvsalert.ledger.schema import SCHEMAS
from tests.harness.places import is_root

VIRTUAL = "tcp 10.0.0.3:80"
ONE: Endpoint = ("192.0.2.1", 80)
SIX: Endpoint = ("2001:db8::11", 80)
ENTRY = Entry(
    0,
    100.0,
    "www/http",
    "refused",
    VIRTUAL,
    "192.0.2.1:80",
    "dr weight 5",
    "out",
    {"before": ("-g", "-w", "5"), "after": None},
)


@pytest.fixture
def ledger() -> Ledger:
    """An empty ledger, in memory."""
    return Ledger.in_memory()


@pytest.mark.parametrize("endpoint", [ONE, SIX, ("fe80::1%eth0", 65535), ("192.0.2.1", 0)])
def test_real_servers_come_back_as_they_went_in(ledger: Ledger, endpoint: Endpoint) -> None:
    """Addresses of both families, and ports of firewall marks."""
    ledger.set_cause(VIRTUAL, endpoint, Cause("www/http", 1.5, "refused", drain=False))
    ledger.verdicts.put(VIRTUAL, "www/http", {endpoint: LastVerdict(1, True, 1, False, 1.5)})
    ledger.remember(VIRTUAL, {endpoint: ServerMemory(upper=7)})
    assert list(ledger.causes(VIRTUAL)) == [endpoint]
    assert list(ledger.verdicts.by(VIRTUAL, "www/http")) == [endpoint]
    assert ledger.memories(VIRTUAL) == {endpoint: ServerMemory(since=1.5, upper=7)}


KNOWN = st.builds(
    ServerMemory,
    since=st.none(),
    by_operator=st.just(False),
    drained=st.just(False),
    quiesced_until=st.none() | st.floats(1, 2e9),
    slow_since=st.floats(1, 2e9),
    slow_for=st.floats(1, 1e6),
    upper=st.integers(0, 2**31 - 1),
    lower=st.integers(0, 2**31 - 1),
    held=st.booleans(),
    flags=st.sampled_from([(), ("--tun-type", "gre", "--tun-csum")]),
)


@given(st.dictionaries(st.sampled_from([ONE, SIX, ("192.0.2.1", 8080)]), KNOWN))
def test_what_is_known_comes_back(known: dict[Endpoint, ServerMemory]) -> None:
    """What was remembered is known, and what became empty is no more."""
    ledger = Ledger.in_memory()
    ledger.remember(VIRTUAL, known)
    assert ledger.memories(VIRTUAL) == known
    assert ledger.memories("tcp 10.0.0.4:80") == {}
    ledger.remember(VIRTUAL, dict.fromkeys(known, ServerMemory()))
    assert ledger.memories(VIRTUAL) == {}
    ledger.close()


def test_known_tells_of_causes(ledger: Ledger) -> None:
    """Since the oldest, by an operator if one is his, drained only if all ask for that."""
    ledger.set_cause(VIRTUAL, ONE, Cause("operator", 9.0, "by hand", drain=True))
    assert ledger.memories(VIRTUAL)[ONE] == ServerMemory(since=9.0, by_operator=True, drained=True)
    ledger.set_cause(VIRTUAL, ONE, Cause("www/http", 5.0, "refused", drain=False))
    assert ledger.memories(VIRTUAL)[ONE] == ServerMemory(since=5.0, by_operator=True, drained=False)
    ledger.clear_cause(VIRTUAL, ONE, "operator")
    assert ledger.memories(VIRTUAL)[ONE] == ServerMemory(since=5.0)
    ledger.clear_cause(VIRTUAL, ONE)
    assert ledger.memories(VIRTUAL) == {}


def test_last_run_of_each_source_is_kept(ledger: Ledger) -> None:
    """One for each virtual service, source and real server."""
    first = LastRun(VIRTUAL, "www/http", "", 1.0, {"LVSALERT_WEIGHT": "5"})
    for run in (first, first._replace(time=2.0), first._replace(real="192.0.2.1")):
        ledger.runs.put(run)
    assert sorted(ledger.runs.all()) == [first._replace(time=2.0), first._replace(real="192.0.2.1")]
    assert ledger.virtual_services() == [VIRTUAL]


def test_journal_shows_what_was_confirmed(ledger: Ledger) -> None:
    """A line that is only intended is unfinished; one that is withdrawn was never there."""
    last = ledger.journal.intend([ENTRY, ENTRY, ENTRY])
    assert ledger.journal.history() == []
    assert [each.id for each in ledger.journal.unfinished()] == [last - 2, last - 1, last]
    ledger.journal.confirm(last - 2)
    ledger.journal.withdraw(last - 1)
    assert ledger.journal.history() == [ENTRY._replace(id=last - 2)]
    assert [each.id for each in ledger.journal.unfinished()] == [last]


def test_lines_that_come_after_all_were_trimmed_are_unfinished(ledger: Ledger) -> None:
    """Their numbers go on where the others ended, though none of those is left."""
    ledger.journal.confirm(ledger.journal.intend([ENTRY, ENTRY]))
    ledger.journal.trim(ENTRY.time + 1)
    assert ledger.journal.history() == []
    last = ledger.journal.intend([ENTRY])
    assert [each.id for each in ledger.journal.unfinished()] == [last]


def test_long_journal_is_not_searched_for_what_is_unfinished(ledger: Ledger) -> None:
    """SQLite takes as many steps with thousands of lines as with ten."""
    steps: list[int] = []
    for lines in (10, 5000):
        ledger.journal.confirm(ledger.journal.intend([ENTRY] * lines))
        last = ledger.journal.intend([ENTRY])
        steps.append(0)

        def count() -> int:
            steps[-1] += 1
            return 0

        ledger._db.set_progress_handler(count, 1)
        assert [each.id for each in ledger.journal.unfinished()] == [last]
        ledger._db.set_progress_handler(None, 0)
        ledger.journal.confirm(last)
    assert steps[0] == steps[1] > 0


def test_journal_of_one_real_server(ledger: Ledger) -> None:
    """A service, a server and a time part what is asked for from the rest."""
    lines = [
        ENTRY._replace(virtual=virtual, real=real, time=when)
        for virtual in (VIRTUAL, "fwm 7")
        for real in ("192.0.2.1:80", "192.0.2.1:8080", "[2001:db8::11]:80")
        for when in (100.0, 200.0)
    ]
    ledger.journal.confirm(ledger.journal.intend(lines))
    assert len(ledger.journal.history()) == 12
    assert len(ledger.journal.history(since=200.0)) == 6
    assert len(ledger.journal.history(virtual="fwm 7")) == 6
    assert len(ledger.journal.history(real="[2001:db8::11]:80")) == 4
    assert len(ledger.journal.history(since=100.1, virtual=VIRTUAL, real="192.0.2.1:80")) == 1


def test_rollback_drops_what_was_written(ledger: Ledger) -> None:
    """What is not committed has not been."""
    ledger.begin()
    ledger.set_cause(VIRTUAL, ONE, Cause("www/http", 1.0, "", drain=False))
    ledger.rollback()
    ledger.rollback()
    assert ledger.causes(VIRTUAL) == {}


# The file


def test_ledger_lasts(tmp_path: Path) -> None:
    """What one process wrote the next one reads, in WAL mode."""
    first = Ledger.open(str(tmp_path))
    first.begin()
    first.set_cause(VIRTUAL, ONE, Cause("www/http", 1.0, "refused", drain=False))
    first.commit()
    first.close()
    for again in (Ledger.open(str(tmp_path)), Ledger.open_to_read(str(tmp_path))):
        assert again.is_lasting
        assert again.causes_of(VIRTUAL, ONE) == [Cause("www/http", 1.0, "refused", drain=False)]
        assert again._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        again.close()


def test_reader_writes_nothing(tmp_path: Path) -> None:
    """Whoever only looks cannot change what he looks at."""
    Ledger.open(str(tmp_path)).close()
    reader = Ledger.open_to_read(str(tmp_path))
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.clear_cause(VIRTUAL, ONE)
    reader.close()


def test_reader_of_a_ledger_just_begun_finds_it_empty(tmp_path: Path) -> None:
    """The file is there before its tables are."""
    (tmp_path / FILE_NAME).touch()
    reader = Ledger.open_to_read(str(tmp_path))
    assert (reader.is_lasting, reader.virtual_services()) == (False, [])
    reader.close()


def lay_text(path: Path) -> None:
    """Write something that is no database."""
    path.write_text("no database " * 500)


def lay_newer(path: Path) -> None:
    """Make a database of a version to come."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE something (of_the INTEGER)")
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def lay_other_tables(path: Path) -> None:
    """Make a database of our version with tables of somebody else."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE causes (of_all INTEGER)")
    connection.execute(f"PRAGMA user_version = {len(SCHEMAS)}")
    connection.close()


def lay_link(path: Path) -> None:
    """Lay a link to a file of somebody else."""
    path.with_name("victim").touch()
    path.symlink_to("victim")


@pytest.mark.parametrize(
    ("lay", "kind", "message"),
    [
        (lay_text, CorruptError, "file is not a database"),
        (lay_newer, LedgerError, "made by a newer lvsalert (version 99 of its tables)"),
        (lay_link, LedgerError, "not a regular file"),
        (os.mkfifo, LedgerError, "not a regular file"),
        (Path.mkdir, LedgerError, "not a regular file"),
    ],
)
def test_file_that_is_no_ledger_is_refused(
    tmp_path: Path, lay: Callable[[Path], None], kind: type[LedgerError], message: str
) -> None:
    """The message names the file, and nothing is written to it."""
    path = tmp_path / FILE_NAME
    lay(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(LedgerError) as caught:
        Ledger.open(str(tmp_path))
    assert type(caught.value) is kind
    assert str(caught.value) == f"{path}: {message}"
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_tables_of_somebody_else_are_a_broken_ledger(tmp_path: Path) -> None:
    """The version promises tables that are not there."""
    lay_other_tables(tmp_path / FILE_NAME)
    ledger = Ledger.open(str(tmp_path))
    with pytest.raises(sqlite3.Error) as caught:
        ledger.memories(VIRTUAL)
    ledger.close()
    assert isinstance(ledger_error("x", caught.value), CorruptError)


@pytest.mark.parametrize("real", ["192.0", "192.0.2.1:http"])
def test_real_server_that_makes_no_sense_is_a_broken_ledger(ledger: Ledger, real: str) -> None:
    """SQLite does not notice a changed letter in a text."""
    ledger._db.execute("INSERT INTO causes VALUES (?, ?, 'x', 1, '', 0)", (VIRTUAL, real))
    with pytest.raises(CorruptError, match=rf"^ledger.db: '{real}' is not a real server$"):
        ledger.causes(VIRTUAL)


@pytest.mark.parametrize(
    ("was", "became"),
    [("-g -v 5", None), (None, "-g -w five"), (None, "-g -w"), ("", None), (5, None), (b"-A", "")],
)
def test_words_that_make_no_sense_are_a_broken_ledger(
    ledger: Ledger, was: object, became: object
) -> None:
    """Nor what is no text of a line, or another one than belongs there."""
    ledger.journal.intend([ENTRY])
    ledger._db.execute("UPDATE journal SET was = ?, became = ?", (was, became))
    with pytest.raises(CorruptError, match=r"^ledger.db: a line of the journal cannot be read$"):
        ledger.journal.unfinished()


@pytest.mark.parametrize(
    "said",
    [
        "5",
        "1 1 1 1 1.0x 192.0.2.1:80",
        "x 1 1 1 1.0 192.0.2.1:80",
        "1 yes 1 1 1.0 192.0.2.1:80",
        "1 1 1 2 1.0 192.0.2.1:80",
        b"1 1 1 1 1.0",
    ],
)
def test_checks_that_make_no_sense_are_a_broken_ledger(ledger: Ledger, said: object) -> None:
    """Nor what a source said, for whoever reads it."""
    ledger._db.execute("INSERT INTO checks VALUES (?, 'www/http', ?)", (VIRTUAL, said))
    for read in (
        lambda: ledger.verdicts.by(VIRTUAL, "www/http"),
        lambda: ledger.verdicts.of(VIRTUAL, ONE),
    ):
        with pytest.raises(CorruptError, match=r"^ledger.db: what a source said cannot be read$"):
            read()


@pytest.mark.parametrize("options", ["LVSALERT_WEIGHT", "X=\\x", "X=ü", b"X=1"])
def test_options_that_make_no_sense_are_a_broken_ledger(ledger: Ledger, options: object) -> None:
    """Nor with what options a source ran."""
    ledger.runs.put(LastRun(VIRTUAL, "www/http", "", 1.0, {}))
    ledger._db.execute("UPDATE runs SET options = ?", (options,))
    with pytest.raises(CorruptError, match=r"^ledger.db: the options of a run cannot be read$"):
        ledger.runs.all()


@given(st.dictionaries(st.from_regex(r"LVSALERT_[A-Z_]+", fullmatch=True), st.text()))
@example({"LVSALERT_CONFIG": "\udcff\n=\\n\u2028\x00"})
def test_options_come_back(options: dict[str, str]) -> None:
    """Whatever is in their values, line's ends and bytes that are no text among it."""
    ledger = Ledger.in_memory()
    ledger.runs.put(LastRun(VIRTUAL, "www/http", "", 1.0, options))
    assert ledger.runs.all() == [LastRun(VIRTUAL, "www/http", "", 1.0, options)]
    ledger.close()


CHECK = st.builds(
    LastVerdict,
    time=st.integers(-1, 2**40),
    failed=st.booleans(),
    in_a_row=st.integers(1, 2**31),
    steady=st.booleans(),
    heard=st.floats(0, 1e11),
)


@given(st.dictionaries(st.sampled_from([ONE, SIX, ("192.0.2.1", 8080), ("::1", 0)]), CHECK))
def test_what_was_said_comes_back(said: dict[Endpoint, LastVerdict]) -> None:
    """Each real server has its own check again, whether others share it or not."""
    ledger = Ledger.in_memory()
    ledger.verdicts.put(VIRTUAL, "www/ftp", {ONE: LastVerdict(1, True, 1, False, 1.0)})
    ledger.verdicts.put(VIRTUAL, "www/http", said)
    assert ledger.verdicts.by(VIRTUAL, "www/http") == said
    for endpoint, check in said.items():
        assert ledger.verdicts.of(VIRTUAL, endpoint)["www/http"] == check
    ledger.close()


def test_what_a_source_said_of_one_is_forgotten_with_its_cause(ledger: Ledger) -> None:
    """What it said of others stays, and what others said."""
    check = LastVerdict(1, True, 1, False, 1.0)
    for source in ("www/http", "www/ftp"):
        ledger.verdicts.put(VIRTUAL, source, {ONE: check, SIX: check})
        ledger.set_cause(VIRTUAL, ONE, Cause(source, 1.0, "refused", drain=False))
    ledger.forget(VIRTUAL, ONE, "www/http")
    assert ledger.verdicts.by(VIRTUAL, "www/http") == {SIX: check}
    assert ledger.verdicts.by(VIRTUAL, "www/ftp") == {ONE: check, SIX: check}
    assert [each.cause for each in ledger.causes_of(VIRTUAL, ONE)] == ["www/ftp"]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    """There is no ledger where there is no state directory, to write or to read."""
    for opened in (Ledger.open, Ledger.open_to_read):
        with pytest.raises(LedgerError) as caught:
            opened(str(tmp_path / "none"))
        assert str(caught.value) == f"{tmp_path}/none/{FILE_NAME}: No such file or directory"


def test_broken_file_is_moved_aside_with_what_belongs_to_it(tmp_path: Path) -> None:
    """A new file beside an old -wal would be as broken."""
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"{FILE_NAME}{suffix}").write_text(suffix)
    aside = Path(set_aside(str(tmp_path), 1_700_000_000))
    assert aside.name.startswith(f"{FILE_NAME}.broken-2023111")
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {
        f"{aside.name}{suffix}": suffix for suffix in ("", "-wal", "-shm")
    }


# Who may write it

_ROUND = (
    "import sys, os; sys.path.insert(0, sys.argv[1]); os.umask(0o77)\n"
    "from lvsalert.ledger.ledger import Ledger\n"
    "from lvsalert.ledger.records import Cause\n"
    "ledger = Ledger.open(sys.argv[2]); ledger.begin()\n"
    "ledger.set_cause('v', ('192.0.2.1', 80), Cause(sys.argv[3], 1.0, '', False))\n"
    "ledger.commit()\n"
    "print(sorted(each.cause for each in ledger.causes_of('v', ('192.0.2.1', 80))))\n"
    "sys.stdout.flush()\n"
    "if sys.argv[4] == 'killed': os.kill(os.getpid(), 9)\n"
)
needs_root = pytest.mark.skipif(
    not is_root() or shutil.which("setpriv") is None, reason="needs root and setpriv"
)


class Shared:
    """A state directory of root and a group, and copies of the package for all users."""

    def __init__(self, folder: Path) -> None:
        """Make the folder as install does: mode 0770, the group is nobody's."""
        self.state = folder / "state"
        self.state.mkdir(mode=0o770)
        self.state.chmod(0o770)
        shutil.chown(self.state, "nobody", "nogroup")
        self._package = folder / "package"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(lvsalert.__file__).parent, self._package / "lvsalert", ignore=ignored)

    def write(self, user: str, cause: str, *, killed: bool = False) -> str:
        """Add a cause as a user, and return what causes there are, or why not."""
        become = (
            []
            if user == "root"
            else ["setpriv", "--reuid", user, "--regid", "nogroup", "--clear-groups"]
        )
        argv = [
            "/usr/bin/python3",
            "-c",
            _ROUND,
            str(self._package),
            str(self.state),
            cause,
            "killed" if killed else "",
        ]
        done = subprocess.run([*become, *argv], capture_output=True, text=True, check=False)
        return done.stdout.strip() or done.stderr


@needs_root
@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("order", [("root", "nobody"), ("nobody", "root")])
def test_root_and_mons_user_share_the_ledger(
    folder: Path, order: tuple[str, str], killed: bool
) -> None:
    """Whoever begins it, whatever the umask, and though a kill leaves the -wal file behind."""
    shared = Shared(folder)
    assert shared.write(order[0], "a", killed=killed) == "['a']"
    for path in shared.state.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.group() == "nogroup"
    assert shared.write(order[1], "b", killed=killed) == "['a', 'b']"
    assert shared.write(order[0], "c") == "['a', 'b', 'c']"


@needs_root
def test_making_that_was_cut_short_is_finished(folder: Path) -> None:
    """Root was killed before the file was the group's; the next run of root's gives it away."""
    shared = Shared(folder)
    path = shared.state / FILE_NAME
    path.touch(mode=0o600)
    assert "Permission denied" in shared.write("nobody", "a")
    assert shared.write("root", "b") == "['b']"
    assert shared.write("nobody", "c") == "['b', 'c']"
