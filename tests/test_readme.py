"""The README's commands, run as they stand there."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from lvsalert.ledger.timeline import Lane, OutTime, svg
from tests.harness.differences import DIFFERENCES
from tests.harness.documents import blocks
from tests.harness.installation import FILES, SOURCES, Installation
from tests.harness.places import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.standin import StandIn

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
DEMO, INSTALL = BLOCKS
# What one sees at a terminal: each command behind a prompt, and what it prints.
SESSIONS = re.findall(r"^```\n(# .*?)^```", README, re.DOTALL | re.MULTILINE)
(ONE_FILE,) = blocks("ldirectord.md", "sh")
SUITE = "tests/run\n"

USER = pwd.getpwuid(os.getuid()).pw_name
REFUSED, SILENT = "Connection refused", "no answer"

# What happened before the README's terminal: a check failed, and somebody drained a server.
GROUP = "192.168.0.1 192.168.0.2 192.168.0.3"
CALLED_BY_MON = {"MON_ALERTTYPE": "failure", "MON_RETVAL": "1"}
FAILED = f"lvs.alert -s http -g www -h '{GROUP}' -t 1795849020 -V 10.0.0.3:80 -W 5 -F dr"
REPORT = f"192.168.0.2\n\nHOST 192.168.0.2: {REFUSED} (0.000 s, 192.168.0.2:80)\n"
DRAINED = "lvs-director drain 192.168.0.3 --for 2h --reason 'new disk'"

# Folders that the installation writes to, each under a layer that goes with the shell.
PRIVATE = "/opt /usr/local /etc /var/lib"
LAYERS = f"""
mount -t tmpfs layers "$LAYERS"
for folder in {PRIVATE}; do
    mkdir -p "$LAYERS$folder/upper" "$LAYERS$folder/work"
    mount -t overlay layer \\
        -o "lowerdir=$folder,upperdir=$LAYERS$folder/upper,workdir=$LAYERS$folder/work" "$folder"
done
mkdir -p /etc/mon
cp examples/mon-group.cf /etc/mon/mon.cf
"""


def test_every_block_of_commands_is_run_by_a_test() -> None:
    """The README has no block of commands beyond those that the tests here know."""
    assert [block.split()[0] for block in BLOCKS] == ["examples/demo", "python3"]
    assert len(SESSIONS) == 2


def test_the_readme_is_one_page() -> None:
    """What starts a newcomer is in it, and what else there is to know it names."""
    assert len(README.splitlines()) <= 130
    linked = set(re.findall(r"\]\(([^):]+)\)", README))
    assert {f"docs/{path.name}" for path in (CHECKOUT / "docs").iterdir()} <= linked
    assert all((CHECKOUT / path).exists() for path in linked)


def test_contributing_has_one_command_that_ci_runs() -> None:
    """Those who change something are told of the command that CI runs."""
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE) == [SUITE]


def test_every_difference_from_the_stock_monitors_is_told() -> None:
    """A document lists what the comparison with the stock monitors leaves apart, and only that."""
    text = (CHECKOUT / "docs" / "differences.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (.+?) \| (?:http|ftp|fping)[a-z, ]* \|", text, re.MULTILINE)
    assert told == list(dict.fromkeys(each.name for each in DIFFERENCES))


def test_demo_and_suite_stand_in_the_readme_as_they_are_run() -> None:
    """The two commands are programs of the checkout; the demo and CI have runs of their own."""
    for block in (DEMO, SUITE):
        assert os.access(CHECKOUT / block.strip(), os.X_OK), block
        assert f"`{block.strip()}`" in README or block in BLOCKS
    assert "tests/run" in (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for layers over /opt and /etc")
def test_install_gives_a_director_that_check_finds_nothing_wrong_with(
    folder: Path, standin: StandIn
) -> None:
    """The commands under Install work on a machine with mon, and check is content afterwards."""
    for name in (*SOURCES, "examples"):
        shutil.copytree(CHECKOUT / name, folder / name)
    for name in FILES:
        shutil.copy(CHECKOUT / name, folder)
    (folder / "layers").mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-euc", LAYERS + INSTALL],
        cwd=folder,
        env={
            "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LAYERS": str(folder / "layers"),
            "LVSALERT_IPVSADM": str(standin.program),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/usr/local/lib/mon/alert.d/lvs.alert" in done.stdout


def test_the_terminal_shows_what_the_commands_print(
    installation: Installation, standin: StandIn, tmp_path: Path
) -> None:
    """Whatever the README shows of a terminal is what comes, apart from the times and the user."""
    standin.run("-A", "-t", "10.0.0.3:80", "-s", "wlc")
    for number in (1, 2, 3):
        real = f"192.168.0.{number}:80"
        standin.run("-a", "-t", "10.0.0.3:80", "-r", real, "-g", "-w", "5")
    _run(installation, standin, tmp_path, *shlex.split(FAILED), stdin=REPORT)
    _run(installation, standin, tmp_path, *shlex.split(DRAINED))
    for session in SESSIONS:
        for shown in re.split("^# ", session, flags=re.MULTILINE)[1:]:
            command, _, expected = shown.partition("\n")
            done = _run(installation, standin, tmp_path, *shlex.split(command))
            assert (done.returncode, done.stderr) == (0, ""), command
            found = re.sub(rf"\b(operator|by) {USER}\b", r"\1 root", done.stdout)
            assert _timeless(found) == _timeless(expected.rstrip("\n") + "\n"), command


def test_the_drawn_history_is_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture in the README is the program's, to the letter."""
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        assert (CHECKOUT / "docs" / "history.svg").read_text(encoding="utf-8") == drawn_history()
    finally:
        monkeypatch.undo()
        time.tzset()


