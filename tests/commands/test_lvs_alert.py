"""lvs.alert as a command: its options, what it refuses, an ipvsadm that fails, and as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import syslog
from typing import TYPE_CHECKING

import click
import pytest

from lvsalert.commands import lvs_alert
from lvsalert.commands.options import EnvOption
from lvsalert.ipvs.ipvsadm import Ipvsadm
from tests.harness.alerts import NOW, Director
from tests.harness.places import CHECKOUT, is_root
from tests.harness.syslog import Syslog
from tests.harness.waiting import patience, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLE = (
    "-A -t 10.0.0.3:80 -s wlc\n"
    "-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 5\n"
    "-a -t 10.0.0.3:80 -r 192.0.2.2:80 -g -w 5 -x 10 -y 5\n"
    "-A -f 7 -6 -s rr\n"
    "-A -u 10.0.0.3:53 -s rr\n"
)


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Director:
    """A director with a web service of two real servers."""
    made = Director(tmp_path, monkeypatch)
    made.kernel.fill(TABLE)
    return made


# Every option: its long name, a value (None is a flag), and what else the run is given.
WEB = ("--virtual-service", "10.0.0.3:80")
UP = (*WEB, "--up", "--hosts", "192.0.2.1 192.0.2.9", "--group", "www")
OUT = (*WEB, "--real-server", "192.0.2.1")
OPTIONS: list[tuple[str, str | None, tuple[str, ...]]] = [
    ("service", "http", (*WEB, "--up", "--hosts", "192.0.2.9")),
    ("group", "www", (*WEB, "--up", "--hosts", "192.0.2.9")),
    ("hosts", "192.0.2.1 192.0.2.9", (*WEB, "--up", "--group", "www")),
    ("time", str(NOW), UP),
    ("alertevery", "600", UP),
    ("up", None, (*WEB, "--real-server", "192.0.2.9")),
    ("ack", None, OUT),
    ("disable", None, OUT),
    ("trap", None, OUT),
    ("trap-timeout", None, OUT),
    ("protocol", "udp", ("--virtual-service", "10.0.0.3:53", "--up", "--real-server", "192.0.2.9")),
    ("virtual-service", "10.0.0.3:80", ("--up", "--real-server", "192.0.2.9")),
    ("real-server", "192.0.2.1", WEB),
    ("real-port", "8080", (*UP, "--forwarding", "nat")),
    ("weight", "0", UP),
    ("forwarding", "masq", UP),
    ("u-threshold", "20", UP),
    ("l-threshold", "0", (*WEB, "--up", "--real-server", "192.0.2.2")),
    ("tunnel", "gue:5555:csum", (*UP, "--forwarding", "tun")),
    ("scheduler", "rr", ("--virtual-service", "10.0.0.3:81", "--up", "--real-server", "192.0.2.9")),
    (
        "service-flags",
        "-p 300",
        (
            *("--virtual-service", "10.0.0.3:81", "--scheduler", "rr"),
            "--up",
            "--real-server",
            "192.0.2.9",
        ),
    ),
    ("quiesce", None, OUT),
    ("startup-in", None, UP),
    ("ipv6-fwmark", None, ("--virtual-service", "7", "--up", "--real-server", "2001:db8::9")),
    ("fall", "2", (*WEB, "--group", "www", "--hosts", "192.0.2.1")),
    ("rise", "2", UP),
    ("quiesce-first", "60", OUT),
    ("damp", "2/10", UP),
    ("slow-start", "600", UP),
    ("min-in", "50%", (*WEB, "--group", "www", "--hosts", "192.0.2.1 192.0.2.2")),
    ("fallback", "127.0.0.1", (*WEB, "--group", "www", "--hosts", "192.0.2.1 192.0.2.2")),
    ("reserve", "192.0.2.9", UP),
    ("witness", "127.0.0.1:1", OUT),
    ("journal-days", "0", OUT),
    ("ipvsadm-timeout", "0.5", OUT),
    ("lock-timeout", "0", OUT),
    ("dry-run", None, OUT),
    # Where they lead is tried further down.
    ("ipvsadm", "ipvsadm", OUT),
    ("config", "/nowhere/www.cf", OUT),
    ("state-dir", "", OUT),
]


def variable(name: str) -> str:
    """Return the variable that stands for an option."""
    return f"LVSALERT_{name.replace('-', '_').upper()}"


def outcome(director: Director, *argv: str, **environ: str) -> tuple[object, ...]:
    """Return all that a run from the same beginning left behind."""
    director.kernel.fill(TABLE)
    for file in director.state.iterdir():
        file.unlink()
    director.log.clear()
    stdin = "192.0.2.1\n"
    done = director.alert(*argv, environ=environ, stdin=stdin)
    return done, director.kernel.rules, director.kernel.thresholds, director.told


@pytest.mark.parametrize(("name", "value", "others"), OPTIONS, ids=[each[0] for each in OPTIONS])
def test_option_can_come_from_the_environment(
    director: Director, name: str, value: str | None, others: tuple[str, ...]
) -> None:
    """The variable does what the option does, to the last word."""
    if name == "state-dir":
        value = str(director.state)
    words = [f"--{name}"] if value is None else [f"--{name}", value]
    by_option = outcome(director, *words, *others)
    by_variable = outcome(director, *others, **{variable(name): "1" if value is None else value})
    assert by_variable == by_option


def test_whole_call_can_come_from_the_environment(director: Director) -> None:
    """A bare redistribute program gets everything but mon's own words from mon.cf's variables."""
    environ = {
        "LVSALERT_VIRTUAL_SERVICE": "10.0.0.3:80",
        "LVSALERT_PROTOCOL": "TCP",
        "LVSALERT_WEIGHT": "7",
        "LVSALERT_FORWARDING": "dr",
        "MON_ALERTTYPE": "up",
    }
    argv = ["-s", "http", "-g", "www", "-h", "192.0.2.1 192.0.2.2", "-t", str(NOW), "-u"]
    assert director.alert(*argv, environ=environ).status == 0
    assert director.servers == {"192.0.2.1:80": "-g -w 7", "192.0.2.2:80": "-g -w 7"}


def test_every_option_is_tried() -> None:
    """The table above has them all, each with a long name and a variable."""
    options = [each for each in lvs_alert._lvs_alert.params if isinstance(each, EnvOption)]
    assert {each.variable for each in options} == {variable(name) for name, _, _ in OPTIONS}
    others = [each for each in lvs_alert._lvs_alert.params if not isinstance(each, EnvOption)]
    assert {name for each in others for name in each.opts} == {"--help", "--version"}


@pytest.mark.parametrize(
    ("short", "name"),
    [
        ("-s", "service"),
        ("-g", "group"),
        ("-h", "hosts"),
        ("-t", "time"),
        ("-l", "alertevery"),
        ("-u", "up"),
        ("-a", "ack"),
        ("-D", "disable"),
        ("-T", "trap"),
        ("-O", "trap-timeout"),
        ("-P", "protocol"),
        ("-V", "virtual-service"),
        ("-R", "real-server"),
        ("-W", "weight"),
        ("-F", "forwarding"),
        ("-n", "dry-run"),
    ],
)
def test_short_option_has_a_long_name(short: str, name: str) -> None:
    """mon's own options, those of the original lvs.alert, and no others have short names."""
    found = {
        each: parameter.opts
        for parameter in lvs_alert._lvs_alert.params
        for each in parameter.opts
        if isinstance(parameter, click.Option)
    }
    assert f"--{name}" in found[short]


