"""What the resident process may not do for a plug-in: start people's programs, write their files.

Its sandbox would be theirs. A plug-in that gets no answer runs by itself, where all of it is done.
What it does is in the caller's name.
"""

from __future__ import annotations

import os

_inside: list[str] = []
_callers: list[int] = []


class Inside(Exception):
    """This has to be done by the plug-in itself; no error, and nothing for people to read."""


def stay_inside() -> None:
    """Have ``need_outside`` refuse from now on, in this process and its children."""
    _inside.append("")


def need_outside() -> None:
    """Raise Inside in the resident process."""
    if _inside:
        raise Inside


def work_for(uid: int) -> None:
    """Work for this user from now on, in the resident process."""
    _callers[:] = [uid]


def caller() -> int:
    """Return the number of the user who has what is done here done."""
    return _callers[0] if _callers else os.getuid()
