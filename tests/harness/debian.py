"""Systems of other Debian releases: a root each, booted as a container with its own systemd."""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.harness.places import CHECKOUT
from tests.harness.waiting import wait_until

RELEASES = ("bookworm", "trixie")
"""Debian 12 and 13."""

_CACHE = Path("/var/cache/lvsalert-tests")
# What a fresh Debian has that these tests work with.
_PACKAGES = "systemd-sysv,iproute2,procps,python3"
# What this machine trusts, for pip.
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_CERTIFICATES_THERE = "/usr/local/share/machine.crt"
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_CERT": _CERTIFICATES_THERE,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}
# The table lies where the resident's sandbox lets it be written.
_STAND_IN = """
import sys
from lvsalert import standin
standin.write_executable("/usr/local/sbin/ipvsadm", "/var/lib/lvsalert/table", sys.argv[1])
"""
_SOURCES = ("LICENSE", "README.md", "pyproject.toml", "setup.cfg")
_FOLDERS = ("alert.d", "examples", "lvsalert", "mon.d")


def _mirror() -> str:
    """Return where this machine's apt has Debian from."""
    words = "$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)"
    argv = ["apt-get", "indextargets", "--format", words, "Created-By: Packages"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return next(line.split()[3] for line in said.splitlines() if line.startswith("Debian Debian "))


def _make(release: str) -> Path:
    """Return the root of a fresh system, which the cache keeps; nobody writes to it."""
    root = _CACHE / f"debian-{release}"
    if not root.exists():
        made = Path(tempfile.mkdtemp(prefix=f"debian-{release}.", dir=_CACHE))
        made.chmod(0o755)
        options = ["--quiet", "--variant=minbase", "--skip=cleanup/apt/lists"]
        options += ['--aptopt=Acquire::Languages "none"', f"--include={_PACKAGES}"]
        subprocess.run(["mmdebstrap", *options, release, str(made), _mirror()], check=True)
        with suppress(OSError):
            made.rename(root)
    return root


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Have other processes that share the tests wait, so that ``what`` is made once."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@functools.lru_cache(1)
def roots() -> dict[str, Path]:
    """Return the fresh roots by release."""
    with alone("systems"), ThreadPoolExecutor() as pool:
        return dict(zip(RELEASES, pool.map(_make, RELEASES)))


class System:
    """A container with systemd as its first process, and a network of its own."""

    def __init__(self, init: int) -> None:
        """Take the number that its first process has outside."""
        self._init = init

    def run(self, *argv: str, outside: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root, with this machine's network if it is to reach `outside`."""
        return subprocess.run(
            [*self._enter(outside=outside), *argv],
            env=_ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def does(self, *argv: str, outside: bool = False) -> str:
        """Run a command that has to end well, and return what it printed."""
        done = self.run(*argv, outside=outside)
        assert done.returncode == 0, f"{' '.join(argv)}: status {done.returncode}\n{done.stdout}"
        return done.stdout

    def shell(self, script: str, *, outside: bool = False) -> str:
        """Run a shell's commands, each of which has to end well."""
        return self.does("sh", "-euc", script, outside=outside)

    def install(self, *packages: str) -> str:
        """Install Debian's packages; the lists of a root that was kept may be old."""
        argv = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
        if (done := self.run(*argv, outside=True)).returncode == 0:
            return done.stdout
        self.does("apt-get", "update", outside=True)
        return self.does(*argv, outside=True)

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file in it."""
        done = subprocess.run(
            [*self._enter(), "install", "-D", "-m", mode, "/dev/stdin", path],
            input=text,
            text=True,
            check=False,
            env=_ENVIRONMENT,
        )
        assert done.returncode == 0, path

    def serve_web(self, number: int) -> None:
        """Start the real server 192.168.0.`number`, a unit web`number`, on port 80."""
        address = f"192.168.0.{number}"
        if address not in self.does("ip", "-brief", "address", "show", "lo"):
            self.does("ip", "address", "add", f"{address}/32", "dev", "lo")
        unit = ("systemd-run", "--quiet", "--collect", f"--unit=web{number}")
        self.does(*unit, "python3", "-m", "http.server", "--bind", address, "80")

    def kill_web(self, number: int) -> None:
        """Kill a real server, and wait until systemd would start it again."""
        show = ("systemctl", "show", "--value", f"web{number}")
        self.does("kill", "-KILL", self.does(*show, "--property=MainPID").strip())
        wait_until(
            lambda: self.does(*show, "--property=LoadState") == "not-found\n",
            lambda: f"systemd has forgotten web{number}\n{self.journal()}",
        )

    def stand_in(self, python: str) -> None:
        """Put the stand-in in ipvsadm's place, for `python`, which knows the suite.

        A container has its host's kernel, where IPVS may not be loaded.
        """
        self.does(python, "-c", _STAND_IN, python)

    def real_servers(self) -> set[str]:
        """Return the addresses of the real servers in the table."""
        return set(re.findall(r" -r ([0-9.]+):", self.does("ipvsadm", "-Sn")))

    def wait_for(self, *addresses: str) -> None:
        """Wait until exactly these are the real servers in the table."""
        wait_until(
            lambda: self.real_servers() == set(addresses),
            lambda: f"{addresses} serve, and not {self.real_servers()}\n{self.journal()}",
            pause=0.1,
        )

    def journal(self) -> str:
        """Return the last that its services said, to tell why something did not happen."""
        return self.run("journalctl", "--no-pager", "--lines=60").stdout

    def _enter(self, *, outside: bool = False) -> Sequence[str]:
        kinds = ("--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wd")
        return ["nsenter", f"--target={self._init}", *kinds, *(() if outside else ("--net",)), "--"]


@contextmanager
def system(release: str, *binds: str) -> Iterator[System]:
    """Boot a fresh system, in which nothing that is written stays; `binds` are FOLDER:PLACE."""
    with tempfile.TemporaryDirectory(prefix="lvsalert-system-") as folder:
        options = [
            *("--quiet", "--register=no", "--keep-unit", "--link-journal=no", "--console=pipe"),
            *("--volatile=overlay", "--private-network", "--resolv-conf=replace-host"),
            *(f"--bind={each}" for each in binds),
            f"--bind-ro={_CERTIFICATES}:{_CERTIFICATES_THERE}",
        ]
        argv = ["systemd-nspawn", *options, f"--directory={roots()[release]}", "--boot"]
        with (Path(folder) / "console").open("w+b") as console:
            nspawn = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
            )
            try:
                yield _booted(nspawn, Path(console.name))
            finally:
                for child in _children(nspawn.pid):
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
                nspawn.wait()


def _booted(nspawn: subprocess.Popen[bytes], console: Path) -> System:
    """Wait until a container is up."""

    def is_up() -> System | None:
        assert nspawn.poll() is None, console.read_text(errors="replace")
        for child in _children(nspawn.pid):
            found = System(child)
            said = found.run("systemctl", "is-system-running").stdout.strip()
            if said in {"running", "degraded"}:
                return found
        return None

    found = wait_until(is_up, lambda: f"boots: {console.read_text(errors='replace')}", pause=0.2)
    assert found is not None
    return found


def _children(pid: int) -> list[int]:
    """Return the processes that a process has started (proc(5))."""
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def copy_checkout(folder: Path) -> None:
    """Lay into `folder` what a clone has that README's commands work with."""
    for name in _FOLDERS:
        shutil.copytree(CHECKOUT / name, folder / name)
    for name in _SOURCES:
        shutil.copy(CHECKOUT / name, folder)
