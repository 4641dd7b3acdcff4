"""lvs-director serve: the resident process, which runs mon's plug-ins with everything imported."""

from __future__ import annotations

import contextlib
import functools
import os
import pkgutil
import socket
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

from lvsalert import checks, commands, openmetrics
from lvsalert.commands import entry, lvs_director, report_html
from lvsalert.commands.entry import Outcome
from lvsalert.commands.mon_options import mon_option
from lvsalert.commands.monitoring import Repeated
from lvsalert.commands.options import WHERE, Parsed, command, option
from lvsalert.commands.stub import is_monitor, leave_signals
from lvsalert.commands.table_options import door_of, table_options
from lvsalert.commands.together import run_together
from lvsalert.director import metrics
from lvsalert.director.outside import Inside, need_outside, stay_inside, work_for
from lvsalert.errors import NotDoneError, UsageError
from lvsalert.ledger.database import hold_what_is_opened
from lvsalert.mon import client
from lvsalert.mon.plugins import PLUGINS
from lvsalert.resident import exporter, watched, wire
from lvsalert.resident.called import Called
from lvsalert.resident.notes import RESULTS, Counts, Notes
from lvsalert.resident.server import Server, listen
from lvsalert.resident.telling import Mon, Teller
from lvsalert.resident.watch import failed_of
from lvsalert.resident.watcher import Watcher
from lvsalert.resident.worker import Call

# What a run may import late, and most do.
_ALSO = (
    *("difflib", "encodings.idna", "encodings.unicode_escape", "icmplib", "requests", "ssl"),
    *("syslog", "traceback"),
)
_PROGRAMS = frozenset(name for names in PLUGINS.values() for name in names) | {lvs_director.NAME}
# What builds the suite needs what only a build has.
_NEVER = (__name__, "lvsalert.commands.build")
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
    section=WHERE,
)
@mon_option
@option(
    "--trap",
    type=Parsed("place", client.parse_address),
    metavar="HOST[:PORT]",
    help="Where mon takes traps.  [default: where it takes commands]",
    section=WHERE,
)
@option(
    "--listen",
    "places",
    type=Parsed("place", exporter.parse_place),
    multiple=True,
    metavar="[ADDRESS:]PORT|unix:PATH",
    help="Show metrics and report over HTTP here, read-only; may be repeated.  [default: nowhere]",
    section=WHERE,
)
@table_options
def serve_command(
    path: str,
    mon: tuple[str, int],
    trap: tuple[str, int] | None,
    places: Sequence[exporter.Place],
    **given: Any,
) -> Outcome:
    """Stay, and run mon's plugins with everything imported.

    Plugins find it at LVSALERT_SOCKET; where nobody listens there, or where that is empty, they run
    by themselves. start, stop and status use it where LVSALERT_SOCKET is set. It takes calls of its
    own user and of root. On TERM it ends when its runs are over. It repeats the checks of a monitor
    with --between until mon calls that no more, and tells mon of a change by a trap. With --listen
    it answers /metrics for Prometheus, and / with the page of lvs-director report. --ipvsadm and
    --state-dir are for these two; each run goes by its own.
    """
    _warm_up()
    # From its socket on it takes calls at once.
    listener = _listener(path)
    stay_inside()
    hold_what_is_opened()
    leave_signals()
    calls, called = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    noted, heard = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    called.setblocking(False)
    notes = Notes(noted if places else None)
    teller = Teller(Mon(mon, trap or mon), notes)
    watcher = Watcher(listener.getsockname(), calls, teller, notes)

    def watch() -> NoReturn:
        called.close()
        watcher.watch()

    def export() -> NoReturn:
        # Each of the others ends with the last of those who could tell it something.
        for each in (calls, called, noted):
            each.close()
        exporter.export(heard, Counts(), places, _pages(given))

    execute = functools.partial(_execute, called=called, notes=notes)
    with listener, calls, called, noted, heard:
        server = Server(listener, execute, calls, watch)
        server.serve(notes, export if places else None)
    return Outcome(0)


