"""Whether mon can get at the interpreter and the packages, and that the plugins run for it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lvsalert.host import access
from tests.harness.copied import Copied
from tests.harness.places import is_root, open_folder
from tests.harness.tree import (
    NAMES,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


as_mon = pytest.mark.skipif(not is_root(), reason="needs root, to become the user mon")


@pytest.fixture(scope="module")
def copied() -> Iterator[Copied]:
    """An installation where the user mon can get at it."""
    with open_folder() as folder:
        yield Copied(folder / "venv")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An almost empty system for --root."""
    root = tmp_path / "root"
    (root / "var" / "lib").mkdir(parents=True)
    return root


@as_mon
@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_runs_for_mon(copied: Copied, tree: Path, name: str) -> None:
    """The user mon runs it from /, whatever its environment is."""
    with open_folder() as folder:
        prefix = folder / "mon"
        done = copied.director("install", "--prefix", str(prefix))
        assert (done.returncode, done.stderr) == (0, "")
        trap = folder / "trap"
        trap.mkdir()
        for module in ("lvsalert", "click", "sitecustomize"):
            (trap / f"{module}.py").write_text("raise SystemExit('from the environment')\n")
        user = access.account()
        for environment in ({}, {"PATH": "", "PYTHONHOME": "/x", "PYTHONPATH": str(trap)}):
            ran = subprocess.run(
                [str(prefix / name), "--version"],
                cwd=trap,
                env=environment,
                user=user.uid,
                group=user.gid,
                extra_groups=[],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            assert (ran.returncode, ran.stdout, ran.stderr) == (
                0,
                f"lvsalert {copied.version}\n",
                "",
            )


def test_installing_compiles_the_package(copied: Copied, tmp_path: Path) -> None:
    """mon's user finds byte code, which it may not write itself."""
    package = copied.packages / "lvsalert"
    for cache in package.rglob("__pycache__"):
        shutil.rmtree(cache)
    prefix = str(tmp_path / "mon")
    assert copied.director("install", "--mon-user", "root", "--prefix", prefix).returncode == 0
    assert list(package.rglob("alert.*.pyc"))


def _refusal(closed: Path, path: Path, name: str) -> str:
    return (
        f"lvs-director: {closed} is closed to the user {name}, who has to get at {path}:"
        f" install from a virtual environment that {name} may read (umask 022,"
        " /usr/bin/python3 -m venv /opt/lvsalert), or name the user that mon runs as by"
        " --mon-user\n"
    )


@as_mon
@pytest.mark.parametrize(
    ("closed", "path", "mode"),
    [
        ("interpreters", "venv/bin/python3", 0o700),
        ("venv/bin", "venv/bin/python3", 0o700),
        ("venv", "venv/bin/python3", 0o750),
        ("{packages}", "{packages}", 0o711),
        ("{packages}/click", "{packages}/click", 0o700),
        ("{packages}/lvsalert", "{packages}/lvsalert", 0o750),
    ],
)
def test_what_is_closed_to_mon_is_refused(
    folder: Path, copied: Copied, closed: str, path: str, mode: int
) -> None:
    """Nothing is written where mon could not run it, and the closed folder is named."""
    own = folder / "venv"
    shutil.copytree(copied.folder, own, symlinks=True)
    packages = own / copied.packages.relative_to(copied.folder)
    interpreters = folder / "interpreters"
    interpreters.mkdir()
    (interpreters / "python3").symlink_to("/usr/bin/python3")
    python = own / "bin" / "python3"
    python.unlink()
    python.symlink_to("../../interpreters/python3")
    at, on_the_way = (
        folder / each.format(packages=packages.relative_to(folder)) for each in (closed, path)
    )
    at.chmod(mode)
    code = "from lvsalert.commands.stub import lvs_director; lvs_director()"
    done = subprocess.run(
        [str(python), "-I", "-c", code, "install", "--prefix", str(folder / "mon")],
        env={},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    name = access.account().name
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == _refusal(at, on_the_way, name)
    assert not (folder / "mon").exists()


OTHER = access.Account("other", 12345, 12345, frozenset({12345}))


@pytest.mark.parametrize(
    ("closed", "mode", "user"),
    [
        ("a", 0o700, OTHER),
        ("b", 0o700, OTHER),
        ("b/target", 0o640, OTHER),
        (None, 0o755, OTHER),
        (None, 0o700, access.Account("root", 0, 0, frozenset({0}))),
        (None, 0o711, OTHER._replace(uid=os.getuid())),
        (None, 0o750, OTHER._replace(groups=frozenset({os.getgid()}))),
    ],
)
def test_every_folder_on_the_way_is_judged(
    folder: Path, closed: str | None, mode: int, user: access.Account
) -> None:
    """The owner's, the group's or the others' bits count, on both sides of a symbolic link."""
    for name in ("a", "b"):
        (folder / name).mkdir()
    target = folder / "b" / "target"
    target.write_text("")
    target.chmod(0o644)
    (folder / "a" / "link").symlink_to("../b/target")
    (folder / (closed or "b")).chmod(mode)
    found = access.first_closed(user, folder / "a" / "link", access.READ)
    assert found == (None if closed is None else folder / closed)


def test_nobody_stands_for_a_missing_mon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where mon is not installed yet, what is open to nobody is open to it."""
    real = pwd.getpwnam

    def without_mon(name: str) -> pwd.struct_passwd:
        if name == "mon":
            raise KeyError(name)
        return real(name)

    monkeypatch.setattr(pwd, "getpwnam", without_mon)
    assert access.account().name == "nobody"
