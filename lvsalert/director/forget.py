"""Forgetting a virtual service that is gone for good."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from lvsalert.director.changes import Author
from lvsalert.director.reconcile import Director, Proposal, reconcile
from lvsalert.errors import LvsalertError, NotDoneError, UsageError
from lvsalert.ipvs.table import Table
from lvsalert.ledger.ledger import Ledger


class Outcome(NamedTuple):
    """The services that were forgotten, and what went wrong with the ledger."""

    forgotten: Sequence[str]
    troubles: Sequence[LvsalertError]


def forget(director: Director, asked: str, who: str) -> Outcome:
    """Drop all that the ledger knows of a service but the journal's lines, which grow old.

    ``asked`` is its name with or without the protocol. UsageError where nobody knows it,
    NotDoneError where it stands in the table.
    """

    def decide(actual: Table, ledger: Ledger) -> Proposal:
        names = [each for each in ledger.virtual_services() if _is_asked(each, asked)]
        standing = [str(each) for each in actual if _is_asked(str(each), asked)]
        if standing:
            raise NotDoneError(
                f"{standing[0]}: stands in the table, so there is more to come of it"
            )
        if not names:
            raise UsageError(f"{asked}: no such virtual service is known")
        for name in names:
            ledger.forget_service(name, time.time())
        return Proposal(actual, Author(who, "forgotten"), names)

    done = reconcile(director, decide)
    return Outcome(done.told, done.troubles)


def _is_asked(name: str, asked: str) -> bool:
    return asked in (name, name.partition(" ")[2])
