"""--agree and --stale: the answers of all hosts held against each other, and their age."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

from lvsalert.checks.http import Check, parse_receive
from lvsalert.checks.http_content import BODY, MATCH, Compared, parse_compared
from lvsalert.commands.options import FAILING, Parsed, number, option, together
from lvsalert.errors import LvsalertError, UsageError

if TYPE_CHECKING:
    from lvsalert.checks.agreement import Judged, Known, Rule
    from lvsalert.ldirectord.watches import Watch
    from lvsalert.ledger.ledger import Ledger
    from lvsalert.model import Result

# A difference that lasts is noted anew no more often than this, in seconds.
_NOTED_SECONDS = 3600.0

agree_options = together(
    option("--agree", is_flag=True, help="Fail hosts whose content differs from the majority's."),
    option(
        "--agree-on",
        type=Parsed("what", parse_compared),
        default="body",
        show_default=True,
        help="What --agree compares: body, etag, last-modified, header:NAME, or match, which is"
        " what the expression's group caught.",
    ),
    option(
        "--agree-within",
        type=number("a number of seconds", 0),
        default=0.0,
        show_default=True,
        metavar="SECONDS",
        help="How long a difference is borne, as while content is copied.",
    ),
    option(
        "--stale",
        type=number("a number of seconds", 0.001),
        metavar="SECONDS",
        help="Fail a host whose content, where that is a time, or Last-Modified is older.",
    ),
    section=FAILING,
)


def compared_of(given: Mapping[str, Any]) -> Compared | None:
    """Return what the options have compared, None for nothing."""
    what: Compared = given["agree_on"]
    if given["agree"]:
        return what
    if what != Compared(BODY):
        raise UsageError("--agree-on goes with --agree")
    if given["agree_within"]:
        raise UsageError("--agree-within goes with --agree")
    return None


def variables_of(given: Mapping[str, Any], watches: Iterable[Watch]) -> dict[str, str]:
    """Return the options as variables of http.monitor.

    UsageError where one of the watches of web servers has nothing that could be compared.
    """
    compared, stale = compared_of(given), given["stale"]
    found = {} if stale is None else {"LVSALERT_STALE": f"{stale:g}"}
    if compared is None:
        return found
    for watch in (each for each in watches if each.monitor[0] == "http.monitor"):
        asked = watch.variables
        receive = parse_receive(asked["LVSALERT_RECEIVE"]) if "LVSALERT_RECEIVE" in asked else None
        method = asked.get("LVSALERT_METHOD", "GET")
        try:
            check_comparison(Check(method=method, receive=receive, compared=compared))
        except UsageError as error:
            raise UsageError(f"{watch.group}/{watch.service}: {error}") from None
    found["LVSALERT_AGREE"] = "1"
    if compared.field or compared.what == MATCH:
        found["LVSALERT_AGREE_ON"] = f"header:{compared.field}" if compared.field else MATCH
    if given["agree_within"]:
        found["LVSALERT_AGREE_WITHIN"] = f"{given['agree_within']:g}"
    return found


def check_comparison(check: Check) -> None:
    """See to it that a check has something to compare; UsageError where it cannot."""
    if check.compared is None:
        return
    if check.compared == Compared(MATCH) and check.pattern is None:
        raise UsageError("--agree-on match needs --match or --receive with a group: 'version (.*)'")
    if check.compared == Compared(BODY):
        if check.method == "HEAD":
            raise UsageError("--agree compares the content, and HEAD has none: --agree-on etag")
        if not check.max_bytes:
            raise UsageError("--agree compares the content, and --max-bytes is 0")


def comparison(
    check: Check, given: Mapping[str, Any], environ: Mapping[str, str]
) -> Callable[[Sequence[Result]], Judged] | None:
    """Return what judges the hosts of a run by each other, None where nothing is compared."""
    if check.compared is None:
        return None
    from lvsalert.checks.agreement import Rule

    is_digest = check.compared == Compared(BODY)
    rule = Rule(check.compared.what, given["agree_within"], check.max_bytes, is_digest)
    who = "/".join(environ.get(each, "") for each in ("MON_GROUP", "MON_SERVICE"))
    subject = f"{who} {check.host_header or ''} {check.path} {check.compared.what}"
    return functools.partial(_judged, rule, given["state_dir"], subject)


def _judged(rule: Rule, state_dir: str, subject: str, results: Sequence[Result]) -> Judged:
    """Judge the hosts by each other, and keep in the ledger since when which of them differ.

    Where it cannot be kept that is said, as far as it matters.
    """
    from lvsalert.checks.agreement import judge

    (known, seen), now = _known(state_dir, subject), time.time()
    judged = judge(results, rule, known, now)
    is_due = judged.known != known or (known and seen < now - _NOTED_SECONDS)
    if is_due and (trouble := _keep(state_dir, subject, judged.known, now)):
        judged = judge(results, rule, known, now, trouble)
    return judged


def _known(state_dir: str, subject: str) -> tuple[dict[str, Known], float]:
    """Return what the ledger knows, and when (epoch) that was noted last.

    What is wrong with it shows when something is to be kept.
    """
    from lvsalert.checks.agreement import Known
    from lvsalert.ledger.reader import ask_ledger

    def ask(ledger: Ledger) -> tuple[dict[str, tuple[float, bool]], float]:
        return ledger.contents.get(subject), ledger.contents.seen(subject)

    (rows, seen), _ = ask_ledger(state_dir, ask)
    return {host: Known(*row) for host, row in rows.items()}, seen


def _keep(state_dir: str, subject: str, known: Mapping[str, Known], now: float) -> str:
    """Write what is known into the ledger; return why that cannot be, if it cannot."""
    import sqlite3

    from lvsalert.ledger.database import ledger_error
    from lvsalert.ledger.ledger import Ledger

    try:
        ledger = Ledger.open(state_dir)
        try:
            _write(ledger, subject, known, now)
        finally:
            ledger.close()
    except sqlite3.Error as error:
        return str(ledger_error(state_dir, error))
    except LvsalertError as error:
        return str(error)
    return ""


def _write(ledger: Ledger, subject: str, known: Mapping[str, Known], now: float) -> None:
    ledger.begin()
    ledger.contents.set(subject, known, now)
    ledger.commit()
