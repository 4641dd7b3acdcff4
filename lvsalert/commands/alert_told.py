"""What lvs.alert prints, tells syslog and does behind an alert that was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvsalert.commands.entry import Outcome
from lvsalert.commands.syslog import log
from lvsalert.commands.table_options import director_of
from lvsalert.director import alert, rounds
from lvsalert.director.changes import describe
from lvsalert.errors import LvsalertError
from lvsalert.mon.report import printable

if TYPE_CHECKING:
    from lvsalert.commands.lvs_alert_file import Upkeep
    from lvsalert.director.reconcile import Director
    from lvsalert.ledger.rounds import Round

NAME = "lvs.alert"


class Understood(Outcome):
    """A call whose options are understood: what the alert asks for, and of which director.

    Where it is a ``round``, the same call again means the same.
    """

    asked: alert.Asked
    round: Round | None
    director: Director
    errors: Sequence[LvsalertError]
    upkeep: Upkeep | None
    given: Mapping[str, Any]


def told(of: Understood, done: Sequence[alert.Outcome] | LvsalertError) -> Outcome:
    """Return what to print of an alert that was done, tell syslog, and do what is to follow."""
    given, errors, call = of.given, of.errors, of.asked.call
    if isinstance(done, LvsalertError):
        outcome = Outcome(done.status, stderr=f"{NAME}: {printable(str(done))}\n")
        log_errors(outcome)
        return outcome
    each_told = [_told_of(each, given, by_hand=call.by_hand) for each in done]
    outcome = Outcome(
        max([each.status for each in each_told] + [each.status for each in errors]),
        "".join(each.stdout for each in each_told),
        "".join(f"{NAME}: {printable(str(each))}\n" for each in errors)
        + "".join(each.stderr for each in each_told),
    )
    if given["config"] is not None and not call.by_hand and not given["dry_run"]:
        _follow_up(of.asked.jobs, of.upkeep, given)
    log_errors(outcome)
    seen = done[0].seen if done else None
    if of.round is not None and seen is not None and outcome == Outcome(0):
        rounds.keep(of.director, of.round, [str(each.virtual) for each in done], seen)
    return outcome


def log_errors(outcome: Outcome) -> None:
    """Tell syslog of the lines that are for standard error."""
    log(NAME, "err", (line.removeprefix(f"{NAME}: ") for line in outcome.stderr.splitlines()))


def _follow_up(jobs: Sequence[alert.Job], upkeep: Upkeep | None, given: Mapping[str, Any]) -> None:
    """Do what the director's file wants done behind an alert; syslog hears what goes wrong."""
    from lvsalert.director.file_commands import run_fallback_commands

    services = [each.file_rules.service for each in jobs if each.file_rules is not None]
    try:
        wrong = run_fallback_commands(director_of(given, given["journal_days"]), services)
    except LvsalertError as error:
        wrong = [f"fallbackcommand: {error}"]
    log(NAME, "warning", [printable(each) for each in wrong])
    if upkeep is not None:
        from lvsalert.commands.autoreload import take

        take(upkeep, given)


def _told_of(done: alert.Outcome, given: Mapping[str, Any], *, by_hand: bool) -> Outcome:
    """Return what to print of a run, and tell syslog of it.

    What a person changed and nobody remembers is undone by the next check, so that it is told.
    """
    about, found = f"{done.who}: {done.virtual}", done.findings
    errors = "".join(f"{NAME}: {printable(str(error))}\n" for error in found.errors)
    status = max((error.status for error in found.errors), default=0)
    changes = [describe(change, done.who) for change in done.changes]
    if given["dry_run"]:
        changes = [f"{given['ipvsadm']} {' '.join(change.words)}" for change in done.changes]
    remarks = [f"{about}: {printable(found.remark)}"] if found.remark else []
    alarms = []
    if found.is_cut_off:
        alarms.append(f"{about}: no witness answers, so this director is cut off: nothing changed")
    if found.held:
        alarms.append(f"{about}: kept in by --min-in though they fail: {' '.join(found.held)}")
    unjudged = [f"{about}: {found.unjudged}"] if found.unjudged else []
    if found.fault:
        unjudged.append(f"{printable(found.fault)}: what was accepted before goes on")
    if not given["dry_run"]:
        log(NAME, "warning", unjudged)
        log(NAME, "notice", changes)
        log(NAME, "info", remarks)
        log(NAME, "alert", alarms)
        asked = given["real_server"] if by_hand else None
        troubles = [printable(each) for each in _troubles(done, asked)]
        log(NAME, "warning", troubles)
        if by_hand and troubles:
            errors += "".join(f"{NAME}: {each}\n" for each in troubles)
            status = max(status, 1)
    lines = "".join(f"{line}\n" for line in (*changes, *remarks, *unjudged, *alarms))
    return Outcome(status, lines, errors)


def _troubles(done: alert.Outcome, asked: str | None) -> list[str]:
    """Return what went wrong with the ledger, and what of this run it does not hold.

    ``asked`` is the real server that a person has named, whose word is to be remembered though the
    table is so already.
    """
    about = f"{done.who}: {done.virtual}"
    if done.is_remembered:
        return [f"{about}: {trouble}" for trouble in done.troubles]
    # Without a state directory every run would say so, and most have nothing to remember.
    named = [each.after or each.before for each in done.changes]
    places = " ".join(real.endpoint for real in named if real is not None) or asked
    if not named and asked is None:
        return []
    return [f"{about}: not remembered of {places}: {trouble}" for trouble in done.troubles]
