"""lvs-director mon-config --output and --reset: a mon.cf on the disk, and mon that reads it."""

from __future__ import annotations

import re
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import lvs_director
from lvsalert.ldirectord import mon_cf
from tests.harness.director_file import Machine
from tests.harness.mon import Mon
from tests.harness.places import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

WEB = "virtual = 10.0.0.3:80\n    real = 192.0.2.1 gate\n    checktype = connect\n"
MORE = WEB.replace("10.0.0.3", "10.0.0.4") + "    checkport = 81\n"


def run(*argv: str) -> Outcome:
    """Run lvs-director with these words."""
    return lvs_director.run(argv, {}, lambda: "")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one web service."""
    path = tmp_path / "www.cf"
    path.write_text(WEB)
    return path


def test_it_is_written_whole_and_what_it_replaces_is_kept(file: Path, tmp_path: Path) -> None:
    """The new one has the mode of the one before; the same again is left alone."""
    output = tmp_path / "mon.cf"
    text = run("mon-config", str(file)).stdout
    assert (
        run("mon-config", str(file), "--output", str(output)).stdout == f"wrote         {output}\n"
    )
    assert (output.read_text(), output.stat().st_mode & 0o777) == (text, 0o640)
    before = output.stat().st_ino
    again = run("mon-config", "--output", str(output), str(file))
    assert (again.stdout, output.stat().st_ino) == (f"unchanged     {output}\n", before)
    output.chmod(0o600)
    file.write_text(WEB + MORE)
    run("mon-config", str(file), "--output", str(output))
    assert output.read_text() == run("mon-config", str(file)).stdout != text
    assert output.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "mon.cf.old").read_text() == text
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mon.cf", "mon.cf.old", "www.cf"]


@pytest.mark.parametrize(
    ("spoil", "status", "said"),
    [
        ("nonsense\n", 3, "{folder}/www.cf:4: 'nonsense' has no ="),
        ("fallback = 192.0.2.9\x07\n", 3, "{folder}/www.cf:4: fallback: "),
    ],
)
def test_a_fault_leaves_what_stands(
    file: Path, tmp_path: Path, spoil: str, status: int, said: str
) -> None:
    """A file that cannot be taken writes nothing."""
    output = tmp_path / "mon.cf"
    output.write_text("what runs\n")
    file.write_text(WEB + spoil)
    done = run("mon-config", str(file), "--output", str(output))
    assert (done.status, done.stdout, output.read_text()) == (status, "", "what runs\n")
    assert done.stderr.startswith("lvs-director: " + said.format(folder=tmp_path))
    assert not (tmp_path / "mon.cf.old").exists()


def test_a_place_that_cannot_be_written_to_is_named(file: Path, tmp_path: Path) -> None:
    """A folder that is not there, and what is no file."""
    none, folder = tmp_path / "none" / "mon.cf", tmp_path / "folder"
    folder.mkdir()
    done = run("mon-config", str(file), "--output", str(none))
    assert done == (
        1,
        "",
        f"lvs-director: {none}: cannot be written: No such file or directory\n",
        None,
    )
    done = run("mon-config", str(file), "--output", str(folder))
    assert done == (1, "", f"lvs-director: {folder}: not a regular file\n", None)
    assert run("mon-config", str(file), "--reset") == (
        3,
        "",
        "lvs-director: --reset goes with --output\n",
        None,
    )


def test_a_link_where_the_new_file_is_made_is_not_followed(file: Path, tmp_path: Path) -> None:
    """mon's user may own the folder, and lay a link for root to write through."""
    output, other = tmp_path / "mon.cf", tmp_path / "other"
    other.write_text("precious")
    (tmp_path / "mon.cf.new").symlink_to(other)
    assert run("mon-config", str(file), "--output", str(output)).status == 0
    assert other.read_text() == "precious"


def test_options_stand_behind_the_file_too(file: Path, tmp_path: Path) -> None:
    """As people write them; what is none is named there as well."""
    output = tmp_path / "mon.cf"
    assert run("mon-config", str(file), "--output", str(output)).status == 0
    done = run("start", str(file), "--uncheckd")
    assert (done.status, "--uncheckd" in done.stderr) == (3, True)


