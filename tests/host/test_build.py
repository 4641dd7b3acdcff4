"""What is built of a checkout: all that a plug-in needs, and nothing that was there before."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.harness.places import CHECKOUT

SOURCES = ("lvsalert", "README.md", "LICENSE", "setup.cfg", "pyproject.toml")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel that is built where an older build has left a module."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, checkout)
    ghost = checkout / "build" / "lib" / "lvsalert" / "ghost.py"
    ghost.parent.mkdir(parents=True)
    ghost.write_text("")
    wheels = tmp_path_factory.mktemp("wheels")
    words = [
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-cache-dir",
        "-q",
        "-w",
        str(wheels),
    ]
    subprocess.run([sys.executable, "-m", "pip", *words, str(checkout)], check=True)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


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
