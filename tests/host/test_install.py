"""lvs-director install: what it writes, and what it refuses."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

from lvsalert.host import access, install
from tests.harness.places import is_root
from tests.harness.tree import (
    COMPLETIONS,
    CONFLICTS,
    NAMES,
    PAGES,
    SYSTEM,
    director,
    edited,
    foreign,
    looks,
    plugin,
    put_in,
    take_out,
)

if TYPE_CHECKING:
    pass


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An almost empty system for --root."""
    root = tmp_path / "root"
    (root / "var" / "lib").mkdir(parents=True)
    return root


def _unchecked(_user: access.Account) -> None:
    pass


def test_install_writes_the_plugins(tree: Path) -> None:
    """The plugins, executable by all, completion, the manual, and nothing else."""
    before = set(looks(tree))
    done = put_in(tree)
    assert done[:3] == (
        0,
        "".join(f"wrote         {plugin(tree, name)}\n" for name in NAMES)
        + "".join(f"wrote         {tree / name}\n" for name in COMPLETIONS)
        + f"wrote         {PAGES} pages of the manual\n"
        "\nThese lines of /etc/mon/mon.cf let mon find them first:\n"
        "mondir = /usr/local/lib/mon/mon.d:/usr/lib/mon/mon.d\n"
        "alertdir = /usr/local/lib/mon/alert.d:/usr/lib/mon/alert.d\n",
        "",
    )
    files = {name for name in set(looks(tree)) - before if (tree / name).is_file()}
    manual = {name for name in files if re.fullmatch(r"usr/local/share/man/man[78]/.+", name)}
    assert len(manual) == PAGES
    assert files - manual == {*(f"usr/local/lib/mon/{name}" for name in NAMES), *COMPLETIONS}
    assert {plugin(tree, name).stat().st_mode & 0o7777 for name in NAMES} == {0o755}


def test_a_plugin_is_under_ten_lines(tree: Path) -> None:
    """A plugin starts this interpreter, apart from the environment, and has under ten lines."""
    put_in(tree)
    lines = plugin(tree).read_text().splitlines()
    assert lines[0] == f"#!{sys.executable} -IS"
    assert lines[-1] == 'run("http.monitor")'
    assert len(lines) < 10


def test_installing_again_changes_nothing(tree: Path) -> None:
    """A second run leaves the very same files and says so."""
    put_in(tree, "--systemd")
    inodes = {path: path.stat().st_ino for path in tree.rglob("*")}
    done = put_in(tree, "--systemd")
    assert done.stdout.count("unchanged     ") == len(NAMES) + len(SYSTEM) + len(COMPLETIONS) + 1
    assert "wrote" not in done.stdout
    assert {path: path.stat().st_ino for path in tree.rglob("*")} == inodes


def test_installing_with_another_interpreter_updates(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that were written by an earlier installation follow the one that is run now."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/opt/older/bin/python3")
        patch.setattr(install, "interpreter_trouble", _unchecked)
        put_in(tree)
    assert plugin(tree).read_text().startswith("#!/opt/older/bin/python3 ")
    assert put_in(tree).status == 0
    assert plugin(tree).read_text().startswith(f"#!{sys.executable} ")
    take_out(tree)
    assert not plugin(tree).parents[2].exists()


def test_a_lost_mode_is_repaired(tree: Path) -> None:
    """A plugin that mon could not execute any more is written again."""
    put_in(tree)
    plugin(tree).chmod(0o644)
    assert f"wrote         {plugin(tree)}\n" in put_in(tree).stdout
    assert plugin(tree).stat().st_mode & 0o7777 == 0o755


def test_folders_are_open_whatever_the_umask_is(tree: Path) -> None:
    """mon's user can read what a root with a strict umask installs."""
    previous = os.umask(0o077)
    try:
        put_in(tree, "--systemd")
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(previous)
    for path in (plugin(tree), tree / SYSTEM[0]):
        assert path.parent.stat().st_mode & 0o777 == 0o755


def test_dry_run_writes_nothing(tree: Path) -> None:
    """A dry run names what it would write and remove, and touches nothing."""
    before = looks(tree)
    told = put_in(tree, "--systemd", "--dry-run").stdout
    assert looks(tree) == before
    assert told.count("would write   ") == len(NAMES) + len(SYSTEM) + len(COMPLETIONS) + 1
    put_in(tree, "--systemd")
    before = looks(tree)
    told = take_out(tree, "--dry-run").stdout
    assert looks(tree) == before
    assert told.replace("would remove", "removed     ") == take_out(tree).stdout


