"""How the package is built: from what is in the checkout now, and nothing that was there before."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator

from setuptools.command.build import build
from setuptools.command.sdist import sdist

_EXAMPLES = "share/doc/lvsalert"
# What no module is of, and belongs to the sources all the same.
_SOURCES = (".ci", "alert.d", "debian", "docs", "examples", "mon.d", "tests")
_SOURCE_FILES = ("CHANGELOG.md", "CONTRIBUTING.md", ".gitignore")


class FreshBuild(build):
    """The build command of setuptools, in an empty folder, with the examples and the manual.

    It copies modules into a folder in the checkout and leaves them there, and a wheel is made of
    all that lies in it: a module that was removed meanwhile would be installed again.
    """

    def run(self) -> None:
        """Empty the folder that the modules are copied to, and build.

        What shells and man(1) read is written anew, and goes below the environment's share.
        """
        shutil.rmtree(self.build_lib, ignore_errors=True)
        found: dict[str, list[str]] = {}
        for path in _walk("examples"):
            found.setdefault(f"{_EXAMPLES}/{os.path.dirname(path)}", []).append(path)
        for path in _shared(os.path.join(self.build_base, "share")):
            folder = os.path.relpath(os.path.dirname(path), self.build_base)
            found.setdefault(folder, []).append(path)
        self.distribution.data_files = sorted(found.items())
        super().run()


class WholeSdist(sdist):
    """The sdist command of setuptools, with all that a developer's checkout has."""

    def make_distribution(self) -> None:
        """Pack tests, documents and examples too."""
        self.filelist.extend(each for each in _SOURCE_FILES if os.path.exists(each))
        for folder in _SOURCES:
            self.filelist.extend(_walk(folder))
        super().make_distribution()


def _walk(folder: str) -> Iterator[str]:
    """Yield the files below a folder, without what Python compiled."""
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        yield from (os.path.join(at, name) for name in sorted(names))


def _shared(folder: str) -> Iterator[str]:
    """Write the manual and what completes words into ``folder``; yield the path of each file."""
    # In an environment of the build's own there is no other lvsalert, nor this one yet.
    sys.path.insert(0, os.getcwd())
    from lvsalert.commands.manual import completions, pages

    for file in (*pages(), *completions()):
        path = os.path.join(folder, file.path.split("/share/", 1)[1])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(file.unsigned)
        yield path
