"""lvs-director: the commands that an operator gives to the director."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Callable

import click

from lvsalert.commands.entry import Outcome
from lvsalert.commands.options import command, invoke

NAME = "lvs-director"


def run(argv: Sequence[str], environ: Mapping[str, str], stdin: Callable[[], str]) -> Outcome:
    """Return what a subcommand says, and its status: 0, 1 (not done) or 3 (bad usage).

    Without one that is the help.
    """
    return invoke(group, argv or ["--help"], environ, stdin)


# The commands as people look for them, each with its module. heartbeat and people wait for one of
# them, not for what others need.
_SECTIONS = {
    "See": {
        "status": "director_servers",
        "why": "director_servers",
        "history": "director_history",
        "metrics": "director_metrics",
        "report": "director_metrics",
    },
    "Change by hand": {
        "drain": "director_servers",
        "resume": "director_servers",
        "undo": "director_history",
        "forget": "director_servers",
    },
    "The whole director": {
        "start": "director_services",
        "reload": "director_services",
        "stop": "director_services",
        "mon-config": "director_mon_config",
        "sync": "director_history",
    },
    "The machine": {
        "install": "director_install",
        "uninstall": "director_install",
        "check": "director_install",
        "serve": "director_serve",
    },
}
_MODULES = {name: module for section in _SECTIONS.values() for name, module in section.items()}
# Longer than a first sentence may be.
_WHOLE = 1000


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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by what they are for, each with its whole first sentence."""
        for title, section in _SECTIONS.items():
            found = {name: self.get_command(ctx, name) for name in section}
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (name, each.get_short_help_str(_WHOLE))
                        for name, each in found.items()
                        if each is not None
                    ]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is asked for; one that is not there may mean another one."""
        if args and args[0] not in _MODULES and not args[0].startswith("-"):
            near = get_close_matches(args[0], _MODULES)
            meant = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{meant}")
        return super().resolve_command(ctx, args)


@command(NAME)
def _plain() -> Outcome:
    """Look after a director: a Linux Virtual Server whose real servers mon watches.

    Every option of a command can also be given as an environment variable: LVSALERT_ and its long
    name, such as LVSALERT_PREFIX.
    """
    return Outcome(0)


# A group of a command that has --help and --version.
group = _Group(
    _plain.name,
    params=_plain.params,
    help=_plain.help,
    callback=_plain.callback,
    # What follows a command's name is the command's.
    context_settings={**_plain.context_settings, "allow_interspersed_args": False},
    add_help_option=False,
    no_args_is_help=False,
)
