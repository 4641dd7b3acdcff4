"""Options and hosts of http.monitor and ftp.monitor: from argv, from the environment, and bad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import pytest

from lvsalert.commands import ftp_monitor, http_monitor
from lvsalert.commands.options import EnvOption, Surroundings
from tests.harness import misbehaving
from tests.harness.misbehaving import OK, Misbehaving, refusing, replies
from tests.harness.places import free_port, join
from tests.harness.waiting import short
from tests.monitors import PASSWORD, complaint, failed, ftp, http, knowing, reasons, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvsalert.commands.entry import Outcome

PAGE = replies(OK + b"\r\ntest page\n")
HTTP = http_monitor._http_monitor
FTP = ftp_monitor._ftp_monitor

# Each option by its long name, with two values that differ from each other and the default.
COMMON = {
    "--port": ("81", "https"),
    "--timeout": ("5", "2.5"),
    "--match": ("a.c", "b.d"),
    "--user": ("me", "you"),
    "--password-file": ("/a", "/b"),
    "--deadline": ("7", "0.5"),
    "--between": ("7", "0.5"),
    "--concurrency": ("3", "4"),
    "--nagios": ("1", None),
    "--omit-good": ("1", None),
    "--prefer-ipv6": ("yes", None),
    "--via": ("10.0.0.3", "10.0.0.3:80"),
    "--forwarding": ("tun", "nat"),
    "--tunnel": ("gre", "gue:6080"),
    "--ipvsadm": ("/a", "/b"),
    "--ipvsadm-timeout": ("7", "0.5"),
    "--state-dir": ("/a", "/b"),
}
TLS: dict[str, tuple[str, str | None]] = {
    "--tls": ("true", None),
    "--cacert": ("/a", "/b"),
    "--insecure": ("on", None),
    "--cert": ("/a", "/b"),
    "--key": ("/a", "/b"),
}
OPTIONS = {
    HTTP: {
        **COMMON,
        "--url": ("/a", "/b"),
        "--agent": ("me", "you"),
        **TLS,
        "--host-header": ("a.example.com", "b.example.com"),
        "--status": ("200", "301-302"),
        "--method": ("HEAD", "GET"),
        "--receive": ("^a", "b$"),
        "--follow": ("1", None),
        "--slow": ("100", "0"),
        "--max-bytes": ("100", "0"),
        "--agree": ("1", None),
        "--agree-on": ("etag", "header:x-version"),
        "--agree-within": ("60", "0.5"),
        "--stale": ("300", "60"),
        "--state-dir": ("/a", "/b"),
    },
    FTP: {**COMMON, **TLS, "--starttls": ("yes", None), "--retrieve": ("/a", "/b")},
}
CASES = [(command, option) for command, options in OPTIONS.items() for option in options]
SHORT = {
    HTTP: ["-p", "-t", "-u", "-a", "-o", "-m"],
    FTP: ["-p", "-t", "-m"],
}


def _parsed(command: click.Command, *argv: str, environ: Mapping[str, str]) -> dict[str, Any]:
    around = Surroundings(environ, lambda: "", {})
    context = command.make_context("monitor", [*argv, "192.0.2.1"], obj=around)
    return {name: repr(value) for name, value in context.params.items()}


def _variable(option: str) -> str:
    return "LVSALERT_" + option[2:].replace("-", "_").upper()


@pytest.mark.parametrize("command", OPTIONS, ids=lambda command: command.name)
def test_every_option_is_looked_at_here(command: click.Command) -> None:
    """The table names each option that has a variable; the stock monitors' short ones are there."""
    spelled = [each.opts for each in command.params if isinstance(each, EnvOption)]
    assert {opt for opts in spelled for opt in opts if opt.startswith("--")} == set(
        OPTIONS[command]
    )
    assert {opt for opts in spelled for opt in opts} >= set(SHORT[command])


