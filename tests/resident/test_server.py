"""Plug-ins that hand their calls to the resident process, and what becomes of them."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lvsalert import standin
from lvsalert.resident import wire
from lvsalert.resident.server import in_order
from tests.harness.misbehaving import Client, Misbehaving, refusing, replies
from tests.harness.places import CHECKOUT, is_root, open_folder
from tests.harness.resident import Call, Resident
from tests.harness.table_file import TableFile
from tests.harness.waiting import patience, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD = b"HTTP/1.1 200 OK\r\n\r\nhello"
HOSTS = " ".join(f"192.0.2.{number}" for number in range(1, 11))
TIMES = re.compile(r"\d+\.\d{3} s|(start|end) time.*|duration .*")


@pytest.fixture
def resident() -> Iterator[Resident]:
    """A resident process with a socket of its own."""
    with open_folder() as folder, Resident(folder) as made:
        yield made


def told(result: tuple[int, str, str]) -> tuple[int, str, str]:
    """Return a result without its times."""
    status, stdout, stderr = result
    return status, TIMES.sub("", stdout), stderr


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("http.monitor", ["-t", "5"]),
        ("http.monitor", ["-t", "5", "-m", "nothing like it"]),
        ("http.monitor", ["-t", "5", "--follow"]),
        ("tcp.monitor", ["-t", "5"]),
        ("smtp.monitor", ["-t", "5"]),
        ("tcp.monitor", ["--nonsense"]),
        ("tcp.monitor", ["--version"]),
    ],
)
def test_a_run_says_what_it_says_by_itself(
    resident: Resident, program: str, words: list[str]
) -> None:
    """Status and every word are the same, of a living and of a dead host."""
    with Misbehaving(replies(GOOD), "127.0.0.1") as web, refusing("127.0.0.2"):
        words = [*words, "-p", str(web.port), "127.0.0.1", "127.0.0.2"]
        for _ in range(2):
            assert told(Call(resident, program, *words).result) == told(
                Call(None, program, *words).result
            )
    # One process has made them all.
    assert len(resident.workers()) == 1


def test_surroundings_are_the_plug_ins(resident: Resident, tmp_path: Path) -> None:
    """Environment and working directory are those of the call, and of no call before it."""
    for number, weight in ((1, "7"), (2, "")):
        folder = tmp_path / str(number)
        folder.mkdir()
        table = Table(folder)
        environment = {**table.environment, "LVSALERT_STATE_DIR": "state"}
        environment |= {"MON_ALERTTYPE": "up"}
        environment |= {"LVSALERT_WEIGHT": weight} if weight else {}
        words = ["-s", "http", "-g", "www", "-h", "192.0.2.1", "-t", "5", "-u"]
        call = Call(resident, "lvs.alert", *words, environment=environment, folder=folder)
        assert call.result[0] == 0
        assert f"-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w {weight or 1}" in table.kernel.rules
        assert (folder / "state" / "ledger.db").exists()
    assert len(resident.workers()) == 1


class Table:
    """A table and lvs.alert on it, as mon runs it."""

    def __init__(self, folder: Path) -> None:
        """Begin with an empty service."""
        self.kernel = TableFile(folder / "table")
        self.kernel.fill("-A -t 10.0.0.3:80 -s wlc")
        program = folder / "ipvsadm"
        standin.write_executable(str(program), str(self.kernel.path))
        state = folder / "state"
        state.mkdir()
        self.environment = {
            "LVSALERT_IPVSADM": str(program),
            "LVSALERT_STATE_DIR": str(state),
            "LVSALERT_VIRTUAL_SERVICE": "10.0.0.3:80",
            "LVSALERT_LOCK_TIMEOUT": "300",
            "LVSALERT_IPVSADM_TIMEOUT": "300",
        }

    def alert(self, resident: Resident | None, failed: str, time: int) -> Call:
        """Start an alert: these hosts of ten have failed."""
        event = "failure" if failed else "up"
        words = ["-s", "http", "-g", "www", "-h", HOSTS, "-t", str(time)]
        return Call(
            resident,
            "lvs.alert",
            *words,
            *([] if failed else ["-u"]),
            stdin=f"{failed}\n",
            environment={**self.environment, "MON_ALERTTYPE": event, "MON_RETVAL": "1"},
        )

    @property
    def serving(self) -> str:
        """The real servers in the table."""
        entries = [rule.split()[4] for rule in self.kernel.rules if rule.startswith("-a")]
        return " ".join(each.removesuffix(":80") for each in entries)


def test_what_opens_descriptors_is_taken_last() -> None:
    """None gets the number of one whose news is still to be taken, and with it the news."""
    assert in_order([3, 7, 4, 9, 5, 8], new={7: None, 5: None}, opening=(3, 9)) == [
        *[4, 8],
        *[7, 5],
        *[3, 9],
    ]


def test_an_alert_has_its_standard_input(resident: Resident, tmp_path: Path) -> None:
    """The summary that mon writes there decides."""
    table = Table(tmp_path)
    assert table.alert(resident, "", 1000).result[0] == 0
    assert table.serving == HOSTS
    status, stdout, _ = table.alert(resident, HOSTS[: len(HOSTS) - 11], 1010).result
    assert (status, stdout.count("is out")) == (0, 9)
    assert table.serving == "192.0.2.10"


def test_people_s_programs_run_outside(resident: Resident, tmp_path: Path) -> None:
    """What the director's file has run is run by the plug-in itself, once."""
    table, noted = Table(tmp_path), tmp_path / "noted"
    script = tmp_path / "told"
    script.write_text(f"#!/bin/sh\necho $1 $PPID >>{noted}\n")
    script.chmod(0o755)
    (tmp_path / "www.cf").write_text(
        f"fallbackcommand = {script}\nvirtual = 10.0.0.3:80\n"
        + "".join(f"    real = {host}:80 gate\n" for host in HOSTS.split())
        + "    checktype = connect\n"
    )
    table.environment["LVSALERT_CONFIG"] = str(tmp_path / "www.cf")
    for failed, times in ((HOSTS, 1), (HOSTS, 1), ("", 2)):
        call = table.alert(resident, failed, 1000 + times)
        assert call.result[0] == 0
        lines = noted.read_text().splitlines()
        assert len(lines) == times
        if failed == "":
            assert lines[-1] == f"stop {call.process.pid}"


