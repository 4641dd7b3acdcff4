"""What a check of a database asks, and what counts as an answer, whatever the database."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple

from lvsalert.checks.sweep import Verdict
from lvsalert.checks.threads import Judge, Reach


class Query(NamedTuple):
    """A log-in, and a statement that has to bring a row; an empty one is not run.

    An empty ``database`` is none: then the server's own default counts.
    """

    user: str
    password: str
    database: str = ""
    request: str = ""


class LoginError(Exception):
    """The database did not let us in; the message says why."""


Rows = Callable[[str], "Sequence[Any]"]
"""Runs a statement, and returns its rows, or the first of them."""


def judged(
    reach: Reach, query: Query, log_in: Callable[[], Rows], words: Callable[..., str]
) -> Judge:
    """Log in, run the statement, and return what judges it.

    ``log_in`` raises LoginError where the server does not let us in, ``words`` says what an
    exception of the library means.
    """
    reason, stage = "", "log-in"
    try:
        rows = log_in()
        stage = "request"
        if query.request and not rows(query.request):
            reason = "request: no row"
    except LoginError as error:
        reason = f"log-in: {error}"
    except TimeoutError:
        reason = f"{reach.late}, no answer to the {stage}"
    except Exception as error:
        # Libraries raise what they like; none of it is an answer.
        reason = f"{stage}: {words(error)}"
    return functools.partial(Verdict, " ".join(reason.split()), b"")
