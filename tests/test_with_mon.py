"""The real mon runs the examples against real servers and the stand-in for ipvsadm."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from tests.harness import misbehaving
from tests.harness.director import ADDRESSES, Director, director, on_loopback
from tests.harness.misbehaving import Misbehaving
from tests.harness.mon import Mon
from tests.harness.nginx import Nginx, serving
from tests.harness.places import CHECKOUT, free_port, is_root, join
from tests.harness.standin import StandIn
from tests.harness.vsftpd import Vsftpd
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.installation import Installation

pytestmark = pytest.mark.skipif(
    not is_root() or any(shutil.which(name) is None for name in ("mon", "nginx", "vsftpd")),
    reason="needs root, mon, nginx and vsftpd",
)


@pytest.fixture
def group(folder: Path, standin: StandIn, installation: Installation) -> Director:
    """The group example with five real servers; mon is not started yet, the table is empty."""
    example = (CHECKOUT / "examples" / "mon-group.cf").read_text()
    changed = on_loopback(example, installation)
    five = " ".join(ADDRESSES)
    changed = re.sub(r"^hostgroup www .*$", f"hostgroup www {five}", changed, flags=re.MULTILINE)
    return director(folder, standin, changed, free_port(ADDRESSES[0]))


@pytest.fixture
def web(folder: Path, group: Director) -> Iterator[dict[int, Nginx]]:
    """Five nginx that answer, by their numbers."""
    with contextlib.ExitStack() as stack:
        yield {
            number: stack.enter_context(serving(folder / f"web{number}", group.place(number)))
            for number in range(1, 6)
        }


def test_group_is_killed_and_recovers_in_parts(group: Director, web: dict[int, Nginx]) -> None:
    """Of five servers two die, one of them returns, then the other, and the table follows."""
    with group.mon:
        group.serve(1, 2, 3, 4, 5)
        assert set(group.table.servers(group.web).values()) == {("g", 5)}
        web[2].kill()
        web[4].kill()
        group.serve(1, 3, 5)
        web[4].start()
        group.serve(1, 3, 4, 5)
        web[2].start()
        group.serve(1, 2, 3, 4, 5)
        group.mon.syslog.wait_for(r"calling alert mail\.alert for www/http .*,root\)")
        group.mon.syslog.wait_for(r"calling upalert mail\.alert for www/http .*,root\)")


def test_a_reserve_is_checked_and_stands_in(
    folder: Path, standin: StandIn, installation: Installation, group: Director
) -> None:
    """It comes in for one that died, leaves when that is back, and not while it is dead itself."""
    reserve, floor = f"LVSALERT_RESERVE={ADDRESSES[2]} {ADDRESSES[3]}", "LVSALERT_MIN_IN=2"
    text = group.mon.file.read_text()
    text = re.sub(
        r"^( *)redistribute", rf"\1{reserve}\n\1{floor}\n\1redistribute", text, flags=re.MULTILINE
    )
    four = " ".join(ADDRESSES[:4])
    group.mon.configure(re.sub(r"(?m)^hostgroup www .*$", f"hostgroup www {four}", text))
    with contextlib.ExitStack() as stack:
        web = {
            number: stack.enter_context(serving(folder / f"web{number}", group.place(number)))
            for number in range(1, 5)
        }
        with group.mon:
            group.serve(1, 2)
            web[3].kill()
            web[1].kill()
            group.serve(2, 4)
            web[1].start()
            group.serve(1, 2)


def test_whole_group_dies_and_recovers(group: Director, web: dict[int, Nginx]) -> None:
    """With the last real server gone the virtual service stands empty, until they return."""
    with group.mon:
        group.serve(1, 2, 3, 4, 5)
        for nginx in web.values():
            nginx.kill()
        group.serve()
        assert group.table.run("-Sn") == f"-A -t {group.web} -s wlc\n"
        for nginx in web.values():
            nginx.start()
        group.serve(1, 2, 3, 4, 5)


def test_server_recovers_while_mon_is_down(group: Director, web: dict[int, Nginx]) -> None:
    """A server taken out before mon's restart, and well after it, comes back."""
    with group.mon:
        web[3].kill()
        group.serve(1, 2, 4, 5)
        group.mon.kill()
        web[3].start()
        group.mon.start()
        group.serve(1, 2, 3, 4, 5)


def test_table_changed_by_hand_is_mended(group: Director, web: dict[int, Nginx]) -> None:
    """A cleared table, and a weight that somebody changed, are put right by the next check."""
    with group.mon:
        group.serve(1, 2, 3, 4, 5)
        group.table.run("-C")
        group.serve(1, 2, 3, 4, 5)
        group.table.run("-e", "-t", group.web, "-r", group.place(1), "-g", "-w", "99")
        wait_until(
            lambda: set(group.table.servers(group.web).values()) == {("g", 5)},
            lambda: f"every weight is 5: {group.table.servers(group.web)}",
        )


