"""The examples of mon.cf are what the real mon takes without a complaint."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.harness.mon import Mon
from tests.harness.places import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.installation import Installation

pytestmark = pytest.mark.skipif(shutil.which("mon") is None, reason="mon is not installed")

EXAMPLES = ("mon.cf", "mon-group.cf", "content/mon.cf")


def _complaints(folder: Path, installation: Installation, configuration: str) -> list[str]:
    """Load a mon.cf, with nothing but the plugins' folder replaced, and no check being run."""
    placed = configuration.replace("/usr/local/lib/mon", str(installation.prefix))
    with Mon(folder / "mon", placed, options=["-S"]) as mon:
        mon.syslog.wait_for("mon server started")
        warnings = [line for line in mon.output.splitlines() if line.startswith("Warning")]
        return mon.syslog.complaints() + warnings


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_loaded_without_a_complaint(
    folder: Path, installation: Installation, name: str
) -> None:
    """mon finds nothing to say about the example."""
    configuration = (CHECKOUT / "examples" / name).read_text()
    assert _complaints(folder, installation, configuration) == []


@pytest.mark.parametrize(
    ("intact", "broken", "complaint"),
    [
        ("redistribute lvs.alert", "redistribute lvs.alert -W 5", "lvs.alert -W 5 not found"),
        ("monitor http.monitor", "monitor htttp.monitor", "htttp.monitor not found"),
        ("alert   mail.alert", "alert   fax.alert", "fax.alert not found"),
        ("/alert.d:", "/alarm.d:", "alarm.d does not exist"),
        ("hostgroup www ", "hostgroup other ", "watch group www defined with no"),
    ],
)
def test_broken_example_is_complained_about(
    folder: Path, installation: Installation, intact: str, broken: str, complaint: str
) -> None:
    """What the test above looks for is there when the example is broken."""
    configuration = (CHECKOUT / "examples" / "mon-group.cf").read_text()
    assert intact in configuration
    complaints = _complaints(folder, installation, configuration.replace(intact, broken))
    assert any(complaint in line for line in complaints)


def test_example_that_does_not_parse_is_refused(folder: Path, installation: Installation) -> None:
    """A word that mon does not know ends it."""
    configuration = (CHECKOUT / "examples" / "mon.cf").read_text().replace("monitor ", "monitors ")
    with pytest.raises(AssertionError, match=r"unknown syntax \[monitors http\.monitor\]"):
        _complaints(folder, installation, configuration)