def test_one_mon_cf_is_for_several_files(file: Path, tmp_path: Path) -> None:
    """Each service names its own file; one that two files have is refused by its place."""
    other = tmp_path / "other.cf"
    other.write_text(MORE)
    text = run("mon-config", str(file), str(other)).stdout
    assert text.startswith(
        f"# mon.cf, written by lvs-director mon-config from {file} and {other}.\n"
    )
    assert text.count("\nwatch tcp-10.0.0.3-80\n") == text.count("\nwatch tcp-10.0.0.4-80\n") == 1
    assert text.count(f"LVSALERT_CONFIG={file}\n") == text.count(f"LVSALERT_CONFIG={other}\n") == 1
    other.write_text(MORE + WEB)
    done = run("mon-config", str(file), str(other))
    said = f"lvs-director: {other}:5: tcp 10.0.0.3:80: is in {file} too\n"
    assert (done.status, done.stdout, done.stderr) == (3, "", said)


def test_of_a_file_with_a_fault_the_accepted_text_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --accepted, and where it was accepted; the fault is told."""
    machine = Machine(tmp_path, monkeypatch)
    machine.write(WEB)
    text = machine.with_file("mon-config").stdout
    machine.write("nonsense\n")
    assert machine.with_file("mon-config", "--accepted").status == 3
    machine.write(WEB)
    machine.with_file("start", "--unchecked")
    machine.write("nonsense\n")
    assert machine.with_file("mon-config").status == 3
    done = machine.with_file("mon-config", "--accepted")
    assert (done.status, done.stdout) == (0, text)
    said = f"lvs-director: {machine.file}:1: 'nonsense' has no = behind it"
    assert done.stderr == f"{said}: what was accepted before goes on\n"


@pytest.fixture
def mon(folder: Path, file: Path) -> Iterator[Mon]:
    """The real mon on a mon.cf that was written for the file, which checks nothing."""
    made = Mon(folder / "mon", run("mon-config", str(file)).stdout, options=["-S"])
    with made:
        yield made


needs_mon = pytest.mark.skipif(shutil.which("mon") is None, reason="mon is not installed")


@needs_mon
def test_mon_reads_it_and_keeps_its_state(mon: Mon, file: Path) -> None:
    """A service that was added is there, and one that was disabled still is."""
    mon.command("disable watch tcp-10.0.0.3-80")
    file.write_text(WEB + MORE)
    options = ("--output", str(mon.file), "--reset", "--mon", mon.place)
    done = run("mon-config", str(file), *options)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1] == "read          by mon, which keeps its state"
    assert mon.command("list group tcp-10.0.0.4-80") == ["hostgroup tcp-10.0.0.4-80 192.0.2.1"]
    assert mon.command("list disabled") == ["watch tcp-10.0.0.3-80"]


@needs_mon
def test_mon_that_refuses_is_named(folder: Path, file: Path) -> None:
    """Whom auth.cf does not let reset it; the file is written."""
    mon = Mon(folder / "mon", run("mon-config", str(file)).stdout, options=["-S"])
    mon.allow("list")
    with mon:
        options = ("--output", str(mon.file), "--reset", "--mon", mon.place)
        done = run("mon-config", str(file), *options)
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.startswith(f"lvs-director: {mon.place}: mon refuses to be reset: 5")
    assert done.stderr.endswith(" (its auth.cf says who may)\n")


def test_mon_that_is_not_there_is_named(file: Path, tmp_path: Path) -> None:
    """The file is written all the same: what mon reads at its next start is right."""
    place, output = f"127.0.0.1:{free_port()}", tmp_path / "mon.cf"
    done = run("mon-config", str(file), "--output", str(output), "--reset", "--mon", place)
    assert done == (
        1,
        "",
        f"lvs-director: {place}: mon cannot be reached: connection refused\n",
        None,
    )
    assert output.exists()


def test_a_mon_cf_that_mon_finds_a_fault_in_is_taken_back(file: Path, tmp_path: Path) -> None:
    """The one before stands again, and mon is told once more.

    mon itself takes whatever mon-config writes, so that what it would say is said here.
    """
    output = tmp_path / "mon.cf"
    output.write_text("what runs\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        told = _refuse_once(server)
        done = run("mon-config", str(file), "--output", str(output), "--reset", "--mon", place)
        assert told.result() == ["reset keepstate", "reset keepstate"]
    said = f"{output}: mon finds a fault in it, as syslog says: put back"
    assert (done.status, done.stderr) == (1, f"lvs-director: {said}\n")
    assert output.read_text() == "what runs\n"


def _refuse_once(server: socket.socket) -> Future[list[str]]:
    def serve() -> list[str]:
        heard = []
        for answer in (
            b"520 reset PID 1@here failed, error in config file\n",
            b"220 reset PID 1@here\n",
        ):
            client, _ = server.accept()
            with client, client.makefile("rb") as lines:
                heard.append(lines.readline().decode().strip())
                client.sendall(answer)
        return heard

    pool = ThreadPoolExecutor(1)
    told = pool.submit(serve)
    pool.shutdown(wait=False)
    return told


VIA_CF = """\
virtual = 10.0.0.3:80
    real = 192.0.2.1 gate
    real = 192.0.2.2 gate
    service = http
    request = "/x"
