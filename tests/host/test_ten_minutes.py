"""From a fresh Debian to a watched service, by what the README says and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.harness.debian import RELEASES, copy_checkout, system
from tests.harness.places import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Callable

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("mmdebstrap", "systemd-nspawn"))),
    reason="needs root, mmdebstrap and systemd-nspawn",
)


def section(title: str) -> str:
    """Return what stands under a heading."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def block(text: str) -> str:
    """Return the first block of a section."""
    return text.split("```")[1].partition("\n")[2]


@pytest.mark.parametrize("release", RELEASES)
def test_a_fresh_system_has_a_watched_service(
    release: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Packages, install, two lines, the first mon.cf, restart; then a server dies and returns.

    The kernel is this machine's, so that its modules and its table are not the container's.
    """
    installing = section("Install")
    named = re.findall(r"`([a-z0-9-]+)`", installing.partition(" with apt")[0])
    assert "python3-venv" in named
    copy_checkout(tmp_path)
    begun = time.monotonic()
    with system(release, f"{tmp_path}:/root/lvsalert") as debian:
        debian.install(*named)
        said = ""
        for line in block(installing).splitlines():
            # pip fetches what the suite needs; all else is done without a network.
            outside = "pip" in line
            if "check" not in line:
                said = debian.shell(f"cd /root/lvsalert; {line}", outside=outside)
        debian.stand_in("/opt/lvsalert/bin/python")
        lines = re.findall(r"(?m)^(?:mondir|alertdir) = .*", said)
        assert len(lines) == 2
        debian.write("/etc/mon/mon.cf", "\n".join([*lines, block(section("A first mon.cf"))]))
        for number in (1, 2):
            debian.serve_web(number)
        for line in said.partition("After that, run:\n")[2].splitlines():
            if not line.startswith("modprobe "):
                debian.shell(line)
        debian.wait_for("192.168.0.1", "192.168.0.2")
        record_property(f"{release}: from nothing to a watched service", _seconds(begun))
        checked = debian.run("/opt/lvsalert/bin/lvs-director", "check").stdout
        assert re.search(r"(?m)^ok +mon +process \d+, as mon, with CAP_NET_ADMIN", checked), checked
        killed = time.monotonic()
        debian.kill_web(2)
        debian.wait_for("192.168.0.1")
        record_property(f"{release}: from a server's death to the table", _seconds(killed))
        why = debian.does("/opt/lvsalert/bin/lvs-director", "why", "192.168.0.2")
        assert "192.168.0.2:80 of tcp 10.0.0.3:80 is out" in why
        debian.serve_web(2)
        debian.wait_for("192.168.0.1", "192.168.0.2")


def _seconds(begun: float) -> str:
    return f"{time.monotonic() - begun:.0f} s"
