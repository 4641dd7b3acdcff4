"""The real ldirectord and lvs-director with mon, given the same www.cf: the same table."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

from tests.lab.configuration import LVS_DIRECTOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.director import Director
    from tests.lab.topology import Topology

WWW = """
checkinterval = 3
negotiatetimeout = 10
checktimeout = 10
quiescent = no
supervised = yes

virtual = 10.0.0.3:80
    real = 192.168.0.1:80 gate 5
    real = {more}:80 gate 3
    fallback = 127.0.0.1:80 gate
    service = http
    request = "index.html"
    receive = "^real[0-9]"
    scheduler = wlc
    protocol = tcp

virtual = 7
    real = 192.168.0.1->{last}:8080 masq 2
    fallback = 10.0.0.100:8080 masq
    quiescent = yes
    checktype = connect
    scheduler = wrr
    persistent = 300
    protocol = fwm
"""
FILE = WWW.format(more="192.168.0.2", last="192.168.0.2")
ANOTHER_FILE = WWW.format(more="192.168.0.3", last="192.168.0.1")

SOMEBODY_S = "-A -t 10.0.0.3:25 -s rr"
WEB = "-A -t 10.0.0.3:80 -s wlc"
WEB1 = "-a -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w 5"
WEB2 = "-a -t 10.0.0.3:80 -r 192.168.0.2:80 -g -w 3"
WEB3 = "-a -t 10.0.0.3:80 -r 192.168.0.3:80 -g -w 3"
WEB_FALLBACK = "-a -t 10.0.0.3:80 -r 127.0.0.1:80 -g -w 1"
MARK = "-A -f 7 -s wrr -p 300"
MARK1 = "-a -f 7 -r 192.168.0.1:8080 -m -w 2"
MARK2 = "-a -f 7 -r 192.168.0.2:8080 -m -w 2"
MARK1_QUIESCED = MARK1.replace("-w 2", "-w 0")
MARK2_QUIESCED = MARK2.replace("-w 2", "-w 0")
MARK_FALLBACK = "-a -f 7 -r 10.0.0.100:8080 -m -w 1"
ALL = (SOMEBODY_S, WEB, WEB1, WEB2, MARK, MARK1, MARK2)

Reload = Callable[[], None]


@contextmanager
def _ldirectord(director: Director, file: Path) -> Iterator[Reload]:
    """Have the real ldirectord look after the file's services."""
    with director.ldirectord(file) as ldirectord:
        yield ldirectord.reload


@contextmanager
def _lvs_director(director: Director, file: Path) -> Iterator[Reload]:
    """Have lvs-director set them up and mon look after them."""

    def mon_cf() -> str:
        return director.do(LVS_DIRECTOR, "mon-config", str(file))

    def reload() -> None:
        director.do(LVS_DIRECTOR, "reload", str(file))
        mon.configure(mon_cf())
        mon.command("reset")

    director.do(LVS_DIRECTOR, "start", str(file))
    with director.mon(file.parent, mon_cf()) as mon:
        yield reload
    director.do(LVS_DIRECTOR, "stop", str(file))


@pytest.mark.parametrize(
    "looks_after",
    [pytest.param(_ldirectord, id="ldirectord"), pytest.param(_lvs_director, id="lvs-director")],
)
def test_the_table_is_the_same(
    lab: Topology,
    folder: Path,
    looks_after: Callable[[Director, Path], AbstractContextManager[Reload]],
) -> None:
    """Each makes the same table of the file, and of all that befalls the real servers.

    In the second service a failed real server is quiesced, in the first it is taken out; the second
    one's check finds nothing wrong with a page.
    """
    director = lab.director1
    first, second = lab.real_servers[:2]
    file = folder / "www.cf"
    file.write_text(FILE)
    director.lay(SOMEBODY_S)
    lab.start_web()
    with looks_after(director, file) as reload:
        director.wait_for_table(*ALL)

        first.web.kill()
        director.wait_for_table(SOMEBODY_S, WEB, WEB2, MARK, MARK1_QUIESCED, MARK2)
        first.web.start()
        director.wait_for_table(*ALL)

        second.say("under construction")
        director.wait_for_table(SOMEBODY_S, WEB, WEB1, MARK, MARK1, MARK2)

        first.web.kill()
        second.web.kill()
        director.wait_for_table(
            *(SOMEBODY_S, WEB, WEB_FALLBACK),
            *(MARK, MARK1_QUIESCED, MARK2_QUIESCED, MARK_FALLBACK),
        )
        second.say("real2")
        first.web.start()
        second.web.start()
        director.wait_for_table(*ALL)

        file.write_text(ANOTHER_FILE)
        reload()
        director.wait_for_table(SOMEBODY_S, WEB, WEB1, WEB3, MARK, MARK1)
    director.wait_for_table(SOMEBODY_S)
