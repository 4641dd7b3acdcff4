"""The options that monitors share, each described once."""

from __future__ import annotations

import re
from typing import Any, Callable

import click

from lvsalert.checks.http import parse_match
from lvsalert.commands.options import FAILING, HOW, PORT, Parsed, number, option, together, whole
from lvsalert.errors import UsageError

DEFAULT_CONCURRENCY = 512


def parse_text_match(text: str) -> re.Pattern[str]:
    """Return a regular expression for text; UsageError where it is none."""
    try:
        return re.compile(text)
    except (re.error, OverflowError) as error:
        raise UsageError(f"{text!r} is not a regular expression: {error}") from None


_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def port_option(
    help: str = "Port.",  # noqa: A002 - as click's
    *aliases: str,
    **settings: Any,
) -> _Decorator:
    """Return the option of the port of hosts that carry none."""
    return option("-p", *aliases, "--port", type=PORT, help=help, **settings)


def timeout_option(
    help: str = "Seconds for one host.",  # noqa: A002 - as click's
    default: float = 30,
) -> _Decorator:
    """Return the option of how long one host may take."""
    return option(
        "-t",
        "--timeout",
        type=number("a time-out in seconds", 0.001),
        default=default,
        show_default=True,
        help=help,
        section=FAILING,
    )


def match_option(where: str) -> _Decorator:
    """Return the option of a regular expression that has to be found in ``where``."""
    return option(
        "-m",
        "--match",
        type=Parsed("regex", parse_match),
        help=f"Regular expression to find in {where}.",
        section=FAILING,
    )


def slow_option(*names: str) -> _Decorator:
    """Return the option of how late an answer is a failure; fping.monitor has a letter for it."""
    return option(
        *names,
        type=number("a number of milliseconds", 0),
        metavar="MS",
        help="An answer later than that is a failure.",
        section=FAILING,
    )


# http.monitor has it as -o too, as the stock one does.
omit_good_option = option(
    "--omit-good", is_flag=True, help="Leave the good hosts out of the report.", section=HOW
)

password_file_option = option(
    "--password-file",
    metavar="FILE",
    help="Its first line is the password.  [default: LVSALERT_PASSWORD]",
)

login_options = together(
    option("--user", metavar="NAME", help="User to log in as."),
    password_file_option,
    section=HOW,
)

# The stock monitor calls the user another name.
sql_options = together(
    option("--user", "--username", required=True, metavar="NAME", help="User to log in as."),
    password_file_option,
    option("--database", default="", metavar="NAME", help="Database.  [default: the user's own]"),
    option("--request", default="", metavar="SQL", help="Statement that has to bring a row."),
)

cert_options = together(
    option("--cert", metavar="FILE", help="Certificate to show, where servers ask for one."),
    option("--key", metavar="FILE", help="Its key.  [default: in the same file]"),
    section=HOW,
)

trust_options = together(
    option("--cacert", metavar="FILE", help="Certificates to trust."),
    option("--insecure", is_flag=True, help="Trust any certificate."),
    cert_options,
    section=HOW,
)

tls_options = together(
    option("--tls", is_flag=True, help="Speak TLS and verify the certificate."),
    trust_options,
    section=HOW,
)

starttls_option = option(
    "--starttls",
    is_flag=True,
    help="Begin in plain text and change to TLS, which has to come up.",
    section=HOW,
)

between_option = option(
    "--between",
    type=number("a number of seconds", 0.1),
    metavar="SECONDS",
    help="Have lvs-director serve check every so many seconds until mon's next check.",
    section=HOW,
)

nagios_option = option(
    "--nagios",
    is_flag=True,
    help="Answer in one line as Nagios wants it, with status 0 to 3.",
    section=HOW,
)

# Every monitor's, behind its own.
common_options = together(
    option("-6", "--prefer-ipv6", is_flag=True, help="Try a name's IPv6 first."),
    option(
        "--deadline",
        type=number("a deadline in seconds", 0.001),
        help="Seconds for the whole run.  [default: enough for all hosts]",
    ),
    option(
        "--concurrency",
        type=whole("a number of hosts", 1),
        default=DEFAULT_CONCURRENCY,
        show_default=True,
        help="How many hosts are asked at once.",
    ),
    between_option,
    nagios_option,
    click.argument("hosts", nargs=-1, metavar="HOST..."),
    section=HOW,
)
