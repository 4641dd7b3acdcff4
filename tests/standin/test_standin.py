"""The stand-in for ipvsadm answers as the real one did, and keeps its file whole."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvsalert import standin

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parents[1] / "data" / "ipvsadm"
CASES: list[dict[str, Any]] = json.loads((DATA / "cases.json").read_text(encoding="utf-8"))
# The stand-in knows no privileges: a case run by another user than root says nothing about it.
ROOT_CASES = [case for case in CASES if case["uid"] == 0]
VERSION = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n"
NO_IPVS = "Are you sure that IP Virtual Server is built in the kernel or as module?\n"
WEB = "-A -t 192.0.2.1:80 -s rr\n"


class Answer(NamedTuple):
    """What a run of the program gave."""

    status: int
    stdout: str
    stderr: str


class Ipvsadm:
    """The stand-in on one table file, called in this process."""

    def __init__(self, table: Path) -> None:
        self.table = table

    def __call__(self, *argv: str, stdin: str = "") -> Answer:
        stdout, stderr = io.StringIO(), io.StringIO()
        environ = {standin.VARIABLE: str(self.table)}
        status = standin.main(list(argv), environ, io.StringIO(stdin), stdout, stderr)
        return Answer(status, stdout.getvalue(), stderr.getvalue())

    def rules(self) -> str:
        """Return what -Sn prints."""
        answer = self("-Sn")
        assert (answer.status, answer.stderr) == (0, "")
        return answer.stdout


@pytest.fixture(scope="module", autouse=True)
def _no_name_server() -> Iterator[None]:
    """In this process localhost is the only name, so that no test waits for a name server."""

    def known(name: str) -> str:
        if name != "localhost":
            raise OSError("unknown host")
        return "127.0.0.1"

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("_socket.gethostbyname", known)
        yield


@pytest.fixture
def ipvsadm(tmp_path: Path) -> Ipvsadm:
    """The stand-in with an empty table."""
    return Ipvsadm(tmp_path / "table")


@pytest.mark.parametrize("case", ROOT_CASES, ids=[case["name"] for case in ROOT_CASES])
def test_answers_as_the_kernel_did(ipvsadm: Ipvsadm, case: dict[str, Any]) -> None:
    """Status, output, message and the table afterwards are those of the real ipvsadm and kernel."""
    ipvsadm("-R", stdin=case["before"])
    answer = ipvsadm(*case["argv"], stdin=case["stdin"])
    expected = Answer(case["status"], case["stdout"], case["stderr"])
    if expected.stdout.startswith(VERSION + "Usage:"):
        # The help text is not copied.
        assert answer.stdout.startswith(VERSION)
        answer, expected = answer._replace(stdout=""), expected._replace(stdout="")
    assert answer == expected
    assert ipvsadm.rules() == case["after"]
    assert ipvsadm("-Ln", "--thresholds").stdout == case["thresholds"]


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("save-n", ["-Sn"]),
        ("list-n", ["-Ln"]),
        ("list-n-thresholds", ["-Ln", "--thresholds"]),
        ("list-n-exact", ["-Ln", "--exact"]),
        ("list-n-stats", ["-Ln", "--stats"]),
        ("list-n-rate", ["-Ln", "--rate"]),
        ("list-n-persistent-conn", ["-Ln", "--persistent-conn"]),
        ("list-n-sort-exact-thresholds", ["-Ln", "--sort", "--exact", "--thresholds"]),
    ],
)
def test_shows_a_table_as_the_real_one_does(ipvsadm: Ipvsadm, name: str, argv: list[str]) -> None:
    """A table of every kind of service and destination is printed as it was by ipvsadm."""
    ipvsadm("-R", stdin=(DATA / "table.batch").read_text())
    assert ipvsadm(*argv).stdout == (DATA / f"{name}.txt").read_text()


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (["-A", "-t", "192.0.2.1:80", "-n=3"], 255, "-n=3: option does not take an argument"),
        (["-A", "-t", "192.0.2.1:80", "-nQ"], 255, "-nQ: unknown option"),
        (["-A", "-t", "192.0.2.1:80", "-p", "-5"], 255, "-5: unknown option"),
        (["-A", "-nt"], 255, "-nt: missing argument"),
        (["-A", "-t", "192.0.2.1:80", "-p", "--", "5"], 2, "unexpected argument 5"),
        (["-A", "-t", "192.0.2.1:80", "-"], 2, "unexpected argument -"),
        (["-A", "-t", "192.0.2.1:80", "-p="], 2, "invalid timeout value `' specified"),
        (["-a", "-r", "192.0.2.9:http"], 2, "illegal real server address[:port] specified"),
        (["-a", "-f", "1", "-r", "192.0.2.9", "-w", "9" * 5000], 2, "illegal weight specified"),
        (["--set", "1", "2"], 2, "--set option requires 3 timeout values"),
        (["--set", "1", "2", "2678401"], 2, "invalid timeout value `2678401' specified"),
        (["--start-daemon", "both"], 2, "illegal start-daemon parameter specified"),
        (["--stop-daemon", "both"], 2, "illegal start_daemon specified"),
        (["--start-daemon", "master", "--syncid", "256"], 2, "illegal syncid specified"),
        (
            ["--start-daemon", "master", "--mcast-group", "192.0.2.1"],
            2,
            "invalid IPv4 mcast-group `192.0.2.1'",
        ),
        (
            ["--start-daemon", "master", "--mcast-group", "2001:db8::1"],
            2,
            "invalid IPv6 mcast-group `2001:db8::1'",
        ),
        (["--start-daemon", "master", "--mcast-interface", "nosuch0"], 255, "No such device"),
        (["--stop-daemon", "master"], 255, "No daemon is running"),
        (
            ["-L", "-c", "--timeout"],
            2,
            "The option 'timeout' conflicts with the 'connection' option in the 'list' command",
        ),
        (["-L", "--timeout", "--stats"], 2, "options conflicts in the list command"),
        (["-L", "-6"], 2, "-6 used before -f\n"),
    ],
)
def test_refuses(ipvsadm: Ipvsadm, argv: list[str], status: int, message: str) -> None:
    """What the captures lack is refused with the text that ipvsadm 1.31 was seen to print."""
    assert ipvsadm(*argv) == Answer(status, "", f"{message}\n")


def test_sets_timeouts_and_keeps_those_given_as_zero(ipvsadm: Ipvsadm) -> None:
    """--set changes the three timeouts; a zero leaves one as it is."""
    assert ipvsadm("--set", "100", "0", "70") == Answer(0, "", "")
    assert ipvsadm("-L", "--timeout").stdout == "Timeout (tcp tcpfin udp): 100 120 70\n"


def test_runs_both_synchronisation_daemons(ipvsadm: Ipvsadm) -> None:
    """A daemon stands with the kernel's defaults, once for each role, until it is stopped."""
    master = ["--start-daemon", "master", "--mcast-interface", "lo", "--syncid", "7"]
    assert ipvsadm(*master) == Answer(0, "", "")
    assert ipvsadm(*master) == Answer(255, "", "Daemon has already run\n")
    group = ["--mcast-group", "ff02::5", "--mcast-port", "99", "--mcast-ttl", "3"]
    assert ipvsadm("--start-daemon", "backup", "--mcast-interface", "lo", *group).status == 0
    first, second = ipvsadm("-L", "--daemon").stdout.splitlines()
    settings = "syncid=7, maxlen=1472, group=224.0.0.81, port=8848, ttl=1"
    assert first == f"master sync daemon (mcast=lo, {settings})"
    assert second.startswith("backup sync daemon (mcast=lo, syncid=0, maxlen=")
    assert second.endswith(", group=ff02::5, port=99, ttl=3)")
    assert ipvsadm("--stop-daemon", "master").status == 0
    assert ipvsadm("-L", "--daemon").stdout == f"{second}\n"