@pytest.mark.parametrize(("command", "option"), CASES, ids=lambda each: getattr(each, "name", each))
def test_option_comes_from_its_variable_and_the_command_line_wins(
    command: click.Command, option: str
) -> None:
    """A variable does what the option does; beside the option it does nothing."""
    value, other = OPTIONS[command][option]
    argv = [option] if other is None else [f"{option}={value}"]
    given = _parsed(command, *argv, environ={})
    assert given != _parsed(command, environ={})
    assert _parsed(command, environ={_variable(option): value}) == given
    if other is not None:
        assert _parsed(command, environ={_variable(option): other}) != given
        assert _parsed(command, *argv, environ={_variable(option): other}) == given


@pytest.mark.parametrize(("command", "option"), CASES, ids=lambda each: getattr(each, "name", each))
def test_empty_variable_is_none(command: click.Command, option: str) -> None:
    """mon.cf has no way to unset a variable, so an empty one counts as none."""
    assert _parsed(command, environ={_variable(option): ""}) == _parsed(command, environ={})


BAD_FOR_BOTH = [
    (("-p", "0"), "-p/--port: '0' is not a port: 1 to 65535 or a tcp name of /etc/services"),
    (
        ("-p", "65536"),
        "-p/--port: '65536' is not a port: 1 to 65535 or a tcp name of /etc/services",
    ),
    (("-p", "-1"), "-p/--port: '-1' is not a port: 1 to 65535 or a tcp name of /etc/services"),
    (("-p", "nosuch"), "-p/--port: 'nosuch' is not a port: 1 to 65535 or a tcp name of /etc/serv"),
    (("-p", ""), "-p/--port: '' is not a port: 1 to 65535 or a tcp name of /etc/services"),
    (("-p",), "Option '-p' requires an argument."),
    (("-t", "0"), "-t/--timeout: '0' is not a time-out in seconds (0.001 or more)"),
    (("-t", "-1"), "-t/--timeout: '-1' is not a time-out in seconds (0.001 or more)"),
    (("-t", "soon"), "-t/--timeout: 'soon' is not a time-out in seconds (0.001 or more)"),
    (("-t", "nan"), "-t/--timeout: 'nan' is not a time-out in seconds (0.001 or more)"),
    (("-t", "inf"), "-t/--timeout: 'inf' is not a time-out in seconds (0.001 or more)"),
    (("--deadline", "0"), "--deadline: '0' is not a deadline in seconds (0.001 or more)"),
    (("--concurrency", "0"), "--concurrency: '0' is not a number of hosts (1 or more)"),
    (("--concurrency", "x"), "--concurrency: 'x' is not a number of hosts (1 or more)"),
    (("--concurrency", "1.5"), "--concurrency: '1.5' is not a number of hosts (1 or more)"),
    (("-z",), "No such option"),
    (
        ("--via", "www"),
        "--via: 'www' is not a virtual address: a number, with :port or without",
    ),
    (("--via", "10.0.0.3:0"), "--via: '0' is not a port: 1 to 65535 or a tcp name of /etc/serv"),
    (("--via", "fe80::3%lo"), "--via: 'fe80::3%lo' is not a virtual address: a number, with :por"),
    (("--password", "x"), "No such option"),
    (
        ("--user", "me", "192.0.2.1"),
        "--user needs a password: --password-file FILE or LVSALERT_PASSWORD",
    ),
    (
        ("--user", "me", "--password-file", "/nonexistent", "192.0.2.1"),
        "--password-file: '/nonexistent': No such file or directory",
    ),
    (
        ("--user", "me", "--password-file", "/", "192.0.2.1"),
        "--password-file: '/': Is a directory",
    ),
    (("",), "'' is not a host: it is empty or holds a blank or worse"),
    (("a b",), "'a b' is not a host: it is empty or holds a blank or worse"),
    (("a\nb",), "'a\\nb' is not a host: it is empty or holds a blank or worse"),
    (("a\u00a0b",), "'a\\xa0b' is not a host: it is empty or holds a blank or worse"),
    (("a\udcff",), "'a\\udcff' is not a host: it is empty or holds a blank or worse"),
    (("a", "-p", "80"), "'-p' is not a host: options come before the hosts"),
    (("--", "-rf"), "'-rf' is not a host: options come before the hosts"),
    (("a;b",), "'a;b' is not an address: write host or host:port"),
    (("$(id)",), "'$(id)' is not an address: write host or host:port"),
    (("a'b",), '"a\'b" is not an address: write host or host:port'),
    (
        ("http://a/",),
        "'http://a/' is not a host: '//a/' is not a port: 1 to 65535 or a tcp name of /etc/s",
    ),
    (("a:",), "'a:' is not an address: write host or host:port"),
    ((":80",), "':80' is not an address: write host or host:port"),
    (("a:0",), "'a:0' is not a host: '0' is not a port: 1 to 65535 or a tcp name of /etc/services"),
    (("a:b:c",), "'a:b:c' is not an address: write [v6address]:port"),
    (("[::1",), "'[::1' is not an address: write [v6address]:port"),
    (("[::1]80",), "'[::1]80' is not an address: write [v6address]:port"),
    (("[::1]:",), "'[::1]:' is not an address: write [v6address]:port"),
    (("[127.0.0.1]:80",), "'[127.0.0.1]:80' is not an address: '127.0.0.1' is not IPv6"),
    (
        ("[::1]:x",),
        "'[::1]:x' is not a host: 'x' is not a port: 1 to 65535 or a tcp name of /etc/services",
    ),
]