def test_what_a_person_calls_runs_by_itself(resident: Resident, tmp_path: Path) -> None:
    """An alert by hand is the person's, with the person's name and rights."""
    table = Table(tmp_path)
    words = ["-u", "-R", "192.0.2.1"]
    call = Call(resident, "lvs.alert", *words, environment=table.environment)
    assert call.result[0] == 0
    assert table.serving == "192.0.2.1"
    assert resident.workers() == []


@pytest.mark.skipif(not is_root(), reason="needs root, to be another user")
def test_a_call_of_another_user_runs_by_itself(resident: Resident) -> None:
    """Root's does too, where the resident is mon's."""
    shutil.chown(resident.path, "nobody")
    assert Call(resident, "tcp.monitor", "--version").result[0] == 0
    assert resident.workers() == []


def test_a_state_directory_that_is_closed_to_it_is_the_plug_ins(
    resident: Resident, tmp_path: Path
) -> None:
    """The sandbox may do so: the plug-in then does what it does without a resident."""
    table = Table(tmp_path)
    (tmp_path / "state" / "lock").mkdir()
    call = table.alert(resident, "", 1000)
    assert call.result[0] == 0
    assert table.serving == HOSTS
    # It was asked, and gave it back.
    resident.wait_for_workers(1)


def test_an_expression_that_explodes_stops_nobody(resident: Resident) -> None:
    """It is broken off after its time, and others go on meanwhile."""
    page = b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 64 + b"!"
    with Misbehaving(replies(page), "127.0.0.1") as web:
        at = ("-p", str(web.port), "127.0.0.1")
        slow = Call(resident, "http.monitor", "-t", "2", "-m", "(a+)+$", *at)
        resident.wait_for_workers(1)
        for _ in range(3):
            assert Call(resident, "http.monitor", "-t", "60", *at).result[0] == 0
        assert slow.process.poll() is None
        status, stdout, _ = slow.result
    assert (status, stdout) == (3, "\nhttp.monitor: ended by SIGALRM\n")


def hanging(client: Client) -> None:
    """Take a request and say nothing."""
    client.hangs_up()


def test_a_plug_in_that_ends_ends_its_run(resident: Resident) -> None:
    """mon's TERM reaches the run: its connection to the server is closed, and 3 comes back."""
    over = threading.Event()

    def watched(client: Client) -> None:
        client.hangs_up()
        over.set()

    with Misbehaving(watched, "127.0.0.1") as web:
        call = Call(resident, "http.monitor", "-t", "900", "-p", str(web.port), "127.0.0.1")
        wait_until(lambda: web.heard, "the server is asked")
        call.process.send_signal(signal.SIGTERM)
        assert call.result == (3, "\nhttp.monitor: ended by SIGTERM\n", "")
        assert over.wait(patience())
        resident.wait_for_workers(0)


