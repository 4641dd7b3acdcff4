"""Debian packages that the lab is made of, installed where they are missing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from tests.harness import debian

# What boots the guest and fetches its kernels, then what runs inside it.
PACKAGES = (
    "qemu-system-x86",
    "busybox-static",
    "kmod",
    "mmdebstrap",
    "systemd-container",
    "iproute2",
    "nftables",
    "ipvsadm",
    "mon",
    "ldirectord",
    "nginx-light",
    "vsftpd",
    "fping",
    "heartbeat",
    "keepalived",
    "corosync",
    "pacemaker",
    "crmsh",
    "net-tools",
    "tcpdump",
    *("dnsmasq-base", "freeradius", "kamailio", "dovecot-imapd", "dovecot-pop3d"),
    *("exim4-daemon-light", "leafnode", "inetutils-telnetd", "openssl"),
)
INSTALL = Path(__file__).resolve().parents[2] / "examples" / "install-packages"


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
    """Install the packages that are missing; no service of theirs is started."""
    with debian.alone("packages"):
        subprocess.run([INSTALL, *PACKAGES], stdin=subprocess.DEVNULL, check=True)


def refresh() -> None:
    """Fetch Debian's list of packages anew."""
    run_apt("apt-get", "update", "-q")


def run_apt(*argv: str, cwd: Path | None = None) -> str:
    """Run one of apt's programs and return what it printed; RuntimeError where that fails."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout
