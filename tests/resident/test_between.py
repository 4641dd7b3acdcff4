"""Checks between mon's own checks, with the real mon: it hears of a change by a trap."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import lvs_director
from lvsalert.resident import wire
from lvsalert.resident.called import Called
from lvsalert.resident.notes import Notes
from lvsalert.resident.service import Service
from lvsalert.resident.telling import Mon as Place
from lvsalert.resident.telling import Teller
from lvsalert.resident.watched import ask
from tests.harness.director import ADDRESSES, Director, director, on_loopback
from tests.harness.nginx import Nginx, Site, serving
from tests.harness.places import CHECKOUT, free_port, is_root
from tests.harness.processes import Program
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.installation import Installation
    from tests.harness.standin import StandIn

pytestmark = pytest.mark.skipif(
    not is_root() or any(shutil.which(name) is None for name in ("mon", "nginx")),
    reason="needs root, mon and nginx",
)
# Long beyond any wait here: what mon hears it hears by traps.
INTERVAL = "6h"


def configuration(installation: Installation, interval: str, *lines: str, servers: int = 2) -> str:
    """Return the group example with so many servers and these variables."""
    text = on_loopback((CHECKOUT / "examples" / "mon-group.cf").read_text(), installation)
    hosts = " ".join(ADDRESSES[:servers])
    text = re.sub(r"(?m)^hostgroup www .*$", f"randstart = 1s\nhostgroup www {hosts}", text)
    text = text.replace("interval 1s", f"interval {interval}")
    added = "".join(f"        {line}\n" for line in lines)
    return text.replace("        redistribute", f"{added}        redistribute")


@pytest.fixture
def resident(folder: Path, standin: StandIn, installation: Installation) -> Program:
    """A resident that runs as mon does; it is started with the site."""
    user = ["setpriv", "--reuid=mon", "--regid=mon", "--init-groups"]
    capabilities = "-all,+net_admin,+net_raw"
    user += [f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}"]
    argv = [*user, str(installation.bin / "lvs-director"), "serve"]
    argv += ["--socket", str(standin.state / "socket")]
    return Program(argv, folder / "resident", {"PATH": "/usr/bin:/bin"})


@pytest.fixture
def site(
    folder: Path, standin: StandIn, installation: Installation, resident: Program
) -> Iterator[Director]:
    """A director whose servers are checked between mon's checks; mon is not started yet."""
    socket = standin.state / "socket"
    lines = (f"LVSALERT_SOCKET={socket}", "LVSALERT_BETWEEN=0.2", "LVSALERT_FALL=2")
    text = configuration(installation, INTERVAL, *lines)
    made = director(folder, standin, text, free_port(ADDRESSES[0]))
    resident.argv += ["--mon", made.mon.place, "--trap", made.mon.trap_place]
    with resident:
        wait_until(socket.exists, lambda: f"it listens\n{resident.output}")
        yield made


@pytest.fixture
def web(folder: Path, site: Director) -> Iterator[dict[int, Nginx]]:
    """Two nginx that answer, by their numbers."""
    with (
        serving(folder / "web1", site.place(1)) as one,
        serving(folder / "web2", site.place(2)) as two,
    ):
        yield {1: one, 2: two}


def test_mon_hears_at_once_and_the_table_follows(site: Director, web: dict[int, Nginx]) -> None:
    """A server that dies is out and back in long before mon's next check, and mon knows it."""
    with site.mon:
        site.serve(1, 2)
        web[2].kill()
        site.serve(1)
        assert site.mon.status("www", "http")["opstatus"] == "0"
        web[1].kill()
        site.serve()
        web[2].start()
        site.serve(2)
        web[1].start()
        site.serve(1, 2)
        wait_until(
            lambda: site.mon.status("www", "http")["opstatus"] == "1", lambda: site.mon.story
        )
        site.mon.syslog.wait_for(r"calling trapalert mail\.alert for www/http .*,root\)")


def test_status_tells_what_is_watched(
    site: Director, web: dict[int, Nginx], standin: StandIn
) -> None:
    """How often, when it was last heard, and who has failed; nothing where nobody watches."""

    def told(*words: str, socket: str = str(standin.state / "socket")) -> str:
        environ = {
            "LVSALERT_SOCKET": socket,
            "LVSALERT_IPVSADM": str(standin.program),
            "LVSALERT_STATE_DIR": str(standin.state),
        }
        outcome = lvs_director.run(["status", *words], environ, str)
        assert (outcome.status, outcome.stderr) == (0, "")
        return outcome.stdout

    about = r"(?m)^www/http: checked every 0\.2 s between mon's checks, last heard \d+\.\d s ago"
    with site.mon:
        site.serve(1, 2)
        wait_until(lambda: re.search(f"{about}$", told()), told)
        web[2].kill()
        wait_until(lambda: re.search(f"{about}, failed: {ADDRESSES[1]}$", told()), told)
        (watched,) = json.loads(told("--json"))["watched"]
        assert watched.pop("heard") >= 0
        about_it = {"group": "www", "service": "http", "every": 0.2}
        assert watched == {**about_it, "failed": [ADDRESSES[1]]}
        assert "between" not in told(socket="")
        assert json.loads(told("--json", socket=""))["watched"] == []


