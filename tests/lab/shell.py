"""A shell in the guest with the hosts up, mon and web servers: `python -m tests.lab.shell`."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.harness.places import open_folder
from tests.lab import kernel, packages
from tests.lab.configuration import LVS_DIRECTOR, group
from tests.lab.machine import Machine
from tests.lab.topology import Topology

WELCOME = """
The hosts are director1 (10.0.0.1, and 10.0.0.3), director2 (10.0.0.2), real1 to real3 (192.168.0.1
to .3) and client (10.0.0.100). Web servers answer at ports 80, 443 and 8080 of the real servers,
and mon looks after the table of director1. Try

    ip netns exec director1 ipvsadm -Ln
    ip netns exec client busybox wget -qO- http://10.0.0.3/

Leaving the shell switches the guest off.
"""


def main() -> int:
    """On the host: boot with this terminal; in the guest: make the hosts and run bash."""
    if sys.argv[1:] == ["--inside"]:
        return _inside()
    packages.install()
    with Machine(kernel.prepare()) as machine:
        size = os.get_terminal_size() if sys.stdout.isatty() else os.terminal_size((80, 24))
        argv = [sys.executable, "-m", "tests.lab.shell", "--inside"]
        window = {"COLUMNS": str(size.columns), "LINES": str(size.lines)}
        machine.start(argv, {"TERM": os.environ.get("TERM", "dumb"), **window}, terminal=True)
        return machine.wait(timeout=None)


def _inside() -> int:
    """In the guest: the hosts, everything running, a shell, and everything stopped again."""
    columns, lines = os.environ.pop("COLUMNS"), os.environ.pop("LINES")
    subprocess.run(["stty", "columns", columns, "rows", lines], check=True)
    subprocess.run([LVS_DIRECTOR, "install", "--systemd"], capture_output=True, check=True)
    with open_folder() as folder:
        lab = Topology(folder)
        lab.start_web()
        hosts = [server.address for server in lab.real_servers]
        with lab.director1.mon(folder, group(hosts)):
            print(WELCOME, flush=True)
            status = subprocess.run(["bash", "--norc", "-i"], check=False).returncode
        lab.reset()
    return status


if __name__ == "__main__":
    raise SystemExit(main())
