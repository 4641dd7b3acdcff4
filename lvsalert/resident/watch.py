"""A service of mon's that is checked between mon's own checks: what mon is to be told, and when.

Pure: outcomes of checks come in, what has changed for good comes out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

# mon has given a service up that it has not called for so many of its intervals.
_INTERVALS = 3
# What its interval is taken for until it has called twice, in seconds.
_FIRST_INTERVAL = 600.0


def failed_of(status: int, output: str) -> frozenset[str] | None:
    """Return the hosts that a monitor's report says have failed; None where it cannot tell."""
    if status == 0:
        return frozenset()
    named = frozenset(output.partition("\n")[0].split())
    return named if status == 1 and named else None


class Watch:
    """One service: which hosts have failed by what mon knows, and what was seen since.

    ``between`` is the seconds from check to check; times are those of time.monotonic(). A change
    counts once it has held for ``fall`` or ``rise`` checks.
    """

    def __init__(self, between: float, environ: Mapping[str, str]) -> None:
        self.between = between
        self.fall = _count(environ.get("LVSALERT_FALL"))
        self.rise = _count(environ.get("LVSALERT_RISE"))
        self.told: frozenset[str] = frozenset()
        self._called: float | None = None
        # Between the last three calls; one of them may come early, after a reset.
        self._pauses: list[float] = []
        self._seen: dict[str, int] = {}

    def call(self, failed: frozenset[str] | None, now: float) -> None:
        """Take mon's own check, whose report mon has got; None where that could not tell."""
        if self._called is not None:
            self._pauses = [*self._pauses[-1:], now - self._called]
        self._called = now
        if failed is not None:
            self.told = failed
            self._seen = {host: seen for host, seen in self._seen.items() if host not in failed}

    def is_over(self, now: float) -> bool:
        """Return whether mon has given the service up."""
        interval = max(self._pauses, default=_FIRST_INTERVAL)
        longest = _INTERVALS * max(interval, self.between)
        return self._called is None or now - self._called > longest

    def check(self, failed: frozenset[str] | None, hosts: Collection[str]) -> bool:
        """Take a check of these hosts; return whether mon is to be told that ``told`` is new."""
        if failed is None:
            return False
        changed = (failed ^ self.told).intersection(hosts)
        others = {host: seen for host, seen in self._seen.items() if host not in hosts}
        seen_now = {host: self._seen.get(host, 0) + 1 for host in changed}
        self._seen = others | seen_now
        settled = {
            host
            for host, seen in seen_now.items()
            if seen >= (self.fall if host in failed else self.rise)
        }
        if not settled:
            return False
        self.told ^= settled
        for host in settled:
            del self._seen[host]
        return True


def _count(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and int(text) else 1