@pytest.mark.parametrize(("argv", "message"), BAD_FOR_BOTH, ids=str)
def test_what_cannot_be_done_is_refused_by_name(argv: tuple[str, ...], message: str) -> None:
    """A bad option or host gives an empty summary, one line that quotes it, and status 3."""
    assert complaint(http(*argv)).startswith(f"http.monitor: {message}")
    assert complaint(ftp(*argv)).startswith(f"ftp.monitor: {message}")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("-u", "x"), "-u/--url: 'x' is not a path: it begins with /"),
        (
            ("-u", "http://www.example.com/", "--follow", "192.0.2.1"),
            "--url: a whole URL is for a proxy, without --tls, --follow and --user",
        ),
        (("-u", "/a b"), "-u/--url: '/a b' is not a path: it holds a blank or a control character"),
        (("-a", "a\r\nX: y"), "-a/--agent: 'a\\r\\nX: y' cannot stand in a header"),
        (("-m", "("), "-m/--match: '(' is not a regular expression: missing ), unterminated subp"),
        (("--status", "2xx"), "--status: '2xx' is not a list of statuses: write 200,301-302"),
        (("--method", "PUT"), "--method: 'PUT' is not one of 'GET', 'HEAD', 'OPTIONS'."),
        (("--slow", "-1"), "--slow: '-1' is not a number of milliseconds (0 or more)"),
        (("--max-bytes", "-1"), "--max-bytes: '-1' is not a number of bytes (0 or more)"),
        (("--max-bytes", "1e6"), "--max-bytes: '1e6' is not a number of bytes (0 or more)"),
        (("--host-header", "a b"), "--host-header: 'a b' is not a host name"),
        (
            ("--host-header", "www..example.com"),
            "--host-header: 'www..example.com' is not a host name: a label has 1 to 63 bytes",
        ),
        (
            ("--host-header", f"{'w' * 64}.example.com"),
            f"--host-header: '{'w' * 64}.example.com' is not a host name: a label has 1 to 63",
        ),
        (("--host-header", "é"), "--host-header: 'é' cannot stand in a header"),
        (("--cacert", "/a", "192.0.2.1"), "--cacert goes with --tls or --follow"),
        (("--insecure", "192.0.2.1"), "--insecure goes with --tls or --follow"),
        (("--user", "a:b", "192.0.2.1"), "--user: 'a:b' has a colon, which ends a name (RFC 7617)"),
        (
            ("--tls", "--cacert", "/nonexistent", "192.0.2.1"),
            "--cacert: '/nonexistent': No such file or directory",
        ),
    ],
    ids=str,
)
def test_what_http_cannot_do_is_refused_by_name(argv: tuple[str, ...], message: str) -> None:
    """The options of http.monitor alone are refused in the same way."""
    assert complaint(http(*argv)).startswith(f"http.monitor: {message}")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("-m", "x", "192.0.2.1"), "--match goes with --retrieve"),
        (("--retrieve", "/a", "192.0.2.1"), "--retrieve goes with --user"),
        (("--user", "a\nb", "192.0.2.1"), "--user: 'a\\nb' holds a control character"),
        (
            ("--user", "me", "--retrieve", "a\r\nDELE b", "192.0.2.1"),
            "--retrieve: 'a\\r\\nDELE b' holds a control character",
        ),
    ],
    ids=str,
)
def test_what_ftp_cannot_do_is_refused_by_name(argv: tuple[str, ...], message: str) -> None:
    """The options of ftp.monitor alone are refused in the same way."""
    assert complaint(ftp(*argv)) == f"ftp.monitor: {message}"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("LVSALERT_PORT", "0", "LVSALERT_PORT: '0' is not a port: 1 to 65535"),
        ("LVSALERT_TIMEOUT", "x", "LVSALERT_TIMEOUT: 'x' is not a time-out in seconds"),
        ("LVSALERT_OMIT_GOOD", "maybe", "LVSALERT_OMIT_GOOD: "),
        ("LVSALERT_PASSWORD", "a\nb", "LVSALERT_PASSWORD: the password holds the end of a line"),
    ],
)
def test_bad_variable_is_refused_by_its_own_name(variable: str, value: str, message: str) -> None:
    """Who looks for the fault is sent to mon.cf, not to a command line."""
    for monitor, name in ((http, "http.monitor"), (ftp, "ftp.monitor")):
        outcome = monitor("--user", "me", "192.0.2.1", environ={**PASSWORD, variable: value})
        assert complaint(outcome).startswith(f"{name}: {message}")


