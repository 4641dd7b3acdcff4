"""What every test may ask for, and the rule that nothing is left out in CI."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.harness import waiting
from tests.harness.installation import Installation, install
from tests.harness.places import open_folder
from tests.harness.standin import StandIn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from xdist.remote import Producer

    from tests.harness.certificates import Authority
    from tests.harness.sharing import Sharing


# For its option and its summary, which a conftest.py further down would give too late.
pytest_plugins = ["tests.lab.plugin"]

# A test that hangs is to say of its first wait what it waited for, before it is ended itself.
_WAITS_A_TEST = 3


def pytest_configure(config: pytest.Config) -> None:
    """Bound every test by the machine's own speed."""
    if config.option.timeout is None:
        config.option.timeout = _WAITS_A_TEST * waiting.patience()


def pytest_sessionstart() -> None:
    """Let examples of properties take what they take: how long is the machine's affair."""
    if waiting.IN_GUEST in os.environ:
        return
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any machine")


def pytest_report_header() -> str:
    """Say in what the limits are measured."""
    return (
        f"unit: {waiting.unit():.3f} s a start of the interpreter; a wait is given up after"
        f" {waiting.patience():.0f} s"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing:
    """Give whole files to the processes that share the tests."""
    from tests.harness.sharing import Sharing

    # The order is ours: what takes longest comes first.
    config.option.loadscopereorder = False
    return Sharing(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, where processes share the tests."""
    if hasattr(config, "workerinput"):
        from tests.harness.sharing import longest_first

        items[:] = longest_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failure where CI=true: there, everything has to run."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"left out in CI: {report.longrepr}"
    return report


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter, for servers that change their user."""
    with open_folder() as made:
        yield made


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority for TLS servers under test."""
    # What it needs takes seconds to import in the lab's guest, where nobody asks for it.
    from tests.harness.certificates import Authority

    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """The suite, installed where mon's user can run it."""
    with open_folder() as made:
        yield install(made)


@pytest.fixture
def standin(folder: Path, installation: Installation) -> StandIn:
    """An ipvsadm with an empty table of its own, where mon's user can run it."""
    return StandIn(folder / "ipvs", installation.bin / "python")
