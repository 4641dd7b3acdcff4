"""A director that a cluster runs on: a machine of its own as far as the cluster can tell."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.harness.processes import Program
from tests.harness.waiting import wait_until
from tests.lab import network
from tests.lab.configuration import LVS_DIRECTOR
from tests.lab.director import Director
from tests.lab.managers import Manager
from tests.lab.pieces import File, Pieces

NODE = Path(__file__).with_name("guest") / "node.sh"
MON_CF = "etc/mon/mon.cf"


class Node(Director):
    """One of the two directors, and what goes on in it."""

    def __init__(self, name: str, address: str, inner: str, address6: str, folder: Path) -> None:
        self._place = (name, address, inner, address6)
        self._folder = folder / name
        self._folder.mkdir()
        self._boots = 0
        self.machine: Program | None = None
        self._pieces: Pieces | None = None

    def boot(self, etc: Path, pieces: Pieces) -> None:
        """Switch it on, with nothing on its disk but what the guest has, `etc` and the pieces."""
        self._boots += 1
        self._pieces = pieces
        super().__init__(*self._place)
        # heartbeat sends to the interface's broadcast address, which ip(8) sets when it is told to.
        for own in (f"{each}/24" for each in self._place[1:3]):
            self.ip([f"address delete {own} dev eth0", f"address add {own} brd + dev eth0"])
        if pieces.is_ours:
            # One that takes the address back a few seconds after it was switched on knows the
            # connections that it heard of in those.
            self.set_sysctls({"ipv4/vs/sync_threshold": "3 10"})
        folder = self._folder / str(self._boots)
        folder.mkdir()
        # On a tmpfs: what an overlay writes to may not be an overlay itself.
        disk = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir="/run"))
        disk.chmod(0o755)
        if pieces.is_ours:
            shutil.copytree(etc, disk / "upper" / "etc")
        for name, file in pieces.files.items():
            path = disk / "upper" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text)
            path.chmod(file.mode)
        apart = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork"]
        argv = [*apart, "sh", str(NODE), str(disk), f"{self.name}.domain.com"]
        self.machine = Program(argv, folder / "output")
        with self.inside():
            self.machine.start()
        wait_until(self._is_up, self.story)

    @property
    def _manager(self) -> Manager:
        assert self._pieces is not None, "it was never on"
        return self._pieces.manager

    def join(self, pieces: Pieces) -> None:
        """Start what moves the address."""
        pieces.manager.start(self, is_ours=pieces.is_ours)

    def stand_by(self) -> None:
        """Have everything given to the other one."""
        self._manager.stand_by(self)

    def break_down(self) -> None:
        """Kill mon and empty the table."""
        self.do("pkill", "-KILL", *self._manager.killed)
        self.ipvsadm("-C")

    @property
    def runs_mon(self) -> bool:
        """Whether mon is there."""
        return not self.run("pgrep", "-u", "mon", "-x", "mon").returncode

    def forget(self) -> None:
        """Have what moves the address done with what it found amiss."""
        self._manager.forget(self)

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self.machine is not None and self.machine.runs

    def _first_process(self) -> list[str]:
        """Return its process id out here, nothing where there is none yet."""
        assert self.machine is not None
        children = Path(f"/proc/{self.machine.pid}/task/{self.machine.pid}/children")
        return children.read_text().split()

    def _is_up(self) -> bool:
        assert self.is_on, self.story()
        return bool(self._first_process()) and not self.run("test", "-e", "/run/booted").returncode

    def run(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program in it to its end."""
        first = self._first_process()
        enter = ["nsenter", "-t", first[0], "-m", "-u", "-i", "-n", "-p", "-r", "-w"]
        return subprocess.run(
            [*enter, *argv], input=stdin, capture_output=True, text=True, check=False
        )

    def cut_power(self) -> None:
        """Pull the cable, kill every process, and let the kernel forget the table."""
        self.unplug()
        assert self.machine is not None
        self.machine.kill()
        network.ip([f"link delete {self.name}", f"netns delete {self.name}"])

    @property
    def connections(self) -> str:
        """The table's connections as `ipvsadm -Lcn` has them."""
        return "\n".join(line.rstrip() for line in self.ipvsadm("-Lcn").splitlines())

    @property
    def hardware(self) -> str:
        """The hardware address of its interface."""
        return self.run("cat", "/sys/class/net/eth0/address").stdout.strip()

    @property
    def has_address(self) -> bool:
        """Whether it has the virtual address."""
        return "10.0.0.3" in self.run("ip", "-4", "-o", "address", "show", "dev", "eth0").stdout

    @property
    def is_settled(self) -> bool:
        """Whether it has the virtual address and all that goes with it has been started."""
        return self.has_address and self._manager.is_settled(self)

    @property
    def is_open(self) -> bool:
        """Whether new connections get to its table, where it has the virtual address."""
        return self._manager.is_open(self)

    @property
    def is_ready(self) -> bool:
        """Whether it could take the virtual address over."""
        return self._manager.is_ready(self)

    def was_held_up(self, said: str) -> bool:
        """Say whether its story tells that the guest stood still for too long."""
        return self._manager.was_held_up(said, self)

    def story(self) -> str:
        """Return what it is and what it said."""
        if not self.is_on:
            return f"off\n{self.machine.output if self.machine is not None else ''}"
        commands = (
            ["ipvsadm", "-Ln"],
            ["ipvsadm", "-Lcn"],
            ["ipvsadm", "-L", "--daemon"],
            ["ps", "-ef"],
            ["cat", "/var/log/syslog"],
            *self._manager.asked,
        )
        return "\n".join(self.run(*argv).stdout for argv in commands)


class Pair:
    """Two directors of a cluster in the place of the lab's own two."""

    def __init__(self, folder: Path, pieces: Pieces) -> None:
        self._pieces = pieces
        self._tree = folder / "tree"
        self.lvs1 = Node("lvs1", "10.0.0.11", "192.168.0.241", "2001:db8::a1", folder)
        self.lvs2 = Node("lvs2", "10.0.0.12", "192.168.0.242", "2001:db8::a2", folder)

    def start(self) -> None:
        """Switch both on, with what moves the address."""
        if self._pieces.is_ours:
            self._install()
        self._boot(self.lvs1)
        if self._pieces.is_ours:
            mon_cf = self.lvs1.do(LVS_DIRECTOR, "mon-config", "www")
            self.lvs1.do("tee", f"/{MON_CF}", stdin=mon_cf)
            self._pieces.files[MON_CF] = File(mon_cf)
        self._boot(self.lvs2)
        for node in (self.lvs1, self.lvs2):
            node.join(self._pieces)
        self._pieces.manager.configure(self.lvs1)

    def _install(self) -> None:
        """Have the resource scripts written once, for both."""
        argv = [LVS_DIRECTOR, "install", "--heartbeat", "--root", str(self._tree)]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)

    def _boot(self, node: Node) -> None:
        node.boot(self._tree / "etc", self._pieces)

    def come_back(self, node: Node) -> None:
        """Switch a director on again."""
        self._boot(node)
        node.join(self._pieces)

    @property
    def nodes(self) -> tuple[Node, Node]:
        """Both of them."""
        return self.lvs1, self.lvs2

    def close(self) -> None:
        """Switch both off."""
        for node in self.nodes:
            if node.is_on:
                with contextlib.suppress(AssertionError):
                    node.cut_power()

    def story(self) -> list[tuple[str, str]]:
        """Return what both are and what they said."""
        return [(node.name, node.story()) for node in (self.lvs1, self.lvs2)]
