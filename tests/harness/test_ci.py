"""In CI nothing is left out."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness.places import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

SKIPPED = """
import pytest

def test_that_is_left_out():
    pytest.skip("no such machine")
"""


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_skipped_test_fails_in_ci(tmp_path: Path, ci: str, status: int) -> None:
    """What is a skipped test elsewhere is a failure with CI=true, which says why."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_runtest_makereport\n")
    (tmp_path / "test_it.py").write_text(SKIPPED)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "--rootdir", str(tmp_path), str(tmp_path)],
        env={**os.environ, "CI": ci, "PYTHONPATH": str(CHECKOUT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
    assert ("left out in CI" in done.stdout) == bool(status)
    assert "no such machine" in done.stdout
