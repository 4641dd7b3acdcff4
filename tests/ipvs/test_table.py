"""Reading the table from ipvsadm's text, and planning from one table to another."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvsalert.errors import IpvsadmError
from lvsalert.ipvs.plan import Change, plan
from lvsalert.ipvs.table import Service, Table, parse, parse_connections
from lvsalert.model import Forwarding, Protocol, RealServer, VirtualService
from tests.harness.table_file import TableFile, placed_in, taken_out, tcp

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parents[1] / "data" / "ipvsadm"
V4, V6 = socket.AF_INET, socket.AF_INET6
DR, NAT, TUN = Forwarding.GATEWAYING, Forwarding.MASQUERADING, Forwarding.TUNNELLING


def udp(address: str, port: int) -> VirtualService:
    """Return a UDP service."""
    return tcp(address, port)._replace(protocol=Protocol.UDP)


def fwm(mark: int, family: int = V4) -> VirtualService:
    """Return a service of a firewall mark."""
    return VirtualService(Protocol.FWMARK, "", 0, mark, family)


def service(
    virtual: VirtualService, scheduler: str, flags: str, *real_servers: RealServer
) -> Service:
    """Return a service with these real servers."""
    entries = {(real.address, real.port): real for real in real_servers}
    return Service(virtual, scheduler, tuple(flags.split()), entries)


def gue(checksum: str) -> tuple[str, ...]:
    """Return the flags of a real server behind a GUE tunnel."""
    return ("--tun-type", "gue", "--tun-port", "6080", f"--tun-{checksum}")


LONG = "2001:db8:ffff:ffff:ffff:ffff:ffff:fff1"
# What stands behind save-n.txt and list-n-thresholds.txt, value by value.
FIXTURE = [
    service(tcp("10.0.0.3", 0), "rr", "-p 300", RealServer("192.168.0.1", 0)),
    service(
        tcp("10.0.0.3", 25),
        "wrr",
        "",
        RealServer("192.168.0.1", 25, TUN),
        RealServer("192.168.0.2", 25, TUN),
        RealServer("192.168.0.3", 25, TUN, flags=gue("nocsum")),
        RealServer("192.168.0.4", 25, TUN, flags=gue("remcsum")),
        RealServer("192.168.0.5", 25, TUN, flags=("--tun-type", "gre", "--tun-nocsum")),
        RealServer("192.168.0.6", 25, TUN, flags=("--tun-type", "gre", "--tun-csum")),
    ),
    service(
        tcp("10.0.0.3", 80),
        "wlc",
        "",
        RealServer("192.168.0.1", 80, DR, 5),
        RealServer("192.168.0.2", 80, DR, 0),
        RealServer("192.168.0.3", 80, DR, 5, upper=1000, lower=800),
    ),
    service(tcp("10.0.0.3", 81), "rr", ""),
    service(
        tcp("10.0.0.3", 443),
        "wlc",
        "-p 300 -M 255.255.255.0",
        RealServer("192.168.0.1", 8443, NAT, 3),
        RealServer("192.168.0.2", 8443, NAT, 65535),
    ),
    service(
        tcp("10.0.0.3", 8080), "sh", "-b sh-fallback,sh-port", RealServer("127.0.0.1", 8080, DR)
    ),
    service(tcp("10.0.0.3", 8081), "mh", "-b mh-fallback,mh-port"),
    service(tcp("10.0.0.3", 8082), "rr", "-b flag-3"),
    service(udp("10.0.0.3", 53), "rr", "-o", RealServer("192.168.0.1", 53)),
    service(udp("10.0.0.3", 5060), "rr", "-p 90 --pe sip", RealServer("192.168.0.1", 5060, NAT)),
    service(
        VirtualService(Protocol.SCTP, "10.0.0.3", 2905, 0, V4),
        "rr",
        "",
        RealServer("192.168.0.1", 2905, NAT),
    ),
    service(
        tcp("2001:db8::3", 80),
        "rr",
        "",
        RealServer("2001:db8::11", 80, DR, 5),
        RealServer("2001:db8::12", 80, TUN, 5, upper=20, lower=10),
    ),
    service(
        tcp("2001:db8::3", 443),
        "rr",
        "-p 600 -M 64",
        RealServer(LONG, 65535, NAT, 65535, upper=2147483647, lower=2147483646),
    ),
    service(udp("2001:db8::3", 53), "rr", "", RealServer("2001:db8::11", 53)),
    service(
        fwm(7), "wlc", "", RealServer("192.168.0.1", 0), RealServer("192.168.0.2", 0, NAT, upper=10)
    ),
    service(
        fwm(8, V6),
        "rr",
        "-p 60",
        RealServer("2001:db8::11", 0),
        RealServer("2001:db8::12", 0, NAT, upper=10, lower=10),
    ),
]
EXPECTED: Table = {each.virtual: each for each in FIXTURE}


def fixture(name: str) -> str:
    """Return what the real ipvsadm printed."""
    return (DATA / name).read_text()


def read_fixture() -> Table:
    """Return the table that the real ipvsadm printed."""
    return parse(fixture("save-n.txt"), fixture("list-n-thresholds.txt"))


def batch(changes: list[Change]) -> str:
    """Return a plan as the lines of ipvsadm -R."""
    return "".join(f"{' '.join(change.words)}\n" for change in changes)


@pytest.fixture
def kernel(tmp_path: Path) -> TableFile:
    """A stand-in with an empty table."""
    return TableFile(tmp_path / "table")


def test_real_table_is_read_to_the_last_word() -> None:
    """Everything that the real ipvsadm printed of a rich table comes back as values."""
    found = read_fixture()
    assert list(found.values()) == FIXTURE
    assert found == EXPECTED


def test_service_without_real_servers_needs_no_thresholds() -> None:
    """Rules alone are enough where there is no real server."""
    assert parse("-A -t 10.0.0.3:81 -s rr\n") == {
        tcp("10.0.0.3", 81): service(tcp("10.0.0.3", 81), "rr", "")
    }


def test_empty_text_is_an_empty_table() -> None:
    """ipvsadm -Sn prints nothing of an empty table."""
    assert parse("") == {}


def test_highest_fwmark_is_read_as_it_was_given() -> None:
    """ipvsadm prints the mark 4294967295 as -1, and does not take that back."""
    rules = "-A -f -1 -s rr\n-a -f -1 -r 192.0.2.1:0 -g -w 1\n"
    thresholds = "FWM  -1 rr\n  -> 192.0.2.1:0    7   6   0   0\n"
    (virtual,) = table = parse(rules, thresholds)
    assert virtual.words() == ("-f", "4294967295")
    assert table[virtual].real_servers["192.0.2.1", 0].upper == 7


def test_thresholds_are_of_the_right_service() -> None:
    """The same real server in two services has thresholds of its own in each."""
    rules = "".join(
        f"-A {name} -s rr\n-a {name} -r 192.0.2.1:{port} -m -w 1\n"
        for name, port in (("-t 10.0.0.3:80", 80), ("-u 10.0.0.3:80", 80), ("-f 80", 0))
    )
    thresholds = (
        "TCP  10.0.0.3:80 rr\n  -> 192.0.2.1:80  1 0 0 0\n"
        "UDP  10.0.0.3:80 rr\n  -> 192.0.2.1:80  2 0 0 0\n"
        "FWM  80 rr\n  -> 192.0.2.1:0  3 0 0 0\n"
    )
    uppers = [
        real.upper
        for each in parse(rules, thresholds).values()
        for real in each.real_servers.values()
    ]
    assert uppers == [1, 2, 3]


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "hello world",
        "-A",
        "-A -t",
        "-A -t 10.0.0.3",
        "-A -t 10.0.0.3:http -s rr",
        "-A -t web1:80 -s rr",
        "-A -x 10.0.0.3:80 -s rr",
        "-A -t 10.0.0.3:80:90 -s rr",
        "-A -t 10.0.0.3: -s rr",
        "-A -f x -s rr",
        "-D -t 10.0.0.3:80",
        "-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 1",
        "<html><body>it works</body></html>",
        "Traceback (most recent call last):",
        "\udcff\udcfe",
    ],
)
def test_bad_rule_is_quoted(line: str) -> None:
    """Text that is no table is never taken for one."""
    with pytest.raises(IpvsadmError) as caught:
        parse(f"{line}\n")
    assert str(caught.value) == f"cannot read what ipvsadm -Sn printed: {line!r}"
    assert caught.value.status == 1


@pytest.mark.parametrize(
    "words",
    [
        "",
        "-r",
        "-r 192.0.2.1",
        "-r web1:80 -g -w 1",
        "-r 192.0.2.1:http -g -w 1",
        "-r 192.0.2.1:80 -g -w",
        "-r 192.0.2.1:80 -g -w five",
        "-r 192.0.2.1:80 -i -w 1 --tun-type",
        "-r [2001:db8::11 -g -w 1",
        "-g -w 1",
    ],
)
def test_bad_rule_of_a_real_server_is_quoted(words: str) -> None:
    """A real server's rule that breaks off or makes no sense is an error, not an entry."""
    line = f"-a -t 10.0.0.3:80 {words}".rstrip()
    with pytest.raises(IpvsadmError) as caught:
        parse(f"-A -t 10.0.0.3:80 -s rr\n{line}\n")
    assert str(caught.value) == f"cannot read what ipvsadm -Sn printed: {line!r}"


