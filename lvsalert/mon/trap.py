"""A trap: what a monitor reports, sent to mon in a datagram (handle_trap in mon 1.3.6)."""

from __future__ import annotations

import re
from typing import NamedTuple

# What mon reads of a datagram at most is more; a report's first lines are enough.
_MOST_DETAIL = 8000
# mon takes a version that is no lower than its own.
_VERSION = "0.3850"
_SPECIAL = re.compile(r"[^ -\[\]-~]")


class Trap(NamedTuple):
    """A monitor's report on mon's service of a group: its status, summary and detail.

    ``user`` and ``password`` are those of mon's auth.cf; they go as they are.
    """

    group: str
    service: str
    status: int
    summary: str
    detail: str
    user: str = ""
    password: str = ""

    def datagram(self, now: float) -> bytes:
        """Return what is sent for it; ``now`` (epoch) is when the report was made."""
        lines = {
            "pro": _VERSION,
            "usr": self.user,
            "pas": self.password,
            "typ": "trap",
            "seq": "0",
            "grp": self.group,
            "svc": self.service,
            "hst": "",
            "sta": str(self.status),
            "tsp": str(int(now)),
            "sum": self.summary,
            "dtl": self.detail[:_MOST_DETAIL],
        }
        return b"".join(f"{tag}={_escaped(text)}\n".encode("ascii") for tag, text in lines.items())


def _escaped(text: str) -> str:
    """Return text as mon's un_esc_str reads it: a backslash and two digits for each odd byte."""
    data = text.encode("utf-8", "surrogateescape").decode("latin-1")
    return _SPECIAL.sub(lambda found: f"\\{ord(found[0]):02x}", data)
