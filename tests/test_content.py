"""Real servers whose content is a replicated file system, or copies, with the example's mon.cf."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lvsalert.ledger.ledger import Ledger
from tests.harness.director import Director, director, on_loopback
from tests.harness.gluster import ADDRESS, Gluster, Mounted
from tests.harness.namespace import network_namespace
from tests.harness.nginx import Nginx, Site
from tests.harness.places import CHECKOUT, is_root
from tests.harness.processes import Program
from tests.harness.waiting import wait_until
from tests.monitors import http

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.installation import Installation
    from tests.harness.standin import StandIn

EXAMPLE = CHECKOUT / "examples" / "content"
PROGRAMS = ("mon", "nginx", "glusterd", "lsyncd")
PORT = 80
pytestmark = [
    pytest.mark.skipif(
        not is_root() or any(shutil.which(name) is None for name in PROGRAMS),
        reason=f"needs root, {', '.join(PROGRAMS)}",
    ),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse"),
]


def write_canary(folder: Path, late: int = 0) -> None:
    """Write the time as the timer does, or one of so many seconds ago."""
    subprocess.run([str(EXAMPLE / "write-canary"), str(folder)], check=True)
    if late:
        (folder / "canary").write_text(f"{int(time.time()) - late}\n")


def fill(folder: Path, page: str, late: int = 0) -> None:
    """Write a page and a canary."""
    (folder / "index.html").write_text(page)
    write_canary(folder, late)


@contextlib.contextmanager
def site_of(folder: Path, standin: StandIn, installation: Installation) -> Iterator[Director]:
    """Give the example's director with three nginx, each of which serves its own folder."""
    text = on_loopback((EXAMPLE / "mon.cf").read_text(), installation)
    text = text.replace("AGREE_WITHIN=30", "AGREE_WITHIN=2")
    site = director(folder, standin, text, PORT)
    with contextlib.ExitStack() as stack:
        for number in (1, 2, 3):
            places = Site([site.place(number)], f"root {folder / f'pages{number}'};")
            stack.enter_context(Nginx(folder / f"web{number}", places))
        stack.enter_context(site.mon)
        yield site


def reasons(standin: StandIn, installation: Installation, place: str) -> str:
    """Return why a server is out, by lvs-director."""
    done = subprocess.run(
        [str(installation.bin / "lvs-director"), "why", place],
        env={"PATH": "/usr/bin:/bin", **standin.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def unjudged(standin: StandIn) -> str:
    """Return why the last check could not tell, an empty string where it could."""
    with contextlib.closing(Ledger.open_to_read(str(standin.state))) as ledger:
        said = [each.reason for found in ledger.unjudged.all().values() for each in found.values()]
    return " ".join(said)


def test_a_replicated_file_system(
    folder: Path, standin: StandIn, installation: Installation
) -> None:
    """Each server whose content is not the others' leaves, and comes back; a brick may die."""
    pages = {number: folder / f"pages{number}" for number in (1, 2, 3)}
    for each in pages.values():
        each.mkdir()
    # What shows when the mount is lost: nothing, an old page, the page with an old canary.
    fill(pages[2], "old", -250)
    fill(pages[3], "newer", 9999)

    def scenario() -> None:
        with Gluster(folder / "gluster") as gluster, contextlib.ExitStack() as stack:
            mounts = {each: stack.enter_context(Mounted(pages[each])) for each in pages}
            fill(pages[1], "new")
            site = stack.enter_context(site_of(folder, standin, installation))
            site.serve(1, 2, 3)
            gluster.kill_brick(1)
            fill(pages[2], "newer")
            newer = ("-m", "newer", *sorted(site.places(1, 2, 3)))
            wait_until(lambda: http(*newer).status == 0, "all serve what was written since")
            site.mon.wait_for_check("www", "content")
            assert site.mon.status("www", "content")["opstatus"] == "1"
            for number, why in (
                (1, r"status 40[34] is not accepted"),
                (2, r"content differs: ....… here, ....… on 127\.0\.7\.1 127\.0\.7\.3\.$"),
                (3, r"www/canary says .*its time is \d+ s old, more than 300 s"),
            ):
                mounts[number].stop()
                site.serve(*{1, 2, 3} - {number})
                told = reasons(standin, installation, site.place(number))
                assert re.search(why, told, re.MULTILINE), told
                mounts[number].start()
                site.serve(1, 2, 3)
            mounts[3].signal(signal.SIGSTOP)
            site.serve(1, 2)
            assert "timed out after 5 s" in reasons(standin, installation, site.place(3))
            mounts[3].signal(signal.SIGCONT)
            site.serve(1, 2, 3)
            # With all three different nobody can tell whose content is the right one.
            for number in (2, 3):
                mounts[number].stop()
            fill(pages[3], "another", -250)
            wait_until(
                lambda: "no answer has a majority" in unjudged(standin),
                lambda: f"that is told\n{site.mon.story}",
            )
            assert set(standin.servers(site.web)) == site.places(1, 2, 3)

    with network_namespace(mounts=True) as namespace:
        namespace.ip(f"addr add {ADDRESS}/32 dev lo")
        namespace.run(scenario)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_timer(tmp_path: Path) -> None:
    """It has nothing to say of it, and does of one with a slip."""
    service, timer = ((EXAMPLE / f"canary.{kind}").read_text() for kind in ("service", "timer"))
    program = "/usr/local/sbin/write-canary"
    assert program in service
    (tmp_path / "canary.service").write_text(
        service.replace(program, str(EXAMPLE / "write-canary"))
    )
    for text, is_good in ((timer, True), (timer.replace("OnBootSec", "OnBoot"), False)):
        (tmp_path / "canary.timer").write_text(text)
        argv = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "canary.timer")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert ("canary" not in done.stderr) == is_good, done.stderr
        assert done.returncode == 0 or not is_good


def test_copies(folder: Path, standin: StandIn, installation: Installation) -> None:
    """lsyncd keeps them the same; when it has died the canary tells, and not the majority."""
    pages = {number: folder / f"pages{number}" for number in (1, 2, 3)}
    for each in pages.values():
        each.mkdir()
    fill(pages[1], "new")
    text = (EXAMPLE / "lsyncd.conf.lua").read_text()
    for before, after in (
        ("192.168.0.2::www", str(pages[2])),
        ("192.168.0.3::www", str(pages[3])),
        ("/srv/www", str(pages[1])),
        ("/var/log/lsyncd.log", str(folder / "lsyncd.log")),
        ("/run/lsyncd.status", str(folder / "lsyncd.status")),
    ):
        assert before in text
        text = text.replace(before, after)
    (folder / "lsyncd.conf.lua").write_text(text)
    argv = ["lsyncd", "-nodaemon", str(folder / "lsyncd.conf.lua")]

    def scenario() -> None:
        with Program(argv, folder / "lsyncd.out") as lsyncd:
            copied = [pages[number] / "canary" for number in (2, 3)]
            wait_until(lambda: all(each.exists() for each in copied), lambda: lsyncd.output)
            with site_of(folder, standin, installation) as site:
                site.mon.command("disable service www content")
                site.serve(1, 2, 3)
                # So that it need not be waited for until they are old.
                write_canary(pages[1], 290)
                last = (pages[1] / "canary").read_text()
                wait_until(
                    lambda: all(each.read_text() == last for each in copied), lambda: lsyncd.output
                )
                lsyncd.kill()
                write_canary(pages[1])
                site.serve(1)
                lsyncd.start()
                site.serve(1, 2, 3)

    with network_namespace() as namespace:
        namespace.run(scenario)
