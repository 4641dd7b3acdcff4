"""The programs that the director's file has run: ``fallbackcommand`` and ``callback``.

ldirectord(8) hands both to a shell, without a bound. Here neither goes through one, and each has
its time. What a program was told last is in the ledger, so that it is told once, as by ldirectord.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence

from lvsalert.director.alone import alone
from lvsalert.director.changes import Author
from lvsalert.director.outside import need_outside
from lvsalert.director.reconcile import Director, Proposal, reconcile
from lvsalert.ipvs.table import Endpoint, Table
from lvsalert.ldirectord.file import FileService, read
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.records import DAMPED, NO_MEMORY
from lvsalert.model import Protocol

_SECONDS = 30.0
_LOCK = "fallbackcommand.lock"
_NOBODY = Author("", "")


def run_fallback_commands(director: Director, services: Iterable[FileService]) -> list[str]:
    """Run the ``fallbackcommand`` of each service that has one, where it has to be told something.

    It gets ``start`` when no real server is in, ``stop`` once one is again, then the service's
    address and port, and its protocol. Return what went wrong, a line each. A service that does not
    stand is left alone, and so are all while another process is about it: the next check looks.
    """
    asked = [each for each in services if each.configured.fallback_command]
    if not asked:
        return []
    with alone(director.state_dir, _LOCK) as is_alone:
        due = _due(director, asked) if is_alone else {}
        told = [
            _run(service.configured.fallback_command, [state, *_words(service)])
            for service, state in due.items()
        ]
        _note(director, {str(service.virtual): state for service, state in due.items()})
    return [f"fallbackcommand: {each}" for each in told if each]


def _due(director: Director, services: Sequence[FileService]) -> dict[FileService, str]:
    """Return what the program of which service is to be told."""

    def find(actual: Table, ledger: Ledger) -> Proposal:
        states = {each: _state(each, actual, ledger) for each in services}
        due = {
            each: state
            for each, state in states.items()
            if state is not None and ledger.commands.get(str(each.virtual)) != state
        }
        return Proposal(actual, _NOBODY, due)

    done = reconcile(director, find)
    # What nobody remembers would be told again and again.
    due: dict[FileService, str] = done.told if done.is_remembered else {}
    return due


def _note(director: Director, states: Mapping[str, str]) -> None:
    """Note what programs were told; it is told once more after a kill before that."""

    def note(actual: Table, ledger: Ledger) -> Proposal:
        for subject, state in states.items():
            ledger.commands.set(subject, state)
        return Proposal(actual, _NOBODY)

    if states:
        reconcile(director, note)


def _state(service: FileService, actual: Table, ledger: Ledger) -> str | None:
    standing = actual.get(service.virtual)
    if standing is None:
        return None
    endpoints = [each for each in service.endpoints if not _is_falling_back(service, each, ledger)]
    entries = (standing.real_servers.get(endpoint) for endpoint in endpoints)
    serves = any(real is not None and real.weight for real in entries)
    return "stop" if serves else "start"


def _is_falling_back(service: FileService, endpoint: Endpoint, ledger: Ledger) -> bool:
    """Return whether a real server that has failed serves as the fallback at most."""
    key, fallback = str(service.virtual), service.fallback
    if fallback is None or endpoint != fallback[:2]:
        return False
    causes = [each for each in ledger.causes(key).get(endpoint, ()) if each.cause != DAMPED]
    return bool(causes) and not ledger.memories(key).get(endpoint, NO_MEMORY).held


def _words(service: FileService) -> list[str]:
    virtual = service.virtual
    is_mark = virtual.protocol is Protocol.FWMARK
    return [virtual.words()[1], "fwm" if is_mark else virtual.protocol.name.lower()]


def run_callback(director: Director, path: str, accepted: str, command: str) -> list[str]:
    """Run a file's ``callback`` with its path where it says something else than when it last was.

    ``accepted`` is the text that is accepted, for a file whose callback was never run. Return what
    went wrong. It is told of every change, also of one that has a fault, as by ldirectord. The
    caller sees to it that no other process is about it.
    """
    now = _digest(read(path))

    def find(actual: Table, ledger: Ledger) -> Proposal:
        return Proposal(actual, _NOBODY, ledger.commands.get(path) or _digest(accepted))

    done = reconcile(director, find)
    if done.told == now or not done.is_remembered:
        return []
    said = _run(command, [path])
    _note(director, {path: now})
    return [f"callback: {said}"] if said else []


def note_text(ledger: Ledger, path: str, text: str) -> None:
    """Note what a file says at a start; the callback is told of what changes from now on."""
    ledger.commands.set(path, _digest(text))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _run(command: str, words: Sequence[str]) -> str:
    """Run a command with these words behind its own; return what went wrong, or nothing."""
    from lvsalert.checks.external import run_program

    need_outside()
    try:
        argv = [command] if os.path.isfile(command) else shlex.split(command)
    except ValueError as error:
        return f"{command}: {error}"
    if not argv:
        return ""
    late = f"killed after {_SECONDS:g} s"
    verdict = run_program([*argv, *words], time.monotonic() + _SECONDS, late)
    return f"{shlex.join([*argv, *words])}: {verdict.reason}" if verdict.reason else ""