@pytest.mark.parametrize(("spoil", "words"), CONFLICTS)
def test_another_hand_is_respected(tree: Path, spoil: Callable[[Path], None], words: str) -> None:
    """A file of somebody else, or with an edit, stops the whole installation."""
    put_in(tree)
    spoil(plugin(tree))
    plugin(tree, NAMES[0]).unlink()
    before = looks(tree)
    message = (
        f"lvs-director: {plugin(tree)} {words}\n"
        "lvs-director: nothing was written: move these files away, or choose another --prefix\n"
    )
    assert put_in(tree)[:3] == (1, "", message)
    assert looks(tree) == before


def test_all_conflicts_are_listed(tree: Path) -> None:
    """One run names every file that stands in the way."""
    put_in(tree, "--systemd")
    foreign(plugin(tree, NAMES[-1]))
    edited(plugin(tree))
    foreign(tree / SYSTEM[1])
    told = put_in(tree, "--systemd").stderr.splitlines()
    assert [line.split()[1] for line in told[:-1]] == [
        str(each) for each in (plugin(tree), plugin(tree, NAMES[-1]), tree / SYSTEM[1])
    ]


def test_systemd_gives_the_service_what_it_needs(tree: Path) -> None:
    """The drop-in gives both capabilities and the state directory, and says what to run."""
    told = put_in(tree, "--systemd").stdout
    lines = (tree / SYSTEM[0]).read_text().splitlines()
    assert "AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW" in lines
    assert {"StateDirectory=lvsalert", "StateDirectoryMode=0770"} <= set(lines)
    assert told.endswith(
        "\nsystemctl daemon-reload\nsystemctl enable --now lvsalert.socket"
        "\nsystemctl try-restart lvsalert\nsystemctl enable mon\nsystemctl restart mon\n"
    )
    told = put_in(tree, "--systemd", "--heartbeat").stdout
    assert told.endswith("\nsystemctl try-restart lvsalert\nsystemctl restart mon\n")
    assert (tree / "var/lib/lvsalert").stat().st_mode & 0o7777 == 0o770


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize(
    ("bounds", "kept"),
    [("", {"NET_ADMIN", "SYS_TIME"}), ("CapabilityBoundingSet=CAP_SETUID\n", {"NET_ADMIN"})],
)
def test_bounds_of_the_unit_get_what_is_ambient(tree: Path, bounds: str, kept: set[str]) -> None:
    """systemd takes the drop-in; mon's bounds, if it has any, have what mon needs and no more."""
    put_in(tree, "--systemd")
    unit = tree / "etc/systemd/system/mon.service"
    unit.write_text(f"[Service]\nUser=root\nExecStart=/bin/true\n{bounds}")
    verify = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, str(tree) in done.stderr) == (0, False), done.stderr
    told = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    said = subprocess.run(told, capture_output=True, text=True, check=False).stdout
    found = set(re.findall(r"✗ CapabilityBoundingSet=~CAP_(NET_ADMIN|SYS_TIME)", said))
    assert found == kept, said


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units_of_the_resident(tree: Path) -> None:
    """Without a complaint; and it finds little that the process could do beyond its work."""
    put_in(tree, "--systemd")
    units = [str(tree / name) for name in SYSTEM[2:]]
    for each in map(Path, units):
        each.write_text(each.read_text().replace("User=root", "User=mon"))
    verify = ["systemd-analyze", "verify", "--man=no", *units]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, str(tree) in done.stderr) == (0, False), done.stderr
    security = ["systemd-analyze", "security", "--offline=true", "--threshold=20", units[1]]
    done = subprocess.run(security, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_resident_that_systemd_starts_is_ours(tree: Path) -> None:
    """The command of its unit is one that runs, parted into words as systemd parts it."""
    put_in(tree, "--systemd")
    unit = (tree / SYSTEM[3]).read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    words = shlex.split(command.replace("%%", "%").replace("$$", "$"))
    done = subprocess.run([*words, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "lvs-director serve" in done.stdout


def test_modules_are_listed_one_a_line(tree: Path) -> None:
    """modules-load.d(5) gets IPVS and the usual schedulers, and a comment."""
    put_in(tree, "--systemd")
    comment, *names = (tree / SYSTEM[1]).read_text().splitlines()
    assert comment.startswith("# ")
    assert {"ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_lc", "ip_vs_wlc", "ip_vs_sh"} <= set(names)
    assert all(name.replace("_", "").isalpha() for name in names)


@pytest.mark.skipif(not is_root(), reason="needs root, to give a folder away")
def test_the_state_directory_is_mons(tree: Path) -> None:
    """It belongs to mon's user and group, as systemd would have it for the service."""
    director("install", "--root", str(tree), "--systemd", "--mon-user", "root")
    assert (tree / "var/lib/lvsalert").stat().st_uid == 0
    user = access.account("nobody")
    (tree / "var/lib/lvsalert").rmdir()
    destination = install.Destination("/usr/local/lib/mon", str(tree))
    path = tree / "var/lib/lvsalert"
    assert install.make_state_dir(destination, user) == ("made", path)
    assert (path.stat().st_uid, path.stat().st_gid) == (user.uid, user.gid)
    assert install.make_state_dir(destination, user) is None


@pytest.mark.skipif(not is_root(), reason="needs root, to give a folder away")
def test_a_mon_that_comes_later_gets_the_state_directory(tree: Path) -> None:
    """With the ledger in it, by the next install."""
    destination = install.Destination("/usr/local/lib/mon", str(tree))
    path = tree / "var/lib/lvsalert"
    assert install.make_state_dir(destination, access.account("nobody")) == ("made", path)
    (path / "ledger.db").write_text("")
    user = access.account("games")
    assert install.make_state_dir(destination, user) == ("gave to mon", path)
    for each in (path, path / "ledger.db"):
        assert (each.stat().st_uid, each.stat().st_gid) == (user.uid, user.gid)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--prefix", "/opt/my mon"),
            "'/opt/my mon' cannot be a prefix: mon.cf takes no blank or colon in it",
        ),
        (
            ("--prefix", "/opt/a:b"),
            "'/opt/a:b' cannot be a prefix: mon.cf takes no blank or colon in it",
        ),
        (
            ("--prefix", "/opt/a\nb"),
            r"'/opt/a\nb' cannot be a prefix: mon.cf takes no blank or colon in it",
        ),
        (("--mon-user", "no-such-user"), "there is no user no-such-user"),
        (("/usr",), "Got unexpected extra argument (/usr)"),
    ],
)
def test_a_bad_option_is_named(tree: Path, options: tuple[str, ...], message: str) -> None:
    """What cannot be understood ends with status 3, one line, and nothing written."""
    before = looks(tree)
    assert put_in(tree, *options)[:3] == (3, "", f"lvs-director: {message}\n")
    assert looks(tree) == before