def test_nothing_to_do_is_not_logged(group: Director, web: dict[int, Nginx]) -> None:
    """A check that finds everything as it was leaves no word of lvs.alert in syslog."""
    with group.mon:
        group.serve(1, 2, 3, 4, 5)
        group.mon.wait_for_check("www", "http")
        before = [line for line in group.mon.syslog.lines if line.startswith("lvs.alert")]
        assert len(before) >= len(ADDRESSES)
        group.mon.wait_for_check("www", "http")
        group.mon.wait_for_check("www", "http")
        after = [line for line in group.mon.syslog.lines if line.startswith("lvs.alert")]
        assert after == before


def test_change_is_logged_with_who_asked(group: Director, web: dict[int, Nginx]) -> None:
    """Syslog tells of each change: mon's group and service, the virtual and the real server."""
    with group.mon:
        group.serve(1, 2, 3, 4, 5)
        web[5].kill()
        group.serve(1, 2, 3, 4)
        line = group.mon.syslog.wait_for(rf"{re.escape(group.place(5))}.*out")
        assert re.search(rf"^lvs\.alert\[\d+\]: .*www/http.*{re.escape(group.web)}", line)
        entry = next(each for each in group.mon.syslog.entries if each.text == line)
        local0 = 16
        assert entry.facility == local0


def test_disabled_host_is_left_alone(group: Director, web: dict[int, Nginx]) -> None:
    """The entry of a disabled host stays as it is, and is judged again when it is enabled."""
    with group.mon:
        group.serve(1, 2, 3, 4, 5)
        group.mon.command(f"disable host {ADDRESSES[2]}")
        web[3].kill()
        web[4].kill()
        group.serve(1, 2, 3, 5)
        group.mon.wait_for_check("www", "http")
        group.serve(1, 2, 3, 5)
        group.mon.command(f"enable host {ADDRESSES[2]}")
        group.serve(1, 2, 5)


def test_hung_server_is_taken_out(group: Director, web: dict[int, Nginx], folder: Path) -> None:
    """A server that accepts and says nothing is out after the time-out, and holds up no other."""
    _with_timeout(folder, group, 1)
    web[2].kill()
    with Misbehaving(misbehaving.silent, ADDRESSES[1], port=group.http_port), group.mon:
        group.serve(1, 3, 4, 5)
        web[4].kill()
        group.serve(1, 3, 5)
    web[2].start()


def _with_timeout(folder: Path, group: Director, seconds: int) -> None:
    configuration = (folder / "mon" / "mon.cf").read_text()
    group.mon.configure(configuration.replace("-p ", f"-t {seconds} -p "))


def test_terminated_monitor_changes_nothing(
    group: Director, web: dict[int, Nginx], folder: Path
) -> None:
    """A monitor that is TERMed while it waits has no verdict: the table stays as it is."""
    with group.mon:
        group.serve(1, 2, 3, 4, 5)
        _with_timeout(folder, group, 30)
        web[2].kill()
        with Misbehaving(misbehaving.silent, ADDRESSES[1], port=group.http_port) as hung:
            group.mon.command("reset")
            # A monitor of before the reset may have asked too, and has been TERMed by it.
            asked = hung.connections
            wait_until(lambda: hung.connections > asked, "the hung server is asked again")
            before = group.table.run("-Sn")
            os.kill(_monitor(group.mon), signal.SIGTERM)
            wait_until(
                lambda: group.mon.status("www", "http")["exitval"] == "3",
                lambda: f"the monitor ends with 3\n{group.mon.story}",
                pause=0.2,
            )
            group.mon.syslog.wait_for(r"lvs\.alert.*www/http")
            assert group.table.run("-Sn") == before


def _monitor(mon: Mon) -> int:
    """Return the process id of the one monitor that runs."""
    (pid,) = (line.split()[2] for line in mon.command("list pids") if line.startswith("www http"))
    return int(pid)


def test_reset_ends_a_running_monitor_without_a_verdict(
    group: Director, web: dict[int, Nginx], folder: Path
) -> None:
    """mon's reset TERMs the monitor that runs, waits for it, and reads its configuration."""
    with group.mon:
        group.serve(1, 2, 3, 4, 5)
        _with_timeout(folder, group, 30)
        web[2].kill()
        with Misbehaving(misbehaving.silent, ADDRESSES[1], port=group.http_port) as hung:
            group.mon.command("reset")
            wait_until(lambda: hung.connections, "the hung server is asked")
            before = group.table.run("-Sn")
            group.mon.command("reset")
            group.mon.syslog.wait_for(r"reset killed child \d+, exit status 768")
            assert group.table.run("-Sn") == before


