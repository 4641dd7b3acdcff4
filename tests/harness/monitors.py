"""A monitor as mon runs it: the stock Perl one, or ours, to an exit status and a summary.

Both are run with stderr on stdout, as by mon. The first line is the summary. The status is negative
here for a signal; mon sees 0 then, a success.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.harness.mon import STOCK
from tests.harness.places import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

HTTP = "http.monitor"
FTP = "ftp.monitor"
FPING = "fping.monitor"

Verdict = tuple[int, str]


def _verdict(argv: Sequence[str]) -> Verdict:
    """Return the exit status and the summary of a monitor."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        check=False,
    )
    return done.returncode, done.stdout.decode(errors="replace").partition("\n")[0]


def both(monitor: str, *arguments: str, within: Sequence[str] = ()) -> tuple[Verdict, Verdict]:
    """Return what the Perl monitor says, and what ours says; `within` is a program to run them."""
    perl = ["perl", str(STOCK / "mon.d" / monitor)]
    ours = [sys.executable, str(CHECKOUT / "mon.d" / monitor)]
    return _verdict([*within, *perl, *arguments]), _verdict([*within, *ours, *arguments])
