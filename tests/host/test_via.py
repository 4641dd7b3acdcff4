"""What root sets for checks by way of the virtual address: written, applied, taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import lvs_director

if TYPE_CHECKING:
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

FILE = "etc/sysctl.d/60-lvsalert-via.conf"


def run(command: str, root: Path, *words: str) -> Outcome:
    """Run install or uninstall below another root."""
    return lvs_director.run([command, "--root", str(root), *words], {}, str)


def test_settings_are_written_and_taken_back(tmp_path: Path) -> None:
    """A file for every boot, and the commands for now, each for each interface."""
    via = ("--via", "eth0", "--via", "bond0.100", "--via", "eth0", "--mon-user", "root")
    done = run("install", tmp_path, *via)
    assert done.status == 0
    assert done.stdout.splitlines()[-2:] == [
        "After that, run:",
        "sysctl -p /etc/sysctl.d/60-lvsalert-via.conf",
    ]
    assert (tmp_path / FILE).read_text().splitlines()[2:] == [
        "net/ipv4/conf/eth0/accept_local=1",
        "net/ipv4/conf/bond0.100/accept_local=1",
    ]
    without = run("install", tmp_path, "--mon-user", "root")
    assert (without.status, "sysctl" in without.stdout) == (0, False)
    assert (tmp_path / FILE).exists()
    tried = run("uninstall", tmp_path, "-n")
    gone = run("uninstall", tmp_path)
    assert tried.stdout.replace("would remove  ", "removed       ") == gone.stdout
    assert gone.stdout.splitlines()[-3:] == [
        "After that, run:",
        "sysctl -w net/ipv4/conf/eth0/accept_local=0",
        "sysctl -w net/ipv4/conf/bond0.100/accept_local=0",
    ]
    assert not (tmp_path / "etc").exists()


def test_settings_that_somebody_edited_stay(tmp_path: Path) -> None:
    """And so does what the kernel has by them."""
    assert run("install", tmp_path, "--via", "eth0", "--mon-user", "root").status == 0
    with (tmp_path / FILE).open("a") as file:
        file.write("net.ipv4.vs.conntrack=1\n")
    done = run("uninstall", tmp_path)
    assert f"{tmp_path}/{FILE} was edited since lvs-director wrote it" in done.stdout
    assert "sysctl -w" not in done.stdout


@pytest.mark.parametrize("name", ["", ".", "..", "eth0/../all", "eth 0", "a" * 16, "eth0\nx", "*"])
def test_what_is_no_interface(tmp_path: Path, name: str) -> None:
    """Nothing is written for it."""
    done = run("install", tmp_path, "--via", name, "--mon-user", "root")
    assert done.status == 3
    assert done.stderr == f"lvs-director: {name!r} is not an interface: a name such as eth0\n"
    assert not list(tmp_path.iterdir())