def test_refuses_another_family_while_a_daemon_runs(ipvsadm: Ipvsadm) -> None:
    """A synchronisation daemon and a destination of another family exclude each other."""
    add = ["-a", "-t", "192.0.2.1:80", "-r", "[2001:db8::9]:80", "-i"]
    start = ["--start-daemon", "master", "--mcast-interface", "lo"]
    invalid = "Invalid operation.  Possibly wrong module version, address not unicast, ...\n"
    ipvsadm("-R", stdin=WEB)
    ipvsadm(*start)
    assert ipvsadm(*add) == Answer(255, "", invalid)
    ipvsadm("--stop-daemon", "master")
    assert ipvsadm(*add).status == 0
    assert ipvsadm(*start) == Answer(255, "", invalid)


def test_shows_names_where_numbers_are_not_asked_for(ipvsadm: Ipvsadm) -> None:
    """Without -n, ports are shown by the services database's names, but not a fwmark's."""
    mark = "-A -f 7 -6 -s rr\n-a -f 7 -6 -r [2001:db8::9]:80 -g -w 1\n"
    ipvsadm("-R", stdin="-A -t [2001:db8::1]:80 -s rr\n" + mark)
    name = socket.getservbyport(80, "tcp")
    assert ipvsadm("-S").stdout == f"-A -t [2001:db8::1]:{name} -s rr\n{mark}"


