"""The director's file beside what was accepted of it: whether it says something else by now.

What was accepted last counts until the file is found good again, so that a slip in it stops no
fail-over.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Callable, NamedTuple

from lvsalert.errors import LvsalertError, UsageError
from lvsalert.ipvs.naming import Lookup
from lvsalert.ldirectord.config import Config, parse
from lvsalert.ldirectord.file import DirectorFile, candidates, find, load_services, read
from lvsalert.ldirectord.names import missing
from lvsalert.ledger.accepted import Accepted
from lvsalert.model import VirtualService

Find = Callable[[Sequence[str]], "Accepted | None"]
"""Finds what was accepted of the file at the first of these paths."""


class News(NamedTuple):
    """What a file says that was not accepted; ``fault`` is why it cannot be, or an empty string."""

    path: str
    since: float
    fault: str
    text: str = ""


def news_of(accepted: Accepted, check: Callable[[str, str], object] | None = None) -> News | None:
    """Return what a file says now, None where that is what was accepted.

    ``check`` gets its path and text, and raises LvsalertError where it cannot be taken; None looks
    for slips alone, and looks up no name. One that has lost all of its services is a slip, too: an
    editor empties it before it writes it.
    """
    path, kept, since = accepted.path, accepted.text, accepted.since
    try:
        text = read(path)
        if text == kept:
            return None
        check_services(parse(text, path), path, accepted)
        if check is not None:
            check(path, text)
    except LvsalertError as error:
        return News(path, since, str(error))
    return News(path, since, "", text)


def check_services(config: Config, path: str, accepted: Accepted | None) -> None:
    """Raise UsageError for a file that had virtual services when it was accepted, and has none."""
    if accepted is not None and not config.services and parse(accepted.text, path).services:
        raise UsageError(f"{path}: has no virtual service left")


def check_names(file: DirectorFile, accepted: Accepted | None) -> None:
    """Raise ResolveError for a name that has come into a file without an address.

    One that had none when the file was accepted goes on being left out. Where nothing was accepted
    nothing stands in the table that could be lost.
    """
    if not file.unresolved or accepted is None:
        return
    before = parse(accepted.text, accepted.path).services
    known = missing(before, accepted.names)
    for name, error in file.unresolved.items():
        if name not in known:
            raise error


def file_with(
    name: str, lookup: Lookup, virtuals: Collection[VirtualService], accepted: Find
) -> DirectorFile:
    """Return a file with those of these services that it has, as it was accepted.

    What was accepted has its addresses, and no name is looked up. A file that never was is taken
    as it is. Errors are those of ``load_services``.
    """
    kept = accepted(candidates(name))
    if kept is not None:
        return load_services(kept.path, kept.text, lookup, virtuals, kept.names)
    path = find(name)
    return load_services(path, read(path), lookup, virtuals)


def no_such_service(path: str, virtual: VirtualService, *, is_accepted: bool) -> UsageError:
    """Return the error where a file has no such service, or had none when it was accepted."""
    if is_accepted:
        had = f"{path}: had no virtual service {virtual} when it was accepted"
        return UsageError(f"{had}: lvs-director reload {path}")
    return UsageError(f"{path}: has no virtual service {virtual}")
