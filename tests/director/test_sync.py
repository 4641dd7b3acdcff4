"""lvs-director sync: ledger and table are brought to what mon says on its own port."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.commands import lvs_director
from lvsalert.ledger.ledger import Ledger
from lvsalert.mon import client
from tests.harness.alerts import Director
from tests.harness.mon import Mon
from tests.harness.places import free_port, is_root
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

ONE, TWO, THREE = "192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"
WEB = "tcp 10.0.0.3:80"
HOSTS = "192.0.2.1 192.0.2.2 192.0.2.3"
IN = "-g -w 5"
ALL = {ONE: IN, TWO: IN, THREE: IN}
OPTIONS = ("-W", "5", "--scheduler", "wlc")
VARIABLE = "LVSALERT_PASSWORD"

LOOK_UP: Any = socket.getaddrinfo


class Syncing(Director):
    """A director that asks mon."""

    def sync(self, mon: str, *options: str, **environ: str) -> Outcome:
        """Run lvs-director sync against mon at an address."""
        argv = ["sync", "--mon", mon, *options]
        return lvs_director.run(argv, {**self.environ, **environ}, lambda: "")

    def reasons(self, real: str) -> dict[str, str]:
        """Return what keeps a real server of the web service out, and why."""
        ledger = Ledger.open_to_read(str(self.state))
        try:
            found = ledger.causes(WEB)
        finally:
            ledger.close()
        address, port = real.rsplit(":", 1)
        return {each.cause: each.reason for each in found.get((address, int(port)), [])}

    def _look_up(
        self, name: str, port: object, family: int = 0, *more: object
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        # mon is really asked.
        if port is not None:
            return LOOK_UP(name, port, family, *more)
        return super()._look_up(name, port, family, *more)

    @property
    def whole(self) -> tuple[list[str], list[tuple[str, str]]]:
        """The table, and all causes."""
        causes = [(each, str(self.reasons(each))) for each in ALL]
        return self.kernel.rules, causes


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Syncing:
    """A director whose web service of three real servers one check of www/http has put in."""
    made = Syncing(tmp_path, monkeypatch)
    made.by_mon("up", "", *OPTIONS)
    assert made.servers == ALL
    return made


# mon, played: what it says is in the hands of the test.


@contextlib.contextmanager
def played(answer: Callable[[str], str | None]) -> Iterator[str]:
    """Give the address of a mon that answers each line with a text, and hangs up at None."""
    stopped = threading.Event()

    def serve() -> None:
        while not stopped.is_set():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
                for line in stream:
                    text = answer(line.decode().rstrip("\n"))
                    if text is None:
                        break
                    connection.sendall(text.encode("latin-1"))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"{host}:{port}"
        finally:
            stopped.set()
            socket.create_connection((host, port)).close()
            thread.join()


def says(
    status: str = "", *, hosts: str | None = HOSTS, disabled: str = ""
) -> Callable[[str], str]:
    """Return a mon that knows www/http with this status, or without one nothing."""

    def answer(line: str) -> str:
        if line == "list opstatus":
            known = f"group=www service=http {status}\n" if status else ""
            return f"{known}220 list opstatus completed\n"
        if line == "list disabled":
            return f"{disabled}220 list disabled completed\n"
        if line == "list group www" and hosts is not None:
            return f"hostgroup www {hosts}\n220 list group completed\n"
        return "520 list group error, undefined group\n"

    return answer


FAILS = "opstatus=0 exitval=1 last_success=0 last_summary={} last_detail={} last_failure={}"


def fails(director: Director, summary: str, detail: str = "") -> str:
    """Return the status of a check that failed a minute after the last alert."""
    return FAILS.format(summary, detail, director.time + 60)


def test_failure_takes_out(director: Syncing) -> None:
    """The hosts of mon's last summary are out, with the reasons of its detail."""
    detail = r"\0aHOST\20192.0.2.2:\20timed\20out\20after\203\20s\20(3.001\20s,\20192.0.2.2:80)\0a"
    with played(says(fails(director, "192.0.2.2", detail))) as mon:
        done = director.sync(mon)
    assert done.stdout.splitlines() == [
        f"www/http: {WEB}: fail in mon",
        f"www/http: {WEB}: {TWO} was dr weight 5, is out: timed out after 3 s",
    ]
    assert (done.status, done.stderr) == (0, "")
    assert director.servers == {ONE: IN, THREE: IN}
    assert director.reasons(TWO) == {"www/http": "timed out after 3 s"}


