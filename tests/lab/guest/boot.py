"""The guest's first process: finishes the set-up, runs one command, says how it ended, powers off.

/run/lab is the share that the host reads: `command.json` says what to run, `status` how it ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

SHARE = Path("/run/lab")
MOUNTS = (
    ("devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666"),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("tmpfs", "/run/lock", "mode=1777"),
)


def main() -> None:
    """Run the command of command.json to its end and power the machine off, whatever happens."""
    try:
        order = json.loads((SHARE / "command.json").read_text())
        _set_up(Path(order["modules"]))
        if order["together"] is not None:
            Path(order["together"]).mkdir()
            options = "trans=virtio,version=9p2000.L,cache=none"
            _do("mount", "-t", "9p", "-o", options, "together", order["together"])
        for path in order["open"]:
            _open_to_all(Path(path))
        status = _run(order["argv"], order["environment"], order["cwd"], terminal=order["terminal"])
        (SHARE / "status").write_text(f"{status}\n")
    finally:
        # The interpreter would show it only after this block, when nobody can see it any more.
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        os.sync()
        Path("/proc/sysrq-trigger").write_text("o")
        signal.pause()


def _set_up(modules: Path) -> None:
    """Mount what a running system has and load IPVS."""
    for kind, where, options in MOUNTS:
        Path(where).mkdir(exist_ok=True)
        _do("mount", "-t", kind, "-o", options, kind, where)
    _do("mount", "--bind", str(modules), "/lib/modules")
    Path("/proc/sys/kernel/hostname").write_text("lab")
    _do("ip", "link", "set", "lo", "up")
    _do("modprobe", "-a", "ip_vs", "ip_vs_rr", "ip_vs_wlc", "ipip", "veth", "bridge")


def _open_to_all(path: Path) -> None:
    """Let every user get at a path of the host's that may lie below somebody's home."""
    for folder in path.parents:
        folder.chmod(folder.stat().st_mode & 0o7777 | 0o055)


def _do(*argv: str) -> None:
    """Run one step of the set-up; one that fails ends the guest."""
    subprocess.run(argv, check=True)


def _run(argv: list[str], environment: dict[str, str], cwd: str, *, terminal: bool) -> int:
    """Run the command as a session of its own and reap every orphan until it ends."""
    # The console cannot be a session's terminal, the line behind it can.
    with Path("/dev/ttyS0" if terminal else "/dev/null").open("r+b", buffering=0) as line:
        child = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *argv] if terminal else argv,
            env=environment,
            cwd=cwd,
            start_new_session=not terminal,
            stdin=line,
            stdout=line if terminal else None,
            stderr=line if terminal else None,
        )
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main()
