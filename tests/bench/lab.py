"""The alerts on a real kernel: `tests/bench/run --lab` boots the lab's guest for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bench.comparisons import alerts, write_perl_alert
from tests.bench.measuring import HEAD, Measure
from tests.harness.places import CHECKOUT, loopback, open_folder
from tests.lab import kernel, packages
from tests.lab.configuration import LVS_DIRECTOR
from tests.lab.machine import Machine

_SECONDS = 900
_SERVERS = 1000
# The emulated machine takes ten times as long.
_REPEATS = 3


def measure(document: Path | None) -> None:
    """Print the figures of the alerts, taken in the guest. SystemExit without a document."""
    if document is None:
        raise SystemExit("LEFT OUT: the Perl lvs.alert: --document names no file to take it from")
    packages.install()
    with Machine(kernel.prepare()) as machine:
        machine.start([sys.executable, "-m", "tests.bench.lab", str(document.resolve())])
        status = machine.wait(_SECONDS)
        print(HEAD)
        print("\n".join(line for line in machine.console.splitlines() if line.startswith("| ")))
        if status:
            raise SystemExit(machine.tail())


def _inside(document: Path) -> None:
    """In the guest: install the suite, and measure its alert and the document's."""
    subprocess.run([LVS_DIRECTOR, "install", "--systemd"], capture_output=True, check=True)
    with open_folder() as folder:
        perl = folder / "perl.alert"
        write_perl_alert(document, perl, Path("/sbin/ipvsadm"))
        runner = Measure(folder)
        for each in alerts(["/usr/local/lib/mon/alert.d/lvs.alert"], str(perl), _fill, _SERVERS):
            print(runner.compare(each._replace(repeats=_REPEATS)).row(), flush=True)


def _fill(servers: int, _lost: int) -> None:
    rules = ["-A -t 10.0.0.3:80 -s wlc\n"]
    rules += [f"-a -t 10.0.0.3:80 -r {host} -g -w 5\n" for host in loopback(0, servers)]
    subprocess.run(["ipvsadm", "-C"], check=True)
    subprocess.run(["ipvsadm", "-R"], input="".join(rules), text=True, check=True, cwd=CHECKOUT)


if __name__ == "__main__":
    _inside(Path(sys.argv[1]))
