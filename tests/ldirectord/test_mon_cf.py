"""lvs-director mon-config: what the real mon loads, and what it and the whole suite do with it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import lvs_director
from tests.harness.mon import Mon
from tests.harness.nginx import serving
from tests.harness.places import free_port, is_root, join
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.harness.installation import Installation
    from tests.harness.nginx import Nginx
    from tests.harness.standin import StandIn

needs_mon = pytest.mark.skipif(shutil.which("mon") is None, reason="mon is not installed")

CHECKS = {
    "http": 'service = http\n    request = "a page?b=c d"\n    receive = "x"',
    "https": "service = https\n    virtualhost = www.example.com",
    "ftp": 'service = ftp\n    request = "a file.txt"\n    login = "me"\n    passwd = "a b"',
    "smtp": "service = smtp",
    "imap": "service = imap",
    "pop": "service = pop",
    "nntp": "service = nntp",
    "ldap": 'service = ldap\n    request = "o=Your Org, c=US"',
    "mysql": 'service = mysql\n    login = "a\\b"\n    passwd = "c d"\n    database = "e"',
    "pgsql": "service = pgsql",
    "radius": 'service = radius\n    login = "a"\n    passwd = "$(b)"\n    secret = "c"',
    "sip": "service = sip",
    "simpletcp": 'service = simpletcp\n    request = "a\\nb"\n    receive = "^c$"',
    "connect": "checktype = connect",
    "ping": "checktype = ping\n    checkcount = 3",
    "external": 'checktype = external\n    checkcommand = "/usr/lib/a check"',
    "external-perl": 'checktype = external-perl\n    checkcommand = "/usr/lib/a.pl"',
    "combined": "checktype = 3\n    service = http",
    "email": 'checktype = connect\n    emailalert = "root@localhost, me@localhost"',
    "emails": "checktype = connect\n    emailalert = root@localhost\n    emailalertfreq = 60",
}


def configured(installation: Installation, file: Path) -> str:
    """Return the mon.cf for a file, with the plugins' folder of the tests."""
    done = installation.run("lvs-director", "mon-config", str(file))
    assert done.returncode == 0, done.stderr
    return done.stdout.replace("/usr/local/lib/mon", str(installation.prefix))


def complaints(folder: Path, configuration: str) -> list[str]:
    """Return what the real mon has to say about a configuration, no check being run."""
    with Mon(folder / "mon", configuration, options=["-S"]) as mon:
        mon.syslog.wait_for("mon server started")
        warnings = [line for line in mon.output.splitlines() if line.startswith("Warning")]
        return mon.syslog.complaints() + warnings


@needs_mon
def test_mon_loads_every_check_without_a_complaint(
    folder: Path, installation: Installation
) -> None:
    """One service for each kind of check, marks and IPv6 among them."""
    text = "emailalertfrom = lvs@example.org\n"
    text += "".join(
        f"virtual = 10.0.0.3:{port}\n    real = 192.0.2.1:80 masq\n    real = 192.0.2.2:80 masq\n"
        f"    {check}\n"
        for port, check in enumerate(CHECKS.values(), 1000)
    )
    text += "virtual = 7\n    real = 192.0.2.1 gate\n    service = http\n"
    text += "virtual6 = 7\n    real6 = [2001:db8::1] gate\n    service = http\n"
    text += "virtual6 = [2001:db8::3]:80\n    real6 = [2001:db8::1]:8080 masq\n"
    text += "virtual = 10.0.0.3:53\n    protocol = udp\n    real = 192.0.2.1:53 masq\n"
    text += '    service = dns\n    request = "www.example.com"\n'
    (folder / "www.cf").write_text(text)
    configuration = configured(installation, folder / "www.cf")
    assert configuration.count("\nwatch ") == len(CHECKS) + 4
    assert complaints(folder, configuration) == []


_SHOW = """#!/usr/bin/python3
import json, os, sys
keep = {name: text for name, text in os.environ.items() if name.startswith("LVSALERT_")}
with open(sys.argv[0] + ".seen", "w") as file:
    json.dump([sys.argv[1:], keep], file)
"""
REGEX = [
    "two  blanks",
    " leading and trailing ",
    r"a \"quoted\" \d+\\",
    "it's $HOME `x` %s | & ; < > (a|b)",
    r"back\\slash\.",
    "a|b ",
    "",
]