def test_empty_table_is_filled(director: Syncing) -> None:
    """After a restart of everything the service is made again, with the options of the last run."""
    director.kernel.fill("")
    with played(says(fails(director, r"192.0.2.1\20192.0.2.3"))) as mon:
        assert director.sync(mon).status == 0
    assert director.kernel.rules[0] == "-A -t 10.0.0.3:80 -s wlc"
    assert director.servers == {TWO: IN}


def test_services_of_a_file_are_asked_for_too(director: Syncing, tmp_path: Path) -> None:
    """A service that no run was seen of yet is known from the director's file."""
    file = tmp_path / "www.cf"
    reals = "".join(f"    real = {host}:81 gate 7\n" for host in HOSTS.split())
    file.write_text(f"virtual = 10.0.0.3:81\n    checktype = connect\n{reals}")

    def answer(line: str) -> str:
        if line == "list opstatus":
            status = fails(director, "192.0.2.2")
            return f"group=tcp-10.0.0.3-81 service=connect {status}\n220 list opstatus completed\n"
        if line == "list group tcp-10.0.0.3-81":
            return f"hostgroup tcp-10.0.0.3-81 {HOSTS}\n220 list group completed\n"
        return says("", hosts=None)(line)

    with played(answer) as mon:
        done = director.sync(mon, "--config", str(file))
    assert (done.status, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"www/http: {WEB}: mon does not know this service, nothing changed"
    assert lines[1] == "tcp-10.0.0.3-81/connect: tcp 10.0.0.3:81: fail in mon"
    assert [rule for rule in director.kernel.rules if ":81" in rule] == [
        "-A -t 10.0.0.3:81 -s wrr",
        "-a -t 10.0.0.3:81 -r 192.0.2.1:81 -g -w 7",
        "-a -t 10.0.0.3:81 -r 192.0.2.3:81 -g -w 7",
    ]


def test_success_puts_in(director: Syncing) -> None:
    """A service that mon finds well loses its causes, and its servers are in."""
    director.by_mon("failure", "192.0.2.1 192.0.2.2", *OPTIONS)
    well = f"opstatus=1 exitval=0 last_success={director.time + 60} last_summary= last_detail="
    with played(says(well)) as mon:
        assert director.sync(mon).status == 0
    assert director.servers == ALL
    assert director.reasons(ONE) == {}


def test_second_sync_changes_nothing(director: Syncing) -> None:
    """Where ledger and table are as mon says, they stay, and that is said."""
    with played(says(fails(director, "192.0.2.2"))) as mon:
        director.sync(mon)
        before, batches = director.whole, director.batches
        said = f"www/http: {WEB}: fail in mon\nnothing to change\n"
        assert director.sync(mon).stdout == said
    assert (director.whole, director.batches) == (before, batches)


def test_operators_cause_is_kept(director: Syncing) -> None:
    """What a person took out stays out, whatever mon says."""
    director.by_hand("-R", "192.0.2.3")
    well = f"opstatus=1 exitval=0 last_success={director.time + 60} last_summary= last_detail="
    with played(says(well)) as mon:
        director.sync(mon)
    assert director.servers == {ONE: IN, TWO: IN}


def test_every_run_is_synced(director: Syncing) -> None:
    """Each service and each single real server that a source speaks for gets its call."""
    director.by_mon("up", "", "-V", "10.0.0.3:81", "--scheduler", "rr", "-R", "192.0.2.7")
    with played(says(fails(director, "192.0.2.2"))) as mon:
        lines = director.sync(mon).stdout.splitlines()
    assert [line for line in lines if line.endswith(" in mon")] == [
        f"www/http: {WEB}: fail in mon",
        "www/http: tcp 10.0.0.3:81: fail in mon",
    ]
    assert director.servers == {ONE: IN, THREE: IN}
    assert director.servers_of("-t 10.0.0.3:81") == {}


@pytest.mark.parametrize(
    ("mon_says", "told"),
    [
        (says("opstatus=7 exitval= last_summary="), "untested in mon, nothing changed"),
        (says("opstatus=5 exitval="), "unknown in mon, nothing changed"),
        (says("opstatus=2"), "coldstart in mon, nothing changed"),
        (says("opstatus=99"), "99 in mon, nothing changed"),
        (says(), "mon does not know this service, nothing changed"),
        (says("opstatus=0", hosts=None), "mon does not know this service, nothing changed"),
        (says("opstatus=0", disabled="watch www\n"), "disabled in mon, nothing changed"),
        (
            says("opstatus=0", disabled="watch www service http\n"),
            "disabled in mon, nothing changed",
        ),
    ],
)
def test_without_a_verdict_nothing_is_changed(
    director: Syncing, mon_says: Callable[[str], str], told: str
) -> None:
    """What mon has not tested, does not test or does not know moves no real server."""
    before = director.whole
    with played(mon_says) as mon:
        done = director.sync(mon)
    assert done == (0, f"www/http: {WEB}: {told}\n", "", None)
    assert director.whole == before


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("opstatus=0 exitval=3 last_summary=(NO\\20SUMMARY)", "the monitor could not tell"),
        ("opstatus=0 exitval=1 last_summary=(NO\\20SUMMARY)", "the summary names no host"),
    ],
)
def test_failure_without_a_verdict(director: Syncing, status: str, told: str) -> None:
    """A monitor that could not tell, or named no host, takes nobody out here either."""
    before = director.whole
    with played(says(status)) as mon:
        assert told in director.sync(mon).stdout
    assert director.whole == before


