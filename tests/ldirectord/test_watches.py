"""What mon is to watch for a service of the director's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lvsalert.ldirectord.file import load
from lvsalert.ldirectord.watches import Watch, shared_watches, shortfalls, watches_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAMES: dict[str, list[str]] = {}


def lookup(names: Iterable[str], _family: int) -> dict[str, list[str]]:
    """Know no name."""
    return {name: NAMES.get(name, []) for name in names}


def watches(folder: Path, virtual: str, *lines: str) -> list[Watch]:
    """Return the watches of a file with one service of these lines."""
    path = folder / "www.cf"
    path.write_text("\n    ".join([virtual, *lines, ""]))
    (service,) = load(str(path), lookup).services
    return watches_of(service)


WEB = "virtual = 10.0.0.3:80"
TWO = ("real = 192.0.2.1:80 gate", "real = 192.0.2.2:80 gate")


@pytest.mark.parametrize(
    ("lines", "hosts", "monitor"),
    [
        (
            TWO,
            ["192.0.2.1", "192.0.2.2"],
            "http.monitor -t 30 -p 80 --follow --insecure --status 200-299",
        ),
        (
            (*TWO, "checktype = connect", "checkport = 81", "checktimeout = 3"),
            ["192.0.2.1", "192.0.2.2"],
            "tcp.monitor -t 3 -p 81",
        ),
        (
            ("real = 192.0.2.1:81 masq", "real = 192.0.2.1:82 masq", "checktype = connect"),
            ["192.0.2.1:81", "192.0.2.1:82"],
            "tcp.monitor -t 5",
        ),
        (("real = 192.0.2.1:8080 gate",), ["192.0.2.1"], "http.monitor -t 30 -p 8080"),
        ((*TWO, "checktype = ping"), ["192.0.2.1", "192.0.2.2"], "fping.monitor -r 0 -t 5000"),
        (
            (*TWO, "checktype = connect", "protocol = udp"),
            ["192.0.2.1", "192.0.2.2"],
            "fping.monitor -r 0 -t 5000",
        ),
        (
            ("real = 192.0.2.1 gate", "real = 192.0.2.2:81 gate", "checktype = external"),
            ["192.0.2.1", "192.0.2.2:81"],
            "external.monitor -t 5",
        ),
        ((*TWO, "service = https"), ["192.0.2.1", "192.0.2.2"], "http.monitor -t 30 -p 80"),
        ((*TWO, "service = oracle"), ["192.0.2.1", "192.0.2.2"], "tcp.monitor -t 30 -p 80"),
        ((*TWO, "service = smtp"), ["192.0.2.1", "192.0.2.2"], "smtp.monitor -t 30 -p 80"),
    ],
)
def test_a_check_has_its_monitor(
    tmp_path: Path, lines: tuple[str, ...], hosts: list[str], monitor: str
) -> None:
    """A port that all have is told once; where they differ, or a program wants it, each has it."""
    (watch,) = watches(tmp_path, WEB, *lines)
    assert list(watch.hosts) == hosts
    assert " ".join(watch.monitor).startswith(monitor)


PORTS = ("real = 192.0.2.1:81 masq", "real = 192.0.2.2:82 masq")
CONNECTED = "the real servers are only connected to"
PINGED = "the real servers are only pinged"
LOGIN = ('login = "a"', 'passwd = "b"')
ASKED = 'request = "a.example"'
UNASKED = "it needs a login and a request, so "
NO_REQUEST = "there is no request, so "
URL = '"http://www.example.com/a b"'
PROXIED = "http.monitor -t 30 -p 80 --status 200-299"


@pytest.mark.parametrize(
    ("lines", "monitor", "match", "lacks"),
    [
        ((*TWO, "service = imap"), "imap.monitor -t 30 -p 80", None, ""),
        ((*PORTS, "service = imap", *LOGIN), "imap.monitor -t 30", None, ""),
        ((*PORTS, "service = pop"), "pop3.monitor -t 30", None, ""),
        ((*PORTS, "service = smtp"), "smtp.monitor -t 30", None, ""),
        ((*TWO, "service = submission"), "smtp.monitor -t 30 -p 80", None, ""),
        ((*PORTS, "service = nntp"), "nntp.monitor -t 30", None, ""),
        ((*TWO, "service = imaps"), "imap.monitor -t 30 -p 80 --tls --insecure", None, ""),
        ((*TWO, "service = pops", *LOGIN), "pop3.monitor -t 30 -p 80 --tls --insecure", None, ""),
        ((*TWO, "service = ldap"), "ldap.monitor -t 5 -p 80", None, ""),
        ((*TWO, "service = ldap", 'receive = "x"'), "ldap.monitor -t 5 -p 80", "x", ""),
        ((*TWO, "service = ldaps"), "ldap.monitor -t 5 -p 80 --tls --insecure", None, ""),
        ((*TWO, "service = sip"), "sip.monitor -t 30 -p 80 --tcp", None, ""),
        ((*TWO, "service = sip", "protocol = udp"), "sip.monitor -t 30 -p 80", None, ""),
        ((*TWO, "service = simpletcp", "protocol = udp"), "fping.monitor", None, PINGED),
        ((*PORTS, "service = radius"), "fping.monitor", None, UNASKED + PINGED),
        ((*PORTS, "service = radius", *LOGIN), "radius.monitor -t 5", None, ""),
        ((*TWO, "service = oracle"), "tcp.monitor -t 30 -p 80", None, CONNECTED),
        ((*TWO, "service = pgsql"), "tcp.monitor -t 30 -p 80", None, UNASKED + CONNECTED),
        ((*PORTS, "service = mysql", *LOGIN), "tcp.monitor -t 30", None, UNASKED + CONNECTED),
        ((*PORTS, "service = mysql", *LOGIN, 'request = "X"'), "mysql.monitor -t 30", None, ""),
        ((*TWO, "service = pgsql", *LOGIN, 'request = "X"'), "pgsql.monitor -t 30", None, ""),
        ((*TWO, "service = dns", ASKED), "dns.monitor -t 30 -p 80 --tcp", None, ""),
        ((*TWO, "service = dns", ASKED, "protocol = udp"), "dns.monitor -t 30 -p 80", None, ""),
        ((*TWO, "service = dns", "protocol = udp"), "fping.monitor", None, NO_REQUEST + PINGED),
        ((*TWO, "service = http", *LOGIN), "http.monitor", None, ""),
        ((*TWO, "service = http_proxy"), "tcp.monitor -t 30 -p 80", None, CONNECTED),
        (
            *((*TWO, "service = http_proxy", f"request = {URL}", 'receive = "x"'), PROXIED),
            *("x", "redirects are not followed"),
        ),
    ],
)
def test_what_is_not_spoken_is_told(
    tmp_path: Path, lines: tuple[str, ...], monitor: str, match: str | None, lacks: str
) -> None:
    """Each check comes as near to ldirectord's as it can, and says what it leaves out."""
    (watch,) = watches(tmp_path, WEB, *lines)
    assert " ".join(watch.monitor).startswith(monitor)
    patterns = ("LVSALERT_MATCH", "LVSALERT_RECEIVE")
    assert {watch.variables.get(each) for each in patterns} == {match, None}
    assert watch.lacks == lacks
    found = load(str(tmp_path / "www.cf"), lookup)
    about = f"{tmp_path}/www.cf:1: service = {found.services[0].configured.check.service}: "
    assert shortfalls(found) == ([about + lacks] if lacks else [])
    if monitor == PROXIED:
        assert watch.variables["LVSALERT_URL"] == "http://www.example.com/a%20b"
    if monitor.startswith("fping.monitor"):
        assert list(watch.hosts) == ["192.0.2.1", "192.0.2.2"]