@pytest.mark.parametrize(
    ("interpreter", "message"),
    [
        (
            "/opt/my python/bin/python3",
            "'/opt/my python/bin/python3' cannot be a script's interpreter: it has a blank in it",
        ),
        (
            f"/opt/{'x' * 118}",
            (
                f"'/opt/{'x' * 118}' cannot be a script's interpreter: its path is too long"
                " (127 bytes with '#!' and '-IS')"
            ),
        ),
    ],
)
def test_an_interpreter_that_no_script_can_name(
    tree: Path, monkeypatch: pytest.MonkeyPatch, interpreter: str, message: str
) -> None:
    """execve(2) takes neither blanks nor long paths after #!, so nothing is written."""
    monkeypatch.setattr(sys, "executable", interpreter)
    monkeypatch.setattr(install, "interpreter_trouble", _unchecked)
    before = looks(tree)
    assert put_in(tree)[:3] == (3, "", f"lvs-director: {message}\n")
    assert looks(tree) == before


def test_a_prefix_that_cannot_be_written_is_named(tree: Path) -> None:
    """An error of the file system names the file, with status 1."""
    done = director("install", "--mon-user", "root", "--prefix", "/proc/lvsalert")
    assert done[:3] == (
        1,
        "",
        "lvs-director: /proc/lvsalert/mon.d/dns.monitor: No such file or directory\n",
    )
