"""Writes tests/data/ipvsadm/ anew from the real kernel: `python -m tests.lab.capture`, as root.

`table.batch` there is what the tables shown are made of, `cases.json` holds what ipvsadm answered
to each command of CASES on the table that the case asks for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.harness.waiting import patience
from tests.lab import packages
from tests.lab.cases import CASES, TABLE, Case
from tests.lab.kernel import prepare
from tests.lab.machine import CHECKOUT, Machine

DATA = CHECKOUT / "tests" / "data" / "ipvsadm"
SHARE = Path("/run/lab")

VIEWS = {
    "save-n.txt": ["-Sn"],
    "list-n.txt": ["-Ln"],
    "list-n-thresholds.txt": ["-Ln", "--thresholds"],
    "list-n-exact.txt": ["-Ln", "--exact"],
    "list-n-stats.txt": ["-Ln", "--stats"],
    "list-n-rate.txt": ["-Ln", "--rate"],
    "list-n-persistent-conn.txt": ["-Ln", "--persistent-conn"],
    "list-n-sort-exact-thresholds.txt": ["-Ln", "--sort", "--exact", "--thresholds"],
}


def main() -> None:
    """On the host: boot, run this file inside, and keep what came out."""
    if sys.argv[1:] == ["--inside"]:
        _inside()
        return
    packages.install()
    with Machine(prepare()) as machine:
        machine.start([sys.executable, "-m", "tests.lab.capture", "--inside"])
        status = machine.wait(timeout=patience())
        if status != 0:
            raise SystemExit(machine.tail())
        DATA.mkdir(parents=True, exist_ok=True)
        for name in ("table.batch", "proc-net-ip_vs.txt", "cases.json", *VIEWS):
            (DATA / name).write_bytes((machine.share / name).read_bytes())


def _inside() -> None:
    """In the guest: fill the share with the views of the table and the answers to the cases."""
    made = _ipvsadm(["-R"], TABLE)
    (SHARE / "table.batch").write_text(TABLE)
    if made != {"status": 0, "stdout": "", "stderr": ""}:
        raise SystemExit(f"the table was not taken as it stands: {made}")
    for name, argv in VIEWS.items():
        (SHARE / name).write_text(_ipvsadm(argv)["stdout"])
    (SHARE / "proc-net-ip_vs.txt").write_text(Path("/proc/net/ip_vs").read_text())
    (SHARE / "cases.json").write_text(
        json.dumps([_answer(case) for case in CASES], indent=1) + "\n"
    )


def _answer(case: Case) -> dict[str, Any]:
    """Run one case on its table and describe everything that can be seen of it."""
    _ipvsadm(["-C"])
    for line in case.before.splitlines():
        _ipvsadm(line.split())
    said = _ipvsadm(case.argv.split(), case.stdin, case.uid)
    asked: dict[str, Any] = {"name": case.name, "before": case.before, "argv": case.argv.split()}
    after = {"after": _ipvsadm(["-Sn"])["stdout"]}
    limits = _ipvsadm(["-Ln", "--thresholds"])["stdout"]
    return {**asked, "stdin": case.stdin, "uid": case.uid, **said, **after, "thresholds": limits}


def _ipvsadm(argv: list[str], stdin: str = "", uid: int = 0) -> dict[str, Any]:
    """Return status, stdout and stderr of one call; a signal is a negative status."""
    done = subprocess.run(
        ["ipvsadm", *argv],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        user=uid,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )
    return {"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


if __name__ == "__main__":
    main()