@needs_mon
@pytest.mark.parametrize("receive", REGEX)
def test_values_reach_the_monitor_as_they_are(
    folder: Path, installation: Installation, receive: str
) -> None:
    """Blanks, quotes, backslashes and a shell's signs in a regular expression stay as they are."""
    import json
    import re

    plugins = folder / "mon.d"
    plugins.mkdir(mode=0o777)
    plugins.chmod(0o777)
    show = plugins / "http.monitor"
    show.write_text(_SHOW)
    show.chmod(0o755)
    given = f'    receive = "{receive}"\n' if receive else ""
    (folder / "www.cf").write_text(
        "checkinterval = 1\nvirtual = 10.0.0.3:80\n    real = 192.0.2.1:80 gate\n"
        f'    request = "/a b?c"\n{given}'
    )
    configuration = configured(installation, folder / "www.cf")
    configuration = configuration.replace(str(installation.prefix / "mon.d"), str(plugins))
    with Mon(folder / "mon", configuration) as mon:
        mon.wait_for_check("tcp-10.0.0.3-80", "http")
    argv, environ = json.loads((plugins / "http.monitor.seen").read_text())
    assert " ".join(argv) == "-t 30 -p 80 --follow --insecure --status 200-299 192.0.2.1"
    assert environ["LVSALERT_URL"] == "/a%20b?c"
    seen = environ.get("LVSALERT_RECEIVE", "")
    assert seen.removesuffix("(?:)") == receive
    assert re.compile(seen).pattern == seen


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (
            'receive = "a\\"',
            "{file}:3: receive: 'a\\\\' cannot be matched as Perl does: a backslash at the end",
        ),
        (
            'receive = "(?{exit})"',
            "{file}:3: receive: '(?{{exit}})' cannot be matched as Perl does: (?{{... has no like",
        ),
        (
            'service = ftp\n    request = "a "',
            "LVSALERT_RETRIEVE: 'a ' cannot stand in a mon.cf",
        ),
    ],
)
def test_what_cannot_stand_in_a_mon_cf_is_refused(
    folder: Path, installation: Installation, check: str, message: str
) -> None:
    """One line names it, and nothing is printed."""
    (folder / "www.cf").write_text(
        f"virtual = 10.0.0.3:80\n    real = 192.0.2.1:80 gate\n    {check}\n"
    )
    done = installation.run("lvs-director", "mon-config", str(folder / "www.cf"))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"lvs-director: {message.format(file=folder / 'www.cf')}\n"


@pytest.mark.parametrize(
    ("text", "lines", "told"),
    [
        ("emailalertfrom = lvs@example.org\n", "mail.alert -f lvs@example.org root@localhost", ""),
        (
            "emailalertfrom = LVS <lvs@example.org>; reboot\n",
            "mail.alert root@localhost",
            "emailalertfrom: 'LVS <lvs@example.org>; reboot' is no bare address, so it is left out",
        ),
        ("emailalertstatus = starting, running\n", "mail.alert root@localhost", ""),
        ("emailalertstatus = starting\n", "", ""),
    ],
)
def test_mail_is_sent_as_the_file_wants(
    folder: Path, installation: Installation, text: str, lines: str, told: str
) -> None:
    """From the address that it names, and only where ldirectord would send while it runs."""
    file = folder / "www.cf"
    web = "virtual = 10.0.0.3:80\n    real = 192.0.2.1:80 gate\n    checktype = connect\n"
    file.write_text(f"emailalert = root@localhost\n{text}{web}")
    done = installation.run("lvs-director", "mon-config", str(file))
    found = [line.split(None, 1) for line in done.stdout.splitlines() if "mail.alert" in line]
    assert found == ([["alert", lines], ["upalert", lines]] if lines else [])
    assert done.stderr == (f"lvs-director: {file}: {told}\n" if told else "")


ADDRESSES = tuple(f"127.0.8.{number}" for number in range(1, 5))


