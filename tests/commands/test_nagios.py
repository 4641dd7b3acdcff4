"""--nagios: every monitor as a plugin of Nagios and of Icinga, in their own hands."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.checks import nagios
from lvsalert.model import Result, State
from lvsalert.mon.plugins import PLUGINS
from tests.harness.documents import blocks
from tests.harness.misbehaving import refusing
from tests.harness.nagios import Icinga, Nagios
from tests.harness.nginx import serving
from tests.harness.places import free_port, is_root, join
from tests.harness.waiting import wait_until
from tests.monitors import PLUGINS as FOLDER
from tests.monitors import asked, complaint, http

if TYPE_CHECKING:
    from tests.harness.installation import Installation

MONITORS = PLUGINS["mondir"]
# The guidelines' form of a line, and of a datum with quotes around its label.
LINE = re.compile(r"[A-Z0-9]+ (OK|WARNING|CRITICAL|UNKNOWN): [^|\n]+(?: \| ([^|\n]+))?\n")
DATUM = re.compile(r"(?:'[^'=]+'|good)=\d+(?:\.\d+s)?;;;0(?:;\d+)?")
HOST = st.from_regex(r"[a-z0-9.:\[\]%-]{1,12}", fullmatch=True)
RESULTS = st.builds(Result, HOST, st.sampled_from(State), st.text(), st.floats(0, 1e6))


@given(st.lists(RESULTS, unique_by=lambda each: each.host), st.booleans())
def test_the_answer_has_the_guidelines_form(results: list[Result], one_is_enough: bool) -> None:
    """One line whatever was found, its word is its status, and a datum tells of each host."""
    text, status = nagios.report_of("http.monitor", results, only_if_all_failed=one_is_enough)
    line = LINE.fullmatch(text)
    assert line is not None
    assert ("OK", "WARNING", "CRITICAL", "UNKNOWN").index(line[1]) == status
    data = line[2].split(" ") if line[2] else []
    assert all(DATUM.fullmatch(each) for each in data)
    assert len(data) == (len(results) + 1 if results else 0)
    good = [each for each in results if each.state is State.GOOD]
    assert (status == 0) == (len(good) == len(results) > 0 or bool(good and one_is_enough))


@pytest.mark.parametrize("monitor", MONITORS)
def test_every_monitor_takes_it(monitor: str) -> None:
    """What is wrong with the call is a line with status 3, by option and by variable."""
    name = monitor.partition(".")[0].upper()
    said = (3, f"{name} UNKNOWN: No such option '-Z'.\n")
    for argv, environ in ((("--nagios", "-Z"), {}), (("-Z",), {"LVSALERT_NAGIOS": "1"})):
        outcome = asked(monitor, *argv, environ=environ)
        assert (outcome.status, outcome.stdout, outcome.stderr) == (*said, "")


def test_some_are_a_warning_and_all_are_critical(folder: Path) -> None:
    """The line counts the good, and names each other with its reason."""
    place = f"127.0.0.1:{free_port()}"
    with serving(folder / "nginx", place), refusing() as dead:
        for hosts, status, said in (
            ([place], 0, "HTTP OK: 1 of 1 good | good=1;;;0;1 "),
            ([place, dead], 1, f"HTTP WARNING: 1 of 2 good, {dead}: Connection refused | good=1;;"),
            ([dead], 2, f"HTTP CRITICAL: 0 of 1 good, {dead}: Connection refused | good=0;;;0;1 "),
            ([], 3, "HTTP UNKNOWN: no host was named\n"),
        ):
            outcome = http("--nagios", *hosts)
            assert outcome.status == status
            assert outcome.stdout.startswith(said)


def test_mon_is_not_nagios() -> None:
    """mon would take the words of the line for hosts."""
    said = "http.monitor: --nagios is not for mon, which names the failed by itself"
    assert complaint(http("--nagios", "192.0.2.1", environ={"MON_SERVICE": "http"})) == said


@pytest.mark.parametrize(
    ("monitor", "argv", "option"),
    [
        ("http.monitor", ("--between=1",), "--between"),
        ("fping.monitor", ("-T",), "--traceroute"),
    ],
)
def test_what_has_no_place_in_a_line_is_refused(
    monitor: str, argv: tuple[str, ...], option: str
) -> None:
    """What only mon gets something of."""
    outcome = asked(monitor, "--nagios", *argv, "192.0.2.1")
    name = monitor.partition(".")[0].upper()
    said = f"{name} UNKNOWN: --nagios and {option} exclude each other\n"
    assert (outcome.status, outcome.stdout) == (3, said)


def test_a_signal_is_told_in_the_first_line() -> None:
    """Nagios, which ends what takes too long, shows that and nothing below an empty line."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = join(*server.getsockname())
        argv = [sys.executable, str(FOLDER / "http.monitor"), "--nagios", place]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            client, _ = server.accept()
            with client:
                process.terminate()
                said, _ = process.communicate()
    assert (process.returncode, said) == (3, "UNKNOWN: http.monitor: ended by SIGTERM\n")


@pytest.mark.skipif(not is_root(), reason="needs root, to give Nagios its user")
@pytest.mark.parametrize(
    ("program", "kind", "watching"), [("nagios4", "nagios", Nagios), ("icinga2", "icinga2", Icinga)]
)
def test_the_real_ones_read_it(
    folder: Path,
    installation: Installation,
    program: str,
    kind: str,
    watching: type[Nagios | Icinga],
) -> None:
    """With the command of the document they see a web server live, die and live again."""
    if shutil.which(program, path="/usr/sbin:/usr/bin") is None:
        pytest.skip(f"{program} is not installed")
    (command,) = blocks("keepalived.md", kind)
    placed = command.replace("/usr/local/lib/mon", str(installation.prefix))
    assert placed != command
    port = free_port()
    web = serving(folder / "nginx", f"127.0.0.1:{port}")
    (folder / kind).mkdir()
    dead = ("2", "HTTP CRITICAL: 0 of 1 good, 127.0.0.1: Connection refused", "good=0;;;0;1 127.")
    alive = ("0", "HTTP OK: 1 of 1 good", "good=1;;;0;1 127.")
    with watching(folder / kind, placed, port) as seen:
        for change, wanted in ((None, dead), (web.start, alive), (web.kill, dead)):
            if change is not None:
                change()
            wait_until(
                lambda wanted=wanted: _is(seen.service(), wanted),
                lambda: f"{seen.service()} {seen.output}",
            )


def _is(told: tuple[str, str, str], wanted: tuple[str, str, str]) -> bool:
    """Say whether a state with its line is the one that is wanted, and its data begin so."""
    # Icinga writes the labels anew, without quotes that are not needed.
    state, line, data = (part.strip().replace("'", "") for part in told)
    return (state, line) == wanted[:2] and data.startswith(wanted[2])