RULES = "-A -t 10.0.0.3:80 -s rr\n-a -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 1\n"


@pytest.mark.parametrize(
    "line",
    [
        "TCP  10.0.0.3",
        "TCP  web1:80 rr",
        "UDP  10.0.0.3:x rr",
        "FWM  x rr",
        "  -> 192.0.2.1:80  many few 0 0",
        "  -> 192.0.2.1:80  1",
        "  -> web1:80  1 0 0 0",
    ],
)
def test_bad_line_of_thresholds_is_quoted(line: str) -> None:
    """Thresholds that cannot be read are not taken for none, or the next edit would reset them."""
    text = f"TCP  10.0.0.3:80 rr\n  -> 192.0.2.1:80  9 8 0 0\n{line}\n"
    with pytest.raises(IpvsadmError) as caught:
        parse(RULES, text)
    assert str(caught.value) == f"cannot read what ipvsadm -Ln --thresholds printed: {line!r}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello\n",
        "TCP  10.0.0.3:80 rr\n",
        "UDP  10.0.0.3:80 rr\n  -> 192.0.2.1:80  9 8 0 0\n",
        "TCP  10.0.0.3:80 rr\n  -> 192.0.2.2:80  9 8 0 0\n",
    ],
)
def test_real_server_without_thresholds_is_an_error(text: str) -> None:
    """A real server whose thresholds are not shown could not be edited without losing them."""
    with pytest.raises(IpvsadmError) as caught:
        parse(RULES, text)
    assert str(caught.value) == (
        "ipvsadm -Ln --thresholds does not show 192.0.2.1:80 of tcp 10.0.0.3:80"
    )


