"""lvsalert with what it needs in a virtual environment of its own, made in a second."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata, util
from pathlib import Path

PACKAGES = ("lvsalert", "click", "icmplib", "requests")
"""What a plugin imports."""

BEHIND_REQUESTS = ("certifi", "charset_normalizer", "idna", "urllib3")

_DIRECTOR = "from lvsalert.commands.stub import lvs_director; lvs_director()"


class Copied:
    """A virtual environment below `folder` with the packages copied, none downloaded."""

    def __init__(self, folder: Path, interpreter: str = "/usr/bin/python3") -> None:
        """Make it with the system's interpreter, as that of the tests may be out of reach."""
        self.folder = folder
        subprocess.run([interpreter, "-m", "venv", "--without-pip", str(folder)], check=True)
        (self.packages,) = folder.glob("lib/python3*/site-packages")
        for name in (*PACKAGES, *BEHIND_REQUESTS):
            self._copy(name)
        self.version = metadata.version("lvsalert")
        described = self.packages / "lvsalert-0.dist-info"
        described.mkdir()
        (described / "METADATA").write_text(f"Name: lvsalert\nVersion: {self.version}\n")

    def _copy(self, name: str) -> None:
        spec = util.find_spec(name)
        assert spec is not None, f"{name} is not installed"
        assert spec.origin is not None, name
        # What is compiled fits the tests' own interpreter, which may be of another version.
        left_out = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(Path(spec.origin).parent, self.packages / name, ignore=left_out)

    @property
    def python(self) -> Path:
        """The interpreter's path in the environment: a symbolic link."""
        return self.folder / "bin" / "python3"

    def director(
        self,
        *arguments: str,
        before: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run lvs-director, behind the words `before`, with `environment` and nothing else."""
        return subprocess.run(
            [*before, str(self.python), "-I", "-c", _DIRECTOR, *arguments],
            env=dict(environment or {}),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
