"""The README's commands, run as they stand there."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness.differences import DIFFERENCES
from tests.harness.installation import FILES, SOURCES, Installation
from tests.harness.places import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.standin import StandIn

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
DEMO, INSTALL, DIRECTOR, BY_HAND, ONE_FILE, SUITE = BLOCKS

USER = pwd.getpwuid(os.getuid()).pw_name

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
    """The README has no block of commands beyond the six that the tests here know."""
    assert [block.split()[0] for block in BLOCKS] == [
        "examples/demo",
        "python3",
        "lvs-director",
        "lvs-alert",
        "lvs-director",
        "tests/run",
    ]


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
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
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


def test_commands_by_hand_take_out_put_back_and_only_print(
    installation: Installation, standin: StandIn, tmp_path: Path
) -> None:
    """lvs-alert takes the real server out, puts it back, and with --dry-run prints a command."""
    standin.run("-A", "-t", "10.0.0.3:80", "-s", "wlc")
    standin.run("-a", "-t", "10.0.0.3:80", "-r", "192.168.0.1:80", "-g", "-w", "5")
    said = _run_each(BY_HAND, installation, standin, tmp_path)
    about = f"operator {USER}: tcp 10.0.0.3:80: 192.168.0.1:80"
    assert said == [
        f"{about} was dr weight 5, is out: taken out by hand\n",
        f"{about} was out, is dr weight 5: put in by hand\n",
        f"{standin.program} -a -t 10.0.0.3:80 -r 192.168.0.3:8080 -m -w 5\n",
    ]


def test_commands_of_lvs_director_speak_of_the_server(
    installation: Installation, standin: StandIn, tmp_path: Path
) -> None:
    """Each of lvs-director's commands runs, and those about a server name it."""
    standin.run("-A", "-t", "10.0.0.3:80", "-s", "wlc")
    standin.run("-a", "-t", "10.0.0.3:80", "-r", "192.168.0.1:80", "-g", "-w", "5")
    _run_each(BY_HAND, installation, standin, tmp_path)
    for said in _run_each(DIRECTOR, installation, standin, tmp_path):
        assert "192.168.0.1" in said


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


def _run_each(
    block: str, installation: Installation, standin: StandIn, state_dir: Path
) -> list[str]:
    """Run each line; return what it printed."""
    said = []
    for line in block.splitlines():
        program, *arguments = line.split()
        done = subprocess.run(
            [str(installation.bin / program), *arguments],
            env={
                "PATH": "/usr/bin:/bin",
                "LVSALERT_IPVSADM": str(standin.program),
                "LVSALERT_STATE_DIR": str(state_dir),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), f"{line}: {done.stdout}{done.stderr}"
        said.append(done.stdout)
    return said
