"""The commands by which a fresh Debian becomes one of two directors, as the document has them."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.harness.debian import RELEASES, System, copy_checkout, system
from tests.harness.documents import blocks

if TYPE_CHECKING:
    from pathlib import Path

WAYS = dict(zip(("heartbeat", "pacemaker", "keepalived"), blocks("high-availability.md", "sh")))
MAKE_VENV = "python3 -m venv /opt/lvsalert && /opt/lvsalert/bin/pip install -q /root/lvsalert"
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("mmdebstrap", "systemd-nspawn"))),
    reason="needs root, mmdebstrap and systemd-nspawn",
)


@pytest.mark.parametrize("release", RELEASES)
def test_the_commands_for_each_manager_work(release: str, tmp_path: Path) -> None:
    """heartbeat, Pacemaker and keepalived: each command works, and what is to start is enabled.

    Nothing of a cluster is started, as a container has neither a second director nor an interface.
    """
    assert all(f" {manager} " in way for manager, way in WAYS.items())
    copy_checkout(tmp_path)
    with system(release, f"{tmp_path}:/root/lvsalert") as debian:
        debian.install("python3-venv")
        debian.shell(MAKE_VENV, outside=True)
        for manager, way in WAYS.items():
            debian.shell("rm -f /etc/mon/mon.cf")
            for line in way.splitlines():
                _follow(debian, line)
            wanted = "/usr/local/lib/mon/mon.d"
            assert wanted in debian.does("cat", "/etc/mon/mon.cf")
            for unit in ("lvsalert.socket", manager):
                assert debian.does("systemctl", "is-enabled", unit) == "enabled\n"
            assert debian.run("systemctl", "is-enabled", "mon").stdout == "disabled\n"


def _follow(debian: System, line: str) -> None:
    """Run a line of the document in the clone, without starting what needs a second director."""
    if line.startswith("apt-get"):
        debian.install(*re.findall(r" ([a-z][a-z0-9-]+)", line.partition(" install")[2]))
        return
    line = line.replace("enable --now", "enable").replace("systemctl restart", "systemctl enable")
    debian.shell(f"cd /root/lvsalert; {line}")