def test_disabled_things_of_others_do_not_matter(director: Syncing) -> None:
    """Another watch that is disabled, and a host that is, leave the service's verdict."""
    disabled = "group www: 192.0.2.3\nwatch ftp\nwatch www service ping\n"
    hosts = "192.0.2.1 192.0.2.2 *192.0.2.3"
    status = fails(director, r"192.0.2.2")
    with played(says(status, hosts=hosts, disabled=disabled)) as mon:
        director.sync(mon)
    assert director.servers == {ONE: IN, THREE: IN}


def test_own_ipvsadm_is_used(director: Syncing) -> None:
    """--ipvsadm of sync takes the place of the one that the last run had."""
    director.by_mon("up", "", *OPTIONS, "--ipvsadm", "/absent/ipvsadm")
    program = director.use('exec "$honest" "$@"')
    director.environ.pop("LVSALERT_IPVSADM")
    with played(says(fails(director, "192.0.2.2"))) as mon:
        assert "cannot run /absent/ipvsadm" in director.sync(mon).stderr
        assert director.servers == ALL
        assert director.sync(mon, "--ipvsadm", program).stderr == ""
    assert director.servers == {ONE: IN, THREE: IN}


def never(_line: str) -> None:
    """Hang up."""


def silent(_line: str) -> str:
    """Say nothing, and stay."""
    return ""


def endless(_line: str) -> str:
    """Say more than mon ever would."""
    return "x" * (1 << 27)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (never, "mon hung up without an answer (its clientallow says who may ask)"),
        (silent, "mon did not answer in 0.3 s"),
        (endless, "this is not mon: its answer has no end"),
        (
            lambda _: "520 sorry\n",
            "mon refuses 'list opstatus': 520 sorry (its auth.cf says who may list)",
        ),
    ],
)
def test_mon_that_does_not_tell(
    director: Syncing, answer: Callable[[str], str | None], told: str
) -> None:
    """One line names mon's place and what is wrong, the status is 1, and nothing is changed."""
    before = director.whole
    timeout = "0.3" if answer is silent else "30"
    with played(answer) as mon:
        done = director.sync(mon, "--mon-timeout", timeout)
        assert done == (1, "", f"lvs-director: {mon}: {told}\n", None)
    assert director.whole == before


@pytest.mark.parametrize("line", ["opstatus=x", "hello world"])
def test_answer_that_is_none_of_mons(director: Syncing, line: str) -> None:
    """A list that cannot be read is one line, and nothing is changed."""
    before = director.whole
    with played(says(line)) as mon:
        done = director.sync(mon)
    assert (done.status, done.stdout) == (1, "")
    assert "mon's list opstatus cannot be read" in done.stderr
    assert director.whole == before