def test_connections_are_listed_for_each_real_server() -> None:
    """The real list names each real server, and its two last columns are read."""
    text = fixture("list-n.txt").replace(
        "Masq    3      0          0", "Masq    3      17         4"
    )
    found = parse_connections(text)
    assert {
        virtual: dict.fromkeys(each.real_servers, (0, 0))
        for virtual, each in EXPECTED.items()
        if each.real_servers
    } == {**found, tcp("10.0.0.3", 443): dict.fromkeys(found[tcp("10.0.0.3", 443)], (0, 0))}
    assert found[tcp("10.0.0.3", 443)]["192.168.0.1", 8443] == (17, 4)


def test_bad_list_of_connections_is_quoted() -> None:
    """A row that breaks off does not count as one without connections."""
    with pytest.raises(IpvsadmError) as caught:
        parse_connections("TCP  10.0.0.3:80 rr\n  -> 192.0.2.1:80  Route 5 0\n")
    assert str(caught.value) == (
        "cannot read what ipvsadm -Ln printed: '  -> 192.0.2.1:80  Route 5 0'"
    )


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_read_or_refused(rules: str, thresholds: str) -> None:
    """No text makes anything but a table or the one error."""
    try:
        parse(rules, thresholds)
    except IpvsadmError:
        return


WORDS = (
    "-A -a -t -u -f -6 -r -s -g -m -i -w -p -M -o -b --sctp-service --tun-type ipip gre rr 1 0 -1 "
    ": [ ] -> 10.0.0.3:80 192.0.2.1:80 [2001:db8::3]:80 TCP UDP SCTP FWM IPv6 persistent"
)
LINES = st.lists(
    st.lists(st.sampled_from(WORDS.split()), max_size=9).map(" ".join), max_size=5
).map("\n".join)


