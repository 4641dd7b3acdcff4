"""An `ipvsadm` that keeps its table in a file, as strict as ipvsadm 1.31 on Linux 6.1.

For trying things, and for tests, where the kernel has no IPVS. `python -m lvsalert.standin ARGS…`
behaves as `ipvsadm ARGS…` on the table in the file that LVSALERT_STANDIN_TABLE names; without that
variable it answers as ipvsadm does on a kernel without IPVS. It shares no code with the rest of the
package, so that a mistake there is not repeated in what checks it. It knows no privileges: who may
write the file's folder may change the table.
"""

from __future__ import annotations

import errno
import os
import sys

from . import store
from .commandline import TRY_HELP, Request, read
from .kernel import Table
from .legal import Refusal
from .popt import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

VARIABLE = "LVSALERT_STANDIN_TABLE"
_VERSION = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n"
_HELP = f"""{_VERSION}This is lvsalert's stand-in: the table is in the file that {VARIABLE} names.
All commands and options are those of ipvsadm(8).
"""
_READING = frozenset(("list", "save", "help", "version"))
_NO_SERVICE = {errno.ESRCH: "Service not defined"}
_ABSENT = {errno.ESRCH: "No such service"}
_UNKNOWN = {errno.ENOENT: "Scheduler or persistence engine not found"}
_MESSAGES = {
    "add-service": {errno.EEXIST: "Service already exists", **_UNKNOWN},
    "edit-service": {**_ABSENT, **_UNKNOWN},
    "delete-service": _ABSENT,
    "zero": _ABSENT,
    "list": _ABSENT,
    "add-server": {**_NO_SERVICE, errno.EEXIST: "Destination already exists"},
    "edit-server": {**_NO_SERVICE, errno.ENOENT: "No such destination"},
    "delete-server": {**_NO_SERVICE, errno.ENOENT: "No such destination"},
    "start-daemon": {errno.EEXIST: "Daemon has already run"},
    "stop-daemon": {errno.ESRCH: "No daemon is running"},
}
_INVALID = "Invalid operation.  Possibly wrong module version, address not unicast, ..."


def main(
    argv: list[str], environ: Mapping[str, str], stdin: TextIO, stdout: TextIO, stderr: TextIO
) -> int:
    """Run one ipvsadm command and return its exit status; `argv` is without the program's name."""
    path = environ.get(VARIABLE, "")
    if path == "":
        hint = f"(the stand-in for ipvsadm keeps its table in the file that {VARIABLE} names)"
        stderr.write(f"{_not_initialized('Protocol not available')}{hint}\n")
        return 2
    run = _Run()
    try:
        status = run.command_line(argv, stdin, path)
    except OSError as error:
        run.stderr += _not_initialized(f"{path}: {error.strerror}")
        status = 2
    except ValueError as error:
        run.stderr += _not_initialized(f"{path}: {error}")
        status = 2
    stdout.write(run.stdout)
    stderr.write(run.stderr)
    return status


def write_executable(path: str, table: str, python: str = sys.executable) -> None:
    """Write a program at `path` that is this stand-in on the file `table`, run by `python`.

    It takes nothing from the environment, so it works where that is cleared.
    """
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    text = (
        f"#!{python} -IS\n"
        "import sys\n"
        f"sys.path.insert(0, {package!r})\n"
        "from lvsalert.standin import run\n"
        f"run({{{VARIABLE!r}: {os.path.abspath(table)!r}}})\n"
    )
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)


def run(environ: Mapping[str, str]) -> None:
    """Run as a program: sys.argv and the standard streams in, an exit status out."""
    sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    status = main(sys.argv[1:], environ, sys.stdin, sys.stdout, sys.stderr)
    sys.exit(status)


def _not_initialized(why: str) -> str:
    return (
        f"Can't initialize ipvs: {why}\n"
        "Are you sure that IP Virtual Server is built in the kernel or as module?\n"
    )


class _Run:
    """One run of the program: the table while it is open, and what is printed so far."""

    def __init__(self) -> None:
        self.stdout = ""
        self.stderr = ""
        self._table = Table()

    def command_line(self, argv: list[str], stdin: TextIO, path: str) -> int:
        """Run the command on the table in the file `path` and return the exit status."""
        try:
            request = read(argv) if argv else Request("list")
            if request.command in _READING:
                self._table = store.parse(store.load(path))
                return self._execute(request)
            # The whole batch is read first, so that no slow writer keeps others from the table.
            batch = stdin.read().split("\n") if request.command == "restore" else []
            with store.Locked(path):
                text = store.load(path)
                self._table = store.parse(text)
                try:
                    status = self._batch(batch) if batch else self._execute(request)
                finally:
                    changed = store.dump(self._table)
                    if changed != text:
                        store.save(path, changed)
                return status
        except Refusal as refusal:
            self.stderr += f"{refusal}\n"
            return refusal.status
        except OptionError as error:
            self.stderr += f"{error}\n"
            return 255

    def _batch(self, lines: list[str]) -> int:
        """Run each line of a batch; the status is that of the last one, as ipvsadm has it."""
        status = 0
        for line in lines:
            words = [word for word in line.replace("\t", " ").replace("\r", " ").split(" ") if word]
            words = [word for word in words if word != "ipvsadm"]
            if not words:
                continue
            try:
                request = read(words)
            except OptionError as error:
                self.stderr += f"{error}\n"
                status = 255
                continue
            if request.command == "restore":
                raise Refusal(TRY_HELP, 255)
            status = self._execute(request)
            if request.command in {"help", "version"}:
                return status
        return status

    def _execute(self, request: Request) -> int:
        try:
            self._ask_kernel(request)
        except OSError as error:
            number = error.errno or 0
            message = _MESSAGES.get(request.command, {}).get(number)
            if message is None:
                message = _INVALID if number == errno.EINVAL else os.strerror(number)
            if request.command == "list":
                raise Refusal(message, 1) from None
            self.stderr += f"{message}\n"
            return 255
        return 0

    def _ask_kernel(self, request: Request) -> None:
        table, command = self._table, request.command
        if command == "help":
            self.stdout += _HELP
        elif command == "version":
            self.stdout += _VERSION
        elif command == "list":
            from .listing import listing

            self.stdout += listing(table, request.given, request.service)
        elif command == "save":
            from .listing import rules

            self.stdout += rules(table, request.given)
        elif command == "clear":
            table.flush()
        elif command == "set":
            table.set_timeouts(request.timeouts)
        elif command == "start-daemon":
            table.start_daemon(request.daemon)
        elif command == "stop-daemon":
            table.stop_daemon(request.daemon.state)
        elif command == "zero":
            if "service-address" in request.given:
                table.find(request.service)
        elif command.endswith("service"):
            self._change_service(request)
        else:
            self._change_server(request)

    def _change_service(self, request: Request) -> None:
        if request.command == "add-service":
            self._table.add_service(request.service)
        elif request.command == "edit-service":
            self._table.edit_service(request.service)
        else:
            self._table.delete_service(request.service)

    def _change_server(self, request: Request) -> None:
        if request.command == "add-server":
            self._table.add_destination(request.service, request.server)
        elif request.command == "edit-server":
            self._table.edit_destination(request.service, request.server)
        else:
            self._table.delete_destination(request.service, request.server)