@pytest.mark.parametrize(
    ("protocol", "words"), [("tcp", ["--tcp"]), ("udp", [])], ids=["tcp", "udp"]
)
def test_names_are_asked_for_as_the_service_is_asked(
    tmp_path: Path, protocol: str, words: list[str]
) -> None:
    """A name server behind a TCP service is asked over TCP, as ldirectord does."""
    lines = ("checkport = 53", "service = dns", 'request = "a.example"', f"protocol = {protocol}")
    (watch,) = watches(tmp_path, WEB, *TWO, *lines)
    assert list(watch.monitor) == ["dns.monitor", "-t", "30", "-p", "53", *words]
    assert watch.variables["LVSALERT_QUERY"] == "a.example"


@pytest.mark.parametrize("check", ["checktype = on", "checktype = off", "service = none"])
def test_what_cannot_fail_is_not_watched(tmp_path: Path, check: str) -> None:
    """There is nothing to ask for."""
    assert watches(tmp_path, WEB, *TWO, check) == []


def test_a_host_stands_for_all_servers_that_its_check_is_of(tmp_path: Path) -> None:
    """With one port to check, two real servers at an address share their fate."""
    reals = ("real = 192.0.2.1:81 masq", "real = 192.0.2.1:82 masq")
    (watch,) = watches(tmp_path, WEB, *reals, "checktype = connect", "checkport = 90")
    assert [each.endpoint for each in watch.hosts["192.0.2.1"]] == [
        ("192.0.2.1", 81),
        ("192.0.2.1", 82),
    ]