@pytest.mark.parametrize(
    ("name", "value", "words", "rules"),
    [
        ("weight", "9", ("-W", "7"), {"192.0.2.1:80": "-g -w 7"}),
        ("weight", "nonsense", ("-W", "7"), {"192.0.2.1:80": "-g -w 7"}),
        ("weight", "9", ("-W", "0"), {"192.0.2.1:80": "-g -w 0"}),
        ("real-server", "192.0.2.2", ("-R", "192.0.2.1"), {"192.0.2.1:80": "-g -w 1"}),
        ("forwarding", "nat", ("-F", "dr"), {"192.0.2.1:80": "-g -w 1"}),
        ("virtual-service", "7", ("-V", "10.0.0.3:80"), {"192.0.2.1:80": "-g -w 1"}),
    ],
)
def test_command_line_wins(
    director: Director, name: str, value: str, words: tuple[str, ...], rules: dict[str, str]
) -> None:
    """A variable is not even looked at where the option is given."""
    environ = {**director.environ, "LVSALERT_VIRTUAL_SERVICE": "10.0.0.3:80"}
    environ.update({"LVSALERT_REAL_SERVER": "192.0.2.1", variable(name): value})
    done = director.alert("-u", *words, environ=environ)
    assert (done.status, done.stderr) == (0, "")
    assert director.servers == {**rules, "192.0.2.2:80": "-g -w 5"}


