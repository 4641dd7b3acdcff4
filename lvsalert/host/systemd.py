"""systemctl(1), as far as an installation needs it."""

from __future__ import annotations

import subprocess
from pathlib import Path

_BOOTED = Path("/run/systemd/system")
# The resident brings what runs to its end first (TimeoutStopSec, systemd.service(5)).
_SECONDS = 120.0


def is_booted() -> bool:
    """Return whether systemd is this machine's init (sd_booted(3))."""
    return _BOOTED.is_dir()


def systemctl(*words: str) -> str:
    """Run systemctl(1), and return what went wrong, "" where nothing did."""
    argv = ["systemctl", "--quiet", "--no-ask-password", *words]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{' '.join(argv)} did not answer in {_SECONDS:g} s"
    except OSError as error:
        return f"{' '.join(argv)}: {error.strerror}"
    if done.returncode == 0:
        return ""
    said = done.stderr.strip().rpartition("\n")[2]
    return f"{' '.join(argv)}: {said or f'exit status {done.returncode}'}"