def test_lists_the_newest_destination_first_where_nothing_sorts(ipvsadm: Ipvsadm) -> None:
    """--nosort shows destinations as the kernel has them, the newest first."""
    adds = [f"-a -t 192.0.2.1:80 -r 192.0.2.{number}\n" for number in (7, 9, 8)]
    ipvsadm("-R", stdin=WEB + "".join(adds))
    shown = ipvsadm("-Ln", "--nosort").stdout.splitlines()[4:]
    assert [line.split()[1] for line in shown] == ["192.0.2.8:80", "192.0.2.9:80", "192.0.2.7:80"]


def test_keeps_thresholds_that_rules_leave_out(ipvsadm: Ipvsadm) -> None:
    """Thresholds are in the file, though -Sn does not tell them."""
    ipvsadm("-R", stdin=WEB + "-a -t 192.0.2.1:80 -r 192.0.2.9:80 -x 9 -y 4\n")
    assert ipvsadm.rules() == WEB + "-a -t 192.0.2.1:80 -r 192.0.2.9:80 -g -w 1\n"
    assert ipvsadm("-Ln", "--thresholds").stdout.splitlines()[-1].split()[1:4] == [
        "192.0.2.9:80",
        "9",
        "4",
    ]


def test_answers_as_without_ipvs_when_no_table_is_named() -> None:
    """Without the variable it fails as on a kernel without IPVS, and says what is missing."""
    stderr = io.StringIO()
    assert standin.main(["-Ln"], {}, io.StringIO(), io.StringIO(), stderr) == 2
    hint = "(The stand-in for ipvsadm: LVSALERT_STANDIN_TABLE names no file for its table.)\n"
    refusal = f"Can't initialize ipvs: Protocol not available\n{NO_IPVS}"
    assert stderr.getvalue() == refusal + hint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the first line is not 'ipvs table 1'"),
        ("-A -t 192.0.2.1:80 -s rr\n", "the first line is not 'ipvs table 1'"),
        ("ipvs table 1\nrubbish\t1\n", "not a line of a table: 'rubbish'"),
        ("ipvs table 1\nservice\t2\n", "a line of the table has too many or too few fields"),
    ],
)
@pytest.mark.parametrize("argv", [["-Sn"], ["-C"]], ids=["read", "write"])
def test_refuses_a_file_that_is_no_table(
    ipvsadm: Ipvsadm, argv: list[str], text: str, why: str
) -> None:
    """A file with something else in it is named and left alone."""
    ipvsadm.table.write_text(text)
    refusal = f"Can't initialize ipvs: {ipvsadm.table}: {why}\n{NO_IPVS}"
    assert ipvsadm(*argv) == Answer(2, "", refusal)
    assert ipvsadm.table.read_text() == text


def test_refuses_a_table_in_a_missing_folder(tmp_path: Path) -> None:
    """A table that cannot be kept is named with the reason."""
    ipvsadm = Ipvsadm(tmp_path / "missing" / "table")
    refusal = f"Can't initialize ipvs: {ipvsadm.table}: No such file or directory\n{NO_IPVS}"
    assert ipvsadm("-C") == Answer(2, "", refusal)


