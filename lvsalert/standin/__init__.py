"""An `ipvsadm` that keeps its table in a file, as strict as ipvsadm 1.31 on Debian 12's kernel.

For trying things, and for tests, where the kernel has no IPVS. `python -m lvsalert.standin ARGS…`
behaves as `ipvsadm ARGS…` on the table in the file that LVSALERT_STANDIN_TABLE names; without that
variable it answers as ipvsadm does on a kernel without IPVS. It shares no code with the rest of the
package, so that a mistake there is not repeated in what checks it. It knows no privileges: whoever
may write the file's folder may change the table.
"""

from __future__ import annotations

import io
import os
import sys

from . import store
from .commandline import Request, read
from .kernel import Table
from .legal import Refusal
from .popt import OptionError
from .session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

VARIABLE = "LVSALERT_STANDIN_TABLE"
_READING = frozenset(("list", "save", "help", "version"))
_MODE = 0o755


def main(
    argv: list[str], environ: Mapping[str, str], stdin: TextIO, stdout: TextIO, stderr: TextIO
) -> int:
    """Run one ipvsadm command and return its exit status; `argv` is without the program's name."""
    path = environ.get(VARIABLE, "")
    if path == "":
        stderr.write(_not_initialized("Protocol not available"))
        stderr.write(f"(The stand-in for ipvsadm: {VARIABLE} names no file for its table.)\n")
        return 2
    session = Session(Table())
    try:
        status = _run(session, argv, stdin, path)
    except OSError as error:
        session.stderr += _not_initialized(f"{path}: {error.strerror}")
        status = 2
    except ValueError as error:
        session.stderr += _not_initialized(f"{path}: {error}")
        status = 2
    stdout.write(session.stdout)
    stderr.write(session.stderr)
    return status


def run(environ: Mapping[str, str]) -> None:
    """Run as a program: sys.argv and the standard streams in, an exit status out."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    sys.exit(main(sys.argv[1:], environ, sys.stdin, sys.stdout, sys.stderr))


def write_executable(
    path: str | os.PathLike[str],
    table: str | os.PathLike[str],
    python: str | os.PathLike[str] = sys.executable,
) -> None:
    """Write a program at `path` that is this stand-in on the file `table`, run by `python`.

    It takes nothing from the environment, so it works where that is cleared, as by lvs.alert.
    """
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    text = (
        f"#!{os.fspath(python)} -IS\n"
        "import sys\n"
        f"sys.path.append({package!r})\n"
        "from lvsalert.standin import run\n"
        f"run({{{VARIABLE!r}: {os.path.abspath(table)!r}}})\n"
    )
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, _MODE)


def _run(session: Session, argv: list[str], stdin: TextIO, path: str) -> int:
    try:
        request = read(argv) if argv else Request("list")
        if request.command in _READING:
            session.table = store.load(path)
            return session.execute(request)
        # The whole batch is read first, so that no slow writer keeps others from the table.
        batch = stdin.read() if request.command == "restore" else None
        with store.Locked(path):
            session.table = store.load(path)
            try:
                return session.execute(request) if batch is None else session.batch(batch)
            finally:
                store.save(path, session.table)
    except Refusal as refusal:
        session.stderr += f"{refusal}\n"
        return refusal.status
    except OptionError as error:
        session.stderr += f"{error}\n"
        return 255


def _not_initialized(why: str) -> str:
    return (
        f"Can't initialize ipvs: {why}\n"
        "Are you sure that IP Virtual Server is built in the kernel or as module?\n"
    )
