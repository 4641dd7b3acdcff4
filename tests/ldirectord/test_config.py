"""ldirectord's configuration: what each fault is told as, and what a sound file means."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.errors import UsageError
from lvsalert.ldirectord.config import ConfigError, ConfiguredServer, address_range, parse
from lvsalert.ldirectord.readers import SERVICE_PORTS
from lvsalert.model import Forwarding, Protocol

if TYPE_CHECKING:
    from lvsalert.ldirectord.config import Config, ConfiguredService

DATA = Path(__file__).parents[1] / "data" / "www_cf"
GATE, MASQ, IPIP = Forwarding.GATEWAYING, Forwarding.MASQUERADING, Forwarding.TUNNELLING
HEAD = "virtual = 10.0.0.3:80\n"

# What is said of each file, behind its own name: the one message, or the warnings.
SAID = json.loads((DATA / "said.json").read_text())
MESSAGES: dict[str, str] = SAID["invalid"]
WARNINGS: dict[str, list[str]] = SAID["valid"]


def read(path: Path) -> Config:
    """Parse a file of the corpus, with its lines' ends as they are."""
    return parse(path.read_bytes().decode(), "www.cf")


def valid(name: str) -> Config:
    """Parse a sound file of the corpus."""
    return read(DATA / "valid" / f"{name}.cf")


def only(*directives: str) -> ConfiguredService:
    """Return the one virtual service that has these directives."""
    (service,) = parse(HEAD + "".join(f"    {each}\n" for each in directives)).services
    return service


def test_every_file_of_the_corpus_is_expected() -> None:
    """No file lies about that no test has an expectation of."""
    assert {path.stem for path in (DATA / "invalid").glob("*.cf")} == set(MESSAGES)
    assert {path.stem for path in (DATA / "valid").glob("*.cf")} == set(WARNINGS)


@pytest.mark.parametrize("name", MESSAGES)
def test_fault_is_told_by_file_and_line(name: str) -> None:
    """A file with a fault is refused as a whole, with one message that leads to it."""
    with pytest.raises(ConfigError) as caught:
        read(DATA / "invalid" / f"{name}.cf")
    assert str(caught.value) == f"www.cf:{MESSAGES[name]}"
    assert caught.value.status == 3


@pytest.mark.parametrize("name", WARNINGS)
def test_sound_file_is_taken_with_its_warnings(name: str) -> None:
    """What is ignored or read in another way than it looks is told, and nothing else is."""
    assert valid(name).warnings == tuple(f"www.cf:{each}" for each in WARNINGS[name])


def test_document_means_its_two_servers() -> None:
    """The document's file, word for word, has two real servers of weight 5 and a page."""
    (service,) = valid("document").services
    assert str(service) == "tcp 10.0.0.3:80"
    assert (service.protocol, service.address, service.port) == (Protocol.TCP, "10.0.0.3", 80)
    assert (service.scheduler, service.flags, service.line) == ("wlc", (), 19)
    assert service.real_servers == (
        ConfiguredServer("192.168.0.1", 80, GATE, 5, line=22),
        ConfiguredServer("192.168.0.2", 80, GATE, 5, line=23),
    )
    check = service.check
    assert (check.type, check.service) == ("negotiate", "http")
    assert (check.request, check.receive) == ("/.testpage", "test page")
    assert (check.timeout, check.negotiate_timeout, check.interval) == (10, 10, 10)


def test_a_version_is_parsed_once() -> None:
    """A process that stays has the same values of the same text, and others of another one."""
    text = HEAD + "    real = 192.168.0.1:80 gate\n"
    first = parse(text)
    assert parse("".join(text.splitlines(keepends=True))) is first
    assert parse(text.replace("gate", "masq")) != first
    assert parse(text) is first


def test_defaults_are_ldirectords() -> None:
    """A virtual service that says nothing has the defaults of the program, not of its manual."""
    service = only()
    assert (service.scheduler, service.flags, service.real_servers) == ("wrr", (), ())
    assert (service.quiescent, service.clean_stop, service.failure_count) == (False, True, 1)
    assert (service.fallback, service.email.addresses, service.email.every) == (None, (), 0)
    check = service.check
    assert (check.timeout, check.negotiate_timeout, check.interval, check.tries) == (5, 30, 10, 1)
    assert (check.request, check.receive, check.method, check.virtual_host) == (
        *("/", "", "GET"),
        None,
    )
    assert (check.command, check.port, check.login) == ("/bin/true", None, "")


