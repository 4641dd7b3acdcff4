"""What moves the address, with the example files: crash, return, standby, and what breaks between.

The same with the document's own pieces for heartbeat beside it, for comparison.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple

import pytest

from tests.harness.places import open_folder
from tests.harness.waiting import wait_until
from tests.lab import document, pieces
from tests.lab.addresses import VIP
from tests.lab.arp import Watcher
from tests.lab.download import Download, Trickle, downloading
from tests.lab.node import Node, Pair
from tests.lab.pieces import SLOW_PORT

if TYPE_CHECKING:
    from tests.lab.client import Answers
    from tests.lab.topology import Topology

WEB = f"{VIP}:80"


class Crash(NamedTuple):
    """What clients saw of a crash: seconds until one was served again, and until all who ask are.

    The last one is how many connections the second director gave to a dead real server.
    """

    until_one: float
    until_all: float
    to_the_dead: int


class Change(NamedTuple):
    """What clients saw of a planned change: the longest time without an answer, who was refused.

    `failed` tells how many got no answer for which reason.
    """

    gap: float
    refused: int
    failed: dict[str, int]


@pytest.fixture
def site(lab: Topology) -> Iterator[Path]:
    """A folder; the lab's own directors are unplugged, and two real servers serve."""
    servers = lab.real_servers[:2]
    with open_folder() as folder, ExitStack() as ending:
        for director in (lab.director1, lab.director2):
            director.unplug()
            ending.callback(director.plug_in)
        for server in servers:
            server.web.start()
            log = folder / f"trickle-{server.name}"
            ending.enter_context(Trickle(server, SLOW_PORT, log))
        yield folder
    lab.client.do("ip", "neigh", "flush", "all")


class Scene:
    """One pair of directors from its start to a planned standby, and a client all the while."""

    def __init__(self, lab: Topology, folder: Path, put: pieces.Pieces) -> None:
        folder.mkdir()
        self._lab = lab
        self._is_ours = put.is_ours
        self._pair = Pair(folder, put)
        self._seen = Watcher(lab.client, VIP, put.manager, folder / "tcpdump")
        self._ending = ExitStack()
        self._ending.callback(self._pair.close)
        self.answers: Answers
        self.downloads: list[Download] = []
        # A guest that stands still for longer than deadtime loses heartbeats that were sent.
        self.was_held_up = False

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Have both directors on, the first one active, and the client asking."""
        client = self._lab.client
        client.do("ip", "neigh", "flush", "all")
        with self._ending as ending, self._telling():
            ending.enter_context(self._seen)
            self._pair.start()
            wait_until(lambda: client.ask(WEB).server, "lvs1 serves", pause=0.5)
            self.answers = ending.enter_context(client.asking_steadily(WEB))
            self._settle(self._pair.lvs1)
            assert not self._pair.lvs2.has_address
            wait_until(lambda: self._pair.lvs2.is_ready, "lvs2 stands by", pause=0.5)
            self.answers.wait_for_server("real1", "real2")
            yield

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Show with a failure what the directors saw."""
        try:
            yield
        except BaseException:
            for node in self._pair.nodes:
                said = node.story()
                self.was_held_up |= node.was_held_up(said)
                print(node.name, said, sep="\n")
            raise

    def _settle(self, node: Node) -> None:
        """Wait until a request for a standby would be taken."""
        wait_until(lambda: node.is_settled, f"{node.name} has settled", pause=0.5)

    @contextmanager
    def _taking_over(self, node: Node) -> Iterator[None]:
        """Wait, in the end, until the node has told its neighbours that it has the address."""
        heard = len(self._seen.output)
        yield
        mac, client = node.hardware, self._lab.client
        wait_until(lambda: self._seen.has_heard(mac, heard), f"{node.name} takes over")
        wait_until(lambda: mac in client.do("ip", "neigh", "show", VIP), "the client knows")

    def heal(self) -> float:
        """Kill mon and empty the table; return the seconds until all is whole again."""
        lvs1 = self._pair.lvs1
        whole, begun = lvs1.table, time.monotonic()
        lvs1.break_down()
        wait_until(lambda: lvs1.table == whole and lvs1.runs_mon, "all is whole", pause=0.5)
        self.answers.wait_for_server("real1", "real2")
        healed = time.monotonic() - begun
        lvs1.forget()
        self._settle(lvs1)
        return healed

    def download(self) -> None:
        """Open a download from each real server, with ours by direct routing and masqueraded."""
        for _ in range(2):
            opened = self._ending.enter_context(downloading(self._lab.client, VIP, SLOW_PORT))
            self.downloads.append(opened)
        open_to = re.findall(rf"(\S+):{SLOW_PORT}$", self._pair.lvs1.connections, re.MULTILINE)
        assert set(open_to) == {each.address for each in self._lab.real_servers[:2]}
        self._go_on_downloading("at first")

    def _go_on_downloading(self, when: str) -> None:
        """Wait for more of every download; with the document's pieces they are allowed to end."""
        for download in self.downloads:
            if self._is_ours or download.broken is None:
                download.wait_for_more(when)

    def crash(self) -> Crash:
        """Let a real server and lvs1 die at once."""
        real2, lvs2 = self._lab.real_servers[1], self._pair.lvs2
        mac = self._pair.lvs1.hardware
        real2.web.kill()
        # Right behind a heartbeat, so that all of deadtime has to pass.
        self._seen.wait_for_beat(mac)
        died = time.monotonic()
        with self._taking_over(lvs2):
            self._pair.lvs1.cut_power()
            gone = time.monotonic()
        # VRRP brings the address first.
        entry = f"-a -t {WEB} -r "
        wait_until(
            lambda: entry in "\n".join(lvs2.table) and lvs2.is_open, "lvs2 serves", pause=0.2
        )
        begun = time.monotonic()
        self.answers.wait_for_server("real1")
        first = next(each for each in self.answers.since(begun) if each.server is not None)
        dead = f"{real2.address}:80 "
        wait_until(lambda: dead not in "\n".join(lvs2.table), "the dead is out", pause=0.5)
        self.answers.wait_for(20)
        if self._is_ours:
            assert self.answers.refused_since(gone) == []
            assert self.answers.failures_since(begun) == []
            assert self.answers.servers_since(begun) == {"real1"}
            self._go_on_downloading("after the crash")
        failures = self.answers.failures_since(died)
        return Crash(
            self.answers.longest_gap(died - 1),
            max([first.ended, *(each.begun for each in failures)]) - died,
            len(self.answers.refused_since(first.begun)),
        )

    def come_back(self) -> Change:
        """Let the real server and lvs1 come back."""
        self._lab.real_servers[1].web.start()
        begun = time.monotonic()
        with self._taking_over(self._pair.lvs1):
            self._pair.come_back(self._pair.lvs1)
        self._settle(self._pair.lvs1)
        return self._seen_since(begun)

    def stand_by(self) -> Change:
        """Have lvs1 give everything to lvs2."""
        begun = time.monotonic()
        with self._taking_over(self._pair.lvs2):
            self._pair.lvs1.stand_by()
        return self._seen_since(begun)

    def _seen_since(self, begun: float) -> Change:
        self.answers.wait_for_server("real1", "real2")
        self._go_on_downloading("after a change")
        failed = Counter(each.error or "" for each in self.answers.failures_since(begun))
        refused = len(self.answers.refused_since(begun))
        return Change(self.answers.longest_gap(begun), refused, dict(failed))


