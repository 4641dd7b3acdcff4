"""What the monitors' commands have in common: options, and how an outcome is told to mon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable, TypeVar

import click

from lvsalert import mon, monitor
from lvsalert.commands.entry import CANNOT_TELL, Outcome, watchdog
from lvsalert.commands.options import EnvOption, invoke, number, whole
from lvsalert.errors import UsageError

_F = TypeVar("_F", bound=Callable[..., Any])

DEFAULT_CONCURRENCY = 512


def monitor_outcome(
    command: click.Command,
    argv: Sequence[str],
    environ: Mapping[str, str],
    stdin: Callable[[], str],
) -> Outcome:
    """Run a monitor's command and return its outcome as mon reads it.

    What went wrong follows an empty summary on standard output, with status 3. Help and version are
    no proof that the hosts are well, so under mon they end with 3 too.
    """
    outcome = invoke(command, argv, environ, stdin)
    if outcome.stderr:
        report = mon.cannot_tell(outcome.stderr.rstrip("\n"))
        return Outcome(CANNOT_TELL, report.text)
    if "MON_SERVICE" in environ and not outcome.stdout.startswith("\n") and outcome.status == 0:
        return Outcome(CANNOT_TELL, f"\n{outcome.stdout}")
    return outcome


def common_options(command: _F) -> _F:
    """Add the options that every monitor has."""
    for option in (
        click.option(
            "--concurrency",
            cls=EnvOption,
            type=whole("a number of hosts", 1),
            default=DEFAULT_CONCURRENCY,
            show_default=True,
            help="How many hosts are asked at once.",
        ),
        click.option(
            "--deadline",
            cls=EnvOption,
            type=number("a deadline in seconds", 0.001),
            help="Seconds for the whole run.  [default: enough for all hosts]",
        ),
        click.option(
            "-6", "--prefer-ipv6", cls=EnvOption, is_flag=True, help="Try a name's IPv6 first."
        ),
    ):
        command = option(command)
    return command


timeout_option = click.option(
    "-t",
    "--timeout",
    cls=EnvOption,
    type=number("a time-out in seconds", 0.001),
    default=30,
    show_default=True,
    help="Seconds for one host.",
)
# http.monitor has it as -o too, as the stock one does.
omit_good_option = click.option(
    "--omit-good", cls=EnvOption, is_flag=True, help="Leave the good hosts out."
)


def login_options(command: _F) -> _F:
    """Add the options of monitors that can log in."""
    for option in (
        click.option(
            "--password-file",
            cls=EnvOption,
            metavar="FILE",
            help="Its first line is the password.  [default: LVSALERT_PASSWORD]",
        ),
        click.option("--user", cls=EnvOption, metavar="NAME", help="User to log in as."),
    ):
        command = option(command)
    return command


def outcome_of(run: monitor.Run, given: Mapping[str, Any], **more: Any) -> Outcome:
    """Run a probe and return its report as an outcome; ``more`` goes to ``monitor.report``."""
    with watchdog(run.seconds):
        report = monitor.report(run, omit_good=given["omit_good"], **more)
    return Outcome(report.status, report.text)


def limits_of(given: Mapping[str, Any]) -> monitor.Limits:
    """Return the limits that the options ask for."""
    return monitor.Limits(
        given["timeout"], given["deadline"], given["concurrency"], given["prefer_ipv6"]
    )


def password_of(user: str | None, password_file: str | None, environ: Mapping[str, str]) -> str:
    """Return the password for ``--user``: from its file, else from LVSALERT_PASSWORD.

    It has no option of its own, since ps(1) shows a command line to all. UsageError where there is
    none, or the file cannot be read.
    """
    if user is None:
        return ""
    if password_file is None:
        where, password = "LVSALERT_PASSWORD", environ.get("LVSALERT_PASSWORD")
        if password is None:
            raise UsageError("--user needs a password: --password-file FILE or LVSALERT_PASSWORD")
    else:
        where, password = "--password-file", _first_line(password_file)
    if any(each in password for each in "\r\n\0"):
        raise UsageError(f"{where}: the password holds the end of a line")
    return password


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.readline().rstrip("\n")
    except OSError as error:
        raise UsageError(f"--password-file: {path!r}: {error.strerror}") from None
