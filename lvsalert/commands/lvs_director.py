"""lvs-director: the commands that an operator gives to the director."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Callable

import click

from lvsalert.commands import director_journal, director_machine, director_people, director_table
from lvsalert.commands.entry import Outcome
from lvsalert.commands.options import command, invoke

NAME = "lvs-director"


def run(argv: Sequence[str], environ: Mapping[str, str], stdin: Callable[[], str]) -> Outcome:
    """Return what a subcommand says, and its status: 0, 1 (not done) or 3 (bad usage)."""
    return invoke(_lvs_director, argv, environ, stdin)


def _group(plain: click.Command, *commands: click.Command) -> click.Group:
    """Make a group of a command that has --help and --version."""
    return click.Group(
        plain.name,
        {each.name: each for each in commands if each.name is not None},
        params=plain.params,
        help=plain.help,
        callback=plain.callback,
        context_settings=plain.context_settings,
        add_help_option=False,
        no_args_is_help=False,
    )


@command(NAME)
def _plain() -> Outcome:
    """Look after a director: a Linux Virtual Server whose real servers mon watches.

    Every option of a command can also be given as an environment variable: LVSALERT_ and its long
    name, such as LVSALERT_PREFIX.
    """
    return Outcome(0)


_lvs_director = _group(
    _plain,
    director_machine.install_command,
    director_machine.uninstall_command,
    director_machine.check_command,
    director_people.status_command,
    director_people.why_command,
    director_people.drain_command,
    director_people.resume_command,
    director_journal.history_command,
    director_journal.undo_command,
    director_journal.sync_command,
    director_table.start_command,
    director_table.reload_command,
    director_table.stop_command,
    director_table.mon_config_command,
)