# What a run may leave behind, by what its environment asks for.
_LEAVE = """
import threading
from lvsalert.commands import tcp_monitor
plain = tcp_monitor.run
def run(argv, environ, stdin):
    if environ.get("LEAVE") == "memory":
        tcp_monitor.left = b"x" * (64 << 20)
    if environ.get("LEAVE") == "thread":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    if environ.get("LEAVE") == "bug":
        raise RecursionError("too deep")
    return plain(argv, environ, stdin)
tcp_monitor.run = run
"""


@pytest.mark.parametrize(
    ("left", "says", "stays"),
    [
        ("nothing", "\nlvsalert ", True),
        ("bug", "\ntcp.monitor: a bug: RecursionError: too deep", True),
        ("memory", "\nlvsalert ", False),
        ("thread", "\nlvsalert ", False),
    ],
)
def test_what_a_run_leaves_behind_ends_with_its_process(left: str, says: str, stays: bool) -> None:
    """The next run finds a process without it, and the same one where nothing was left."""
    with open_folder() as folder, Resident(folder, before=_LEAVE) as resident:
        environment = {"LEAVE": left, "MON_SERVICE": "tcp"}
        call = Call(resident, "tcp.monitor", "--version", environment=environment)
        _, stdout, _ = call.result
        assert stdout.startswith(says)
        if not stays:
            resident.wait_for_workers(0)
        known = resident.workers()
        assert Call(resident, "tcp.monitor", "--version").result[0] == 0
        assert len(known) == stays
        assert len(resident.wait_for_workers(1)) == 1
        assert not stays or resident.workers() == known


@pytest.mark.parametrize("victim", ["run", "resident", "both"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_run_that_is_killed_is_made_again(
    resident: Resident, victim: str, number: signal.Signals
) -> None:
    """The plug-in runs the command itself, and nobody but its server notices."""
    asked = 0

    def first_hangs(client: Client) -> None:
        nonlocal asked
        asked += 1
        if asked == 1 and victim != "resident":
            client.hangs_up()
        else:
            client.request()
            go_on.wait(patience())
            client.send(GOOD)

    go_on = threading.Event()
    with Misbehaving(first_hangs, "127.0.0.1") as web:
        call = Call(resident, "http.monitor", "-t", "900", "-p", str(web.port), "127.0.0.1")
        wait_until(lambda: web.heard, "the server is asked")
        (worker,) = resident.wait_for_workers(1)
        if victim != "run":
            os.kill(resident.program.pid, number)
        if victim != "resident":
            os.kill(worker, number)
        go_on.set()
        status, stdout, stderr = call.result
    assert (status, stdout.splitlines()[0], stderr) == (0, "", "")
    assert stdout.count("HOST 127.0.0.1: ok") == 1
    assert asked == (1 if victim == "resident" else 2)


@pytest.mark.parametrize("way", ["absent", "empty", "stale", "no socket", "silent"])
def test_without_a_resident_a_plug_in_runs_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Whatever is at the socket's place, or nothing."""
    path = tmp_path / "socket"
    listener = socket.socket(socket.AF_UNIX)
    if way == "stale":
        listener.bind(str(path))
    elif way == "no socket":
        path.write_text("")
    elif way == "silent":
        listener.bind(str(path))
        listener.listen()
    where = "" if way == "empty" else str(path)
    with listener, Misbehaving(replies(GOOD), "127.0.0.1") as web:
        words = ["-p", str(web.port), "127.0.0.1"]
        call = Call(None, "http.monitor", *words, environment={"LVSALERT_SOCKET": where})
        status, stdout, stderr = call.result
    assert (status, stdout.splitlines()[0], stderr) == (0, "", "")


def spoken(path: Path, *parts: bytes) -> bytes:
    """Send a message, and return all that comes back."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(wire.pack(list(parts)))
        heard = b""
        # It may hang up before it has read all.
        with contextlib.suppress(ConnectionResetError):
            while piece := sock.recv(4096):
                heard += piece
    return heard


@pytest.mark.parametrize(
    "parts",
    [
        (b"nonsense",),
        (),
        (b"%s", b"rm", b"/", b"", b"1", b"rm"),
        (b"%s", b"http.monitor", b"/nonexistent", b"", b"1", b"http.monitor"),
        (b"%s", b"http.monitor", b"/", b"", b"x", b"http.monitor"),
    ],
)
def test_what_is_no_call_gets_no_answer(resident: Resident, parts: tuple[bytes, ...]) -> None:
    """And the next one does."""
    from lvsalert import __version__

    sent = [__version__.encode() if part == b"%s" else part for part in parts]
    if parts == (b"nonsense",):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(resident.path))
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
    else:
        # It may be taken before it is looked at, and then there is no answer.
        assert spoken(resident.path, *sent) in (b"", wire.TAKEN)
    assert Call(resident, "tcp.monitor", "--version").result[0] == 0


def test_a_plug_in_of_another_version_runs_by_itself(resident: Resident) -> None:
    """And the resident ends, so that systemd starts the new one with the next call."""
    parts = (b"0.0.0", b"tcp.monitor", b"/", b"", b"2", b"tcp.monitor", b"--version")
    assert spoken(resident.path, *parts) == b""
    wait_until(lambda: resident.program.status == 0, lambda: resident.program.output)


@pytest.mark.skipif(not is_root(), reason="needs root, to be another user")
def test_another_user_is_refused(resident: Resident) -> None:
    """Even one whom the socket's mode lets in is told by the kernel, and gets no answer."""
    resident.path.chmod(0o777)
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        " sys.exit(len(s.recv(1)))"
    )
    argv = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "/usr/bin/python3"]
    done = subprocess.run([*argv, "-c", code, str(resident.path)], check=False, timeout=patience())
    assert done.returncode == 0
    assert resident.workers() == []


