"""lvs-director itself: its help, words that are not quite right, and a shell's completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from lvsalert.commands import lvs_director
from lvsalert.commands.lvs_director import _MODULES

DIRECTOR = [
    sys.executable,
    "-c",
    "from lvsalert.commands.stub import lvs_director; lvs_director()",
]


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_help_names_every_command_with_its_whole_sentence(words: list[str]) -> None:
    """Without a word too, and sorted by what people look for."""
    done = lvs_director.run(words, {}, str)
    assert (done.status, done.stderr) == (0, "")
    assert set(re.findall(r"^  ([a-z][a-z-]+) ", done.stdout, re.MULTILINE)) == {*_MODULES}
    assert re.findall(r"^(\w.*):$", done.stdout, re.MULTILINE) == [
        *("Options", "See", "Change by hand", "The whole director", "The machine"),
    ]
    assert "..." not in done.stdout.split("\n", 1)[1]


@pytest.mark.parametrize("name", _MODULES)
def test_each_command_knows_h(name: str) -> None:
    """It is the help, which names the command."""
    done = lvs_director.run([name, "-h"], {}, str)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: lvs-director {name} ")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("statsu", "No such command 'statsu'. Did you mean 'status' or 'start'?"),
        ("xyzzy", "No such command 'xyzzy'."),
        ("--jsn", "No such option '--jsn'."),
    ],
)
def test_a_slip_is_told_with_what_may_be_meant(word: str, said: str) -> None:
    """One line, status 3."""
    done = lvs_director.run([word], {}, str)
    assert (done.status, done.stdout) == (3, "")
    assert done.stderr.startswith(f"lvs-director: {said}")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_words(shell: str) -> None:
    """The script that it wants comes without a complaint, and so do the commands and options."""
    environ = {**os.environ, "_LVS_DIRECTOR_COMPLETE": f"{shell}_source"}
    script = subprocess.run(DIRECTOR, env=environ, capture_output=True, text=True, check=False)
    assert (script.returncode, script.stderr) == (0, "")
    assert "lvs-director" in script.stdout
    for words, found in (("st", {"start", "status", "stop"}), ("status --wa", {"--watch"})):
        line = ["lvs-director", *words.split()]
        environ = {
            **os.environ,
            "_LVS_DIRECTOR_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": " ".join(line),
            "COMP_CWORD": line[-1] if shell == "fish" else str(len(line) - 1),
        }
        done = subprocess.run(DIRECTOR, env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert found <= set(re.split(r"[\s,]+", done.stdout))
