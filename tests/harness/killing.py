"""A run that is killed in the middle: at one of its calls to the kernel or the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ledger.ledger import Ledger

if TYPE_CHECKING:
    import pytest


class Killed(BaseException):
    """The process ends here."""


def kill_at(monkeypatch: pytest.MonkeyPatch, point: int, *, after: bool) -> list[str]:
    """End the process at the n-th call to the kernel or the ledger, before or after its effect.

    Returns the list to which the calls are added; with 0 none is the end.
    """
    seen: list[str] = []

    def wrap(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: object, **given: object) -> object:
            seen.append(name)
            if len(seen) == point and not after:
                raise Killed
            answer = original(*arguments, **given)
            if len(seen) == point:
                raise Killed
            return answer

        # What the director puts in the place of _run is bound already.
        monkeypatch.setattr(owner, name, staticmethod(wrapped) if name == "_run" else wrapped)

    wrap(Ipvsadm, "_run")
    wrap(Ledger, "begin")
    wrap(Ledger, "commit")
    return seen