@pytest.mark.parametrize(
    ("common", "own", "timeouts"),
    [
        ("", (), (5, 30)),
        ("checktimeout = 3", (), (3, 3)),
        ("negotiatetimeout = 7", (), (7, 7)),
        ("checktimeout = 3\nnegotiatetimeout = 7", (), (3, 7)),
        ("checktimeout = 3\nnegotiatetimeout = 7", ("checktimeout = 4",), (4, 4)),
        ("checktimeout = 3\nnegotiatetimeout = 7", ("negotiatetimeout = 8",), (8, 8)),
        ("checktimeout = 3", ("checktimeout = 4", "negotiatetimeout = 8"), (4, 8)),
    ],
)
def test_time_outs_stand_in_for_each_other(
    common: str, own: tuple[str, ...], timeouts: tuple[int, int]
) -> None:
    """Each time-out is the other's default, a service's own before the global ones."""
    text = common + "\n" + HEAD + "".join(f"    {each}\n" for each in own)
    check = parse(text).services[0].check
    assert (check.timeout, check.negotiate_timeout) == timeouts


@pytest.mark.parametrize(
    ("directives", "flags"),
    [
        (("persistent = 300",), ("-p", "300")),
        (("persistent = 300", "netmask = 255.255.255.0"), ("-p", "300", "-M", "255.255.255.0")),
        (("netmask = 255.255.255.0",), ()),
        (("persistent = 300", "netmask = 255.255.255.255"), ("-p", "300")),
        (("ops = yes",), ()),
        (("ops = yes", "protocol = udp"), ("-o",)),
        (("schedflags = flag-2,flag-1",), ("-b", "flag-1,flag-2")),
        (("schedflags = flag-2,sh-fallback", "scheduler = sh"), ("-b", "sh-fallback,sh-port")),
        (("schedflags = flag-1,flag-3", "scheduler = mh"), ("-b", "mh-fallback,flag-3")),
        (
            ("schedflags = x", "ops = yes", "protocol = udp", "persistent = 9"),
            ("-p", "9", "-o", "-b", "x"),
        ),
    ],
)
def test_flags_are_what_ipvsadm_prints(directives: tuple[str, ...], flags: tuple[str, ...]) -> None:
    """The words beyond the scheduler are those of `ipvsadm -S`, or the table never looks right."""
    assert only(*directives).flags == flags


def test_range_is_one_real_server_an_address() -> None:
    """Both ends belong to a range; one with a name keeps its end until the name is looked up."""
    servers = valid("ranges").services[0].real_servers
    numeric = ["192.168.0.254", "192.168.0.255", "192.168.1.0", "192.168.1.1"]
    assert servers[:4] == tuple(
        ConfiguredServer(address, 8080, MASQ, 3, line=2) for address in numeric
    )
    assert servers[4:] == (
        ConfiguredServer("web1.example.org", 80, MASQ, last="web9.example.org", line=3),
        ConfiguredServer("192.0.2.90", 0, MASQ, 0, last="web9.example.org", line=4),
    )
    assert address_range("192.0.2.1", "192.0.2.1") == ["192.0.2.1"]
    with pytest.raises(UsageError, match="not a range"):
        address_range("192.0.2.2", "192.0.2.1")


def test_firewall_marks_are_services_without_a_check() -> None:
    """A mark has port 0 and service none, and is another one for IPv6."""
    four, six, highest = valid("fwmarks").services
    assert (four.protocol, four.fwmark, four.family) == (Protocol.FWMARK, 7, socket.AF_INET)
    assert (four.address, four.port, four.check.service) == ("", 0, "none")
    assert four.flags == ("-p", "300", "-M", "255.255.255.0")
    assert four.fallback == ConfiguredServer("127.0.0.1", 0, line=5)
    assert (six.fwmark, six.family) == (7, socket.AF_INET6)
    assert six.check.port_of(six.real_servers[0].port) == 80
    assert (str(highest), highest.fwmark) == ("fwm 4294967295", 2**32 - 1)


def test_ipv6_is_kept_as_the_kernel_writes_it() -> None:
    """Addresses lose their brackets and get one form; fallback6 is the global one."""
    web, dns = valid("ipv6").services
    assert (str(web), web.family) == ("tcp [2001:db8::3]:80", socket.AF_INET6)
    assert web.flags == ("-p", "600", "-M", "64")
    assert web.fallback == ConfiguredServer("::1", 80, line=1)
    assert [each.address for each in web.real_servers] == ["2001:db8::11", "web1.example.org"]
    assert (dns.protocol, dns.check.service, dns.flags) == (Protocol.UDP, "dns", ("-p", "60"))
    assert dns.real_servers[0].address == "2001:db8::12"
    assert dns.fallback == ConfiguredServer("2001:db8::9", 53, MASQ, line=11)


