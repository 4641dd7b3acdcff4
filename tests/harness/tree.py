"""Installing into the tree of another system, and what it looks like then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lvsalert.commands import lvs_director, manual
from lvsalert.mon.plugins import PLUGINS

if TYPE_CHECKING:
    from lvsalert.commands.entry import Outcome

NAMES = (*(f"mon.d/{name}" for name in PLUGINS["mondir"]), "alert.d/lvs.alert")
PAGES = len(manual.pages())
COMPLETIONS = tuple(each.path.lstrip("/") for each in manual.completions())
SYSTEM = (
    "etc/systemd/system/mon.service.d/lvsalert.conf",
    "etc/modules-load.d/lvsalert.conf",
    "etc/systemd/system/lvsalert.socket",
    "etc/systemd/system/lvsalert.service",
)


def director(*argv: str) -> Outcome:
    """Run lvs-director in this process."""
    return lvs_director.run(argv, {}, str)


def put_in(tree: Path, *argv: str) -> Outcome:
    """Install into `tree` for a mon that runs as root, wherever the tests' interpreter lies."""
    return director("install", "--root", str(tree), "--mon-user", "root", *argv)


def take_out(tree: Path, *argv: str) -> Outcome:
    """Uninstall from `tree`."""
    return director("uninstall", "--root", str(tree), *argv)


def looks(tree: Path) -> dict[str, tuple[int, bytes]]:
    """Return each path of a tree with its mode and content."""
    return {
        str(path.relative_to(tree)): (
            path.lstat().st_mode,
            os.fsencode(path.readlink())
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else b"",
        )
        for path in tree.rglob("*")
    }


def plugin(tree: Path, name: str = "mon.d/http.monitor") -> Path:
    """Return where a plugin lies in a tree."""
    return tree / "usr/local/lib/mon" / name


def foreign(path: Path) -> None:
    path.write_text("#!/bin/sh\nexit 0\n")


def edited(path: Path) -> None:
    path.write_text(path.read_text().replace("import sys", "import sys  # mine"))


def link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("../mine")


def folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def empty(path: Path) -> None:
    path.write_bytes(b"")


CONFLICTS = [
    (foreign, "was not written by lvs-director"),
    (edited, "was edited since lvs-director wrote it"),
    (link, "was not written by lvs-director"),
    (folder, "was not written by lvs-director"),
    (empty, "was not written by lvs-director"),
]
