"""The help of every program and command: its options by what they are for, and its examples."""

from __future__ import annotations

import re
import shlex
import subprocess
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click
import pytest

from lvsalert.commands.examples import EXAMPLES
from lvsalert.commands.lvs_director import _MODULES, group
from lvsalert.commands.manual import _program
from lvsalert.commands.options import HELP, SECTIONS, EnvOption, Surroundings, sections
from lvsalert.mon.plugins import PLUGINS
from lvsalert.standin import write_executable
from tests.harness.namespace import Namespace, network_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

PROGRAMS: dict[str, Any] = {
    **{name: _program(name) for names in PLUGINS.values() for name in names},
    **{name: group.get_command(click.Context(group), name) for name in _MODULES},
}
LINES = [(name, line) for name, examples in EXAMPLES.items() for _, line in examples]
# Those that stay, or need another user.
STAYING = ("serve", "setpriv")
NO_ALERT = "state: lvs.alert has not been run by mon yet: nothing to ask for\n"
NO_MON = "lvs-director: 127.0.0.1:2583: mon cannot be reached: connection refused\n"
WWW = """
checktimeout = 1
virtual = 10.0.0.3:80
    checktype = on
    real = 192.168.0.1:80 gate 5
    real = 192.168.0.2:80 gate 5
"""
TABLE = (
    *(f"-A -t 10.0.0.{number}:80 -s wrr" for number in (3, 4, 5)),
    *(
        f"-a -t 10.0.0.{number}:80 -r 192.168.0.{server}:80 -g -w 5"
        for number in (3, 4, 5)
        for server in (1, 2)
    ),
)


def said_by(name: str) -> str:
    """Return what a program or command says when it is asked for its help."""
    outcome = _run(*(["lvs-director", name] if name in _MODULES else [name]), "--help")
    assert (outcome.status, outcome.stderr) == (0, "")
    return outcome.stdout


def _run(program: str, *words: str, environ: dict[str, str] | None = None) -> Outcome:
    name = re.sub(r"[.-]", "_", program)
    outcome: Outcome = import_module(f"lvsalert.commands.{name}").run(words, environ or {}, str)
    return outcome


@pytest.mark.parametrize("name", PROGRAMS)
def test_options_are_sorted_by_what_they_are_for(name: str) -> None:
    """The sections follow each other in one order, and each has all of its options, help last."""
    said, found = said_by(name), sections(PROGRAMS[name])
    headings = re.findall(r"(?m)^(\w.*):$", said)
    assert headings == [*found, "Examples"]
    assert list(found) == [title for title in SECTIONS if title in found]
    for title, options in found.items():
        listed = said.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
        for each in options:
            assert re.search(rf"(?m)^  .*{re.escape(each.opts[-1])}\b", listed), (title, each.opts)
            assert isinstance(each, EnvOption) == (title != HELP)


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_sentence_is_cut(name: str) -> None:
    """Whatever is long goes on in the next line."""
    assert "..." not in said_by(name).partition("\n")[2].replace("http://...", "")


def test_everything_has_an_example() -> None:
    """One at least, with a remark; none is wider than a terminal, whose shell runs it as it is."""
    assert set(EXAMPLES) == set(PROGRAMS)
    for name, examples in EXAMPLES.items():
        assert examples
        for remark, line in examples:
            assert f"  # {remark}\n  {line}\n" in said_by(name)
            assert max(len(remark) + 4, len(line) + 2) <= 100


@pytest.fixture(scope="module")
def network() -> Iterator[Namespace]:
    """A network in which every address is this machine's, and no server runs."""
    with network_namespace() as made:
        made.ip("route add local 192.168.0.0/24 dev lo")
        yield made


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a director's commands go by: a table and a ledger of the test's own."""
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "ipvsadm"
    write_executable(str(program), str(tmp_path / "table"))
    for words in TABLE:
        subprocess.run([str(program), *words.split()], check=True)
    (tmp_path / "www.cf").write_text(WWW)
    for name in ("pass", "key"):
        (tmp_path / name).write_text("open sesame\n")
    state = tmp_path / "state"
    state.mkdir()
    return {"LVSALERT_IPVSADM": str(program), "LVSALERT_STATE_DIR": str(state)}


def _in(folder: Path, line: str) -> list[str]:
    """Return an example's words, with its files in a folder."""
    line = line.replace("/etc/mon/", f"{folder}/").replace("/var/lib/node_exporter", str(folder))
    words = shlex.split(line.replace("www.cf", str(folder / "www.cf")))
    return [*words, "--root", str(folder / "root")] if "install" in words[1] else words


@pytest.mark.parametrize(
    ("name", "line"), [each for each in LINES if not set(STAYING) & set(each[1].split())]
)
def test_an_example_does_what_it_is_there_for(
    name: str, line: str, network: Namespace, environ: dict[str, str], tmp_path: Path
) -> None:
    """A monitor's finds all servers dead, where none runs; a director's command is done."""
    (tmp_path / "root").mkdir()
    program, *words = _in(tmp_path, line)
    _out_and_drained(environ)
    if name == "forget":
        subprocess.run([environ["LVSALERT_IPVSADM"], "-D", "-t", "10.0.0.4:80"], check=True)
    outcome = network.run(lambda: _run(program, *words, environ=environ))
    if name.endswith(".monitor"):
        # A host answers a ping, and a program may say what it likes.
        dead = not {"fping.monitor", "/bin/true"} & {program, *words}
        summary = " ".join(word for word in words if word.startswith("192.")) if dead else ""
        assert (outcome.status, outcome.stdout.split("\n")[0]) == (int(dead), summary), outcome
    elif name == "check":
        assert outcome.stdout.startswith("ok      ipvsadm "), outcome
    elif name == "sync":
        assert (outcome.status, outcome.stderr.partition(": ")[2]) == (1, f"{tmp_path}/{NO_ALERT}")
    elif "--reset" in words:
        assert (outcome.status, outcome.stderr) == (1, NO_MON)
    else:
        assert (outcome.status, outcome.stderr) == (0, ""), outcome


def _out_and_drained(environ: dict[str, str]) -> None:
    """Take a server out of two services by hand, and drain another one."""
    for virtual in ("10.0.0.4:80", "10.0.0.5:80"):
        _run("lvs-alert", "-V", virtual, "-R", "192.168.0.1", environ=environ)
    _run("lvs-director", "drain", "192.168.0.2", "--service", "10.0.0.5:80", environ=environ)


@pytest.mark.parametrize(
    ("name", "line"), [each for each in LINES if set(STAYING) & set(each[1].split())]
)
def test_an_example_that_stays_or_needs_another_user_is_understood(name: str, line: str) -> None:
    """Its words are the command's."""
    _, _, words = line.partition("lvs-director ")
    context = click.Context(group)
    command: Any = group.get_command(context, name)
    assert words.split()[0] == name
    command.make_context(name, words.split()[1:], obj=Surroundings({}, str, {}))
