"""What docs/keepalived.md shows, run by the programs that it is for."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

from tests.harness.documents import blocks
from tests.lab.configuration import LVS_DIRECTOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.director import Director
    from tests.lab.topology import Topology

DOCUMENT = "keepalived.md"
OTHERS, MISC = (
    each.replace("delay_loop 10", "delay_loop 2") for each in blocks(DOCUMENT, "keepalived")
)
(OURS,) = blocks(DOCUMENT, "www.cf")
(CHECK_WEB,) = blocks(DOCUMENT, "check-web")

WEB = "-A -t 10.0.0.3:80 -s wlc -p 300"
SORRY = "-a -t 10.0.0.3:80 -r 192.168.0.3:80 -g -w 1"
MISCS = "-A -t 10.0.0.3:8080 -s rr"


def web(server: int, weight: int) -> str:
    """Return an entry of the service that both files describe."""
    return f"-a -t 10.0.0.3:80 -r 192.168.0.{server}:80 -g -w {weight}"


def misc(server: int) -> str:
    """Return an entry of the service with the MISC_CHECKs."""
    return f"-a -t 10.0.0.3:8080 -r 192.168.0.{server}:8080 -g -w 1"


@contextmanager
def _keepalived(director: Director, folder: Path) -> Iterator[list[str]]:
    """Have keepalived look after the services of both blocks; the second one's go beside."""
    with director.keepalived(folder, OTHERS + MISC):
        yield [MISCS, misc(1), misc(2)]


@contextmanager
def _lvs_director(director: Director, folder: Path) -> Iterator[list[str]]:
    """Have lvs-director and mon look after the service of our file."""
    file = folder / "www.cf"
    file.write_text(OURS.replace("checkinterval = 10", "checkinterval = 2"))
    director.do(LVS_DIRECTOR, "start", str(file))
    with director.mon(folder, director.do(LVS_DIRECTOR, "mon-config", str(file))):
        yield []
    director.do(LVS_DIRECTOR, "stop", str(file))


@pytest.mark.parametrize(
    "looks_after",
    [pytest.param(_keepalived, id="keepalived"), pytest.param(_lvs_director, id="lvs-director")],
)
def test_both_files_mean_the_same(
    lab: Topology,
    folder: Path,
    looks_after: Callable[[Director, Path], AbstractContextManager[list[str]]],
) -> None:
    """keepalived.conf and www.cf of the document lead to the same table, whatever dies.

    keepalived finds the same by our monitors, which the second block names for its MISC_CHECK.
    """
    director = lab.director1
    first, second = lab.real_servers[:2]
    lab.start_web()
    with looks_after(director, folder) as miscs:
        director.wait_for_table(WEB, web(1, 5), web(2, 5), *miscs)
        first.web.kill()
        director.wait_for_table(WEB, web(1, 0), web(2, 5), *miscs[:1], *miscs[2:])
        second.web.kill()
        director.wait_for_table(WEB, web(1, 0), web(2, 0), SORRY, *miscs[:1])
        second.web.start()
        director.wait_for_table(WEB, web(1, 0), web(2, 5), *miscs[:1], *miscs[2:])
        first.say("under construction")
        first.web.start()
        # A page without the text: the one monitor looks for it, the other one only connects.
        second.say("under construction")
        director.wait_for_table(WEB, web(1, 0), web(2, 0), SORRY, *miscs[:1], *miscs[2:])
    director.wait_for_table()


def test_ldirectord_asks_our_monitor(lab: Topology, folder: Path) -> None:
    """The program of the document is an external check of ldirectord's."""
    director, (first, second) = lab.director1, lab.real_servers[:2]
    program, file = folder / "check-web", folder / "www.cf"
    program.write_text(CHECK_WEB)
    program.chmod(0o755)
    file.write_text(
        OURS.replace("checkinterval = 10", "checkinterval = 2\nsupervised = yes")
        + f"    checktype = external\n    checkcommand = {program}\n"
    )
    lab.start_web()
    with director.ldirectord(file):
        director.wait_for_table(WEB, web(1, 5), web(2, 5))
        first.web.kill()
        second.say("under construction")
        director.wait_for_table(WEB, web(1, 0), web(2, 0), SORRY)
        second.say("real2")
        director.wait_for_table(WEB, web(1, 0), web(2, 5))
