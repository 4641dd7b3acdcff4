"""Manual pages and completion, from the one description that a command has of its options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module

import click
from click.shell_completion import get_completion_class

from lvsalert import __version__
from lvsalert.commands.examples import EXAMPLES
from lvsalert.commands.lvs_director import group
from lvsalert.commands.options import EnvOption, Surroundings, sections
from lvsalert.host.plugins import ROFF_COMMENT, File
from lvsalert.mon.plugins import PLUGINS
from lvsalert.templates import filled

FOLDER = "/usr/local/share/man"
_COMPLETIONS = {
    "bash": "/usr/local/share/bash-completion/completions/lvs-director",
    "zsh": "/usr/local/share/zsh/site-functions/_lvs-director",
    "fish": "/usr/local/share/fish/vendor_completions.d/lvs-director.fish",
}
_STATUS = {
    "monitor": "0: all hosts are good. 1: the summary, on the first line, names those that are not."
    " 3: the monitor cannot tell, and names nobody.",
    "": "0: done, or nothing to do. 1: not done. 3: not understood.",
}


def pages() -> list[File]:
    """Return the manual pages of all programs and commands, and of how they meet."""
    found = [(name, "", _program(name)) for names in PLUGINS.values() for name in names]
    found.append(("lvs-alert", "", _program("lvs.alert")))
    context = click.Context(group, info_name="lvs-director")
    found.append(("lvs-director", "", group))
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            found.append((f"lvs-director-{name}", "lvs-director ", command))
    written = [
        File(f"{FOLDER}/man8/{name}.8", 0o644, ROFF_COMMENT, page(command, name, above))
        for name, above, command in found
    ]
    overview = filled("lvsalert.7", version=__version__)
    return [*written, File(f"{FOLDER}/man7/lvsalert.7", 0o644, ROFF_COMMENT, overview)]


def completions() -> list[File]:
    """Return what completes the words of lvs-director in bash, zsh and fish."""
    found = []
    for shell, path in _COMPLETIONS.items():
        kind = get_completion_class(shell)
        if kind is not None:
            text = kind(group, {}, "lvs-director", "_LVS_DIRECTOR_COMPLETE").source()
            # zsh looks at the first line.
            first, rest = text.split("\n", 1) if text.startswith("#compdef") else ("", text)
            found.append(File(path, 0o644, f"{first}\n" if first else "", rest))
    return found


def _program(name: str) -> click.Command:
    """Return the command of a plug-in."""
    module = import_module(f"lvsalert.commands.{name.replace('.', '_')}")
    command: click.Command = getattr(module, f"_{name.replace('.', '_')}")
    return command


def page(command: click.Command, name: str, above: str = "") -> str:
    """Return the page of a command in roff; ``above`` is the program that it belongs to."""
    context = click.Context(command, info_name=command.name, obj=Surroundings({}, str, {}))
    return "".join(f"{line}\n" for line in _lines(command, context, name, above))


def _lines(command: click.Command, context: click.Context, name: str, above: str) -> Iterator[str]:
    first, *rest = re.split(r"\n\s*\n", (command.help or "").strip())
    first = " ".join(first.split())
    yield f'.TH "{name.upper()}" 8 "" "lvsalert {__version__}" "lvsalert"'
    yield ".SH NAME"
    yield f"{_text(name)} \\- {_text(_summary(first))}"
    yield ".SH SYNOPSIS"
    yield f".B {_text(above + (command.name or '') if above else name)}"
    yield _text(" ".join(command.collect_usage_pieces(context)))
    yield ".SH DESCRIPTION"
    for number, paragraph in enumerate([first, *rest]):
        if number:
            yield ".PP"
        yield _text(" ".join(paragraph.split()))
    yield ".SH OPTIONS"
    yield from _options(command, context)
    if isinstance(command, click.Group):
        yield ".SH COMMANDS"
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            if found is not None:
                yield ".TP"
                yield f".BR {_text(f'lvs-director-{each}')} (8)"
                yield _text(found.get_short_help_str(1000))
    if any(isinstance(each, EnvOption) for each in command.params):
        yield ".SH ENVIRONMENT"
        yield _text(
            "Every option can also be given as an environment variable: LVSALERT_ and its long name"
            " in capitals, with _ for -. The command line wins."
        )
    yield ".SH EXIT STATUS"
    yield _text(_STATUS["monitor" if name.endswith(".monitor") else ""])
    yield from _examples(command.name or "")
    yield ".SH SEE ALSO"
    yield ".BR lvsalert (7),\n.BR lvs-director (8),\n.BR mon (8),\n.BR ipvsadm (8)"


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the options by section, without a heading where there is one section alone."""
    for title, options in sections(command).items():
        if options != command.params:
            yield f".SS {title}"
        for option in options:
            record = option.get_help_record(context)
            if record is not None:
                yield ".TP"
                yield f"\\fB{_text(record[0])}\\fR"
                yield _text(" ".join(record[1].split()))


def _examples(name: str) -> Iterator[str]:
    for number, (remark, line) in enumerate(EXAMPLES.get(name, ())):
        if not number:
            yield ".SH EXAMPLES"
        yield ".TP"
        yield _text(f"{remark[0].upper()}{remark[1:]}:")
        yield f"\\fB{_text(line)}\\fR"


def _summary(sentence: str) -> str:
    """Return a first sentence as it stands behind the name: without its capital and its stop."""
    return f"{sentence[:1].lower()}{sentence[1:].split('. ', maxsplit=1)[0].rstrip('.')}"


def _text(text: str) -> str:
    """Return text that roff takes as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text
