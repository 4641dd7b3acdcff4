"""What the monitors' commands do alike: run, and tell mon how that ended."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import click

from lvsalert.checks import monitor
from lvsalert.commands.entry import Outcome, is_for_nagios, watchdog
from lvsalert.commands.options import invoke
from lvsalert.commands.stub import CANNOT_TELL
from lvsalert.errors import UsageError
from lvsalert.model import canonical_address
from lvsalert.mon.plugins import lacking
from lvsalert.mon.report import cannot_tell

if TYPE_CHECKING:
    import ssl

    from lvsalert.checks import tls
    from lvsalert.checks.sql import Query
    from lvsalert.checks.sweep import Target
    from lvsalert.commands.entry import Command


def program(command: click.Command) -> Command:
    """Return a monitor's command as a function that returns mon's report, and status 0, 1 or 3."""
    return functools.partial(_outcome, command)


def _outcome(
    command: click.Command,
    argv: Sequence[str],
    environ: Mapping[str, str],
    stdin: Callable[[], str],
) -> Outcome:
    """Run a monitor's command and return its outcome as mon reads it.

    What went wrong follows an empty summary on standard output, with status 3, or is told as Nagios
    wants it. Help and version are no proof that the hosts are well, so under mon they end with 3
    too.
    """
    outcome = invoke(command, argv, environ, stdin)
    if outcome.stderr:
        if is_for_nagios(argv, environ):
            from lvsalert.checks import nagios

            name = command.name or ""
            why = outcome.stderr.rstrip("\n").removeprefix(f"{name}: ")
            report = nagios.unknown(name, why)
            return Outcome(report.status, report.text)
        report = cannot_tell(outcome.stderr.rstrip("\n"))
        return Outcome(CANNOT_TELL, report.text)
    if "MON_SERVICE" in environ and not outcome.stdout.startswith("\n") and outcome.status == 0:
        return Outcome(CANNOT_TELL, f"\n{outcome.stdout}")
    return outcome


class Again(NamedTuple):
    """How the resident process makes a run again: every ``between`` seconds.

    ``hosts`` is how many there are, ``are_apart`` whether what becomes of one has nothing to do
    with the others, ``open_to`` those to which a connection may be left open.
    """

    between: float
    hosts: int
    are_apart: bool
    open_to: Sequence[Target]

    def places(self) -> dict[str, tuple[str, int]]:
        """Return the addresses and ports of those to which one may be left open, by host."""
        return {
            each.host: (each.name, each.port)
            for each in self.open_to
            if each.port and canonical_address(each.name) is not None and "%" not in each.name
        }


class Repeated(Outcome):
    """The outcome of a run that the resident process makes again."""

    again: Again


def outcome_of(
    run: monitor.Run,
    given: Mapping[str, Any],
    *,
    open_to: Sequence[Target] = (),
    **more: Any,
) -> Outcome:
    """Run a probe and return its report as an outcome; ``more`` goes to ``monitor.report``.

    ``open_to`` are those whose protocol lets a client stay that says nothing.
    """
    if given["nagios"]:
        return _for_nagios(run, given, more)
    with watchdog(run.seconds):
        report = monitor.report(run, omit_good=given["omit_good"], **more)
    if not given["between"]:
        return Outcome(report.status, report.text)
    outcome = Repeated(report.status, report.text)
    outcome.again = _again(given, open_to, more)
    return outcome


def _again(given: Mapping[str, Any], open_to: Sequence[Target], more: Mapping[str, Any]) -> Again:
    hosts = len(click.get_current_context().params["hosts"])
    # They are held against each other, or set up together.
    are_apart = not (any(more.values()) or given.get("via"))
    return Again(given["between"], hosts, are_apart, open_to if are_apart else ())


def _for_nagios(run: monitor.Run, given: Mapping[str, Any], more: Mapping[str, Any]) -> Outcome:
    """Run a probe and return the outcome for Nagios. UsageError for what is no part of that."""
    context = click.get_current_context()
    if "MON_SERVICE" in context.obj.environ:
        raise UsageError("--nagios is not for mon, which names the failed by itself")
    if given["between"]:
        raise UsageError("--nagios and --between exclude each other")
    if more.get("details") is not None:
        raise UsageError("--nagios and --traceroute exclude each other")
    with watchdog(run.seconds):
        report = monitor.report(run, omit_good=False, for_nagios=context.command.name, **more)
    return Outcome(report.status, report.text)


def limits_of(given: Mapping[str, Any]) -> monitor.Limits:
    """Return the limits that the options ask for."""
    return monitor.Limits(
        given["timeout"], given["deadline"], given["concurrency"], given["prefer_ipv6"]
    )


def require_library(monitor: str) -> None:
    """See to it that a monitor's client library is there; UsageError says how to get it."""
    said = lacking(monitor)
    if said:
        raise UsageError(said)


def secret_of(name: str, secret_file: str | None, environ: Mapping[str, str], why: str) -> str:
    """Return a secret: the first line of its file, else LVSALERT_ and ``name`` in capitals.

    It has no option of its own, since ps(1) shows a command line to all. UsageError where there is
    none, which says ``why`` there has to be one, or the file cannot be read.
    """
    variable, option = f"LVSALERT_{name.upper()}", f"--{name}-file"
    if secret_file is None:
        where, secret = variable, environ.get(variable)
        if secret is None:
            raise UsageError(f"{why} needs a {name}: {option} FILE or {variable}")
    else:
        where, secret = option, _first_line(option, secret_file)
    if any(each in secret for each in "\r\n\0"):
        raise UsageError(f"{where}: the {name} holds the end of a line")
    return secret


def trust_of(given: Mapping[str, Any]) -> tls.Trust:
    """Return which certificates the options take and show."""
    from lvsalert.checks.tls import Trust

    if given["key"] is not None and given["cert"] is None:
        raise UsageError("--key goes with --cert")
    return Trust(given["cacert"], not given["insecure"], given["cert"], given["key"])


def context_of(given: Mapping[str, Any]) -> ssl.SSLContext | None:
    """Return what TLS comes up with, None where none is asked for."""
    if given["tls"] and given.get("starttls"):
        raise UsageError("--tls and --starttls exclude each other")
    if not (given["tls"] or given.get("starttls")):
        for name in ("cacert", "insecure", "cert", "key"):
            if given[name]:
                ways = "--tls or --starttls" if "starttls" in given else "--tls"
                raise UsageError(f"--{name} goes with {ways}")
        return None

    from lvsalert.checks import tls

    return tls.context_of(trust_of(given))


def password_of(user: str | None, password_file: str | None, environ: Mapping[str, str]) -> str:
    """Return the password for ``--user``: from its file, else from LVSALERT_PASSWORD.

    Errors are those of ``secret_of``.
    """
    return "" if user is None else secret_of("password", password_file, environ, "--user")


def query_of(given: Mapping[str, Any], environ: Mapping[str, str]) -> Query:
    """Return what ``sql_options`` ask of a database."""
    from lvsalert.checks.sql import Query

    password = password_of(given["user"], given["password_file"], environ)
    return Query(given["user"], password, given["database"], given["request"].removeprefix("/"))


def _first_line(option: str, path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.readline().rstrip("\n")
    except OSError as error:
        raise UsageError(f"{option}: {path!r}: {error.strerror}") from None
