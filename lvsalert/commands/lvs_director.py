"""lvs-director: the commands that an operator gives to the director."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Callable

import click

from lvsalert.commands.entry import Outcome
from lvsalert.commands.options import command, invoke

NAME = "lvs-director"


def run(argv: Sequence[str], environ: Mapping[str, str], stdin: Callable[[], str]) -> Outcome:
    """Return what a subcommand says, and its status: 0, 1 (not done) or 3 (bad usage)."""
    return invoke(_lvs_director, argv, environ, stdin)


# The module of each command. heartbeat and people wait for one of them, not for what others need.
_MODULES = {
    "install": "director_install",
    "uninstall": "director_install",
    "check": "director_install",
    "status": "director_servers",
    "why": "director_servers",
    "drain": "director_servers",
    "resume": "director_servers",
    "forget": "director_servers",
    "history": "director_history",
    "undo": "director_history",
    "sync": "director_history",
    "start": "director_services",
    "reload": "director_services",
    "stop": "director_services",
    "mon-config": "director_mon_config",
    "serve": "director_serve",
}


class _Group(click.Group):
    """Commands whose module is imported when one of it is asked for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(_MODULES)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, None where there is none of that name."""
        if cmd_name not in _MODULES:
            return None
        module: Any = import_module(f"lvsalert.commands.{_MODULES[cmd_name]}")
        found: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return found


@command(NAME)
def _plain() -> Outcome:
    """Look after a director: a Linux Virtual Server whose real servers mon watches.

    Every option of a command can also be given as an environment variable: LVSALERT_ and its long
    name, such as LVSALERT_PREFIX.
    """
    return Outcome(0)


# A group of a command that has --help and --version.
_lvs_director = _Group(
    _plain.name,
    params=_plain.params,
    help=_plain.help,
    callback=_plain.callback,
    # What follows a command's name is the command's.
    context_settings={**_plain.context_settings, "allow_interspersed_args": False},
    add_help_option=False,
    no_args_is_help=False,
)
