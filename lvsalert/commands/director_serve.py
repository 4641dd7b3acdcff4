"""lvs-director serve: the resident process, which runs mon's plug-ins with everything imported."""

from __future__ import annotations

import contextlib
import functools
import os
import pkgutil
import socket
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from lvsalert import checks, commands
from lvsalert.commands import entry
from lvsalert.commands.entry import Outcome
from lvsalert.commands.mon_options import mon_option
from lvsalert.commands.monitoring import Repeated
from lvsalert.commands.options import Parsed, command, option
from lvsalert.commands.stub import leave_signals
from lvsalert.commands.together import run_together
from lvsalert.director.outside import Inside, stay_inside
from lvsalert.errors import NotDoneError, UsageError
from lvsalert.mon import client
from lvsalert.mon.plugins import PLUGINS
from lvsalert.resident import wire
from lvsalert.resident.server import Server, listen
from lvsalert.resident.watcher import Mon, Watcher
from lvsalert.resident.worker import Call

# What a run may import late, and most do.
_ALSO = (
    *("difflib", "encodings.idna", "encodings.unicode_escape", "icmplib", "requests", "ssl"),
    *("syslog", "traceback"),
)
_PROGRAMS = frozenset(name for names in PLUGINS.values() for name in names)
# The variable of a call that is made again.
_REPEATED = "LVSALERT_REPEATED"
# The first descriptor that systemd hands over (sd_listen_fds(3)).
_FIRST = 3


@command("serve")
@option(
    "--socket",
    "path",
    default=wire.DEFAULT_SOCKET,
    show_default=True,
    metavar="PATH",
    help="Where to listen, unless systemd has handed a socket over.",
)
@mon_option
@option(
    "--trap",
    type=Parsed("place", client.parse_address),
    metavar="HOST[:PORT]",
    help="Where mon takes traps.  [default: where it takes commands]",
)
def serve_command(path: str, mon: tuple[str, int], trap: tuple[str, int] | None) -> Outcome:
    """Stay, and run mon's plug-ins with everything imported.

    Plug-ins find it at LVSALERT_SOCKET, and run by themselves where it is not, or where that is
    empty. It takes calls of its own user and of root, and ends on TERM, when its runs are over.
    What a monitor with --between has checked it goes on checking, and tells mon of a change by a
    trap, until mon calls no more.
    """
    _warm_up()
    # From its socket on it takes calls at once.
    listener = _listener(path)
    stay_inside()
    leave_signals()
    calls, called = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    called.setblocking(False)
    watcher = Watcher(listener.getsockname(), calls, Mon(mon, trap or mon))

    def watch() -> NoReturn:
        called.close()
        watcher.watch()

    with listener, calls, called:
        Server(listener, functools.partial(_execute, called), calls, watch).serve()
    return Outcome(0)


def _listener(path: str) -> socket.socket:
    """Return the socket that systemd has handed over, or a new one at ``path``."""
    if os.environ.pop("LISTEN_PID", "") == str(os.getpid()):
        count = os.environ.pop("LISTEN_FDS", "")
        if count != "1":
            raise UsageError(f"LISTEN_FDS: {count!r} is not one socket")
        return socket.socket(fileno=_FIRST)
    try:
        return listen(path)
    except OSError as error:
        raise NotDoneError(f"{path}: {error.strerror}") from None


def _warm_up() -> None:
    """Import what runs need, so that none of them has to."""
    for package in (checks, commands):
        for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if each.name != __name__:
                import_module(each.name)
    for name in _ALSO:
        import_module(name)


def _execute(called: socket.socket, calls: Sequence[Call]) -> None:
    """Run plug-ins in this process, and answer them.

    A check that is to be repeated is ``called`` out to the watcher. What has to be done outside is
    the plug-in's.
    """
    for call in calls if len(calls) == 1 else run_together(calls):
        if call.program not in _PROGRAMS:
            call.give_up()
            continue
        try:
            call.enter()
            entry.run_for(
                call.program, call.argv, call.stdin, functools.partial(_emit, called, call)
            )
        except (OSError, Inside):
            call.give_up()


def _emit(called: socket.socket, call: Call, outcome: Outcome) -> bool:
    stdout, stderr = entry.encoded(outcome)
    if isinstance(outcome, Repeated) and "MON_SERVICE" in os.environ:
        _call_out(called, call.program, outcome, stdout)
    return call.answer(outcome.status, stdout, stderr)


def _call_out(called: socket.socket, program: str, outcome: Repeated, stdout: bytes) -> None:
    """Tell the watcher of mon's call, which it makes again, marked so that it is told once."""
    if _REPEATED in os.environ:
        return
    environ = {**os.environb, _REPEATED.encode(): b"1"}
    call = wire.call(program, b"", environ)
    with contextlib.suppress(OSError):
        between = repr(outcome.between).encode()
        called.send(wire.pack([between, str(outcome.status).encode(), stdout, call]))
