"""The guest tells how its command ended, and one that does not has failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import kernel, packages
from tests.lab.machine import Machine, MachineError

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
    assert machine.wait(timeout=300) == 7
    assert "-A -t 192.0.2.1:80 -s rr\n" in machine.console


def test_a_guest_that_dies_has_failed(machine: Machine) -> None:
    """A kernel that panics leaves no status; the message shows what the console did."""
    machine.start(["sh", "-c", "echo last words; echo c >/proc/sysrq-trigger"])
    with pytest.raises(MachineError, match=r"died without saying(?s:.*)last words") as caught:
        machine.wait(timeout=300)
    assert "sysrq_handle_crash" in str(caught.value)


def test_a_guest_that_hangs_is_ended(machine: Machine) -> None:
    """After the time-out the guest is switched off, and the message says so."""
    machine.start(["sleep", "infinity"])
    with pytest.raises(MachineError, match=r"the guest took longer than 1 s"):
        machine.wait(timeout=1)
    assert not machine.is_running()