def test_fallback_has_the_services_port_where_it_names_none() -> None:
    """A service's own fallback goes before the global one."""
    first, second, third = (service.fallback for service in valid("fallbacks").services)
    assert first == ConfiguredServer("127.0.0.1", 80, line=1)
    assert second == ConfiguredServer("sorry.example.org", 8081, MASQ, line=6)
    assert third == ConfiguredServer("192.168.0.9", 80, line=8)


def test_real_server_has_its_own_check_and_thresholds() -> None:
    """A pair of strings goes before the service's; weight 0 is a weight."""
    service = valid("own-checks-and-thresholds").services[0]
    assert (service.check.request, service.check.receive) == ("/index.html", "ok")
    first, second, third, fourth = service.real_servers
    assert (first.request, first.receive, first.weight) == ("/.testpage", "test page", 5)
    assert (second.request, second.receive) == ("/status", "fine")
    assert (second.lower, second.upper) == (5, 50)
    assert (third.request, third.receive, third.weight, third.upper) == (None, None, 0, 50)
    assert (fourth.request, fourth.receive) == ("/http://www.example.org/", "")
    assert fourth.forwarding is IPIP


def test_service_goes_by_the_port() -> None:
    """Where no service is named the port of the virtual service tells it."""
    services = valid("ports-and-services").services
    assert {each.port: each.check.service for each in services} == {
        port: service for service, port in {**SERVICE_PORTS, "none": 8080}.items()
    }
    assert {each.protocol for each in services if each.port != 53} == {Protocol.TCP}


def test_check_types() -> None:
    """A number combines so many connects with one request; 0 is a number."""
    checks = [service.check for service in valid("check-types").services]
    assert [(check.type, check.connects) for check in checks] == [
        *((name, 0) for name in ("connect", "negotiate", "ping", "off", "on")),
        ("external", 0),
        ("external-perl", 0),
        ("combined", 0),
        ("combined", 3),
    ]


@pytest.mark.parametrize(
    ("directives", "real_port", "port"),
    [
        (("checkport = 8080",), 81, 8080),
        ((), 81, 81),
        ((), 0, 80),
        (("service = none",), 0, None),
        (("service = https",), 0, 443),
    ],
)
def test_port_to_check(directives: tuple[str, ...], real_port: int, port: int | None) -> None:
    """The port to check is checkport, the real server's own, or the service's."""
    assert only(*directives).check.port_of(real_port) == port


def test_global_directives_count_wherever_they_stand() -> None:
    """What follows a virtual service goes for it too, and fork lets its own interval count."""
    (service,) = valid("global-after-virtual").services
    assert (service.check.timeout, service.check.interval) == (7, 3)
    assert (service.failure_count, service.quiescent) == (2, True)
    assert service.email.addresses == ("root@localhost",)


def test_own_directives_go_before_global_ones() -> None:
    """A virtual service's own word counts, off and 1 included."""
    (service,) = valid("own-before-global").services
    assert (service.check.timeout, service.check.negotiate_timeout) == (3, 3)
    assert (service.failure_count, service.quiescent, service.clean_stop) == (5, False, True)
    assert (service.check.tries, service.email.every) == (1, 3600)
    assert service.email.addresses == ("a@example.org", "b@example.org")
    assert service.email.states == {"running", "stopping"}


def test_every_directive_is_taken() -> None:
    """A file with all directives that ldirectord knows is read to the end."""
    config = valid("every-directive")
    assert config.maintenance_dir == "/etc/ha.d/maintenance"
    (service,) = config.services
    assert str(service) == "udp www.example.org:80"
    assert service.flags == ("-p", "300", "-M", "255.255.255.0", "-o", "-b", "sh-port")
    (real,) = service.real_servers
    assert (real.request, real.receive, real.lower, real.upper) == ("/own", "its own", 1, 9)
    check = service.check
    assert (check.port, check.method, check.virtual_host) == (8080, "HEAD", "www.example.org")
    assert (check.login, check.password, check.database, check.secret) == (
        *("user", "hidden"),
        *("shop", "s3cret"),
    )
    assert (check.command, check.interval, check.tries) == ("/usr/local/bin/check", 8, 9)
    assert service.email.sender == "lvs@example.org"