def drawn_history() -> str:
    """Return the README's picture: a morning with a dead server, a drain, and one that flaps."""
    begin = 1795849200.0

    def out(first: float, last: float | None, cause: str, why: str) -> OutTime:
        end = None if last is None else begin + 60 * last
        return OutTime(begin + 60 * first, end, cause, cause == "operator", f"{cause}: {why}")

    outs = {
        "192.168.0.1:80": [],
        "192.168.0.2:80": [out(118, 146, "www/http", REFUSED), out(207, None, "www/http", REFUSED)],
        "192.168.0.3:80": [out(30, 90, "operator", "new disk"), out(150, 163, "www/ping", SILENT)],
    }
    lanes = [Lane("tcp 10.0.0.3:80", real, begin - 60, found) for real, found in outs.items()]
    return svg(lanes, begin, begin + 4 * 3600)


def test_commands_of_the_director_set_up_and_take_down_what_the_file_says(
    installation: Installation, standin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands print mon.cf, set up the table, say that it runs, and take it down."""
    monkeypatch.chdir(tmp_path)
    real = "real = 127.0.0.1:80 gate 5"
    (tmp_path / "www.cf").write_text(f"virtual = 10.0.0.3:80\n    checktype = on\n    {real}\n")
    mon_cf, started, status, reloaded, stopped = _run_each(
        ONE_FILE, installation, standin, tmp_path
    )
    assert "\nmondir" in mon_cf
    assert "127.0.0.1:80 was out, is dr weight 5\n" in started
    assert (status, reloaded) == ("running\n", "nothing to change\n1 of 1 in\n")
    assert stopped.endswith("virtual service deleted\n")


def _timeless(text: str) -> str:
    """Return a text without its times."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)


def _run(
    installation: Installation,
    standin: StandIn,
    state_dir: Path,
    program: str,
    *arguments: str,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(installation.bin / program), *arguments],
        env={
            "PATH": "/usr/bin:/bin",
            "LVSALERT_IPVSADM": str(standin.program),
            "LVSALERT_STATE_DIR": str(state_dir),
            **(CALLED_BY_MON if stdin else {}),
        },
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def _run_each(
    block: str, installation: Installation, standin: StandIn, state_dir: Path
) -> list[str]:
    """Run each line; return what it printed."""
    said = []
    for line in block.splitlines():
        done = _run(installation, standin, state_dir, *shlex.split(line, comments=True))
        assert (done.returncode, done.stderr) == (0, ""), f"{line}: {done.stdout}{done.stderr}"
        said.append(done.stdout)
    return said
