"""Carries out command lines on a table, and says what ipvsadm 1.31 would say."""

from __future__ import annotations

import errno
import os

from .commandline import TRY_HELP, Request, read
from .kernel import Table
from .legal import Refusal
from .popt import OptionError

_VERSION = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n"
_HELP = "This is the stand-in for ipvsadm: all its commands and options are those of ipvsadm(8).\n"
_SERVICE_CHANGES = {
    "add-service": Table.add_service,
    "edit-service": Table.edit_service,
    "delete-service": Table.delete_service,
    "zero": Table.zero,
}
_SERVER_CHANGES = {
    "add-server": Table.add_destination,
    "edit-server": Table.edit_destination,
    "delete-server": Table.delete_destination,
}
_NO_SERVICE = {errno.ESRCH: "No such service"}
_UNDEFINED = {errno.ESRCH: "Service not defined"}
_UNKNOWN = {errno.ENOENT: "Scheduler or persistence engine not found"}
_MESSAGES = {
    "add-service": {errno.EEXIST: "Service already exists", **_UNKNOWN},
    "edit-service": {**_NO_SERVICE, **_UNKNOWN},
    "delete-service": _NO_SERVICE,
    "zero": _NO_SERVICE,
    "list": _NO_SERVICE,
    "add-server": {**_UNDEFINED, errno.EEXIST: "Destination already exists"},
    "edit-server": {**_UNDEFINED, errno.ENOENT: "No such destination"},
    "delete-server": {**_UNDEFINED, errno.ENOENT: "No such destination"},
    "start-daemon": {errno.EEXIST: "Daemon has already run"},
    "stop-daemon": {errno.ESRCH: "No daemon is running"},
}
_INVALID = "Invalid operation.  Possibly wrong module version, address not unicast, ..."


class Session:
    """One run of the program on `table`: what it prints gathers in `stdout` and `stderr`."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.stdout = ""
        self.stderr = ""

    def execute(self, request: Request) -> int:
        """Carry out one command and return its status; Refusal where ipvsadm ends with it."""
        try:
            self._ask(request)
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

    def batch(self, text: str) -> int:
        """Carry out the lines of a batch for `-R` and return the status, which is the last one's.

        What the kernel refuses, and an option that popt does not take, is said and passed over.
        Raises Refusal for what ends ipvsadm in the midst.
        """
        status = 0
        for line in text.split("\n"):
            spaced = line.replace("\t", " ").replace("\r", " ").split(" ")
            words = [word for word in spaced if word not in {"", "ipvsadm"}]
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
            status = self.execute(request)
            if request.command in {"help", "version"}:
                break
        return status

    def _ask(self, request: Request) -> None:
        command, table = request.command, self.table
        if command in _SERVER_CHANGES:
            _SERVER_CHANGES[command](table, request.service, request.server)
        elif command in _SERVICE_CHANGES:
            _SERVICE_CHANGES[command](table, request.service)
        elif command == "clear":
            table.flush()
        elif command == "set":
            table.set_timeouts(request.timeouts)
        elif command == "start-daemon":
            table.start_daemon(request.daemon)
        elif command == "stop-daemon":
            table.stop_daemon(request.daemon.state)
        else:
            self.stdout += self._show(request)

    def _show(self, request: Request) -> str:
        if request.command == "version":
            return _VERSION
        if request.command == "help":
            return _VERSION + _HELP
        # Only imported where something is shown: a change is most of what is asked for.
        from .listing import listing, rules

        if request.command == "save":
            return rules(self.table, request.given)
        return listing(self.table, request.given, request.service)