def test_mon_that_is_not_there(director: Syncing) -> None:
    """Where nothing listens, the place is named."""
    place = f"127.0.0.1:{free_port()}"
    told = f"lvs-director: {place}: mon cannot be reached: connection refused\n"
    assert director.sync(place) == (1, "", told, None)


def test_password_is_told(director: Syncing, tmp_path: Path) -> None:
    """The user logs in before anything is asked, with a password of a file or the environment."""
    heard: list[str] = []

    def answer(line: str) -> str:
        heard.append(line)
        return "220 login accepted\n" if line.startswith("login ") else says()(line)

    file = tmp_path / "password"
    file.write_text("secret word\nanother line\n")
    with played(answer) as mon:
        director.sync(mon, "--user", "bob", "--password-file", str(file))
        director.sync(mon, "--user", "bob", **{VARIABLE: "other"})
        director.sync(mon)
    logins = [line for line in heard if line.startswith("login")]
    assert heard[0] == "login bob secret word"
    assert logins == ["login bob secret word", "login bob other"]


@pytest.mark.parametrize(
    ("user", "password", "told"),
    [
        ("bob", "wrong", "mon refuses to let 'bob' in: 530 login unsuccessful"),
        ("bob x", "", "mon takes no user with a blank and no password with a line's end"),
        ("bob", "two\nlines", "LVSALERT_PASSWORD: the password holds the end of a line"),
    ],
)
def test_login_that_fails(director: Syncing, user: str, password: str, told: str) -> None:
    """A user whom mon does not let in, or cannot be told of, is one line without the password."""
    with played(lambda _: "530 login unsuccessful\n") as mon:
        done = director.sync(mon, "--user", user, **{VARIABLE: password})
    assert done.status in (1, 3)
    assert done.stderr.endswith(f"{told}\n")
    assert not password or password not in done.stderr


def test_password_file_that_is_not_there(director: Syncing) -> None:
    """A password file that cannot be read is named, as the monitors name it; so is none at all."""
    told = "lvs-director: --password-file: '/absent/file': No such file or directory\n"
    done = director.sync("127.0.0.1", "--user", "bob", "--password-file", "/absent/file")
    assert done == (3, "", told, None)
    told = "lvs-director: --user needs a password: --password-file FILE or LVSALERT_PASSWORD\n"
    assert director.sync("127.0.0.1", "--user", "bob") == (3, "", told, None)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("127.0.0.1:0", "'0' is not a port: 1 to 65535 or a tcp name of /etc/services"),
        ("a b", "'a b' is not an address: write host or host:port"),
    ],
)
def test_bad_place_is_named(director: Syncing, place: str, told: str) -> None:
    """What is no host and port is one line, and status 3."""
    assert director.sync(place) == (3, "", f"lvs-director: --mon: {told}\n", None)


def test_port_may_be_left_out() -> None:
    """mon's own port is 2583."""
    assert client.parse_address("mon.example") == ("mon.example", 2583)
    assert client.parse_address("[2001:db8::1]:99") == ("2001:db8::1", 99)


def test_nothing_to_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a ledger, and with one that knows no run, mon is not even asked."""
    director = Syncing(tmp_path, monkeypatch)
    done = director.sync("127.0.0.1:1")
    told = f"lvs-director: {director.state}/ledger.db: No such file or directory\n"
    assert done == (1, "", told, None)
    Ledger.open(str(director.state)).close()
    done = director.sync("127.0.0.1:1")
    told = f"{director.state}: lvs.alert has not been run by mon yet: nothing to ask for"
    assert done == (1, "", f"lvs-director: {told}\n", None)


@given(st.binary())
def test_what_mon_escapes_comes_back(said: bytes) -> None:
    """Every byte that mon escapes is read back."""

    def escaped(byte: int) -> str:
        if byte <= 32 or byte > 126 or byte in b"\"'":
            return f"\\{byte:02x}"
        return "\\\\" if byte == ord("\\") else chr(byte)

    text = client.unescape("".join(map(escaped, said)))
    assert text == said.decode("utf-8", "surrogateescape")


# The real mon.

needs_mon = pytest.mark.skipif(
    not is_root() or shutil.which("mon") is None, reason="needs root and mon"
)
PASSWORD = "secret word"  # noqa: S105
HASHED = (
    "$6$abcdefgh$LD3B9uQazUr5JO40TJP6MCHMIO4iy9k4k8wtwFKc/2c.J3/D5xE/lc1u40jG/"
    "wrBUnUYu3FRVho1G9GJagdAs/"
)
# No alert: what mon finds is told to nobody but who asks.
CONFIGURATION = """
mondir = {folder}/mon.d
authtype = userfile
userfile = {folder}/users