def test_a_watcher_that_is_killed_begins_with_mons_next_call(
    site: Director, web: dict[int, Nginx], resident: Program
) -> None:
    """What it knew is a cache: mon's own checks go on, and after one of them it watches again."""
    text = site.mon.file.read_text().replace(f"interval {INTERVAL}", "interval 1s")
    site.mon.configure(text)
    with site.mon:
        site.serve(1, 2)
        for number in (1, 2):
            pid = wait_until(lambda: watcher_of(resident), "there is a watcher")
            os.kill(pid, signal.SIGKILL)
            web[number].kill()
            site.serve(3 - number)
            web[number].start()
            site.serve(1, 2)


def test_answers_are_compared_between_mons_checks(
    folder: Path, site: Director, standin: StandIn, installation: Installation
) -> None:
    """Each check between mon's asks all servers, and knows what the one before it knew."""
    lines = (f"LVSALERT_SOCKET={standin.state / 'socket'}", "LVSALERT_BETWEEN=0.2")
    lines += ("LVSALERT_AGREE=1", "LVSALERT_AGREE_WITHIN=0.5")
    text = configuration(installation, INTERVAL, *lines, servers=3)
    text = text.replace("10.0.0.3:80", site.web)
    site.mon.configure(text.replace("http.monitor", f"http.monitor -p {site.http_port}"))
    with contextlib.ExitStack() as web:
        for number in (1, 2, 3):
            pages = folder / f"pages{number}"
            pages.mkdir()
            (pages / "index.html").write_text("new")
            sites = Site([site.place(number)], f"root {pages};")
            web.enter_context(Nginx(folder / f"web{number}", sites))
        with site.mon:
            site.serve(1, 2, 3)
            (pages / "index.html").write_text("old")
            site.serve(1, 2)
            (pages / "index.html").write_text("new")
            site.serve(1, 2, 3)


def test_a_connection_that_ends_is_a_reason_to_check(
    folder: Path, site: Director, standin: StandIn, installation: Installation
) -> None:
    """A server that is killed is out long before its next check, also by mon.

    One that only ends the connection, as a client says nothing, is checked, and stays in.
    """
    lines = (f"LVSALERT_SOCKET={standin.state / 'socket'}", "LVSALERT_BETWEEN=21600")
    text = configuration(installation, INTERVAL, *lines).replace("10.0.0.3:80", site.web)
    site.mon.configure(text.replace("http.monitor", f"http.monitor -p {site.http_port}"))
    log = folder / "web1" / "access.log"
    quick = f"access_log {log};\nclient_header_timeout 1s;\nroot /nowhere;\nreturn 200;"
    with (
        Nginx(folder / "web1", Site([site.place(1)], quick)),
        serving(folder / "web2", site.place(2)) as two,
        site.mon,
    ):
        site.serve(1, 2)
        # mon's own, and the one behind the end.
        wait_until(lambda: len(log.read_text().splitlines()) > 1, "it is checked")
        two.kill()
        site.serve(1)
        # It is left alone, for longer than all of this took.
        assert len(log.read_text().splitlines()) < 5


def test_what_mon_does_ends_or_keeps_a_watch(
    site: Director, web: dict[int, Nginx], resident: Program
) -> None:
    """It lasts over a reset and over mon's restart, and ends where mon.cf asks for it no more."""
    text = site.mon.file.read_text().replace(f"interval {INTERVAL}", "interval 2s")
    gone = re.sub(r"(?m)^        LVSALERT_BETWEEN=.*\n", "", text).replace("2s", INTERVAL)

    def out_and_back() -> None:
        wait_until(lambda: is_watched(resident), "it is watched")
        for number in (1, 2):
            web[number].kill()
            site.serve(3 - number)
            web[number].start()
            site.serve(1, 2)

    site.mon.configure(text)
    with site.mon:
        for how in ("reset keepstate", "reset", "restart"):
            site.serve(1, 2)
            if how == "restart":
                site.mon.stop()
                site.mon.start()
            else:
                site.mon.command(how)
            out_and_back()
        site.mon.configure(gone)
        site.mon.command("reset")
        wait_until(lambda: not is_watched(resident), "it is left")
        site.serve(1, 2)


def is_watched(resident: Program) -> bool:
    """Return whether the resident checks anything between mon's checks."""
    return bool(ask(resident.argv[resident.argv.index("--socket") + 1]))


def watcher_of(resident: Program) -> int:
    """Return the process that watches: the child of the resident in its own process group."""
    with open(f"/proc/{resident.pid}/task/{resident.pid}/children") as children:
        pids = [int(word) for word in children.read().split()]
    return next((pid for pid in pids if os.getpgid(pid) == os.getpgid(resident.pid)), 0)


def test_a_service_that_is_disabled_is_left_alone(site: Director, web: dict[int, Nginx]) -> None:
    """mon's operator has the last word: what is disabled is dropped, and mon is told nothing."""
    host, port = site.mon.place.split(":")
    teller = Teller(Place((host, int(port)), (host, int(port))), Notes(None))
    called = Called(1.0, 0, "", 0, True, {}, wire.call("http.monitor", b"", {}))
    with site.mon:
        site.serve(1, 2)
        service = Service(("www", "http"), 0, called)
        assert not teller.knows(service, frozenset({site.place(1)}))
        assert not service.is_dropped
        site.mon.command("disable service www http")
        assert teller.knows(service, frozenset({site.place(1)}))
        assert service.is_dropped
