"""What lvs-director check found of one thing."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at; ``todo`` is what to do about it, None where it is usable."""

    name: str
    found: str
    todo: str | None = None