def test_other_users_may_read_the_file(ipvsadm: Ipvsadm) -> None:
    """The table is readable for all, whatever mask it was written under."""
    mask = os.umask(0o077)
    try:
        ipvsadm("-A", "-t", "192.0.2.1:80")
    finally:
        os.umask(mask)
    assert ipvsadm.table.stat().st_mode & 0o777 == 0o644


_ADDRESSES = ["192.0.2.9", "192.0.2.9:81", "[2001:db8::9]:80", "2001:db8::9", "198.51.100.7:0"]
_SERVICES = st.sampled_from(
    [
        ["-t", "192.0.2.1:80"],
        ["-t", "192.0.2.1:0"],
        ["-u", "198.51.100.1:53"],
        ["--sctp-service", "203.0.113.1:7"],
        ["-t", "[2001:db8::1]:80"],
        ["-f", "7"],
        ["-f", "7", "-6"],
    ]
)
_SCHEDULING = st.sampled_from(
    [[], ["-s", "rr"], ["-s", "sh", "-b", "sh-port"], ["-s", "mh"], ["-b", "flag-1,flag-3"]]
)
_PERSISTENCE = st.sampled_from(
    [[], ["-p"], ["-p", "60"], ["-p", "9", "-M", "255.255.255.0"], ["-p", "9", "-M", "64"], ["-o"]]
)
_FORWARDING = st.sampled_from(
    [
        [],
        ["-g"],
        ["-m"],
        ["-i"],
        ["-i", "--tun-type", "gre", "--tun-csum"],
        ["-i", "--tun-type", "gue", "--tun-port", "6080", "--tun-remcsum"],
    ]
)
_NUMBERS = st.sampled_from(
    [[], ["-w", "0"], ["-w", "2147483647"], ["-x", "9"], ["-x", "9", "-y", "4"], ["-y", "4"]]
)
_SERVICE_COMMANDS = st.builds(
    lambda command, *parts: [command, *chain(*parts)],
    st.sampled_from(["-A", "-A", "-E"]),
    _SERVICES,
    _SCHEDULING,
    _PERSISTENCE,
)
_SERVER_COMMANDS = st.builds(
    lambda command, service, address, *parts: [command, *service, "-r", address, *chain(*parts)],
    st.sampled_from(["-a", "-a", "-e"]),
    _SERVICES,
    st.sampled_from(_ADDRESSES),
    _FORWARDING,
    _NUMBERS,
)
_DELETIONS = st.one_of(
    st.builds(lambda service: ["-D", *service], _SERVICES),
    st.builds(
        lambda service, address: ["-d", *service, "-r", address],
        _SERVICES,
        st.sampled_from(_ADDRESSES),
    ),
)
_COMMANDS = st.lists(
    st.one_of(_SERVICE_COMMANDS, _SERVER_COMMANDS, _SERVER_COMMANDS, _DELETIONS), max_size=30
)
_WORDS = st.one_of(
    st.builds("-{}".format, st.sampled_from("AaedDELSCRZtrwxpMbf6gmionc")),
    st.sampled_from(["192.0.2.1:80", "[2001:db8::1]:80", "7", "0", "--tun-type", "gue", "--set"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
)


@settings(max_examples=150)
@given(_COMMANDS)
def test_rules_restore_the_table_they_came_from(commands: list[list[str]]) -> None:
    """What -Sn prints, fed to -R on an empty table, gives a table with the same rules."""
    with tempfile.TemporaryDirectory() as folder:
        made, restored = (Ipvsadm(Path(folder) / name) for name in ("made", "restored"))
        for command in commands:
            made(*command)
        rules = made.rules()
        assert restored("-R", stdin=rules) == Answer(0, "", "")
        assert restored.rules() == rules


@settings(max_examples=150)
@given(st.lists(st.lists(_WORDS, max_size=8), max_size=12))
def test_no_command_line_breaks_the_table(commands: list[list[str]]) -> None:
    """Whatever the words, a run ends with a status of ipvsadm's and the table stays readable."""
    with tempfile.TemporaryDirectory() as folder:
        ipvsadm = Ipvsadm(Path(folder) / "table")
        ipvsadm("-R", stdin=WEB)
        for command in commands:
            answer = ipvsadm(*command, stdin="\n".join(" ".join(words) for words in commands))
            assert answer.status in {0, 1, 2, 255}
            assert answer.status == 0 or answer.stderr != ""
            ipvsadm.rules()


class Killed(BaseException):
    """Stands for a KILL: nothing but the test may catch it."""


@pytest.mark.parametrize("step", ["unlink", "open", "fdopen", "fchmod", "rename"])
def test_a_run_killed_while_it_saves_leaves_the_old_table(
    ipvsadm: Ipvsadm, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A run that dies at any step of a change leaves the table as it was, and the lock free."""
    ipvsadm("-R", stdin=WEB)
    before = ipvsadm.rules()
    Path(f"{ipvsadm.table}.new").write_text("left by one who died")
    real = getattr(os, step)

    def die(path: Any, *arguments: Any, **named: Any) -> Any:
        if step == "open" and path != f"{ipvsadm.table}.new":
            return real(path, *arguments, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(os, step, die)
        with pytest.raises(Killed):
            ipvsadm("-C")
    assert ipvsadm.rules() == before
    assert ipvsadm("-A", "-t", "192.0.2.1:81", "-s", "rr") == Answer(0, "", "")
    assert ipvsadm.rules() == before + "-A -t 192.0.2.1:81 -s rr\n"


@pytest.fixture
def program(ipvsadm: Ipvsadm, tmp_path: Path) -> Path:
    """The stand-in as an executable on the same table as `ipvsadm`."""
    path = tmp_path / "ipvsadm"
    standin.write_executable(path, ipvsadm.table)
    return path


def _add(program: Path, number: int) -> subprocess.Popen[bytes]:
    argv = [str(program), "-a", "-t", "192.0.2.1:80", "-r", f"198.51.100.{number}"]
    return subprocess.Popen(argv, env={})


def test_a_hundred_runs_at_once_are_all_recorded(ipvsadm: Ipvsadm, program: Path) -> None:
    """Of a hundred processes that each add a destination, none overwrites another's."""
    ipvsadm("-R", stdin=WEB)
    running = [_add(program, number) for number in range(1, 101)]
    assert [process.wait(60) for process in running] == [0] * 100
    assert ipvsadm.rules().count("-a -t 192.0.2.1:80") == 100


def test_killed_runs_leave_a_readable_table(ipvsadm: Ipvsadm, program: Path) -> None:
    """Half of the runs are killed wherever they are; what the others added stands."""
    ipvsadm("-R", stdin=WEB)
    running = {number: _add(program, number) for number in range(1, 61)}
    for number in range(1, 61, 2):
        running[number].send_signal(signal.SIGKILL)
    statuses = {number: process.wait(60) for number, process in running.items()}
    assert {statuses[number] for number in range(2, 61, 2)} == {0}
    rules = ipvsadm.rules()
    for number, status in statuses.items():
        assert status != 0 or f"-r 198.51.100.{number}:80 " in rules
    assert ipvsadm("-C").status == 0


def test_the_executable_needs_no_environment(ipvsadm: Ipvsadm, program: Path) -> None:
    """The program that write_executable leaves knows its table and interpreter by itself."""
    argv = [str(program), "-R"]
    done = subprocess.run(
        argv, env={}, input=WEB + "-L -n\n", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "TCP  192.0.2.1:80 rr"
    assert ipvsadm.rules() == WEB


def test_runs_as_a_module(ipvsadm: Ipvsadm) -> None:
    """`python -m lvsalert.standin` is ipvsadm on the table that the environment names."""
    argv = [sys.executable, "-m", "lvsalert.standin", "-A", "-t", os.fsdecode(b"\xff"), "-s", "rr"]
    environ = {standin.VARIABLE: str(ipvsadm.table), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    illegal = "illegal virtual server address[:port] specified\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", illegal)


def test_shares_no_code_with_the_rest(ipvsadm: Ipvsadm) -> None:
    """The stand-in imports nothing of the package that it is there to check."""
    code = "import sys; import lvsalert.standin.listing; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in done.stdout.split() if name.startswith("lvsalert")}
    assert ours - {name for name in ours if name.startswith("lvsalert.standin")} == {"lvsalert"}
