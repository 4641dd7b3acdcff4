"""What a command tells syslog(3)."""

from __future__ import annotations

from collections.abc import Iterable


def log(name: str, priority: str, lines: Iterable[str]) -> None:
    """Tell syslog(3) each line, as the program ``name`` and facility local0.

    ``priority`` is a level in syslog.conf(5)'s words, such as ``notice``.
    """
    import syslog

    level = getattr(syslog, f"LOG_{priority.upper()}")
    syslog.openlog(name, syslog.LOG_PID, syslog.LOG_LOCAL0)
    for line in lines:
        syslog.syslog(level, line)
    syslog.closelog()
