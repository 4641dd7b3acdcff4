"""What the commands' options have in common: click's types and the environment variables.

Every option can also come from a variable, LVSALERT_ and its long name in capitals, because mon
calls a redistribute program without arguments. The command line wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import click
from click.core import ParameterSource

from lvsalert import __version__
from lvsalert.commands.entry import Outcome
from lvsalert.errors import LvsalertError, UsageError
from lvsalert.model import parse_port
from lvsalert.mon.report import printable

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    # Generic only for the type checker: click 8.1 does not know the brackets.
    _ParamType = click.ParamType

PREFIX = "LVSALERT_"
# What the help sorts options by.
CALLED, WHAT, HOW, FAILING, WHERE = ("Given by mon", "What", "How", "When it fails", "Where")
HELP = "Help"
SECTIONS = (CALLED, WHAT, HOW, FAILING, WHERE, HELP)


class Surroundings(NamedTuple):
    """What a command gets besides its arguments; click carries it as the context's object.

    ``given`` fills with the options that were given, on the command line or in the environment, as
    variables.
    """

    environ: Mapping[str, str]
    stdin: Callable[[], str]
    given: dict[str, str]


class EnvOption(click.Option):
    """An option that looks into the environment given as the context's object.

    ``variable`` is for one whose long name means something else to another command: a variable may
    reach both. ``section`` is where the help has it, one of ``SECTIONS``, by default ``WHAT``.
    """

    def __init__(
        self,
        *words: Any,
        variable: str | None = None,
        section: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*words, **settings)
        self._variable = variable
        self.section = section

    @property
    def variable(self) -> str:
        """Return the name of the option's environment variable."""
        if self._variable is not None:
            return self._variable
        long = next(each for each in (*self.opts, *self.secondary_opts) if each.startswith("--"))
        return PREFIX + long[2:].replace("-", "_").upper()

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the variable's value; an empty one counts as none."""
        surroundings: Surroundings = ctx.find_root().obj
        return surroundings.environ.get(self.variable) or None

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Convert the value, and note it as it was given."""
        source = ctx.get_parameter_source(self.name or "")
        if source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
            parts = value if isinstance(value, (tuple, list)) else [value]
            surroundings: Surroundings = ctx.find_root().obj
            surroundings.given[self.variable] = " ".join(map(str, parts))
        return super().process_value(ctx, value)


def option(*words: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what gives a command an option that can also come from a variable."""
    return click.option(*words, cls=EnvOption, **settings)