hostgroup www 192.0.2.1 192.0.2.2 192.0.2.3

watch www
    service http
        interval 1s
        monitor played.monitor
        period wd {{Sun-Sat}}
"""


class Watching:
    """The real mon with a monitor that says what the test wants."""

    def __init__(self, folder: Path) -> None:
        """Lay out what mon needs; everything is well at first."""
        self._output = folder / "output"
        monitor = folder / "mon.d" / "played.monitor"
        monitor.parent.mkdir()
        monitor.write_text(f"#!/bin/sh\ncat {self._output}\ntest ! -s {self._output}\n")
        monitor.chmod(0o755)
        (folder / "users").write_text(f"bob: {HASHED}\n")
        self._output.write_text("")
        self.mon = Mon(folder / "mon", CONFIGURATION.format(folder=folder))
        self._folder = folder

    def only_for(self, user: str) -> None:
        """Let only this user list; mon reads that when it starts."""
        (self._folder / "mon" / "auth.cf").write_text(f"list: {user}\n")

    def find(self, output: str) -> None:
        """Let the monitor print this, and fail where it is something."""
        beside = self._output.with_name("new")
        beside.write_text(output)
        beside.replace(self._output)

    @property
    def place(self) -> str:
        """Where mon takes commands."""
        return f"127.0.0.1:{self.mon._port}"


@pytest.fixture
def watching(folder: Path) -> Watching:
    """A mon that is not started yet."""
    return Watching(folder)


@needs_mon
def test_real_mon_is_followed(director: Syncing, watching: Watching) -> None:
    """A lost table is made as mon found it; when all is well, sync puts all in."""
    with watching.mon as mon:
        failed = '192.0.2.2\nHOST 192.0.2.2: said "it\'s" \\ 50% ü (0.001 s, 192.0.2.2:80)\n'
        watching.find(failed)
        wait_until(lambda: mon.status("www", "http")["opstatus"] == "0", lambda: mon.story)
        director.kernel.fill("")
        assert director.sync(watching.place).status == 0
        assert director.servers == {ONE: IN, THREE: IN}
        assert director.reasons(TWO) == {"www/http": 'said "it\'s" \\ 50% ü'}
        watching.find("")
        wait_until(lambda: mon.status("www", "http")["opstatus"] == "1", lambda: mon.story)
        assert director.sync(watching.place).status == 0
        assert director.servers == ALL


@needs_mon
def test_real_mon_has_disabled_things(director: Syncing, watching: Watching) -> None:
    """A disabled host keeps its place, and a disabled service changes nothing."""
    watching.find("192.0.2.1 192.0.2.2\n")
    with watching.mon as mon:
        mon.command("disable host 192.0.2.1")
        mon.wait_for_check("www", "http")
        mon.command("disable service www http")
        told = f"www/http: {WEB}: disabled in mon, nothing changed\n"
        assert director.sync(watching.place).stdout == told
        assert director.servers == ALL
        mon.command("enable service www http")
        mon.wait_for_check("www", "http")
        director.sync(watching.place)
        assert director.servers == {ONE: IN, THREE: IN}


@needs_mon
def test_real_mon_wants_a_login(director: Syncing, watching: Watching) -> None:
    """Who may not list is refused by name; with user and password mon tells."""
    watching.only_for("bob")
    with watching.mon:
        done = director.sync(watching.place)
        assert done.status == 1
        assert "refuses 'list opstatus': 520 " in done.stderr
        done = director.sync(watching.place, "--user", "bob", **{VARIABLE: "wrong"})
        assert re.search(r"refuses to let 'bob' in: 530 ", done.stderr)
        done = director.sync(watching.place, "--user", "bob", **{VARIABLE: PASSWORD})
        assert (done.status, done.stderr) == (0, "")
        assert f"www/http: {WEB}: " in done.stdout
