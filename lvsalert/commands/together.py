"""Alerts that have waited for each other, made in one step by the resident process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lvsalert.commands import entry, lvs_alert
from lvsalert.commands.alert_told import Understood
from lvsalert.commands.table_options import lookup
from lvsalert.director.outside import Inside

if TYPE_CHECKING:
    from lvsalert.resident.worker import Call

# So long the alerts of a step may take to look up names.
_LOOKUP_SECONDS = 1.0


def run_together(calls: Sequence[Call]) -> list[Call]:
    """Run alerts in one step, and answer them; return those that have to be run one by one.

    Those are the ones that cannot share the step, and all of them where it goes wrong: it can be
    made again, and then shows which of them it was. Names that are slow to come hold nobody up:
    who waits behind them runs by itself, all at once.
    """
    clock = _Clock()
    shared, alone = _understood(calls, clock)
    if len(shared) < 2:
        return [*(call for call, _ in shared), *alone]
    try:
        shared[0][0].enter()
        tell = lvs_alert.run_together([alert for _, alert in shared])
    except _SlowNames:
        _give_up(call for call, _ in shared)
        return alone
    except Exception:
        return [*(call for call, _ in shared), *alone]
    for (call, _), told in zip(shared, tell):
        try:
            call.enter()
            outcome = told()
        except (OSError, Inside):
            call.give_up()
        else:
            call.answer(outcome.status, *entry.encoded(outcome))
    return alone


class _SlowNames(Exception):
    """The names of a step have taken too long."""


class _Clock:
    """Looks up names for a step, as long as there is time for that."""

    def __init__(self) -> None:
        self._end = time.monotonic() + _LOOKUP_SECONDS

    def check(self) -> None:
        if time.monotonic() > self._end:
            raise _SlowNames

    def lookup(self, names: Iterable[str], family: int) -> dict[str, list[str]]:
        self.check()
        return lookup(names, family)


def _understood(
    calls: Sequence[Call], clock: _Clock
) -> tuple[list[tuple[Call, Understood]], list[Call]]:
    """Return the alerts that can share a step, in their order, and those that cannot."""
    shared: list[tuple[Call, Understood]] = []
    alone: list[Call] = []
    for number, call in enumerate(calls):
        try:
            clock.check()
            call.enter()
            # Read later, too, when the process has another environment.
            alert = lvs_alert.understand(call.argv, dict(os.environ), call.text)
        except _SlowNames:
            _give_up(calls[number:])
            break
        except Exception:
            alone.append(call)
            continue
        if not (isinstance(alert, Understood) or shared):
            ended = lvs_alert.finished(alert)
            call.answer(ended.status, *entry.encoded(ended))
        elif isinstance(alert, Understood) and _go_with(shared, call, alert):
            alert.asked = alert.asked._replace(lookup=clock.lookup)
            shared.append((call, alert))
        else:
            # A check that found all as before may have to look again at what those before it do.
            alone.append(call)
    return shared, alone


def _go_with(shared: Sequence[tuple[Call, Understood]], call: Call, alert: Understood) -> bool:
    """Return whether an alert can be made in one step with those before it."""
    if not shared:
        return True
    first_call, first = shared[0]
    return first_call.place == call.place and lvs_alert.are_together(first, alert)


def _give_up(calls: Iterable[Call]) -> None:
    for call in calls:
        call.give_up()