def _pages(given: Mapping[str, Any]) -> exporter.Pages:
    """Return what the exporter shows: the metrics, in what a client says that it reads."""
    door, state_dir = door_of(given), given["state_dir"]

    def show_metrics(counts: Counts, accept: str) -> exporter.Page:
        is_older = "application/openmetrics-text" not in accept
        families = [*metrics.read(door, state_dir).families, *counts.families()]
        text = openmetrics.text(families, older=is_older)
        kind = openmetrics.OLDER_CONTENT_TYPE if is_older else openmetrics.CONTENT_TYPE
        return exporter.Page(kind, text.encode())

    def show_report(_counts: Counts, _accept: str) -> exporter.Page:
        text = report_html.report(door, state_dir).text
        return exporter.Page("text/html; charset=utf-8", text.encode())

    return {"/metrics": show_metrics, "/": show_report}


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
            if each.name not in _NEVER:
                import_module(each.name)
    for name in _ALSO:
        import_module(name)


def _execute(calls: Sequence[Call], *, called: socket.socket, notes: Notes) -> None:
    """Run plug-ins in this process, and answer them.

    A check that is to be repeated is ``called`` out to the watcher. What has to be done outside is
    the plug-in's.
    """
    begun = time.monotonic()
    alone = calls if len(calls) == 1 else run_together(calls)
    for call in calls:
        if call not in alone:
            notes.run(call.program, time.monotonic() - begun, "", "")
    for call in alone:
        if call.program == watched.PROGRAM:
            _tell_watched(call, called)
            continue
        if call.program not in _PROGRAMS:
            call.give_up()
            continue
        begun = time.monotonic()
        emit = functools.partial(_emit, call, begun, called=called, notes=notes)
        try:
            call.enter()
            work_for(call.uid)
            entry.run_for(call.program, call.argv, call.stdin, emit)
        except (OSError, Inside):
            call.give_up()


def _tell_watched(call: Call, called: socket.socket) -> None:
    try:
        call.answer(0, watched.relay(called), b"")
    except OSError:
        call.give_up()


def _emit(
    call: Call, begun: float, outcome: Outcome, *, called: socket.socket, notes: Notes
) -> bool:
    """Answer a call, and note what it came to.

    What lvs-director could not do it may do outside, and say then what was wrong.
    """
    if call.program == lvs_director.NAME:
        has_failed = outcome.status and not outcome.stdout
        if has_failed or outcome.stream is not None:
            need_outside()
    stdout, stderr = entry.encoded(outcome)
    if isinstance(outcome, Repeated) and "MON_SERVICE" in os.environ:
        _call_out(called, call.program, outcome)
    is_taken = call.answer(outcome.status, stdout, stderr)
    check, result = _check_of(call.program, outcome)
    notes.run(call.program, time.monotonic() - begun, check, result)
    return is_taken


def _check_of(program: str, outcome: Outcome) -> tuple[str, str]:
    """Return which check of mon's a run was, and what it came to; nothing where it was none."""
    group, service = os.environ.get("MON_GROUP"), os.environ.get("MON_SERVICE")
    if not is_monitor(program) or group is None or service is None:
        return "", ""
    failed = failed_of(outcome.status, outcome.stdout)
    passed, bad, unjudged = RESULTS
    return f"{group}/{service}", unjudged if failed is None else bad if failed else passed


def _call_out(called: socket.socket, program: str, outcome: Repeated) -> None:
    """Tell the watcher of mon's call, which it makes again, marked so that it is told once."""
    if _REPEATED in os.environ:
        return
    environ = {**os.environb, _REPEATED.encode(): b"1"}
    again = outcome.again
    told = Called(
        again.between,
        outcome.status,
        outcome.stdout.partition("\n")[0],
        again.hosts,
        again.are_apart,
        again.places(),
        wire.call(program, b"", environ),
    )
    with contextlib.suppress(OSError):
        called.send(told.message())