@pytest.mark.parametrize("directive", ["login", "passwd", "database", "secret"])
def test_no_message_has_a_password(directive: str) -> None:
    """What was meant to be secret is in no message, however it is written."""
    for value in ("hidden", '"hidden', "hidden #", '"hid#den"', '""hidden'):
        with pytest.raises(ConfigError) as caught:
            only(f"{directive} = {value}")
        assert "hid" not in str(caught.value)


LINES = st.sampled_from(
    [line for path in sorted(DATA.glob("*/*.cf")) for line in path.read_text().split("\n")]
)


@given(st.one_of(st.text(), st.lists(st.one_of(LINES, st.text(max_size=30))).map("\n".join)))
def test_any_text_is_values_or_one_message(text: str) -> None:
    """No text does anything else than be taken, or be refused by file and line."""
    try:
        config = parse(text, "any.cf")
    except ConfigError as error:
        said = str(error)
    else:
        said = "any.cf:0: taken"
        assert all(warning.startswith("any.cf:") for warning in config.warnings)
    assert re.fullmatch(r"any\.cf:[0-9]+: [^\n]+", said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "fallback = 127.0.0.1:80    # the sorry server\n",
            (
                "1: fallback: 'server' is not a forwarding method: gate, masq or ipip;"
                " a remark needs a line of its own"
            ),
        ),
        (
            "quiescent = no   # deletes it\n",
            "1: quiescent: 'no   # deletes it' is not yes or no; a remark needs a line of its own",
        ),
        (
            "virtual = 10.0.0.3:80\n  real = 192.0.2.1:80 gate\n",
            (
                "2: real: is indented too little:"
                " below a virtual service it takes four blanks or a tab"
            ),
        ),
        (
            "virtual = 10.0.0.3:80\n    real = 192.0.2.1:80 gate\n\n    service = http\n",
            "4: service: is indented but below no virtual service; an empty line ends one",
        ),
        (
            "! a remark\nglobal_defs {\n}\n",
            "1: '! a remark' is keepalived's: a file of ldirectord's is wanted",
        ),
        (
            "virtual_server 10.0.0.3 80 {\n    delay_loop 6\n}\n",
            "1: 'virtual_server 10.0.0.3 80 {' is keepalived's: a file of ldirectord's is wanted",
        ),
        (
            "virtual_server_group www\n{\n    10.0.0.3 80\n}\n",
            "1: 'virtual_server_group www' is keepalived's: a file of ldirectord's is wanted",
        ),
        (
            "# all of it\ninclude /etc/keepalived/*.conf\n",
            (
                "2: 'include /etc/keepalived/*.conf' is keepalived's:"
                " a file of ldirectord's is wanted"
            ),
        ),
        (
            "virtual = 10.0.0.3:53\n    ops = yes # one\n",
            "2: ops: 'yes ' is not yes or no; a remark needs a line of its own",
        ),
        (
            "virtual = 10.0.0.3:80\n    netmask = 255.255.255.0\t# of a company\n",
            (
                "2: netmask: '255.255.255.0    ' is not a netmask such as 255.255.255.0;"
                " a remark needs a line of its own"
            ),
        ),
        (
            "virtual = 10.0.0.3:80\n    quiescent = no \n",
            "2: quiescent: 'no ' is not yes or no; it ends with a blank",
        ),
        ("fork = yes\t\n", "1: fork: 'yes\\t' is not yes or no; it ends with a blank"),
        (
            "virtual = 10.0.0.3:80\n    passwd = hidden # not so\n",
            ('2: passwd: write it in quotes, "like this"; a # begins a comment even there'),
        ),
    ],
)
def test_a_slip_is_told_with_what_to_do(text: str, said: str) -> None:
    """Remarks behind values, too little indentation, and the file of another program."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "www.cf")
    assert str(caught.value) == f"www.cf:{said}"


@pytest.mark.parametrize(
    "line",
    [
        "emailalert = root@example.com # the people",
        "emailalertfrom = lvs@example.com # it",
        "maintenancedir = /etc/ha.d/maintenance # files",
        "fallbackcommand = /bin/true # nothing",
    ],
)
def test_a_remark_that_belongs_to_a_value_is_told(line: str) -> None:
    """ldirectord takes all of the line, too, so that it is no fault."""
    name, _, value = line.partition(" = ")
    assert parse(f"{line}\n{HEAD}", "www.cf").warnings == (
        f"www.cf:1: {name}: {value!r} is taken with its #; a remark needs a line of its own",
    )