def together(
    *options: Callable[[Callable[..., Any]], Callable[..., Any]], section: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return several options as one, in this order, in a section of the help if they have none."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        # Where click keeps a function's options until it makes a command of it.
        kept: list[click.Parameter] = function.__dict__.setdefault("__click_params__", [])
        before = len(kept)
        for each in reversed(options):
            function = each(function)
        for added in kept[before:]:
            if isinstance(added, EnvOption) and added.section is None:
                added.section = section
        return function

    return add


class Parsed(_ParamType):
    """An option value parsed by a function that raises UsageError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the parsed value; one that is parsed already stays."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


def number(what: str, low: float, high: float | None = None) -> Parsed:
    """Return the type of a number of seconds or the like from ``low`` up to ``high``."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= (high if high is not None else 1e9):
            raise UsageError(f"{text!r} is not {what}{_bounds(low, high)}")
        return value

    return Parsed("number", parse)


def whole(what: str, low: int, high: int | None = None) -> Parsed:
    """Return the type of a whole number from ``low`` up to ``high``."""

    def parse(text: str) -> int:
        digits = text.removeprefix("-")
        value = int(text) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
        if value is None or value < low or (high is not None and value > high):
            raise UsageError(f"{text!r} is not {what}{_bounds(low, high)}")
        return value

    return Parsed("integer", parse)


def _bounds(low: float, high: float | None) -> str:
    return f" ({low:g} or more)" if high is None else f" ({low:g} to {high:g})"


PORT = Parsed("port", parse_port)


def invoke(
    command: click.Command,
    argv: Sequence[str],
    environ: Mapping[str, str],
    stdin: Callable[[], str],
) -> Outcome:
    """Run a click command whose callback returns an ``Outcome``; what goes wrong is one line.

    It goes to standard error, with status 3 for options that cannot be understood.
    """
    try:
        outcome = command.main(
            list(argv),
            prog_name=command.name,
            standalone_mode=False,
            obj=Surroundings(environ, stdin, {}),
        )
    except _Printed as text:
        return Outcome(0, f"{text}\n")
    except SystemExit as ended:
        # A shell that completes a word, for which click has printed already.
        return Outcome(int(ended.code or 0))
    except click.ClickException as error:
        return Outcome(3, stderr=f"{command.name}: {printable(_one_line(error))}\n")
    except LvsalertError as error:
        return Outcome(error.status, stderr=f"{command.name}: {printable(str(error))}\n")
    if isinstance(outcome, Outcome):
        return outcome
    raise TypeError(f"{command.name} returned {outcome!r}")


def _one_line(error: click.ClickException) -> str:
    """Return a complaint that names the option or the variable it came from."""
    text = " ".join(error.format_message().split())
    if not isinstance(error, click.BadParameter) or isinstance(error, click.MissingParameter):
        return text
    param, context = error.param, error.ctx
    if param is None or context is None or param.name is None:
        return text
    name = "/".join(param.opts)
    if isinstance(param, EnvOption):
        source = context.get_parameter_source(param.name)
        if source is ParameterSource.ENVIRONMENT:
            name = param.variable
    return f"{name}: {error.message}"


class _Printed(Exception):
    """Text that was asked for instead of a run: the help or the version."""


def _show_help(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked:
        raise _Printed(ctx.get_help())


def _show_version(_ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked:
        raise _Printed(f"lvsalert {__version__}")


def sections(command: click.Command) -> dict[str, list[click.Parameter]]:
    """Return a command's options by the section of the help that has them, in order."""
    found: dict[str, list[click.Parameter]] = {title: [] for title in SECTIONS}
    for each in command.params:
        if each.param_type_name == "option":
            section = each.section or WHAT if isinstance(each, EnvOption) else HELP
            found[section].append(each)
    return {title: options for title, options in found.items() if options}


class _Command(click.Command):
    """A command whose help sorts its options, and ends with examples."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse words, the first of them as the long options that they are short for.

        These are mon's. click looks for a short option among the long ones first, and for what else
        may have been meant by it, which takes as long as all the rest of an alert's options.
        """
        by_word = {word: each for each in self.params for word in each.opts}
        words, at = list(args), 0
        while at < len(words) and isinstance(found := by_word.get(words[at]), EnvOption):
            length = 1 if found.is_flag else 2
            if at + length > len(words):
                break
            words[at] = max(found.opts, key=len)
            at += length
        return super().parse_args(ctx, words)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each section's options."""
        for title, options in sections(self).items():
            records = [each.get_help_record(ctx) for each in options]
            with formatter.section(title):
                formatter.write_dl([each for each in records if each is not None])

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, none of whose lines is folded."""
        from lvsalert.commands.examples import EXAMPLES

        for number, (remark, line) in enumerate(EXAMPLES.get(self.name or "", ())):
            formatter.write("\n" if number else "\nExamples:\n")
            formatter.write(f"  # {remark}\n  {line}\n")


def command(name: str) -> Callable[[Callable[..., Outcome]], click.Command]:
    """Make a click command of a function, with ``--help`` and ``--version``."""

    def make(function: Callable[..., Outcome]) -> click.Command:
        # mon gives an alert the hosts of the group with -h.
        help_flags = ("--help",) if name.endswith(".alert") else ("-h", "--help")
        for flags, show, text in (
            (("--version",), _show_version, "Show the version and exit."),
            (help_flags, _show_help, "Show this text and exit."),
        ):
            function = click.option(
                *flags,
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=show,
                help=text,
            )(function)
        # mon puts the hosts right behind a monitor's last word, and none of them is an option.
        is_monitor = name.endswith(".monitor")
        settings = {"allow_interspersed_args": not is_monitor, "max_content_width": 100}
        make_command = click.command(
            name, cls=_Command, add_help_option=False, context_settings=settings
        )
        return make_command(function)

    return make