@given(LINES, LINES)
def test_shuffled_words_are_read_or_refused(rules: str, thresholds: str) -> None:
    """Nor does a text of ipvsadm's own words in any order."""
    try:
        parse(rules, thresholds)
    except IpvsadmError:
        return


def test_plan_of_the_real_table_rebuilds_it(kernel: TableFile) -> None:
    """What was read of the real table, planned from nothing, prints the same again."""
    kernel.change(batch(plan({}, read_fixture())))
    assert sorted(kernel.rules) == sorted(fixture("save-n.txt").splitlines())
    assert kernel.table == EXPECTED


def test_plan_of_equal_tables_is_empty() -> None:
    """There is nothing to do where the table is as it should be."""
    assert plan(read_fixture(), read_fixture()) == []


FIXTURE_SERVERS = [
    (virtual, real) for virtual, each in EXPECTED.items() for real in each.real_servers.values()
]


@pytest.mark.parametrize(("virtual", "real"), FIXTURE_SERVERS)
def test_edit_keeps_all_that_is_not_asked_for(
    kernel: TableFile, virtual: VirtualService, real: RealServer
) -> None:
    """A new weight leaves method, thresholds, tunnel and all other entries as they were."""
    kernel.fill(fixture("table.batch"))
    actual = kernel.table
    wanted = real._replace(weight=77)
    changed = placed_in(actual[virtual], wanted._replace(upper=0, lower=0))
    changes = plan(actual, {**actual, virtual: changed})
    assert [(change.before, change.after) for change in changes] == [(real, wanted)]
    kernel.change(batch(changes))
    expected = {**EXPECTED[virtual].real_servers, (real.address, real.port): wanted}
    assert kernel.table == {**EXPECTED, virtual: EXPECTED[virtual]._replace(real_servers=expected)}


@pytest.mark.parametrize("quiesce", [False, True])
@pytest.mark.parametrize(("virtual", "real"), FIXTURE_SERVERS)
def test_entry_goes_out_and_comes_back(
    kernel: TableFile, virtual: VirtualService, real: RealServer, quiesce: bool
) -> None:
    """Taken out and placed in again the table is what it was."""
    kernel.fill(fixture("table.batch"))
    actual = kernel.table
    out = {
        **actual,
        virtual: taken_out(actual[virtual], (real.address, real.port), quiesce=quiesce),
    }
    kernel.change(batch(plan(actual, out)))
    assert kernel.table == out
    kernel.change(batch(plan(kernel.table, actual)))
    assert kernel.table == EXPECTED


@pytest.mark.parametrize(
    ("virtual", "asked", "port"),
    [
        (tcp("10.0.0.3", 80), RealServer("192.0.2.1", 8080, DR), 80),
        (tcp("10.0.0.3", 80), RealServer("192.0.2.1", 8080, TUN), 80),
        (tcp("10.0.0.3", 80), RealServer("192.0.2.1", 8080, NAT), 8080),
        (fwm(7), RealServer("192.0.2.1", 80, DR), 0),
        (fwm(7), RealServer("192.0.2.1", 80, NAT), 80),
    ],
)
def test_port_is_what_the_kernel_would_make_it(
    virtual: VirtualService, asked: RealServer, port: int
) -> None:
    """Only masquerading maps ports."""
    placed = placed_in(service(virtual, "rr", ""), asked)
    assert placed.real_servers == {("192.0.2.1", port): asked._replace(port=port)}