@pytest.mark.parametrize("monitor", [http, ftp])
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_is_no_verdict(monitor: Any, option: str) -> None:
    """A person gets help with status 0; under mon it is no proof that the hosts are well."""
    outcome: Outcome = monitor(option)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.stdout
    under_mon: Outcome = monitor(option, environ={"MON_SERVICE": "http"})
    assert (under_mon.status, under_mon.stdout) == (3, f"\n{outcome.stdout}")


@pytest.mark.parametrize("name", ["http.monitor", "ftp.monitor"])
@pytest.mark.parametrize("argv", [("-p", "0"), ("-z",), ("a b",), ("a\udcff",)], ids=str)
def test_process_refuses_with_status_3(name: str, argv: tuple[str, ...]) -> None:
    """What is refused is refused as a process too, with nothing on standard error."""
    done = run(name, *argv)
    assert (done.returncode, done.stderr) == (3, b"")
    assert done.stdout.startswith(f"\n{name}: ".encode())
    assert done.stdout.count(b"\n") == 2


@pytest.mark.parametrize("monitor", [http, ftp])
@pytest.mark.parametrize("options", [(), ("--user", "me")], ids=["plain", "login"])
def test_no_hosts_are_all_well(monitor: Any, options: tuple[str, ...]) -> None:
    """mon may call with an empty group: nothing has failed."""
    outcome: Outcome = monitor(*options, environ=PASSWORD)
    assert failed(outcome) == []
    assert outcome.status == 0


@pytest.mark.parametrize("options", [(), ("--user", "me")], ids=["plain", "login"])
def test_host_that_is_named_twice_is_asked_once(options: tuple[str, ...]) -> None:
    """A duplicate neither asks twice nor stands twice in the summary."""
    with Misbehaving(PAGE) as good, refusing() as bad:
        outcome = http(*options, good.place, bad, good.place, bad, environ=PASSWORD)
    assert failed(outcome) == [bad]
    assert outcome.stdout.count(f"HOST {bad}: ") == 1
    assert good.connections == 1


def test_hosts_stand_in_the_summary_as_they_were_spelled() -> None:
    """Every spelling of one dead server comes back as it was, sorted."""
    port = str(free_port("::1"))
    spellings = ["[::1]", "::1", "0:0:0:0:0:0:0:1", f"[::1]:{port}", f"[0::1]:{port}", "127.1"]
    with knowing({"127.1": ["127.0.0.1"]}):
        outcome = http("-p", port, *spellings)
    assert outcome.stdout.split("\n")[0] == " ".join(sorted(spellings))
    assert outcome.status == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_port_of_a_host_comes_before_the_port_of_all(address: str) -> None:
    """host:port overrides -p, for that host alone."""
    with Misbehaving(PAGE, address) as own, Misbehaving(PAGE, address) as common:
        hosts = [own.place, join(address, common.port), address]
        assert failed(http("-p", str(common.port), *hosts)) == []
        assert (own.connections, common.connections) == (1, 2)