class Site:
    """A director with real mon and real web servers, all from one file."""

    def __init__(self, folder: Path, standin: StandIn, installation: Installation) -> None:
        """Write nothing yet."""
        self.folder = folder
        self.table = standin
        self.installation = installation
        self.port = free_port(ADDRESSES[0])
        self.file = folder / "www.cf"
        self.virtual = join("10.0.0.3", self.port)

    def place(self, number: int) -> str:
        """Return where web server `number` (from 1) listens."""
        return join(ADDRESSES[number - 1], self.port)

    def write(self, *numbers: int) -> None:
        """Have the file name these web servers, each with its number for a weight."""
        reals = "".join(f"    real = {self.place(each)} gate {each}\n" for each in numbers)
        self.file.write_text(
            "checkinterval = 1\nnegotiatetimeout = 60\n"
            f'virtual = {self.virtual}\n{reals}    service = http\n    request = "/"\n'
            '    receive = "test page"\n    scheduler = wlc\n'
        )

    def director(self, command: str) -> str:
        """Run a command of lvs-director on the file as root, and return what it prints."""
        done = subprocess.run(
            [str(self.installation.bin / "lvs-director"), command, str(self.file)],
            env={"PATH": "/usr/bin:/bin", **self.table.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if is_root():
            for path in self.table.state.iterdir():
                shutil.chown(path, "mon", "mon")
        return done.stdout

    def serve(self, mon: Mon, *numbers: int) -> None:
        """Wait until exactly these web servers serve, each with its weight."""
        self.table.wait_for(self.virtual, {self.place(each) for each in numbers}, lambda: mon.story)
        weights = {self.place(each): ("g", each) for each in numbers}
        assert self.table.servers(self.virtual) == weights

    def write_shared(self, *services: str) -> None:
        """Have the file name virtual services that all have the first two web servers."""
        reals = "".join(f"    real = {self.place(each)} gate {each}\n" for each in (1, 2))
        virtuals = "".join(
            f"virtual = {join(each, self.port)}\n{reals}    service = http\n"
            '    receive = "test page"\n'
            for each in services
        )
        self.file.write_text(f"checkinterval = 1\nnegotiatetimeout = 60\n{virtuals}")

    def serve_all(self, mon: Mon, services: Sequence[str], *numbers: int) -> None:
        """Wait until exactly these web servers serve in each of these services."""
        places = {self.place(each) for each in numbers}
        for each in services:
            self.table.wait_for(join(each, self.port), places, lambda: mon.story)


@pytest.fixture
def site(folder: Path, standin: StandIn, installation: Installation) -> Site:
    """A director whose file names three web servers."""
    made = Site(folder, standin, installation)
    made.write(1, 2, 3)
    return made


@pytest.fixture
def web(site: Site) -> Iterator[dict[int, Nginx]]:
    """Four nginx that answer, by their numbers."""
    with contextlib.ExitStack() as stack:
        yield {
            number: stack.enter_context(serving(site.folder / f"web{number}", site.place(number)))
            for number in range(1, 5)
        }


@needs_mon
@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
@pytest.mark.parametrize("every", ["", "emailalertfreq = 3600\n"])
def test_mail_tells_of_every_death_and_return(
    site: Site, web: dict[int, Nginx], every: str
) -> None:
    """Once each, as ldirectord does, not only of the first death and the last return."""
    site.file.write_text(f"emailalert = root@localhost\n{every}{site.file.read_text()}")
    site.director("start")
    # mon takes an s at the end of a folder for a blank.
    alerts = site.folder / "mail"
    alerts.mkdir(mode=0o777)
    alerts.chmod(0o777)
    mails = alerts / "mails"
    mail = alerts / "mail.alert"
    mail.write_text(f'#!/bin/sh\nread -r summary\necho "$MON_ALERTTYPE $summary" >>{mails}\n')
    mail.chmod(0o755)
    text = configured(site.installation, site.file)
    text = re.sub(r"^alertdir += *", f"alertdir = {alerts}:", text, flags=re.MULTILINE)
    two, three = ADDRESSES[1:3]
    with Mon(site.folder / "mon", text, site.table.environment) as mon:
        site.serve(mon, 1, 2, 3)
        for number, is_dead, serving_then in (
            *((2, True, (1, 3)), (3, True, (1,))),
            *((2, False, (1, 2)), (3, False, (1, 2, 3))),
        ):
            (web[number].kill if is_dead else web[number].start)()
            site.serve(mon, *serving_then)
            mon.wait_for_check(f"tcp-10.0.0.3-{site.port}", "http")
    assert mails.exists(), mon.story
    told = mails.read_text().splitlines()
    assert [each.rstrip() for each in told[:-1]] == [
        *(f"failure {two}", f"failure {two} {three}", f"failure {three}"),
    ]
    assert told[-1].startswith("up")


@needs_mon
@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_mon_checks_once_for_services_that_share_their_servers(
    site: Site, web: dict[int, Nginx]
) -> None:
    """One watch, one check and one alert take a dead server out of all of them, and put it back."""
    services = ("10.0.0.3", "10.0.0.4", "10.0.0.5")
    site.write_shared(*services)
    site.director("start")
    mon = Mon(site.folder / "mon", configured(site.installation, site.file), site.table.environment)
    with mon:
        assert len(mon.command("list opstatus")) == 1
        site.serve_all(mon, services, 1, 2)
        web[2].kill()
        site.serve_all(mon, services, 1)

        def changes() -> list[str]:
            return [line for line in mon.syslog.lines if "is out: Connection refused" in line]

        # What was changed is logged after it was changed.
        wait_until(lambda: len(changes()) == len(services), lambda: f"all are told of\n{mon.story}")
        assert len({line.partition(":")[0] for line in changes()}) == 1, "one process did so"
        web[2].start()
        site.serve_all(mon, services, 1, 2)
        # One that is edited has a watch of its own from then on.
        site.write_shared(*services)
        with site.file.open("a") as file:
            file.write('    request = "other"\n')
        site.director("reload")
        mon.configure(configured(site.installation, site.file))
        mon.command("reset")
        assert len(mon.command("list opstatus")) == 2
        web[1].kill()
        site.serve_all(mon, services, 2)
        web[1].start()
        site.serve_all(mon, services, 1, 2)
    site.director("stop")


@needs_mon
@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_what_the_file_does_not_say_is_asked_for_in_each_watch(tmp_path: Path) -> None:
    """mon hands the variables on to monitor and alert, which take them as the options."""
    path = tmp_path / "www.cf"
    path.write_text(
        "virtual = 10.0.0.3:80\n    real = 192.0.2.1:80 gate\n    checktype = connect\n"
    )
    options = ["--between", "0.5", "--damp", "3/10"]
    done = lvs_director.run(["mon-config", *options, str(path)], {}, str)
    assert (done.status, done.stdout.count("        LVSALERT_BETWEEN=0.5\n")) == (0, 1)
    assert done.stdout.count("        LVSALERT_DAMP=3/10\n") == 1
    variables = {"LVSALERT_BETWEEN": "0.5", "LVSALERT_DAMP": "3/10"}
    again = lvs_director.run(["mon-config", str(path)], variables, str)
    assert again.stdout == done.stdout
    refused = lvs_director.run(["mon-config", "--between", "0", str(path)], {}, str)
    assert (refused.status, refused.stderr) == (
        3,
        "lvs-director: --between: '0' is not a number of seconds (0.1 or more)\n",
    )


def test_one_file_runs_everything(site: Site, web: dict[int, Nginx]) -> None:
    """Checked start, mon with the generated mon.cf, death, recovery, stop and reload."""
    web[2].kill()
    site.director("start")
    assert set(site.table.servers(site.virtual)) == {site.place(1), site.place(3)}
    web[2].start()
    mon = Mon(site.folder / "mon", configured(site.installation, site.file), site.table.environment)
    with mon:
        site.serve(mon, 1, 2, 3)
        web[3].kill()
        site.serve(mon, 1, 2)
        web[3].start()
        site.serve(mon, 1, 2, 3)
        site.table.run("-C")
        site.serve(mon, 1, 2, 3)
        site.director("stop")
        mon.syslog.wait_for("stopped by director .*: noted, and not set up")
        assert site.table.run("-Sn") == ""
        web[3].kill()
        site.director("start")
        assert set(site.table.servers(site.virtual)) == {site.place(1), site.place(2)}
        web[3].start()
        site.serve(mon, 1, 2, 3)
        site.write(2, 3, 4)
        site.director("reload")
        site.serve(mon, 2, 3, 4)
        mon.configure(configured(site.installation, site.file))
        mon.command("reset")
        group = f"tcp-10.0.0.3-{site.port}"
        mon.wait_for_check(group, "http")
        web[4].kill()
        site.serve(mon, 2, 3)
        web[4].start()
        site.serve(mon, 2, 3, 4)
    before = site.table.run("-Sn")
    assert site.director("reload") == "nothing to change\n3 of 3 in\n"
    assert site.table.run("-Sn") == before
    site.director("stop")
    assert site.table.run("-Sn") == ""
    assert os.path.exists(site.file)