@pytest.mark.parametrize(
    ("standing", "upper", "lower", "expected"),
    [
        ((0, 0), None, None, (0, 0)),
        ((9, 5), None, None, (9, 5)),
        ((9, 5), 0, 0, (0, 0)),
        ((9, 5), 12, None, (12, 5)),
        ((9, 5), None, 0, (9, 0)),
        ((0, 0), 12, 10, (12, 10)),
    ],
)
def test_thresholds_stand_unless_asked_for(
    standing: tuple[int, int],
    upper: int | None,
    lower: int | None,
    expected: tuple[int, int],
) -> None:
    """None keeps what stands, and 0 is a value that takes a threshold away."""
    virtual = tcp("10.0.0.3", 80)
    real = RealServer("192.0.2.1", 80, upper=standing[0], lower=standing[1])
    asked = RealServer("192.0.2.1", 80, weight=3)
    placed = placed_in(service(virtual, "rr", "", real), asked, upper=upper, lower=lower)
    entry = placed.real_servers["192.0.2.1", 80]
    assert (entry.upper, entry.lower, entry.weight) == (*expected, 3)


def test_tunnel_flags_go_with_the_tunnel() -> None:
    """An entry that changes to another method loses what only a tunnel has."""
    virtual = tcp("10.0.0.3", 80)
    before = service(virtual, "rr", "", RealServer("192.0.2.1", 80, TUN, flags=gue("csum")))
    asked = RealServer("192.0.2.1", 80, DR)
    placed = placed_in(before, asked)
    assert placed.real_servers["192.0.2.1", 80].flags == ()


def test_taking_out_what_is_not_there_changes_nothing() -> None:
    """Nothing is made of an entry that does not stand, not even to quiesce it."""
    before = service(tcp("10.0.0.3", 80), "rr", "", RealServer("192.0.2.1", 80))
    for quiesce in (False, True):
        assert taken_out(before, ("192.0.2.9", 80), quiesce=quiesce) == before


@pytest.mark.parametrize("quiesce", [False, True])
def test_taking_out_leaves_the_others(quiesce: bool) -> None:
    """One entry is deleted, or quiesced with all else that it has; the others stay."""
    one = RealServer("192.0.2.1", 80, NAT, 5, upper=10, lower=5)
    two = RealServer("192.0.2.2", 80)
    virtual = tcp("10.0.0.3", 80)
    left = taken_out(service(virtual, "rr", "", one, two), ("192.0.2.1", 80), quiesce=quiesce)
    kept = (one._replace(weight=0), two) if quiesce else (two,)
    assert left == service(virtual, "rr", "", *kept)


def test_server_that_takes_over_comes_before_the_one_that_is_quiesced() -> None:
    """Whatever order they stand in, somebody serves in between."""
    virtual = tcp("10.0.0.3", 80)
    old, new = RealServer("192.0.2.1", 80), RealServer("192.0.2.2", 80)
    for order in ((old._replace(weight=0), new), (new, old._replace(weight=0))):
        before, after = service(virtual, "rr", "", old), service(virtual, "rr", "", *order)
        changes = plan({virtual: before}, {virtual: after})
        assert [(change.words[0], change.after) for change in changes] == [
            ("-a", new),
            ("-e", old._replace(weight=0)),
        ]


def addresses(family: int) -> st.SearchStrategy[str]:
    """Return a few addresses, so that tables share some."""
    stem = "192.0.2." if family == V4 else "2001:db8::"
    return st.integers(min_value=1, max_value=4).map(lambda number: f"{stem}{number}")


