"""external.monitor: a program of the user's, called as ldirectord calls it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import wait_until
from tests.monitors import complaint, external, failed, reasons, run

if TYPE_CHECKING:
    from lvsalert.commands.entry import Outcome

WEB = "10.0.0.3:80"
LDIRECTORD = Path("/usr/sbin/ldirectord")
# The two functions of ldirectord that call a program, told of one real server.
_CALL = """
our $DEBUG = 0;
sub ld_log {} sub ld_debug {} sub service_set {} sub ld_exit { exit 99 }
check_external({server => $ARGV[0], port => $ARGV[1], checktimeout => 5, checkcommand => $ARGV[4]},
               {server => $ARGV[2], port => $ARGV[3]});
"""


def script(folder: Path, *lines: str) -> str:
    """Write a program of these lines of shell, and return its path."""
    path = folder / "a check"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


def checked(
    program: str, *hosts: str, virtual: str = WEB, options: tuple[str, ...] = ()
) -> Outcome:
    """Run external.monitor as mon-config writes it: the program in a variable."""
    environ = {
        "LVSALERT_COMMAND": program,
        "LVSALERT_VIRTUAL_SERVICE": virtual,
        "PATH": "/usr/bin:/bin",
    }
    return external("-t", "5", *options, *hosts, environ=environ)


def calls(folder: Path, *hosts: str, virtual: str = WEB) -> list[str]:
    """Return the arguments that the program is called with, one line a call, sorted."""
    log = folder / "log"
    program = script(folder, f'(IFS="|"; echo "$#|$*") >>"{log}"')
    assert failed(checked(program, *hosts, virtual=virtual)) == []
    return sorted(log.read_text().splitlines())


@pytest.mark.parametrize(
    ("virtual", "host", "call"),
    [
        (WEB, "192.0.2.1:8080", "4|10.0.0.3|80|192.0.2.1|8080"),
        ("7", "192.0.2.1", "4|7|0|192.0.2.1|0"),
        ("[2001:db8::3]:80", "[2001:db8::1]:81", "4|[2001:db8::3]|80|[2001:db8::1]|81"),
    ],
)
def test_the_program_gets_four_arguments(
    tmp_path: Path, virtual: str, host: str, call: str
) -> None:
    """Virtual address and port, real address and port: a mark has port 0, IPv6 its brackets."""
    assert calls(tmp_path, host, virtual=virtual) == [call]


@pytest.mark.skipif(not LDIRECTORD.exists(), reason="ldirectord is not installed")
def test_ldirectord_calls_it_the_same(tmp_path: Path) -> None:
    """ldirectord's own function hands on the same arguments."""
    ours = calls(tmp_path, "192.0.2.1:8080")
    text = LDIRECTORD.read_text(encoding="latin-1")
    functions = ["check_external", "system_timeout"]
    taken = [text[text.index(f"\nsub {name}\n") :].partition("\n}\n")[0] for name in functions]
    (tmp_path / "log").unlink()
    perl = "".join(f"{each}\n}}\n" for each in taken) + _CALL
    real = ("10.0.0.3", "80", "192.0.2.1", "8080")
    subprocess.run(["perl", "-e", perl, *real, str(tmp_path / "a check")], check=True)
    assert (tmp_path / "log").read_text().splitlines() == ours


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("exit 0", None),
        ("exit 1", "exit status 1"),
        ("exit 255", "exit status 255"),
        ("kill -TERM $$", "killed by SIGTERM"),
        ("kill -KILL $$", "killed by SIGKILL"),
        ("sleep 600 & exit 0", None),
        ("sleep 600", "timed out after 1 s"),
        ("trap '' TERM; sleep 600 & wait", "timed out after 1 s"),
        ("exec yes", "timed out after 1 s"),
    ],
)
def test_its_end_decides(tmp_path: Path, line: str, reason: str | None) -> None:
    """Status 0 in time is good; any other end has its reason."""
    pid = tmp_path / "group"
    # Only what hangs is to reach its time-out, on any machine.
    limit = "1" if reason is not None and reason.startswith("timed out") else "60"
    path = script(tmp_path, f'echo $$ >"{pid}"', line)
    done = checked(path, "192.0.2.1:80", options=("-t", limit))
    assert reasons(done) == ({} if reason is None else {"192.0.2.1:80": reason})
    if reason is not None:
        group = int(pid.read_text())
        wait_until(lambda: not _members(group), "its process group is gone")
    else:
        for member in _members(int(pid.read_text())):
            os.kill(member, 9)


def _members(group: int) -> list[int]:
    """Return the living processes of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def test_what_it_said_is_in_the_report(tmp_path: Path) -> None:
    """Both of its outputs are told under the host."""
    program = script(tmp_path, "echo to stdout", "echo to stderr >&2", "exit 1")
    text = checked(program, "192.0.2.1:80").stdout
    assert "to stdout" in text
    assert "to stderr" in text


def test_all_hosts_are_checked_at_once(tmp_path: Path) -> None:
    """Every program waits for the others to have begun."""
    count, folder = 5, tmp_path / "begun"
    folder.mkdir()
    program = script(
        tmp_path,
        f'touch "{folder}/$3"',
        f'while [ $(ls "{folder}" | wc -l) -lt {count} ]; do',
        ":",
        "done",
    )
    hosts = [f"192.0.2.{number}:80" for number in range(1, count + 1)]
    assert failed(checked(program, *hosts)) == []


def test_no_shell_reads_the_program(tmp_path: Path) -> None:
    """The program's name is one word, whatever is in it."""
    path = tmp_path / "check; touch harm $(touch harm) | x"
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    assert failed(checked(str(path), "192.0.2.1:80")) == []
    assert not list(tmp_path.glob("harm"))


def test_a_file_of_perl(tmp_path: Path) -> None:
    """checktype = external-perl names a file that needs no mode or first line of its own."""
    path = tmp_path / "check.pl"
    path.write_text('exit($ARGV[2] eq "192.0.2.2" && @ARGV == 4 ? 0 : 1);\n')
    done = checked(str(path), "192.0.2.1:80", "192.0.2.2:80", options=("--perl",))
    assert failed(done) == ["192.0.2.1:80"]


@pytest.mark.parametrize(
    ("program", "virtual", "line"),
    [
        (
            "/nowhere/check",
            WEB,
            "external.monitor: --command: /nowhere/check: is no program that can be run",
        ),
        (
            "/etc/passwd",
            WEB,
            "external.monitor: --command: /etc/passwd: is no program that can be run",
        ),
        ("", WEB, "external.monitor: Missing option '--command'."),
        ("/bin/true", "", "external.monitor: Missing option '-V' / '--virtual-service'."),
        (
            "/bin/true",
            "a b",
            (
                "external.monitor: LVSALERT_VIRTUAL_SERVICE: 'a b' is not an address:"
                " write host or host:port"
            ),
        ),
    ],
)
def test_what_cannot_be_run_judges_nothing(program: str, virtual: str, line: str) -> None:
    """A program that is not there takes no real server out."""
    assert complaint(checked(program, "192.0.2.1:80", virtual=virtual)) == line


def test_the_plugin_reports_to_mon(tmp_path: Path) -> None:
    """As a process: the summary names the failed host, with status 1 and nothing on stderr."""
    program = script(tmp_path, '[ "$3" = 192.0.2.1 ]')
    environ = {"LVSALERT_COMMAND": program, "LVSALERT_VIRTUAL_SERVICE": WEB}
    done = run("external.monitor", "192.0.2.1:80", "192.0.2.2:80", env=environ)
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.startswith(b"192.0.2.2:80\n")
