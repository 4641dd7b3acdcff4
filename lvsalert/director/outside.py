"""What the resident process may not do for a plug-in: start people's programs, write their files.

Its sandbox would be theirs. A plug-in that gets no answer runs by itself, where all of it is done.
"""

from __future__ import annotations

_inside: list[str] = []


class Inside(Exception):
    """This has to be done by the plug-in itself; no error, and nothing for people to read."""


def stay_inside() -> None:
    """Have ``need_outside`` refuse from now on, in this process and its children."""
    _inside.append("")


def need_outside() -> None:
    """Raise Inside in the resident process."""
    if _inside:
        raise Inside
