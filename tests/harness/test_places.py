"""Folders of the tests, and their removal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.places import CHECKOUT, is_root, remove_tree

_MOUNTED = """
mount -t tmpfs precious "$1/mounted"
touch "$1/mounted/file"
"$2" -c "import sys, pathlib; from tests.harness.places import remove_tree
remove_tree(pathlib.Path(sys.argv[1]))" "$1"
test -e "$1/mounted/file" && echo kept
"""


def test_a_tree_is_removed(tmp_path: Path) -> None:
    """All that lies in a folder goes with it."""
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").touch()
    remove_tree(folder)
    assert not folder.exists()


@pytest.mark.skipif(not is_root(), reason="a mount needs root")
def test_nothing_is_removed_while_something_is_mounted(tmp_path: Path) -> None:
    """What is mounted below a folder is not the test's to remove."""
    (tmp_path / "mounted").mkdir()
    words = ["unshare", "--mount", "sh", "-c", _MOUNTED, "sh", str(tmp_path), sys.executable]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.stdout == "kept\n"
    assert f"since something is mounted there: {tmp_path}/mounted" in done.stderr