def test_a_second_resident_is_refused(resident: Resident) -> None:
    """One that is asked to listen where one listens says so, with status 1."""
    argv = [*resident.program.argv]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=patience())
    said = f"lvs-director: {resident.path}: Address already in use\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_term_ends_it_when_its_runs_are_over(resident: Resident) -> None:
    """What it has taken it brings to its end, and takes nothing more."""
    go_on = threading.Event()

    def waits(client: Client) -> None:
        client.request()
        go_on.wait(patience())
        client.send(GOOD)

    with Misbehaving(waits, "127.0.0.1") as web:
        call = Call(resident, "http.monitor", "-t", "900", "-p", str(web.port), "127.0.0.1")
        wait_until(lambda: web.heard, "the server is asked")
        resident.program.signal(signal.SIGTERM)

        def refuses() -> bool:
            with socket.socket(socket.AF_UNIX) as sock:
                return sock.connect_ex(str(resident.path)) != 0

        wait_until(refuses, "it takes no more calls")
        assert resident.program.runs
        go_on.set()
        assert call.result[0] == 0
    wait_until(lambda: resident.program.status == 0, lambda: resident.program.output)


def test_a_hundred_alerts_and_a_resident_that_is_killed(tmp_path: Path) -> None:
    """Killed at random moments and started again, it loses none: the last state decides."""
    choose = random.Random(11)
    table = Table(tmp_path)
    resident = Resident(tmp_path)
    calls = []
    with resident:
        for number in range(100):
            failed = " ".join(choose.sample(HOSTS.split(), choose.choice([0, 1, 3, 10])))
            calls.append(table.alert(resident, failed, 1000 + number))
            if number % 20 == 10:
                if choose.random() < 0.5:
                    os.kill(resident.program.pid, signal.SIGKILL)
                resident.program.kill()
                resident.start()
        last = table.alert(resident, "192.0.2.3 192.0.2.7", 2000)
        for call in (*calls, last):
            status, _, stderr = call.result
            assert (status, stderr) == (0, "")
        wanted = [each for each in HOSTS.split() if each not in ("192.0.2.3", "192.0.2.7")]
        assert table.serving == " ".join(wanted)


def test_systemd_hands_the_socket_over_and_is_told(tmp_path: Path) -> None:
    """By sd_listen_fds(3) and sd_notify(3): ready, alive as often as asked, and at the end."""
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(patience())
        argv = [
            "systemd-socket-activate",
            *("--listen", str(tmp_path / "socket")),
            *("--setenv", f"NOTIFY_SOCKET={tmp_path / 'notify'}"),
            *("--setenv", "WATCHDOG_USEC=300000"),
            *(
                sys.executable,
                "-c",
                "from lvsalert.commands.stub import lvs_director; lvs_director()",
            ),
            *("serve", "--socket", "/nowhere"),
        ]
        if shutil.which(argv[0]) is None:
            pytest.skip("systemd-socket-activate is not installed")
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL, cwd=CHECKOUT) as started:
            wait_until((tmp_path / "socket").exists, "it listens")
            resident = Resident(tmp_path)
            assert Call(resident, "tcp.monitor", "--version").result[0] == 0
            while heard.count("WATCHDOG=1") < 3:
                heard.append(notify.recv(100).decode())
            started.send_signal(signal.SIGTERM)
            while heard[-1] != "STOPPING=1":
                heard.append(notify.recv(100).decode())
            assert started.wait(patience()) == 0
    assert heard[0] == "READY=1"
