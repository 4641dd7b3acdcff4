"""Debian's package: built by one command, and what it does on the releases that it is for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lvsalert import __version__
from tests.harness.debian import RELEASES, System, copy_checkout, system
from tests.harness.places import CHECKOUT
from tests.harness.waiting import short

NEXT = "9.0"
UNITS = "lvsalert.socket lvsalert.service mon.service"
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("mmdebstrap", "systemd-nspawn", "lintian"))),
    reason="needs root, mmdebstrap, systemd-nspawn and lintian",
)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as lvsalert.deb, and the same as of a later version as next.deb."""
    folder = tmp_path_factory.mktemp("package")
    made = subprocess.run(
        [str(CHECKOUT / "debian" / "make-deb"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    package = folder / "lvsalert.deb"
    Path(made.stdout.strip()).rename(package)
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(tree)], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(f"Version: {__version__}", f"Version: {NEXT}"))
    later = ["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(tree)]
    subprocess.run([*later, str(folder / "next.deb")], check=True, capture_output=True)
    shutil.rmtree(tree)
    return folder


def test_lintian_finds_nothing(packages: Path) -> None:
    """Neither an error nor a warning; and the package has the suite's version."""
    argv = ["lintian", "--allow-root", "--fail-on=warning", str(packages / "lvsalert.deb")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    argv = ["dpkg-deb", "--field", str(packages / "lvsalert.deb"), "Version"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == (
        f"{__version__}\n"
    )


def test_debian_13_builds_it_too(tmp_path: Path) -> None:
    """By its own debhelper and dh-python, and its own lintian finds nothing."""
    copy_checkout(tmp_path)
    shutil.copytree(CHECKOUT / "debian", tmp_path / "debian")
    shutil.copy(CHECKOUT / "CHANGELOG.md", tmp_path)
    control = (tmp_path / "debian" / "control").read_text(encoding="utf-8")
    control = control.partition("\n\n")[0].replace("debhelper-compat", "debhelper")
    needed = re.findall(r"(?m)^ ([a-z0-9-]+)", control)
    with system("trixie", f"{tmp_path}:/root/lvsalert") as debian:
        debian.install(*needed, "build-essential", "lintian")
        package = debian.does("/root/lvsalert/debian/make-deb", "/root").strip()
        assert debian.does("lintian", "--allow-root", "--fail-on=warning", package) == ""


@pytest.mark.parametrize("release", RELEASES)
def test_package_from_its_installation_to_its_purge(release: str, packages: Path) -> None:
    """Installed, used by the release's own mon and systemd, upgraded, removed and purged."""
    with system(release, f"{packages}:/packages") as debian:
        debian.install("/packages/lvsalert.deb", "ldirectord")
        debian.stand_in("/usr/bin/python3")
        _watch_two_servers(debian)
        _plugins_judge(debian)
        said = debian.does("lvs-director", "install", "--heartbeat")
        assert "resource.d/lvs\n" in said
        assert "resource.d/ldirectord" not in said
        _upgrade(debian)
        _remove(debian)


def _watch_two_servers(debian: System) -> None:
    """A server that dies goes out and comes back, by mon's own unit with what it may do."""
    lines = debian.does("lvs-director", "install", "--systemd").splitlines()
    found = [line for line in lines if re.match(r"(mon|alert)dir = /usr/lib/lvsalert/", line)]
    assert len(found) == 2
    group = (CHECKOUT / "examples" / "mon-group.cf").read_text(encoding="utf-8")
    group = re.sub(r"^(mondir|alertdir|randstart) .*\n", "", group, flags=re.MULTILINE)
    group = re.sub(r" +period .*(\n .*)*", "", group).replace("interval 10s", "interval 1s")
    debian.write("/etc/mon/mon.cf", "\n".join([*found, group]))
    for number in (1, 2):
        debian.serve_web(number)
    debian.does("systemctl", "restart", "mon")
    debian.wait_for("192.168.0.1", "192.168.0.2")
    debian.does("systemctl", "is-active", "lvsalert.service")
    checked = debian.does("lvs-director", "check")
    assert re.search(r"^ok +mon +process \d+, as mon, with CAP_NET_ADMIN", checked, re.MULTILINE)
    debian.kill_web(2)
    debian.wait_for("192.168.0.1")
    assert "192.168.0.2:80 of tcp 10.0.0.3:80 is out" in debian.does(
        "lvs-director", "why", "192.168.0.2"
    )
    debian.serve_web(2)
    debian.wait_for("192.168.0.1", "192.168.0.2")
    verified = debian.shell(f"systemd-analyze verify --man=no {UNITS} 2>&1")
    assert "lvsalert" not in verified


def _plugins_judge(debian: System) -> None:
    """The release's own icmplib, requests and urllib3 tell dead from alive."""
    for plugin, dead in (
        ("fping.monitor -r 0", "192.0.2.1"),
        ("http.monitor --follow", "192.0.2.1"),
    ):
        script = f"/usr/lib/lvsalert/mon.d/{plugin} -t {short()} 192.168.0.1 {dead}"
        done = debian.run("sh", "-c", script)
        assert (done.returncode, done.stdout.split("\n")[0]) == (1, dead), done.stdout


def _upgrade(debian: System) -> None:
    """An upgrade keeps the journal, and mon goes on."""
    before = debian.does("lvs-director", "history")
    debian.does("dpkg", "--install", "/packages/next.deb")
    assert debian.does("dpkg-query", "-W", "-f", "${Version}", "lvsalert") == NEXT
    assert debian.does("lvs-director", "history").startswith(before.rstrip("\n"))
    debian.does("systemctl", "is-active", "lvsalert.socket")
    debian.kill_web(1)
    debian.wait_for("192.168.0.2")


def _remove(debian: System) -> None:
    """What it wrote goes, ldirectord's script and the journal stay until they are purged."""
    debian.does("apt-get", "remove", "-y", "lvsalert")
    debian.shell(
        "! test -e /usr/lib/lvsalert; ! test -e /etc/ha.d/resource.d/lvs;"
        " ! test -e /usr/sbin/lvs-director;"
        " test -s /var/lib/lvsalert/ledger.db; ! systemctl is-active lvsalert.socket;"
        " test -x /etc/ha.d/resource.d/ldirectord; dpkg --verify ldirectord"
    )
    debian.does("dpkg", "--purge", "lvsalert")
    left = debian.shell("find / -xdev -iname '*lvsalert*' ! -path '/proc/*' ! -path '/packages*'")
    assert [each for each in left.split() if not each.startswith("/var/log")] == []