def test_a_request_of_its_own_is_a_watch_of_its_own(tmp_path: Path) -> None:
    """Real servers that are asked alike share a watch."""
    own = 'real = 192.0.2.3:80 gate 1 "own", "word"'
    common, single = watches(tmp_path, WEB, *TWO, own, 'receive = "all"')
    assert (common.group, list(common.hosts)) == ("tcp-10.0.0.3-80", ["192.0.2.1", "192.0.2.2"])
    assert (single.group, list(single.hosts)) == ("tcp-10.0.0.3-80-2", ["192.0.2.3"])
    assert (single.variables["LVSALERT_URL"], single.variables["LVSALERT_RECEIVE"]) == (
        "/own",
        "word",
    )


@pytest.mark.parametrize(
    ("virtual", "real", "group", "named"),
    [
        ("virtual = 7", "real = 192.0.2.1:80 masq", "fwm-7", {"LVSALERT_PROTOCOL": "fwm"}),
        (
            "virtual6 = 7",
            "real6 = [2001:db8::1]:80 masq",
            "fwm6-7",
            {"LVSALERT_VIRTUAL_SERVICE": "7", "LVSALERT_IPV6_FWMARK": "1"},
        ),
        (
            "virtual6 = [2001:db8::3]:80",
            "real6 = [2001:db8::1]:80 masq",
            "tcp-2001.db8..3-80",
            {"LVSALERT_VIRTUAL_SERVICE": "[2001:db8::3]:80"},
        ),
    ],
)
def test_a_service_is_named_for_mon_and_the_alert(
    tmp_path: Path, virtual: str, real: str, group: str, named: dict[str, str]
) -> None:
    """Marks and IPv6 get names that mon takes, and variables that lvs.alert takes."""
    (watch,) = watches(tmp_path, virtual, real, "checktype = connect")
    assert watch.group == group
    assert named.items() <= watch.variables.items()


ALIKE = """\
virtual = 10.0.0.3:80
    real = 192.0.2.1 gate 5
    real = 192.0.2.2 gate
    checktype = connect
    checkport = 8080
"""
OTHER = ALIKE.replace("10.0.0.3", "10.0.0.4")


@pytest.mark.parametrize(
    ("other", "is_shared"),
    [
        (OTHER, True),
        (OTHER.replace("gate 5", "masq 9"), True),
        (f"{OTHER}    scheduler = rr\n    quiescent = yes\n", True),
        (
            OTHER.replace(
                "real = 192.0.2.1 gate 5\n    real = 192.0.2.2 gate",
                "real = 192.0.2.2 gate\n    real = 192.0.2.1 gate",
            ),
            True,
        ),
        (OTHER.replace("192.0.2.2", "192.0.2.3"), False),
        (OTHER.replace("8080", "8081"), False),
        (OTHER.replace("connect", "ping"), False),
        (f"{OTHER}    checktimeout = 3\n", False),
        (f"{OTHER}    emailalert = root\n", False),
        (OTHER.replace("connect", "negotiate"), False),
        (f"{OTHER}    protocol = udp\n", False),
    ],
)
def test_services_share_a_check_that_is_the_same(
    tmp_path: Path, other: str, is_shared: bool
) -> None:
    """What is checked, where, how often and who is told tells; how a service is served does not."""
    path = tmp_path / "www.cf"
    path.write_text(ALIKE + other)
    found = shared_watches(load(str(path), lookup).services)
    groups = {watch.group for watches in found.values() for watch in watches}
    assert len(groups) == (1 if is_shared else 2)
    assert "tcp-10.0.0.3-80" in groups


def test_a_program_is_told_each_service(tmp_path: Path) -> None:
    """It may judge a real server by the virtual service, which is one of its words."""
    path = tmp_path / "www.cf"
    external = "connect\n    checkcommand = /bin/true"
    path.write_text((ALIKE + OTHER).replace("connect", external.replace("connect", "external")))
    found = shared_watches(load(str(path), lookup).services)
    assert len({watch.group for watches in found.values() for watch in watches}) == 2
