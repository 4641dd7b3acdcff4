"""From a fresh Debian to a watched service, by what the README says and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.harness.debian import RELEASES, System, copy_checkout, system
from tests.harness.places import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Callable

DEMO = (CHECKOUT / "examples" / "demo").read_text(encoding="utf-8")
NO_MON = "there is no user mon here yet: install mon (apt-get install mon), then"
AGAIN = "run this again, or name it by --mon-user"
AFTERWARDS = "lvs-director check says what is left to do"
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
FIRST_MON_CF = README.partition("\n## A first mon.cf\n")[2].partition("\n## ")[0]
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
    """The demo; packages, install, two lines, the first mon.cf, restart; a server dies and returns.

    The kernel is this machine's, so that its modules and its table are not the container's.
    """
    installing = section("Install")
    named = re.findall(r"`([a-z0-9-]+)`", installing.partition(" with apt")[0])
    assert "python3-venv" in named
    copy_checkout(tmp_path)
    begun = time.monotonic()
    with system(release, f"{tmp_path}:/root/lvsalert") as debian:
        _see_the_demo(debian)
        debian.install(*named)
        said = ""
        for line in block(installing).splitlines():
            # pip fetches what the suite needs; all else is done without a network.
            outside = "pip" in line
            if "check" not in line:
                said += debian.shell(f"cd /root/lvsalert; {line}", outside=outside)
        debian.stand_in("/opt/lvsalert/bin/python")
        lines = re.findall(r"(?m)^(?:mondir|alertdir) = .*", said)
        assert block(FIRST_MON_CF).splitlines()[:2] == lines
        debian.write("/etc/mon/mon.cf", block(FIRST_MON_CF))
        for number in (1, 2):
            debian.serve_web(number)
        for line in said.partition("After that, run:\n")[2].splitlines():
            if line and not line.startswith("modprobe "):
                debian.shell(line)
        debian.wait_for("192.168.0.1", "192.168.0.2")
        record_property(f"{release}: from nothing to a watched service", _seconds(begun))
        assert debian.does("systemctl", "is-enabled", "mon") == "enabled\n"
        debian.does("lvs-alert", "--version")
        checked = debian.run("lvs-director", "check").stdout
        assert re.search(r"(?m)^ok +mon +process \d+, as mon, with CAP_NET_ADMIN", checked), checked
        killed = time.monotonic()
        debian.kill_web(2)
        debian.wait_for("192.168.0.1")
        record_property(f"{release}: from a server's death to the table", _seconds(killed))
        why = debian.does("lvs-director", "why", "192.168.0.2")
        assert "192.168.0.2:80 of tcp 10.0.0.3:80 is out" in why
        debian.serve_web(2)
        debian.wait_for("192.168.0.1", "192.168.0.2")
        _uninstall(debian)


def _see_the_demo(debian: System) -> None:
    """What it installs is neither started nor will be at boot, and what it starts is gone.

    It fetches packages by apt and by pip, here beforehand: its own addresses are to be the
    container's.
    """
    (packages,) = re.findall(r"(?m)^examples/install-packages .*", DEMO)
    fetch = (
        "python3 -m venv /tmp/fetch && /tmp/fetch/bin/pip download -q -d /tmp/wheels . setuptools"
    )
    debian.shell(f"cd /root/lvsalert; {packages}; {fetch}", outside=True)
    demo = block(section("Try it")).strip()
    said = debian.shell(f"cd /root/lvsalert; PIP_NO_INDEX=1 PIP_FIND_LINKS=/tmp/wheels {demo}")
    assert said.endswith("Nothing is left running.\n"), said
    for unit in ("mon", "nginx"):
        assert debian.run("systemctl", "is-enabled", unit).stdout == "disabled\n"
        assert debian.run("systemctl", "is-active", unit).stdout == "inactive\n"
    assert debian.run("pgrep", "--list-full", "--full", "mon -c|nginx|lvs-director").stdout == ""


def _uninstall(debian: System) -> None:
    """Nothing of ours runs or will at boot, systemd knows, and it is said what stays."""
    said = debian.does("/opt/lvsalert/bin/lvs-director", "uninstall")
    assert said.startswith("stopped       lvsalert.socket and lvsalert.service\n"), said
    assert "\nleft          /var/lib/lvsalert with the journal and the causes\n" in said
    assert (
        "\nleft          /etc/mon/mon.cf: its mondir and alertdir name /usr/local/lib/mon" in said
    )
    assert said.endswith("\nAfter that, run:\nsystemctl restart mon\n")
    for unit in ("lvsalert.socket", "lvsalert.service"):
        assert debian.run("systemctl", "is-active", unit).stdout == "inactive\n"
    assert debian.does("systemctl", "show", "--value", "--property=NeedDaemonReload", "mon") == (
        "no\n"
    )
    assert debian.does("find", "/etc", "/usr/local", "-iname", "*lvsalert*") == ""


@pytest.mark.parametrize("release", RELEASES)
def test_pipx_and_a_mon_that_comes_later(release: str, tmp_path: Path) -> None:
    """Before mon is there install says so, units and state directory wait for its user.

    The programs are on PATH, and mon's user can run the plugins.
    """
    copy_checkout(tmp_path)
    with system(release, f"{tmp_path}:/root/lvsalert") as debian:
        debian.install("pipx", "ipvsadm", "netbase")
        _brings_no_pacemaker(debian)
        (pipx,) = re.findall(r"`(PIPX_HOME=.*?)`", section("Install"))
        debian.shell(f"cd /root/lvsalert; {pipx}", outside=True)
        refused = debian.run("lvs-director", "install", "--systemd", "--heartbeat")
        assert (refused.returncode, refused.stdout) == (1, f"lvs-director: {NO_MON} {AGAIN}\n")
        left = "! test -e /usr/local/lib/mon; ! test -e /var/lib/lvsalert; ! test -e /etc/ha.d"
        debian.shell(f"{left}; ! test -e /etc/systemd/system/lvsalert.socket")
        assert debian.does("lvs-director", "install").endswith(f"\n{NO_MON} {AFTERWARDS}\n")
        debian.install("mon")
        debian.stand_in("/opt/pipx/venvs/lvsalert/bin/python")
        said = debian.does("lvs-director", "install", "--systemd")
        debian.write("/etc/mon/mon.cf", block(FIRST_MON_CF))
        debian.shell(said.partition("After that, run:\n")[2].replace("modprobe", ": modprobe"))
        debian.serve_web(1)
        debian.wait_for("192.168.0.1")
        assert debian.does("stat", "-c", "%U %G %a", "/var/lib/lvsalert") == "mon mon 770\n"
        checked = debian.does("lvs-director", "check")
        assert re.search(r"(?m)^ok +mon +process \d+, as mon, with CAP_NET_ADMIN", checked), checked
        debian.shell("test -s /var/lib/lvsalert/ledger.db; lvs-alert --version")
        as_mon = ("setpriv", "--reuid=mon", "--regid=mon", "--init-groups")
        plugin = ("/usr/local/lib/mon/mon.d/http.monitor", "192.168.0.1")
        assert debian.does(*as_mon, *plugin).startswith("\n")


def _brings_no_pacemaker(debian: System) -> None:
    """The command for heartbeat leaves out what apt would bring, and start, with it."""
    page = (CHECKOUT / "docs" / "high-availability.md").read_text(encoding="utf-8")
    (install,) = re.findall(r"(?m)^apt-get install .* heartbeat .*", page)
    lean = install.replace("apt-get", "apt-get --simulate")
    assert "\nInst pacemaker " not in debian.shell(lean)
    assert "\nInst pacemaker " in debian.shell(lean.replace("--no-install-recommends", ""))


def _seconds(begun: float) -> str:
    return f"{time.monotonic() - begun:.0f} s"