@pytest.mark.parametrize("options", [(), ("--user", "me")], ids=["plain", "login"])
def test_deadline_before_any_verdict_cannot_tell(options: tuple[str, ...]) -> None:
    """Where no host has a verdict, the summary names none and the status is 3."""
    with Misbehaving(misbehaving.silent) as silent, knowing({}, ["hangs.example.com"]):
        hosts = [silent.place, "hangs.example.com"]
        outcome = http("--deadline", "0.3", *options, *hosts, environ=PASSWORD)
        assert (outcome.status, failed(outcome)) == (3, [])
        assert outcome.stdout.count("no verdict: the run's deadline came first") == 2


@pytest.mark.parametrize("options", [(), ("--user", "me")], ids=["plain", "login"])
def test_deadline_after_some_verdicts_counts_the_rest_as_failed(options: tuple[str, ...]) -> None:
    """Beside hosts that have a verdict, one without counts as failed."""
    with (
        Misbehaving(misbehaving.silent) as silent,
        Misbehaving(PAGE) as good,
        knowing({}, ["hangs.example.com"]),
    ):
        hosts = [silent.place, "hangs.example.com", good.place]
        outcome = http("--deadline", short(), *options, *hosts, environ=PASSWORD)
    late = "no verdict: the run's deadline came first"
    assert reasons(outcome) == {silent.place: late, "hangs.example.com": late}


@pytest.mark.parametrize("options", [(), ("--user", "me")], ids=["plain", "login"])
def test_name_that_hangs_is_a_failure_in_its_own_time(options: tuple[str, ...]) -> None:
    """A look-up that does not end fails its host, and the run ends all the same."""
    with Misbehaving(PAGE) as good, knowing({}, ["hangs.example.com"]):
        outcome = http("-t", short(), *options, "hangs.example.com", good.place, environ=PASSWORD)
    late = f"hangs.example.com: look-up timed out after {short()} s"
    assert reasons(outcome) == {"hangs.example.com": late}


@pytest.mark.parametrize("monitor", [http, ftp])
@pytest.mark.parametrize("options", [(), ("--user", "me")], ids=["plain", "login"])
@pytest.mark.parametrize("prefer", [(), ("-6",)], ids=["IPv4", "IPv6"])
def test_family_asked_first(
    monitor: Any, options: tuple[str, ...], prefer: tuple[str, ...]
) -> None:
    """Each way to ask begins with IPv4, or with -6 with IPv6."""
    with (
        Misbehaving(misbehaving.closes, ["127.0.0.1", "::1"]) as server,
        knowing({"www.example.com": ["::1", "127.0.0.1"]}),
    ):
        host = f"www.example.com:{server.port}"
        outcome: Outcome = monitor("-t", "60", *options, *prefer, host, environ=PASSWORD)
    asked = join("::1" if prefer else "127.0.0.1", server.port)
    assert f" s, {asked})\n" in outcome.stdout


def test_password_is_asked_for_nowhere_on_the_command_line() -> None:
    """No option takes a password, since ps shows the command line to all."""
    spelled = {opt for command in (HTTP, FTP) for each in command.params for opt in each.opts}
    assert {opt for opt in spelled if "pass" in opt} == {"--password-file"}


def test_option_changes_what_is_asked() -> None:
    """Path, agent, method and name reach the server, from the environment as from argv."""
    environ = {"LVSALERT_URL": "/x", "LVSALERT_AGENT": "me", "LVSALERT_METHOD": "HEAD"}
    with Misbehaving(PAGE) as server:
        name = ("--host-header", "www.example.com")
        assert failed(http(*name, server.place, environ=environ)) == []
    first = b"HEAD /x HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: me\r\n"
    assert bytes(server.heard).startswith(first)