class Figures(NamedTuple):
    """What became of everything; `broken` is why the downloads ended."""

    crash: Crash
    come_back: Change
    stand_by: Change
    broken: list[str]
    healed: float | None = None

    def __str__(self) -> str:
        crash = self.crash
        return "\n    ".join(
            [
                f"{name}: {value}"
                for name, value in {
                    "crash": crash,
                    "return": self.come_back,
                    "standby": self.stand_by,
                    "downloads that broke": self.broken or "none",
                    "whole again without mon and table": self.healed,
                }.items()
            ]
        )


def _live(lab: Topology, folder: Path, put: pieces.Pieces) -> Figures:
    """Go through it; once more where the guest itself stood still for too long."""
    scene = Scene(lab, folder, put)
    try:
        return _go_through(scene, put)
    except AssertionError:
        if not scene.was_held_up:
            raise
    real2 = lab.real_servers[1]
    if not real2.web.runs:
        real2.web.start()
    return _go_through(Scene(lab, folder.with_name(f"{folder.name}-again"), put), put)


def _go_through(scene: Scene, put: pieces.Pieces) -> Figures:
    """Go through a pair's crash, return and standby."""
    with scene.begun():
        healed = scene.heal() if put.is_ours else None
        scene.download()
        crash, come_back, stand_by = scene.crash(), scene.come_back(), scene.stand_by()
        broken = [each.broken for each in scene.downloads if each.broken is not None]
    return Figures(crash, come_back, stand_by, broken, healed)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(pieces.heartbeats, id="heartbeat"),
        pytest.param(pieces.vrrps, id="vrrp"),
        pytest.param(pieces.pacemakers, id="pacemaker"),
    ],
)
def test_crash_return_and_standby(
    lab: Topology,
    site: Path,
    record_property: Callable[[str, object], None],
    make: Callable[[Sequence[str]], pieces.Pieces],
) -> None:
    """lvs2 takes over what lives, lvs1 takes it back, and only the crash is felt.

    How long each takes is told, and not judged: it is as long as what else the machine does makes
    it.
    """
    servers = [each.address for each in lab.real_servers[:2]]
    ours = _live(lab, site / "ours", make(servers))
    record_property("lvsalert", str(ours))
    assert ours.crash.to_the_dead == 0
    assert (ours.come_back.refused, ours.stand_by.refused) == (0, 0)
    assert ours.broken == []


def test_the_documents_own_pieces(
    lab: Topology, site: Path, record_property: Callable[[str, object], None]
) -> None:
    """The same again with what the document has for heartbeat: they connect to the dead."""
    servers = [each.address for each in lab.real_servers[:2]]
    found = document.find()
    if found is None:
        record_property("LEFT OUT", document.MISSING)
        return
    theirs = _live(lab, site / "theirs", pieces.documents(found, servers))
    record_property("the document's own pieces", str(theirs))
    assert theirs.crash.to_the_dead > 0
