"""Debian packages that the lab is made of, installed where they are missing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What boots the guest, then what runs inside it.
PACKAGES = (
    "qemu-system-x86",
    "busybox-static",
    "kmod",
    "iproute2",
    "nftables",
    "ipvsadm",
    "mon",
    "nginx-light",
    "vsftpd",
    "fping",
)
POLICY = Path("/usr/sbin/policy-rc.d")


def why_not() -> str | None:
    """Return why the lab cannot run on this machine, or None where it can."""
    if os.geteuid() != 0:
        return "it needs root"
    if platform.machine() != "x86_64":
        return f"its guest is an x86_64 machine and this one is {platform.machine()}"
    if not Path("/etc/debian_version").is_file() or shutil.which("apt-get") is None:
        return "it takes its kernel and its servers from Debian's packages, and this is not Debian"
    return None


def install() -> None:
    """Install the packages that are missing; no service of theirs is started.

    Raises subprocess.CalledProcessError with apt's words on its stderr where that fails.
    """
    missing = [name for name in PACKAGES if not _is_installed(name)]
    if not missing:
        return
    refresh()
    with _no_service_starts():
        run_apt("apt-get", "install", "-y", "-q", "--no-install-recommends", *missing)


def refresh() -> None:
    """Fetch Debian's list of packages anew."""
    run_apt("apt-get", "update", "-q")


def run_apt(*argv: str, cwd: Path | None = None) -> str:
    """Run one of apt's programs without questions and return what it printed."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _is_installed(package: str) -> bool:
    """Ask dpkg for the package's state."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout == "installed"


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Have invoke-rc.d refuse to start anything; a policy that stands already is kept."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