def test_ipv6_and_a_port_for_each_host(
    folder: Path, standin: StandIn, installation: Installation
) -> None:
    """With masquerading the hosts have ports of their own; here they differ in nothing else."""
    places = [join("::1", free_port("::1")) for _ in range(2)]
    virtual = "[2001:db8::3]:80"
    example = (CHECKOUT / "examples" / "mon-group.cf").read_text()
    changed = on_loopback(example, installation).replace("10.0.0.3:80", virtual)
    changed = changed.replace("FORWARDING=dr", "FORWARDING=nat")
    changed = re.sub(
        r"^hostgroup .*$", f"hostgroup www {' '.join(places)}", changed, flags=re.MULTILINE
    )
    with (
        serving(folder / "web1", places[0]) as web,
        serving(folder / "web2", places[1]),
        Mon(folder / "mon", changed, standin.environment) as mon,
    ):
        standin.wait_for(virtual, set(places), lambda: mon.story)
        assert set(standin.servers(virtual).values()) == {("m", 5)}
        web.kill()
        standin.wait_for(virtual, {places[1]}, lambda: mon.story)
        web.start()
        standin.wait_for(virtual, set(places), lambda: mon.story)


@pytest.fixture
def pair(folder: Path, standin: StandIn, installation: Installation) -> Director:
    """The example with one watch a server; the table holds both servers, for HTTP and FTP."""
    example = (CHECKOUT / "examples" / "mon.cf").read_text()
    changed = on_loopback(example, installation)
    made = director(folder, standin, changed, free_port(ADDRESSES[0]), free_port(ADDRESSES[0]))
    for virtual, port in ((made.web, made.http_port), (made.ftp, made.ftp_port)):
        standin.run("-A", "-t", virtual, "-s", "wlc")
        for address in ADDRESSES[:2]:
            standin.run("-a", "-t", virtual, "-r", join(address, port), "-g", "-w", "5")
    return made


@pytest.fixture
def servers(folder: Path, pair: Director) -> Iterator[dict[str, Nginx | Vsftpd]]:
    """Two nginx and two vsftpd that answer, by their services and numbers."""
    with contextlib.ExitStack() as stack:
        started: dict[str, Nginx | Vsftpd] = {}
        for number in (1, 2):
            web = serving(folder / f"web{number}", pair.place(number))
            ftp = Vsftpd(folder / f"ftp{number}", join(ADDRESSES[number - 1], pair.ftp_port))
            started[f"http{number}"] = stack.enter_context(web)
            started[f"ftp{number}"] = stack.enter_context(ftp)
        yield started


def test_one_watch_a_server(pair: Director, servers: dict[str, Nginx | Vsftpd]) -> None:
    """A web and an FTP server die: each leaves its own service, and returns with weight 5."""
    ftp1, ftp2 = (join(address, pair.ftp_port) for address in ADDRESSES[:2])
    whole = pair.table.run("-Sn")
    with pair.mon:
        _all_are_ok(pair.mon)
        assert pair.table.run("-Sn") == whole
        servers["http1"].kill()
        pair.serve(2)
        servers["ftp2"].kill()
        pair.table.wait_for(pair.ftp, {ftp1}, lambda: pair.mon.story)
        pair.serve(2)
        servers["http1"].start()
        servers["ftp2"].start()
        pair.serve(1, 2)
        pair.table.wait_for(pair.ftp, {ftp1, ftp2}, lambda: pair.mon.story)
        assert set(pair.table.servers(pair.web).values()) == {("g", 5)}
        assert set(pair.table.servers(pair.ftp).values()) == {("g", 5)}


def _all_are_ok(mon: Mon) -> None:
    wait_until(
        lambda: all(" opstatus=1 " in line for line in mon.command("list opstatus")),
        lambda: f"every service is well\n{mon.story}",
        pause=0.2,
    )


def test_test_alert_changes_nothing(pair: Director, servers: dict[str, Nginx | Vsftpd]) -> None:
    """moncmd's test alert says in syslog what it saw, and leaves a live server where it is."""
    whole = pair.table.run("-Sn")
    with pair.mon:
        _all_are_ok(pair.mon)
        pair.mon.command("test alert www1 http 1 table")
        pair.mon.syslog.wait_for(r"lvs\.alert.*www1/http.*test")
        assert pair.table.run("-Sn") == whole


def test_disabled_watch_is_left_alone(pair: Director, servers: dict[str, Nginx | Vsftpd]) -> None:
    """Disabling the only host of a watch disables the watch: a dead server stays in the table."""
    whole = pair.table.run("-Sn")
    with pair.mon:
        _all_are_ok(pair.mon)
        pair.mon.command(f"disable host {ADDRESSES[0]}")
        servers["http1"].kill()
        servers["ftp1"].kill()
        servers["http2"].kill()
        pair.serve(1)
        servers["http2"].start()
        pair.serve(1, 2)
        assert pair.table.run("-Sn") == whole
