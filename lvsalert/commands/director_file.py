"""The director's file, as commands read it: with what was accepted of it before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvsalert.commands.table_options import lookup
from lvsalert.director.accepted import check_services
from lvsalert.ldirectord.file import DirectorFile, candidates, load
from lvsalert.ldirectord.watches import Watch, shortfalls, watches_of
from lvsalert.ledger.accepted import Accepted
from lvsalert.ledger.reader import ask_ledger

NAME = "lvs-director"


def accepted_of(name: str, given: Mapping[str, Any]) -> Accepted | None:
    """Return a file as it was accepted, None where it never was."""
    paths = candidates(name)
    found, _ = ask_ledger(given["state_dir"], lambda ledger: ledger.files.find(paths))
    return found


def loaded(name: str, before: Accepted | None) -> DirectorFile:
    """Return a file as it is; its names keep their addresses as long as they may.

    UsageError, too, for one that has lost all of its services since it was accepted.
    """
    found = load(name, lookup, None if before is None else before.names)
    check_services(found.config, found.path, before)
    return found


def watches_in(file: DirectorFile) -> list[Watch]:
    """Return all watches of a file."""
    return [each for service in file.services for each in watches_of(service)]


def warnings_of(file: DirectorFile) -> list[str]:
    """Return what is to be told of a file that is taken all the same."""
    return [*file.config.warnings, *shortfalls(file), *file.remembered]


def left_out(file: DirectorFile) -> list[str]:
    """Return what of a file there is nothing to set up for, as its name has no address."""
    return [f"{error}: left out until it has one" for error in file.unresolved.values()]