@st.composite
def real_servers(draw: st.DrawFn, virtual: VirtualService) -> RealServer:
    """Draw a real server that the kernel would take as it is, a tunnel's in either family."""
    forwarding = draw(st.sampled_from(Forwarding))
    family = draw(st.sampled_from([V4, V6])) if forwarding is TUN else virtual.family
    port = draw(st.sampled_from([80, 8080])) if forwarding is NAT else virtual.port
    upper = draw(st.sampled_from([0, 0, 10, 2147483647]))
    lower = draw(st.sampled_from([0, upper])) if upper else 0
    tunnels = [(), gue("csum"), ("--tun-type", "gre", "--tun-csum")]
    flags = draw(st.sampled_from(tunnels)) if forwarding is TUN else ()
    weight = draw(st.sampled_from([0, 1, 5, 65535]))
    return RealServer(draw(addresses(family)), port, forwarding, weight, upper, lower, flags)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Draw a table of a few services that share names, ports and real servers."""
    virtuals = draw(
        st.lists(
            st.sampled_from(
                [
                    tcp("10.0.0.3", 80),
                    udp("10.0.0.3", 80),
                    tcp("2001:db8::3", 80),
                    tcp("10.0.0.3", 443),
                    VirtualService(Protocol.SCTP, "10.0.0.3", 80, 0, V4),
                    fwm(7),
                    fwm(7, V6),
                    fwm(2**32 - 1),
                ]
            ),
            unique=True,
            max_size=5,
        )
    )
    table = {}
    for virtual in virtuals:
        flags = draw(st.sampled_from(["", "-p 300", "-p 60 -M"]))
        if flags.endswith("-M"):
            flags += " 255.255.255.0" if virtual.family == V4 else " 64"
        entries = draw(st.lists(real_servers(virtual), max_size=5))
        table[virtual] = service(virtual, draw(st.sampled_from(["rr", "wlc"])), flags, *entries)
    return table


def stages(kernel: TableFile, changes: list[Change]) -> Iterator[Table]:
    """Apply a plan line by line, and yield the table after each."""
    for change in changes:
        kernel.change(batch([change]))
        yield kernel.table


def serving(table: Table, virtual: VirtualService) -> set[tuple[str, int]]:
    """Return the real servers of a service that take new connections."""
    found = table.get(virtual)
    entries = {} if found is None else found.real_servers
    return {endpoint for endpoint, real in entries.items() if real.weight > 0}


@given(tables(), tables())
@settings(max_examples=150)
def test_plan_leads_from_any_table_to_any_other(actual: Table, desired: Table) -> None:
    """Through ipvsadm's own rules: exactly what is desired, with nothing refused, nothing left."""
    with tempfile.TemporaryDirectory() as folder:
        kernel = TableFile(Path(folder) / "table")
        kernel.change(batch(plan({}, actual)))
        assert kernel.table == actual
        kernel.change(batch(plan(kernel.table, desired)))
        assert kernel.table == desired
        assert plan(kernel.table, desired) == []


@given(tables(), tables())
@settings(max_examples=60)
def test_no_service_stands_without_a_real_server_in_between(actual: Table, desired: Table) -> None:
    """A service that serves before and after a plan serves at every line of it.

    Of new ones that are to serve, one at most refuses its clients, until the next line.
    """
    keep = [each for each in desired if serving(actual, each) and serving(desired, each)]
    new = [each for each in desired if each not in actual and serving(desired, each)]
    with tempfile.TemporaryDirectory() as folder:
        kernel = TableFile(Path(folder) / "table")
        kernel.change(batch(plan({}, actual)))
        for stage in stages(kernel, plan(actual, desired)):
            assert all(serving(stage, virtual) for virtual in keep)
            assert sum(each in stage and not serving(stage, each) for each in new) <= 1


@given(tables(), tables())
def test_plan_says_what_was_and_what_will_be(actual: Table, desired: Table) -> None:
    """Each change of an entry carries it as it stood and as it is to stand."""
    for change in plan(actual, desired):
        if change.before is None and change.after is None:
            assert change.words[0] in {"-A", "-E", "-D"}
            continue
        named = change.after or change.before
        assert named is not None
        endpoint = (named.address, named.port)
        before = actual.get(change.virtual)
        after = desired[change.virtual]
        was = None if before is None else before.real_servers.get(endpoint)
        assert (change.before, change.after) == (was, after.real_servers.get(endpoint))
