"""The ledger's file, held open by a process that opens it again and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from lvsalert.ledger.database import FILE_NAME, Holder, set_aside
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import Cause
from tests.harness.places import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINT = ("192.0.2.1", 80)
# Writes a cause, and leaves its -wal as one does that was killed, or that others keep from it.
_WRITER = (
    "import os, signal, sys\n"
    "from lvsalert.ledger.ledger import Ledger\n"
    "from lvsalert.ledger.records import Cause\n"
    "ledger = Ledger.open(sys.argv[1]); ledger.begin()\n"
    "ledger.set_cause('v', ('192.0.2.1', 80), Cause(sys.argv[2], 1.0, '', False))\n"
    "ledger.commit()\n"
    "os.kill(os.getpid(), signal.SIGKILL)\n"
)


def write(state_dir: Path, cause: str) -> None:
    """Write a cause, and close the ledger."""
    ledger = Ledger.open(str(state_dir))
    ledger.begin()
    ledger.set_cause("v", ENDPOINT, Cause(cause, 1.0, "", drain=False))
    ledger.commit()
    ledger.close()


def write_elsewhere(state_dir: Path, cause: str) -> None:
    """Have a process write a cause that is killed before it closes the ledger."""
    argv = [sys.executable, "-c", _WRITER, str(state_dir), cause]
    done = subprocess.run(argv, cwd=CHECKOUT, check=False)
    assert done.returncode == -signal.SIGKILL


def causes(state_dir: Path) -> list[str]:
    """Return the causes that another process reads."""
    ledger = Ledger.open_to_read(str(state_dir))
    found = [each.cause for each in ledger.causes_of("v", ENDPOINT)]
    ledger.close()
    return sorted(found)


def wal(state_dir: Path) -> Path:
    """Return the file with what was not written back yet."""
    return state_dir / f"{FILE_NAME}-wal"


def test_what_is_held_is_not_written_back_each_time(tmp_path: Path) -> None:
    """The -wal outlives who has closed the file, and all that was written is read from it."""
    write(tmp_path, "first")
    assert not wal(tmp_path).exists()
    holder = Holder()
    holder.hold(str(tmp_path))
    write(tmp_path, "second")
    write_elsewhere(tmp_path, "third")
    assert wal(tmp_path).stat().st_size
    assert causes(tmp_path) == ["first", "second", "third"]
    holder.hold(str(tmp_path / "none"))
    write(tmp_path, "fourth")
    assert not wal(tmp_path).exists()
    assert causes(tmp_path) == ["first", "fourth", "second", "third"]


def test_it_takes_no_descriptor_more_for_each_run(tmp_path: Path) -> None:
    """Those of one who has closed the file are the next one's."""
    write(tmp_path, "first")
    holder = Holder()
    counts = []
    for number in range(20):
        holder.hold(str(tmp_path))
        write(tmp_path, f"cause{number}")
        counts.append(len(os.listdir("/proc/self/fd")))
    assert counts[0] == counts[-1]


def test_a_file_set_aside_takes_nothing_of_the_new_one_with_it(tmp_path: Path) -> None:
    """Whoever holds the old one holds the new one from its next turn on, and nothing is lost."""
    write(tmp_path, "first")
    holder = Holder()
    holder.hold(str(tmp_path))
    write(tmp_path, "second")
    set_aside(str(tmp_path), 1_700_000_000)
    write_elsewhere(tmp_path, "new")
    assert wal(tmp_path).stat().st_size
    holder.hold(str(tmp_path))
    assert wal(tmp_path).stat().st_size
    assert causes(tmp_path) == ["new"]
    write(tmp_path, "newer")
    assert wal(tmp_path).stat().st_size
    assert causes(tmp_path) == ["new", "newer"]


def test_nothing_to_hold_is_no_error(tmp_path: Path) -> None:
    """Be there no folder, no file, or one that is no database."""
    holder = Holder()
    holder.hold(str(tmp_path / "none"))
    holder.hold(str(tmp_path))
    (tmp_path / FILE_NAME).write_text("this is no database, however long one looks at it")
    holder.hold(str(tmp_path))
    assert [each.name for each in tmp_path.iterdir()] == [FILE_NAME]