virtual = 10.0.0.3:81
    real = 192.0.2.1:80 gate
    real = 192.0.2.2:80 gate
    service = http
    request = "/x"
    checkport = 80
virtual = 10.0.0.4:80
    real = 192.0.2.1 gate
    real = 192.0.2.2 gate
    service = http
    request = "/x"
virtual6 = [2001:db8::3]:25
    real6 = [2001:db8::11]:2525 masq
    service = smtp
virtual = 10.0.0.5:80
    real = 192.0.2.1 ipip
    checktype = connect
virtual = 10.0.0.6:80
    real = 192.0.2.1 ipip
    real = 192.0.2.2 gate
    checktype = connect
virtual = 7
    real = 192.0.2.1 gate
    checktype = connect
    checkport = 80
virtual = 10.0.0.7:80
    real = 192.0.2.1 gate
    checktype = ping
virtual = 10.0.0.8:21
    real = 192.0.2.1 gate
    service = ftp
    request = "/file"
virtual = 10.0.0.9:53
    real = 192.0.2.1 gate
    protocol = udp
    service = dns
    request = "www.example.com"
"""


def test_real_servers_are_asked_by_way_of_their_virtual_address(file: Path) -> None:
    """Services of one address go on sharing a watch; what cannot be asked so is said."""
    file.write_text(VIA_CF)
    plain, by_way = run("mon-config", str(file)), run("mon-config", "--via", str(file))
    assert by_way.status == 0, by_way.stderr
    assert "--via" not in plain.stdout + plain.stderr
    blocks = by_way.stdout.split("\nwatch ")[1:]
    found = {
        block.split()[0]: (
            re.findall(r" monitor \S+| --via \S+(?: --forwarding \S+)?", block.replace('"', "")),
            re.findall(r"VIRTUAL_SERVICE=(.*)", block),
        )
        for block in blocks
    }
    assert mon_cf.has_via(by_way.stdout)
    assert not mon_cf.has_via(plain.stdout)
    assert found == {
        "tcp-10.0.0.3-80": (
            [" monitor http.monitor", " --via 10.0.0.3"],
            ["10.0.0.3:80 10.0.0.3:81"],
        ),
        "tcp-10.0.0.4-80": ([" monitor http.monitor", " --via 10.0.0.4"], ["10.0.0.4:80"]),
        "tcp-2001.db8..3-25": (
            [" monitor smtp.monitor", " --via [2001:db8::3]:25 --forwarding nat"],
            ["[2001:db8::3]:25"],
        ),
        "tcp-10.0.0.5-80": (
            [" monitor tcp.monitor", " --via 10.0.0.5 --forwarding tun"],
            ["10.0.0.5:80"],
        ),
        "tcp-10.0.0.6-80": ([" monitor tcp.monitor"], ["10.0.0.6:80"]),
        "fwm-7": ([" monitor tcp.monitor"], ["7"]),
        "tcp-10.0.0.7-80": ([" monitor fping.monitor"], ["10.0.0.7:80"]),
        "tcp-10.0.0.8-21": ([" monitor ftp.monitor"], ["10.0.0.8:21"]),
        "udp-10.0.0.9-53": ([" monitor dns.monitor", " --via 10.0.0.9"], ["10.0.0.9:53"]),
    }
    assert set(by_way.stderr.splitlines()) - set(plain.stderr.splitlines()) == {
        f"lvs-director: {file}:{line}: {virtual}: the real servers are asked themselves: {reason}"
        for line, virtual, reason in (
            (23, "tcp 10.0.0.6:80", "the kernel sends to them in different ways"),
            (27, "fwm 7", "a firewall mark has no virtual address"),
            (31, "tcp 10.0.0.7:80", "fping.monitor knows no --via"),
            (34, "tcp 10.0.0.8:21", "ftp.monitor knows no --via with a log-in"),
        )
    }
