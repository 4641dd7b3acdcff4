"""Boots the guest and runs one command in it: qemu's emulation, so no hardware help is needed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.places import remove_tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from tests.lab.kernel import Kernel

BOOT = Path(__file__).with_name("guest") / "boot.py"
CHECKOUT = Path(__file__).resolve().parents[2]
# The emulator finds code that it translated again only at the same address; any clock but the
# processor's own is a device to ask; and what keeps attackers out costs most where it is emulated.
QUICK = "norandmaps clocksource=tsc tsc=reliable no_timer_check mitigations=off init_on_alloc=0"
# What guards the kernel against itself, and longer addresses, cost a tenth and nobody needs them.
CPU = "max,-smap,-smep,-la57"
# The guest's time is what its processor did, a nanosecond an instruction, and this machine's where
# it has nothing to do. So what a program takes there is the same on any machine, whatever else that
# does.
CLOCK = "shift=0,sleep=on"
TOGETHER = "/run/together"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class MachineError(Exception):
    """The guest died, or took too long; the message ends with its console's last lines."""


class Machine:
    """One boot of the guest, for one command.

    The guest sees this machine's files read-only under an overlay in memory, so it has the same
    programs, checkout and Python and changes nothing here. What it writes to /run/lab arrives in
    `share`. Use it as a context manager: leaving it ends the guest and removes the share. A folder
    that is `together` stands at TOGETHER in every guest that is given it.
    """

    def __init__(self, kernel: Kernel, *, memory: int = 1536, together: Path | None = None) -> None:
        self._kernel = kernel
        self._together = together
        self._memory = memory
        self._qemu: subprocess.Popen[bytes] | None = None
        self.share = Path(tempfile.mkdtemp(prefix="lvsalert-lab-"))

    @property
    def console(self) -> str:
        """What the guest's console showed so far."""
        return (self.share / "console").read_bytes().decode(errors="replace").replace("\r\n", "\n")

    def start(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        terminal: bool = False,
    ) -> None:
        """Boot and run `argv` in the checkout, with `environment` beside ENVIRONMENT.

        With `terminal` the command has the caller's terminal; otherwise what it prints is in
        `console`.
        """
        order = {
            "argv": list(argv),
            "environment": {**ENVIRONMENT, **(environment or {})},
            "cwd": str(CHECKOUT),
            "modules": str(self._kernel.modules),
            "terminal": terminal,
            "together": TOGETHER if self._together is not None else None,
            # mon runs as a user of its own.
            "open": [str(BOOT), str(Path(sys.prefix, "bin")), str(Path(sys.executable).resolve())],
        }
        (self.share / "command.json").write_text(json.dumps(order))
        initramfs = self.share / "initramfs"
        initramfs.write_bytes(self._kernel.initramfs())
        with (self.share / "console").open("wb") as console:
            self._qemu = subprocess.Popen(
                self._command(initramfs, terminal=terminal),
                stdin=None if terminal else subprocess.DEVNULL,
                stdout=None if terminal else console,
                stderr=None if terminal else subprocess.STDOUT,
            )

    def wait(self, timeout: float | None) -> int:
        """Return the command's exit status.

        Raises MachineError where the guest is not done after `timeout` seconds (None: it may take
        any time), or went away
        without leaving a status: a guest that dies has failed, whatever qemu's own status is.
        """
        assert self._qemu is not None, "the guest was not started"
        try:
            self._qemu.wait(timeout)
        except subprocess.TimeoutExpired:
            self.stop()
            raise MachineError(f"the guest took longer than {timeout} s\n{self.tail()}") from None
        left = self.share / "status"
        if not left.exists():
            raise MachineError(
                f"the guest died without saying how its command ended\n{self.tail()}"
            )
        return int(left.read_text())

    def is_running(self) -> bool:
        """Tell whether the guest is on."""
        return self._qemu is not None and self._qemu.poll() is None

    def tail(self, lines: int = 100) -> str:
        """Return the last lines of the console."""
        return "\n".join(self.console.splitlines()[-lines:])

    def stop(self) -> None:
        """Switch the guest off, as a power cut does."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        remove_tree(self.share)

    def _command(self, initramfs: Path, *, terminal: bool) -> list[str]:
        """Return qemu's command line.

        The accelerator is named because qemu may otherwise take KVM, which hangs where the device
        exists without hardware behind it. The guest has one processor: two of them spend half of
        their time on keeping each other's emulated memory in step.
        """
        share = "local,security_model=none,multidevs=remap"
        python = Path(sys.executable).resolve()
        console = "chardev:mux" if terminal else "stdio"
        # A guest does not outlive who started it, however that one ends.
        argv = ["setpriv", "--pdeathsig", "KILL"]
        argv += ["qemu-system-x86_64", "-accel", "tcg", "-cpu", CPU, "-M", "q35", "-smp", "1"]
        argv += ["-icount", CLOCK]
        argv += ["-m", f"{self._memory}M", "-display", "none", "-vga", "none", "-nic", "none"]
        argv += ["-monitor", "none", "-no-reboot"]
        if terminal:
            argv += ["-chardev", "stdio,id=mux,signal=off"]
        argv += ["-serial", console, "-kernel", str(self._kernel.image), "-initrd", str(initramfs)]
        argv += ["-virtfs", f"{share},path=/,mount_tag=host,readonly=on"]
        argv += ["-virtfs", f"{share},path={self.share},mount_tag=lab"]
        if self._together is not None:
            argv += ["-virtfs", f"{share},path={self._together},mount_tag=together"]
        words = f"console=ttyS0 quiet loglevel=3 panic=-1 {QUICK} -- {python} -B {BOOT}"
        return [*argv, "-append", words]
