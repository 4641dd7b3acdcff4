"""The suite installed as a user would do it, where mon's user can run it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.harness.places import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = "/usr/bin/python3"
"""The system's interpreter: one below /root or /home is out of reach for the user mon."""

SOURCES = ("lvsalert", "alert.d", "mon.d")
FILES = ("LICENSE", "README.md", "pyproject.toml", "setup.cfg")


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the built wheel, and the plugins that it installed for mon."""

    folder: Path

    @property
    def bin(self) -> Path:
        """Where lvs-alert, lvs-director and the plugins are."""
        return self.folder / "venv" / "bin"

    @property
    def prefix(self) -> Path:
        """What stands for /usr/local/lib/mon: mon.d and alert.d with the plugins in them."""
        return self.folder / "mon"

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the programs with a clean environment, and return how it went."""
        return subprocess.run(
            [str(self.bin / program), *arguments],
            env={"PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def install(folder: Path) -> Installation:
    """Build the wheel, install it with what it needs, and let it install its plugins.

    `folder` has to be one that every user may enter. The wheel is built from a copy, so that
    nothing is left in the checkout.
    """
    source = folder / "source"
    for name in SOURCES:
        shutil.copytree(CHECKOUT / name, source / name)
    for name in FILES:
        shutil.copy(CHECKOUT / name, source)
    _run(PYTHON, "-m", "venv", str(folder / "venv"))
    pip = str(folder / "venv" / "bin" / "pip")
    _run(pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    _run(pip, "install", "--quiet", f"{wheel}[services]")
    made = Installation(folder)
    done = made.run("lvs-director", "install", "--prefix", str(made.prefix))
    assert done.returncode == 0, f"lvs-director install: {done.stdout}{done.stderr}"
    return made


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
