"""The guest tells how its command ended, and one that does not has failed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.waiting import patience, wait_until
from tests.lab import kernel, packages
from tests.lab.machine import CHECKOUT, Machine, MachineError

pytestmark = pytest.mark.skipif(
    packages.why_not() is not None, reason=f"the lab is left out: {packages.why_not()}"
)


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A guest that is off."""
    packages.install()
    with Machine(kernel.prepare()) as made:
        yield made


def test_the_exit_status_is_carried_out(machine: Machine) -> None:
    """What a command prints and its exit status arrive on the host, and the kernel has IPVS."""
    machine.start(["sh", "-c", "ipvsadm -A -t 192.0.2.1:80 -s rr; ipvsadm -Sn; exit 7"])
    assert machine.wait(timeout=patience()) == 7
    assert "-A -t 192.0.2.1:80 -s rr\n" in machine.console


def test_a_guest_that_dies_has_failed(machine: Machine) -> None:
    """A kernel that panics leaves no status; the message shows what the console did."""
    machine.start(["sh", "-c", "echo last words; echo c >/proc/sysrq-trigger"])
    with pytest.raises(MachineError, match=r"died without saying(?s:.*)last words") as caught:
        machine.wait(timeout=patience())
    assert "sysrq_handle_crash" in str(caught.value)


def test_a_guest_ends_with_who_started_it(tmp_path: Path) -> None:
    """One that is killed cannot switch its guest off itself."""
    packages.install()
    code = (
        "import time\n"
        "from tests.lab import kernel\n"
        "from tests.lab.machine import Machine\n"
        "machine = Machine(kernel.prepare())\n"
        "machine.start(['sleep', 'infinity'])\n"
        "print(machine._qemu.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=CHECKOUT, env=environment
    ) as starter:
        assert starter.stdout is not None
        guest = Path(f"/proc/{int(starter.stdout.readline())}")
        wait_until(lambda: "qemu" in (guest / "comm").read_text(), "the guest is on")
        starter.kill()
    wait_until(lambda: _has_ended(guest), "the guest is off")


def _has_ended(process: Path) -> bool:
    try:
        return "State:\tZ" in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_guest_that_hangs_is_ended(machine: Machine) -> None:
    """After the time-out the guest is switched off, and the message says so."""
    machine.start(["sleep", "infinity"])
    with pytest.raises(MachineError, match=r"the guest took longer than 1 s"):
        machine.wait(timeout=1)
    assert not machine.is_running()