@pytest.mark.parametrize("empty", ["LVSALERT_WEIGHT", "LVSALERT_REAL_PORT", "LVSALERT_QUIESCE"])
def test_empty_variable_counts_as_none(director: Director, empty: str) -> None:
    """mon.cf can take a variable back by leaving it empty."""
    done = director.by_hand("-R", "192.0.2.1")
    director.kernel.fill(TABLE)
    director.log.clear()
    assert director.alert(*WEB, "-R", "192.0.2.1", environ={empty: ""}) == done


BAD = [
    (("-P", "icmp"), "-P/--protocol: 'icmp' is not a protocol: tcp, udp, sctp or fwm"),
    (("-F", "route"), "-F/--forwarding: 'route' is not a forwarding method: dr, nat or tun"),
    (("-W", "-1"), "-W/--weight: '-1' is not a weight (0 to 65535)"),
    (("-W", "65536"), "-W/--weight: '65536' is not a weight (0 to 65535)"),
    (("-W", "5.5"), "-W/--weight: '5.5' is not a weight (0 to 65535)"),
    (("-W", "0x10"), "-W/--weight: '0x10' is not a weight (0 to 65535)"),
    (("-W", ""), "-W/--weight: '' is not a weight (0 to 65535)"),
    (("-W", "\uff15"), "-W/--weight: '\uff15' is not a weight (0 to 65535)"),
    (("-t", "now"), "-t/--time: 'now' is not a time (0 or more)"),
    (("-t", "9" * 5000), f"-t/--time: '{'9' * 5000}' is not a time (0 or more)"),
    (("-V", "10.0.0.3"), "'10.0.0.3' has no port: write address:port"),
    (("-V", "10.0.0.3:"), "'10.0.0.3:' is not an address: write host or host:port"),
    (("-V", "10.0.0.3:x"), "'x' is not a port: 1 to 65535 or a tcp name of /etc/services"),
    (("-V", "10.0.0.3:65536"), "'65536' is not a port: 1 to 65535 or a tcp name of /etc/services"),
    (("-V", "2001:db8::3"), "'2001:db8::3' has no port: write address:port"),
    (("-V", "[2001:db8::3]"), "'[2001:db8::3]' has no port: write address:port"),
    (("-V", "[10.0.0.3]:80"), "'[10.0.0.3]:80' is not an address: '10.0.0.3' is not IPv6"),
    (("-V", "0"), "'0' is not a firewall mark: a whole number from 1"),
    (("-V", "4294967296"), "'4294967296' is not a firewall mark: a whole number from 1"),
    (("-V", "9" * 5000), f"'{'9' * 5000}' is not a firewall mark: a whole number from 1"),
    (("-P", "fwm"), "'10.0.0.3:80' is not a firewall mark: a whole number from 1"),
    (("-P", "tcp", "-V", "7"), "'7' has no port: write address:port"),
    (("-V", ""), "'' is not an address: write host or host:port"),
    (("-R", ""), "'' is not an address: write host or host:port"),
    (("-R", "192.0.2.1:"), "'192.0.2.1:' is not an address: write host or host:port"),
    (("-R", "2001:db8::11"), "2001:db8::11 is of another address family than tcp 10.0.0.3:80"),
    (
        ("-F", "nat", "-R", "192.0.2.1:0"),
        "'0' is not a port: 1 to 65535 or a tcp name of /etc/services",
    ),
    (
        ("-F", "nat", "--real-port", "x"),
        "'x' is not a port: 1 to 65535 or a tcp name of /etc/services",
    ),
    (("--scheduler", "RR"), "--scheduler: 'RR' is not a scheduler: a name such as wlc or rr"),
    (("--u-threshold", "-1"), "--u-threshold: '-1' is not a threshold (0 to 2.14748e+09)"),
    (
        ("--ipvsadm-timeout", "0"),
        "--ipvsadm-timeout: '0' is not a time-out in seconds (0.001 or more)",
    ),
    (("--lock-timeout", "nan"), "--lock-timeout: 'nan' is not a time-out in seconds (0 or more)"),
    (("--lock-timeout", "inf"), "--lock-timeout: 'inf' is not a time-out in seconds (0 or more)"),
    (("--quiesce", "--quiesce-first", "5"), "--quiesce and --quiesce-first exclude each other"),
    (("-W",), "Option '-W' requires an argument."),
    (("extra",), "Got unexpected extra argument (extra)"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[" ".join(words)[:40] for words, _ in BAD])
def test_bad_option_is_quoted(director: Director, words: tuple[str, ...], message: str) -> None:
    """What cannot be understood is status 3, one line that quotes it, and no change."""
    given = (*WEB, "-u", "-R", "192.0.2.9", *words)
    done = director.alert(*given)
    assert (done.status, done.stdout, done.stderr) == (3, "", f"lvs.alert: {message}\n")
    assert director.batches == 0
    assert director.told == [message]


@pytest.mark.parametrize("option", ["--nosuch", "-x", "--quies"])
def test_unknown_option_is_named(director: Director, option: str) -> None:
    """An option that does not exist, or a part of one, is named."""
    done = director.alert(*WEB, "-R", "192.0.2.1", option)
    assert (done.status, done.stdout) == (3, "")
    assert done.stderr.startswith("lvs.alert: No such option")
    assert option in done.stderr
    assert director.batches == 0


def test_missing_virtual_service_is_told(director: Director) -> None:
    """Without -V there is nothing to do it to."""
    done = director.alert("-R", "192.0.2.1")
    assert (done.status, done.stdout) == (3, "")
    assert done.stderr == "lvs.alert: Missing option '-V' / '--virtual-service'.\n"


def test_bad_variable_is_named(director: Director) -> None:
    """A fault in mon.cf's variables is told by the variable's name."""
    done = director.by_hand("-R", "192.0.2.1", "-P", "tcp")
    done = director.alert(*WEB, "-R", "192.0.2.1", environ={"LVSALERT_WEIGHT": "much"})
    assert done.status == 3
    assert done.stderr == "lvs.alert: LVSALERT_WEIGHT: 'much' is not a weight (0 to 65535)\n"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_changes_nothing(director: Director, option: str) -> None:
    """Help and version need nothing else, and go to stdout."""
    done = director.alert(option)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: lvs.alert " if option == "--help" else "lvsalert ")
    assert director.commands == []


EVIL = [
    "$(touch canary)",
    "`touch canary`",
    "; touch canary",
    "| touch canary",
    "& touch canary &",
    "x' ; touch canary ; '",
    'x" ; touch canary ; "',
    "\n-C\n",
    "192.0.2.1\n-C",
    "192.0.2.1 -w 0",
    "192.0.2.1:80\n-D -t 10.0.0.3:80",
    "fe80::1%x\n-C",
    "[fe80::1%x -w 0]:80",
    "--quiesce",
    "-C",
    "--",
    "\0",
    "192.0.2.1\0",
    "\udcff\udcfe",
    "\x1b[2J\x07",
    "../../etc/passwd",
    "%s%n",
    "\u202e192.0.2.1",
    "\u2028-C",
]
NAMES = [repr(each)[:30] for each in EVIL]


def check_untouched(director: Director, printed: str) -> None:
    """Check that the table stands, nothing ran, and what was said is in plain lines."""
    before = TABLE.replace(" -x 10 -y 5", "").splitlines()
    assert sorted(director.kernel.rules) == sorted(before)
    assert not list(director.folder.rglob("canary"))
    assert not (CHECKOUT / "canary").exists()
    assert all(line.isprintable() for line in printed.splitlines()), printed
    assert all(text.isprintable() for text in director.told)
    assert "Traceback" not in printed


@pytest.mark.parametrize("evil", EVIL, ids=NAMES)
@pytest.mark.parametrize(
    "option",
    ["-V", "-R", "-P", "-F", "-W", "-t", "--real-port", "--scheduler", "--min-in", "--witness"],
)
def test_evil_option_is_refused(director: Director, option: str, evil: str) -> None:
    """Whatever an option carries, nothing is executed, nothing changed, and the status is 3."""
    others = {"-V": "10.0.0.3:80", "-R": "192.0.2.1", "-F": "nat"}
    others.pop(option, None)
    words = [word for pair in others.items() for word in pair]
    done = director.alert("-u", *words, option, evil)
    assert (done.status, done.stdout) == (3, "")
    assert done.stderr.startswith("lvs.alert: ")
    assert done.stderr.count("\n") == 1
    check_untouched(director, done.stderr)
    assert director.batches == 0


@pytest.mark.parametrize("evil", EVIL, ids=NAMES)
@pytest.mark.parametrize("event", ["up", "failure"])
def test_evil_host_is_told_of(director: Director, event: str, evil: str) -> None:
    """A host that is none is left out, and told of in plain lines."""
    # An address in it would be a host like any other; one of the other family is told of.
    evil = evil.replace("192.0.2.1", "2001:db8::1").replace("10.0.0.3", "2001:db8::3")
    done = director.by_mon(event, evil, hosts=evil)
    assert done.status in {0, 1, 3}
    check_untouched(director, done.stdout + done.stderr)


@pytest.mark.parametrize("evil", EVIL, ids=NAMES)
def test_evil_summary_names_nobody(director: Director, evil: str) -> None:
    """A summary is compared with the group's hosts, and is nothing more."""
    hosts = "192.0.2.7 192.0.2.8"
    done = director.by_mon("failure", evil, hosts=hosts)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.endswith(": the summary names no host in question, nothing changed\n")
    check_untouched(director, done.stdout)


@pytest.mark.parametrize("evil", EVIL, ids=NAMES)
@pytest.mark.parametrize("option", ["-g", "-s"])
def test_evil_group_is_a_name_like_any_other(director: Director, option: str, evil: str) -> None:
    """A group's or service's name goes into the log in one plain line, and the alert is done."""
    done = director.alert(*WEB, "-R", "192.0.2.9", "-u", option, evil)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    director.kernel.change("-d -t 10.0.0.3:80 -r 192.0.2.9:80")
    check_untouched(director, done.stdout)


@pytest.mark.parametrize("evil", [each for each in EVIL if "\0" not in each])
@pytest.mark.parametrize("option", ["--fallback", "--ipvsadm", "--state-dir"])
def test_evil_place_is_an_error(director: Director, option: str, evil: str) -> None:
    """Nor is anything executed for a fallback, a program or a folder of such a name."""
    if option == "--ipvsadm":
        director.use('exec $honest "$@"')
    done = director.alert("-u", *WEB, "-R", "192.0.2.1", "-W", "5", option, evil)
    assert done.status in {0, 1, 3}
    check_untouched(director, done.stdout + done.stderr)


@pytest.mark.parametrize("evil", EVIL, ids=NAMES)
@pytest.mark.parametrize("name", ["MON_RETVAL", "MON_ALERTTYPE", "MON_GROUP", "MON_SERVICE"])
def test_evil_variable_is_no_verdict(director: Director, name: str, evil: str) -> None:
    """mon's variables are compared and printed, and nothing more."""
    done = director.by_mon("failure", "nobody", environ={name: evil})
    assert done.status == (3 if name == "MON_ALERTTYPE" else 0)
    check_untouched(director, done.stdout + done.stderr)


def done_with(director: Director, *options: str) -> tuple[int, str]:
    """Take out a real server; return status and message, which syslog has to have as well."""
    before = director.kernel.rules
    done = director.by_hand("-R", "192.0.2.1", *options)
    assert done.stdout == ""
    assert director.kernel.rules == before
    message = done.stderr.removeprefix("lvs.alert: ").rstrip("\n")
    errors = [each for each in director.log if each.level == syslog.LOG_ERR]
    assert errors == [("lvs.alert", syslog.LOG_LOCAL0, syslog.LOG_ERR, message)]
    return done.status, message


def test_missing_ipvsadm(director: Director, tmp_path: Path) -> None:
    """Without ipvsadm nothing can be done, and the error says which was looked for."""
    director.use()
    status, message = done_with(director, "--ipvsadm", str(tmp_path / "nowhere"))
    assert (status, message) == (1, f"cannot run {tmp_path}/nowhere: No such file or directory")


def test_hanging_ipvsadm(director: Director) -> None:
    """An ipvsadm that hangs is ended after its time-out, and the lock is free again."""
    program = director.use("exec sleep 1000")
    status, message = done_with(director, "--ipvsadm-timeout", "0.2")
    assert (status, message) == (1, f"{program} -Sn did not answer in 0.2 s")
    director.use('exec $honest "$@"')
    assert director.by_hand("-R", "192.0.2.1", "--lock-timeout", "0").status == 0


def test_kernel_without_ipvs(director: Director) -> None:
    """ipvsadm's own words are passed on."""
    program = director.use('echo "Can\'t initialize ipvs: Protocol not available" >&2; exit 2')
    status, message = done_with(director)
    assert (status, message) == (
        1,
        f"{program} cannot read the table: Can't initialize ipvs: Protocol not available",
    )


def test_lying_ipvsadm(director: Director) -> None:
    """An ipvsadm that says yes and does nothing is found out, and the change is not logged."""
    program = director.use('[ "$1" != -R ] || exit 0', 'exec $honest "$@"')
    status, message = done_with(director)
    first = "-d -t 10.0.0.3:80 -r 192.0.2.1:80"
    undone = f"{program} left 1 of 1 changes undone, first {first!r}: exit status 0"
    assert (status, message) == (1, undone)


def test_change_that_failed_is_made_by_the_next_run(director: Director) -> None:
    """What could not be done is not remembered as done."""
    director.use('[ "$1" != -R ] || exit 255', 'exec $honest "$@"')
    assert director.by_mon("failure", "192.0.2.1", "-W", "5").status == 1
    director.use('exec $honest "$@"')
    done = director.by_mon("failure", "192.0.2.1", "-W", "5", hosts="192.0.2.1 192.0.2.2")
    assert (done.status, set(director.servers)) == (0, {"192.0.2.2:80"})


def test_held_lock(director: Director) -> None:
    """A run that waits in vain for others says so, and changes nothing."""
    path = director.state / "lock"
    with Ipvsadm("none", 1).locked(str(path), 1):
        status, message = done_with(director, "--lock-timeout", "0.05")
    assert (status, message) == (1, f"{path}: another run has held the lock for 0.05 s")


def test_lock_that_cannot_be_had(director: Director) -> None:
    """A link in place of a lock is not followed: the common lock serves, or there is none."""
    for path in (director.state / "lock", director.common_lock):
        path.symlink_to(director.folder / "victim")
    status, message = done_with(director)
    assert status == 1
    assert message.endswith(": the lock cannot be opened: too many levels of symbolic links")
    director.common_lock.unlink()
    assert director.by_hand("-R", "192.0.2.1").status == 0
    assert set(director.servers) == {"192.0.2.2:80"}
    assert not (director.folder / "victim").exists()


ALERT = [sys.executable, str(CHECKOUT / "alert.d" / "lvs.alert")]
CALL = ["-V", "10.0.0.3:80", "-R", "192.0.2.1"]


class Process:
    """lvs.alert as a process, on a stand-in of its own."""

    def __init__(self, director: Director) -> None:
        self.director = director
        director.use('exec $honest "$@"')

    def run(
        self, *argv: str, stdin: bytes = b"", environ: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it with these words."""
        return subprocess.run(
            [*ALERT, *argv],
            env={**self.director.environ, **(environ or {})},
            cwd=self.director.folder,
            input=stdin,
            capture_output=True,
            check=False,
        )


@pytest.fixture
def process(director: Director) -> Process:
    """The drop-in executable of the checkout."""
    return Process(director)


def test_process_takes_out(process: Process) -> None:
    """What mon starts does what the function does."""
    call = ["-s", "http", "-g", "www", "-h", "192.0.2.1 192.0.2.2", "-t", str(NOW), *CALL[:2]]
    environ = {"MON_ALERTTYPE": "failure", "MON_RETVAL": "1", "LVSALERT_WEIGHT": "5"}
    done = process.run(*call, stdin=b"192.0.2.1\n\377\376\0\n", environ=environ)
    assert (done.returncode, done.stderr) == (0, b"")
    about = b"www/http: tcp 10.0.0.3:80: 192.0.2.1:80"
    assert done.stdout == about + b" was dr weight 5, is out: failure\n"
    assert set(process.director.servers) == {"192.0.2.2:80"}


@pytest.mark.parametrize(
    ("argv", "status"), [((), 3), (("-V", "10.0.0.3:99", "-R", "192.0.2.1"), 1), (("--help",), 0)]
)
def test_process_ends_with_the_status(process: Process, argv: tuple[str, ...], status: int) -> None:
    """The exit status is the function's."""
    assert process.run(*argv).returncode == status


@pytest.mark.parametrize(
    "evil",
    [b"$(touch canary)", b"`touch canary`", b";touch canary", b"\n-C", b"\377", b"--quiesce"],
)
@pytest.mark.parametrize("option", ["-V", "-R", "--scheduler"])
def test_evil_bytes_are_refused(process: Process, option: str, evil: bytes) -> None:
    """Bytes that no shell would survive come to nothing in a process too."""
    done = subprocess.run(
        [*ALERT, "-V", "10.0.0.3:80", "-R", "192.0.2.1", "-u", option, evil],
        env=process.director.environ,
        cwd=process.director.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.startswith(b"lvs.alert: ")
    assert done.stderr.count(b"\n") == 1
    check_untouched(process.director, done.stderr.decode())


def test_closed_streams_do_no_harm(process: Process) -> None:
    """mon throws an alert's output away; one without any stream does its duty all the same."""
    script = 'exec "$@" <&- >&- 2>&-'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *ALERT, *CALL], env=process.director.environ, check=False
    )
    assert done.returncode == 3
    assert set(process.director.servers) == {"192.0.2.2:80"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_it_at_once(process: Process, number: signal.Signals) -> None:
    """A run that waits for the lock ends with a word and without a traceback."""
    path = process.director.state / "lock"
    with Ipvsadm("none", 1).locked(str(path), 1):
        running = subprocess.Popen(
            [*ALERT, *CALL],
            env={**process.director.environ, "LVSALERT_LOCK_TIMEOUT": "60"},
            stderr=subprocess.PIPE,
            text=True,
        )
        with running:
            opened = f"/proc/{running.pid}/fd"

            def waits() -> bool:
                found = [f"{opened}/{each}" for each in os.listdir(opened)]
                return any(os.path.realpath(each) == str(path) for each in found)

            wait_until(waits, "it has opened the lock")
            running.send_signal(number)
            _, stderr = running.communicate(timeout=patience())
    assert (running.returncode, stderr) == (3, f"lvs.alert: ended by {number.name}\n")


def test_bug_is_one_line(process: Process, tmp_path: Path) -> None:
    """Even a bug is told in one line, with status 3."""
    broken = tmp_path / "broken" / "sqlite3"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('two\\nlines')\n")
    done = process.run(*CALL, environ={"PYTHONPATH": str(broken.parent)})
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr == b"lvs.alert: a bug: RuntimeError: two lines at __init__.py:1\n"


@pytest.fixture
def log(folder: Path) -> Iterator[Syslog]:
    """A syslog of the test's own."""
    with Syslog(folder) as listening:
        yield listening


@pytest.mark.skipif(not is_root(), reason="needs root for a /dev/log of its own")
def test_syslog_gets_what_it_should(process: Process, log: Syslog) -> None:
    """A change is a notice, an error an error: facility local0 (16), ident lvs.alert."""
    environ = process.director.environ
    subprocess.run(log.for_program([*ALERT, *CALL]), env={**os.environ, **environ}, check=True)
    log.wait_for("is out")
    subprocess.run(log.for_program([*ALERT, "-V", "9"]), env={**os.environ, **environ}, check=False)
    log.wait_for("Missing option")
    assert [(each.facility, each.severity) for each in log.entries] == [(16, 5), (16, 3)]
    first, second = log.lines
    assert first.startswith("lvs.alert[")
    about = "operator root: tcp 10.0.0.3:80: 192.0.2.1:80"
    assert first.endswith(f"]: {about} was dr weight 5, is out: taken out by hand")
    assert second.startswith("lvs.alert[")
    subprocess.run(log.for_program([*ALERT, *CALL]), env={**os.environ, **environ}, check=True)
    subprocess.run(log.for_program([*ALERT, "-V", "9"]), env={**os.environ, **environ}, check=False)
    wait_until(lambda: len(log.entries) == 3, "the last error has come")
    assert "Missing option" in log.lines[-1]


def test_by_hand_it_calls_itself_as_it_was_called(
    director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who calls lvs-alert reads of lvs-alert; syslog and mon go on with lvs.alert."""
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/lvs-alert"])
    assert director.alert("-P", "x").stderr == (
        "lvs-alert: -P/--protocol: 'x' is not a protocol: tcp, udp, sctp or fwm\n"
    )
    done = director.alert("-V", "10.0.0.9:80", "-R", "192.0.2.1", "-u")
    assert done.stderr.startswith("lvs-alert: tcp 10.0.0.9:80: no such virtual service")
    assert director.alert("--help").stdout.startswith("Usage: lvs-alert [OPTIONS]\n")
