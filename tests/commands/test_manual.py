"""The manual: a page for each program and command, which man(1) reads without a complaint."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click import Context

from lvsalert.commands import manual
from lvsalert.commands.examples import EXAMPLES
from lvsalert.commands.lvs_director import _MODULES, group
from lvsalert.commands.options import sections
from lvsalert.mon.plugins import PLUGINS

if TYPE_CHECKING:
    from lvsalert.host.plugins import File

needs_man = pytest.mark.skipif(shutil.which("man") is None, reason="man-db is not installed")
PAGES = {each.path.rsplit("/", 1)[1]: each for each in manual.pages()}
COMMANDS: dict[str, Any] = {
    **{
        name: manual._program(name) for name in (name for each in PLUGINS.values() for name in each)
    },
    **{f"lvs-director-{name}": group.get_command(Context(group), name) for name in _MODULES},
}
ENVIRON = {**os.environ, "MANWIDTH": "500", "LC_ALL": "C.UTF-8"}


def test_everything_that_can_be_run_has_a_page() -> None:
    """Plug-ins, lvs-director and its commands, and one for how they meet."""
    programs = [name for names in PLUGINS.values() for name in names]
    commands = [f"lvs-director-{name}" for name in _MODULES]
    assert set(PAGES) == {
        *(f"{name}.8" for name in (*programs, *commands, "lvs-director", "lvs-alert")),
        "lvsalert.7",
    }


def written(folder: Path, file: File) -> Path:
    """Write a page, and return where it is."""
    path = folder / file.path.rsplit("/", 1)[1]
    path.write_text(f"{file.first}a remark\n{file.rest}")
    return path


@needs_man
@pytest.mark.parametrize("name", PAGES)
def test_man_reads_it(tmp_path: Path, name: str) -> None:
    """Without a warning; whatis(1) finds its one line, and the other pages that it names exist."""
    path = written(tmp_path, PAGES[name])
    done = subprocess.run(
        ["man", "--warnings", "--local-file", str(path)],
        env=ENVIRON,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    line = subprocess.run(["lexgrog", str(path)], capture_output=True, text=True, check=False)
    assert re.search(rf': "{re.escape(name[:-2])} - .+"$', line.stdout.strip()), line.stdout
    named = set(re.findall(r"([\w.-]+)\(([78])\)", done.stdout.split("SEE ALSO")[0]))
    own = {each.rpartition(".")[::2] for each in PAGES}
    assert named - own <= {("mon", "8"), ("ipvsadm", "8"), (name[:-2].upper(), name[-1])}


@needs_man
@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_example_is_in_its_page(tmp_path: Path, name: str) -> None:
    """As --help has them, to the last one, and by the same sections."""
    command = COMMANDS[name]
    path = written(tmp_path, PAGES[f"{name}.8"])
    argv = ["man", "--local-file", str(path)]
    page = subprocess.run(argv, env=ENVIRON, capture_output=True, text=True, check=True).stdout
    options = page.partition("\nOPTIONS\n")[2].partition("\nENVIRONMENT\n")[0]
    assert re.findall(r"(?m)^   (\w.*)$", options) == list(sections(command))
    for each in command.params:
        for spelled in each.opts if each.param_type_name == "option" else []:
            assert re.search(rf"(^|[ ,]){re.escape(spelled)}\b", page, re.MULTILINE), spelled
    found = page.partition("\nEXAMPLES\n")[2].partition("\nSEE ALSO\n")[0]
    assert re.findall(r"(?m)^ {14}(\S.*)$", found) == [line for _, line in EXAMPLES[command.name]]


# What a shell is told once it has read the script, to print what it would complete.
TAB = {
    "bash": "COMP_WORDS=(lvs-director st); COMP_CWORD=1; _lvs_director_completion lvs-director;"
    ' printf "%s\\n" "${COMPREPLY[@]}"',
    "fish": "complete --do-complete 'lvs-director st'",
}


def completion(folder: Path, shell: str) -> Path:
    """Return the script for a shell that is installed, after the shell's own look at it."""
    (file,) = (each for each in manual.completions() if shell in each.path)
    script = folder / "script"
    script.write_text(f"{file.first}# a remark\n{file.rest}")
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", str(script)], check=True)
    return script


@pytest.mark.parametrize("shell", TAB)
def test_a_shell_completes_by_the_script(tmp_path: Path, shell: str) -> None:
    """TAB behind the first letters of a command offers those that begin so."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = subprocess.run(
        [shell, "-c", f". {completion(tmp_path, shell)}; {TAB[shell]}"],
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [line.split("\t")[0] for line in said.splitlines()] == ["start", "status", "stop"]


def test_zsh_finds_the_script(tmp_path: Path) -> None:
    """Its first line says of which command it is, whatever mark follows; zsh reads it."""
    assert completion(tmp_path, "zsh").read_text().startswith("#compdef lvs-director\n")
