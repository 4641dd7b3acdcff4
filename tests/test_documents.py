"""The documents name commands and options that there are."""

from __future__ import annotations

import re
import shlex
from typing import Any

import click
import pytest

from lvsalert.commands.lvs_director import group
from lvsalert.commands.manual import _program
from lvsalert.mon.plugins import PLUGINS
from tests.harness.places import CHECKOUT

PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
PLUGIN_NAMES = [name for names in PLUGINS.values() for name in names]
PROGRAMS = ("lvs-director", "lvs-alert", *PLUGIN_NAMES)


def commands_of(text: str) -> list[str]:
    """Return the commands of ours that a document writes, in a line or in a block of lines."""
    whole = re.sub(r"\\\n\s*", "", text)
    told = re.findall(r"`([^`\n]+)`", whole)
    told += re.findall(r"(?m)^(?:# )?(\S.*)$", "".join(re.findall(r"(?s)\n```.*?\n```", whole)))
    found = []
    for line in told:
        program, _, words = line.removeprefix("/opt/lvsalert/bin/").partition(" ")
        if program in PROGRAMS and words and "…" not in words:
            found.append(f"{program} {words.partition(' | ')[0]}")
    return list(dict.fromkeys(found))


COMMANDS = [(page.name, line) for page in PAGES for line in commands_of(page.read_text("utf-8"))]


def test_the_documents_name_commands() -> None:
    """Those of every day, and some of each kind, are among them."""
    assert len(COMMANDS) > 60
    assert {line.split()[0] for _, line in COMMANDS} >= {
        "lvs-director",
        "lvs-alert",
        "http.monitor",
    }


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_of_the_documents_is_understood(page: str, line: str) -> None:
    """There is the command, and it has the options that the document writes."""
    program, *words = shlex.split(line, comments=True)
    command: Any = group if program == "lvs-director" else None
    if command is None:
        command = _program("lvs.alert" if program == "lvs-alert" else program)
    elif not words[0].startswith("-"):
        command = group.get_command(click.Context(group), words[0])
        assert command is not None, (page, line)
    known = {spelled for each in command.params for spelled in each.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known, page
