"""The OCF agent for Pacemaker, held against the DTD and the tester of Debian's resource agents."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.places import CHECKOUT

if TYPE_CHECKING:
    from tests.harness.installation import Installation
    from tests.harness.standin import StandIn

AGENT = CHECKOUT / "examples" / "pacemaker" / "lvs"
DTD = Path("/usr/share/resource-agents/ra-api-1.dtd")
WWW = """\
virtual = 192.0.2.3:80
    real = 192.0.2.10:80 gate 5
    checktype = on
"""

pytestmark = pytest.mark.skipif(not DTD.exists(), reason="Debian's resource-agents is not here")


@pytest.fixture
def www(folder: Path) -> Path:
    """A director's file."""
    path = folder / "www.cf"
    path.write_text(WWW)
    return path


def _call(
    action: str, standin: StandIn, installation: Installation, config: Path, **more: str
) -> subprocess.CompletedProcess[str]:
    """Call the agent as Pacemaker does."""
    environment = {
        "PATH": os.environ["PATH"],
        **standin.environment,
        "OCF_ROOT": "/usr/lib/ocf",
        "OCF_RESOURCE_INSTANCE": "table",
        "OCF_RESKEY_config": str(config),
        "OCF_RESKEY_program": str(installation.bin / "lvs-director"),
        **more,
    }
    return subprocess.run(
        [str(AGENT), action], env=environment, capture_output=True, text=True, check=False
    )


def test_the_meta_data_is_valid() -> None:
    """The agent's description of itself is valid by the DTD of resource agents."""
    environment = {"PATH": os.environ["PATH"], "OCF_ROOT": "/usr/lib/ocf"}
    said = subprocess.run(
        [str(AGENT), "meta-data"], env=environment, capture_output=True, check=True
    )
    done = subprocess.run(
        ["xmllint", "--noout", "--dtdvalid", str(DTD), "-"],
        input=said.stdout,
        cwd=DTD.parent,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_tester_of_agents_is_content(
    standin: StandIn, installation: Installation, www: Path
) -> None:
    """ocf-tester finds every action as the standard wants it."""
    program = installation.bin / "lvs-director"
    done = subprocess.run(
        ["ocf-tester", "-n", "lvs", "-o", f"config={www}", "-o", f"program={program}", str(AGENT)],
        env={"PATH": f"/usr/sbin:{os.environ['PATH']}", **standin.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed all tests" in done.stdout


def test_a_missing_service_is_noticed(
    standin: StandIn, installation: Installation, www: Path
) -> None:
    """Its monitor action says not running (7) once the table was emptied."""
    assert _call("start", standin, installation, www).returncode == 0
    assert _call("monitor", standin, installation, www).returncode == 0
    standin.run("-C")
    assert _call("monitor", standin, installation, www).returncode == 7


def test_a_stop_succeeds_without_a_program(
    standin: StandIn, installation: Installation, www: Path
) -> None:
    """A stop that fails would cost the node, so without lvs-director there is nothing to stop."""
    done = _call("stop", standin, installation, www, OCF_RESKEY_program="/nonexistent")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_bad_file_is_named(standin: StandIn, installation: Installation, www: Path) -> None:
    """A file with a fault is refused as a configuration error (6), with its file and line."""
    www.write_text("virtual = nonsense\n")
    done = _call("validate-all", standin, installation, www)
    assert done.returncode == 6
    assert f"{www}:1: " in done.stderr
