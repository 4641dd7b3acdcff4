"""What is built of a checkout: all that a plug-in needs, and nothing that was there before."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from lvsalert.commands import manual
from tests.harness.places import CHECKOUT

FOLDERS = ("lvsalert", "alert.d", "docs", "examples", "mon.d", "tests", ".ci")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.egg-info")
BACK_END = "import sys, setuptools.build_meta as back_end; back_end.build_sdist(sys.argv[1])"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist that are built where an older build has left a module."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in FOLDERS:
        shutil.copytree(CHECKOUT / name, checkout / name, ignore=NOT_SHIPPED)
    for each in CHECKOUT.iterdir():
        if each.is_file() and each.name != ".git":
            shutil.copy(each, checkout)
    ghost = checkout / "build" / "lib" / "lvsalert" / "ghost.py"
    ghost.parent.mkdir(parents=True)
    ghost.write_text("")
    dist = tmp_path_factory.mktemp("dist")
    how = ["--no-deps", "--no-build-isolation", "--no-cache-dir", "-q", "-w", str(dist)]
    wheel = [sys.executable, "-m", "pip", "wheel", *how, str(checkout)]
    for argv in (wheel, [sys.executable, "-c", BACK_END, str(dist)]):
        subprocess.run(argv, cwd=checkout, check=True, capture_output=True)
    (built,) = dist.glob("*.whl")
    (source,) = dist.glob("*.tar.gz")
    return built, source


@pytest.fixture(scope="module")
def built(packed: tuple[Path, Path]) -> list[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(packed[0]) as archive:
        return archive.namelist()


def test_both_can_be_uploaded(packed: tuple[Path, Path]) -> None:
    """twine finds nothing wrong with the wheel, with the sdist, or with what they tell of them."""
    argv = [sys.executable, "-m", "twine", "check", "--strict", *map(str, packed)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_sdist_is_a_checkout(packed: tuple[Path, Path]) -> None:
    """Tests, documents and examples are in it, so that what is made of it can be tried."""
    with tarfile.open(packed[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        str(path.relative_to(CHECKOUT))
        for folder in FOLDERS
        for path in (CHECKOUT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted - names == set()
    assert {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "setup.cfg"} <= names


def test_the_wheel_has_what_is_no_module(built: list[str]) -> None:
    """Examples, Pacemaker's agent among them, the manual, and what completes words in shells."""
    shared = {name.partition(".data/data/share/")[2] for name in built}
    examples = {
        f"doc/lvsalert/{path.relative_to(CHECKOUT)}"
        for path in (CHECKOUT / "examples").rglob("*")
        if path.is_file()
    }
    files = [*manual.pages(), *manual.completions()]
    assert shared - {""} == examples | {each.path.partition("/share/")[2] for each in files}
    assert "doc/lvsalert/examples/pacemaker/lvs" in shared


def test_module_that_is_gone_is_not_built(built: list[str]) -> None:
    """What an older build left in the checkout's build folder does not come back."""
    assert "lvsalert/ghost.py" not in built


def test_all_of_the_package_is_built(built: list[str]) -> None:
    """Every module, and every file for another program, is in the wheel."""
    package = CHECKOUT / "lvsalert"
    wanted = {
        str(path.relative_to(CHECKOUT))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted - set(built) == set()


def test_shell_scripts_are_sound() -> None:
    """What is written for a shell, and what is one, passes shellcheck."""
    scripts: list[Path] = [
        path
        for folder in ("lvsalert/host/files", "examples", "tests", ".ci")
        for path in sorted((CHECKOUT / folder).rglob("*"))
        if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")
    ]
    assert len(scripts) > 5
    words = ["shellcheck", "--severity=warning", "--exclude=SC1091", *map(str, scripts)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == ""
