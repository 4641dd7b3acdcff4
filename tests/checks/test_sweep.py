"""The sweep: many conversations at once, each with its time, none in the way of another."""

from __future__ import annotations

import errno
import functools
import re
import socket
import threading
import time
import types
from typing import TYPE_CHECKING, Any

import pytest

from lvsalert.checks import http
from lvsalert.checks import sweep as sweep_module
from lvsalert.checks.sweep import READ, WRITE, Conversation, Target, Verdict, sweep
from lvsalert.model import Result, State
from tests.harness import misbehaving
from tests.harness.misbehaving import Client, Misbehaving, refusing, unanswering
from tests.harness.places import CHECKOUT, free_port, join, split
from tests.harness.waiting import short, wait_until
from tests.monitors import knowing, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = misbehaving.replies(misbehaving.OK + b"\r\ntest page\n")
# Longer than any test may take: who waits for it hangs.
FOR_EVER = 3600.0

fetch = functools.partial(http.probe, http.Check())


def targets(*places: str, port: int = 80) -> list[Target]:
    """Return targets for `address:port`, or for names with the one `port`."""
    return [
        Target(place, *split(place)) if ":" in place else Target(place, place, port)
        for place in places
    ]


def swept(wanted: Sequence[Target], **more: Any) -> list[Result]:
    """Sweep with time enough, and whatever else is asked for."""
    limits = {"timeout": FOR_EVER, "deadline": time.monotonic() + FOR_EVER, "concurrency": 512}
    return sweep(wanted, more.pop("probe", fetch), **{**limits, **more})


def reasons(results: Sequence[Result]) -> list[str]:
    """Return the reasons, none of which comes with a good state."""
    assert all((each.state is State.GOOD) == (each.reason == "") for each in results)
    return [each.reason for each in results]


def test_results_come_in_the_order_of_the_targets() -> None:
    """Each target has its result, in the place where it stood."""
    with Misbehaving(PAGE) as good, Misbehaving(PAGE, "::1") as good6, refusing() as bad:
        places = [bad, good.place, good6.place, bad, good.place]
        results = swept(targets(*places))
    assert [each.host for each in results] == places
    assert [each.address for each in results] == places
    assert [each.state for each in results] == [
        State.FAILED,
        State.GOOD,
        State.GOOD,
        State.FAILED,
        State.GOOD,
    ]


def test_no_targets_no_results() -> None:
    """A sweep over nothing is over at once."""
    assert swept([]) == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_refusal_is_known_at_once(address: str) -> None:
    """A sweep whose last open host refuses does not wait for the time of another to run out."""
    with refusing(address) as place:
        assert reasons(swept(targets(place))) == ["Connection refused"]


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("fe80::1%no-such-link", "not known|not supported|No such device"),
        ("255.255.255.255", "unreachable|Permission denied"),
    ],
)
def test_address_that_leads_nowhere_is_a_failed_host(host: str, reason: str) -> None:
    """Addresses that cannot be connected to are failures of their own hosts."""
    with Misbehaving(PAGE) as good:
        wanted = [Target(host, host, 80), *targets(good.place)]
        results = swept(wanted, timeout=float(short()))
    assert results[1].state is State.GOOD
    assert results[0].state is State.FAILED
    assert re.search(reason, results[0].reason)


@pytest.mark.parametrize(
    ("prefer_ipv6", "known", "first"),
    [
        (False, ["::1", "127.0.0.1"], "127.0.0.1"),
        (False, ["127.0.0.1", "::1"], "127.0.0.1"),
        (True, ["127.0.0.1", "::1"], "::1"),
        (True, ["127.0.0.1"], "127.0.0.1"),
        (False, ["::1"], "::1"),
    ],
)
def test_family_asked_first(prefer_ipv6: bool, known: list[str], first: str) -> None:
    """A name's IPv4 addresses come first, its IPv6 addresses where that is asked for."""
    with (
        Misbehaving(PAGE, ["127.0.0.1", "::1"]) as server,
        knowing({"www.example.com": known}),
    ):
        wanted = targets("www.example.com", port=server.port)
        results = swept(wanted, prefer_ipv6=prefer_ipv6)
    assert results[0].state is State.GOOD
    assert results[0].address == join(first, server.port)


@pytest.mark.parametrize("count", [1, 3])
def test_second_address_is_tried_when_the_first_refuses(count: int) -> None:
    """A name is good when one of its addresses is, however many refuse before it."""
    port = free_port("::1")
    refusers = [f"127.0.0.{number + 1}" for number in range(count)]
    with (
        Misbehaving(PAGE, "::1", port=port),
        knowing({"www.example.com": [*refusers, "::1"]}),
    ):
        results = swept(targets("www.example.com", port=port))
    assert reasons(results) == [""]
    assert results[0].address == join("::1", port)


def test_second_address_is_tried_within_the_time_of_the_host() -> None:
    """A first address that never accepts takes its share of the time, and no more."""
    with unanswering() as silent:
        _, port = split(silent)
        with (
            Misbehaving(PAGE, "::1", port=port),
            knowing({"www.example.com": ["127.0.0.1", "::1"]}),
        ):
            results = swept(targets("www.example.com", port=port), timeout=float(short()))
    assert reasons(results) == [""]


def test_address_that_accepts_is_the_last_one_tried() -> None:
    """A server that accepts and says nothing is a failure, whatever other addresses there are."""
    with (
        Misbehaving(misbehaving.silent) as silent,
        Misbehaving(PAGE, "::1", port=silent.port),
        knowing({"www.example.com": ["127.0.0.1", "::1"]}),
    ):
        results = swept(targets("www.example.com", port=silent.port), timeout=0.3)
    assert reasons(results) == ["timed out after 0.3 s, nothing came"]


def test_all_addresses_fail() -> None:
    """Where no address will do, the last one's reason counts."""
    port = free_port("::1")
    with knowing({"www.example.com": ["127.0.0.1", "::1"]}):
        results = swept(targets("www.example.com", port=port))
    assert reasons(results) == ["Connection refused"]
    assert results[0].address == join("::1", port)


def test_second_address_does_not_wait_behind_other_hosts() -> None:
    """With one socket for all, a host whose time runs comes before those not yet begun."""
    port = free_port("::1")
    with (
        Misbehaving(PAGE, "::1", port=port),
        Misbehaving(misbehaving.silent) as silent,
        knowing({"www.example.com": ["127.0.0.1", "::1"]}),
    ):
        wanted = [Target("www.example.com", "www.example.com", port)]
        # Looked up before the silent ones are begun, as a numeric address would be.
        patient = targets(silent.place)
        results = swept([*wanted, *patient, *patient], timeout=float(short()), concurrency=1)
    assert results[0].state is State.GOOD


def test_name_that_hangs_holds_up_nobody() -> None:
    """With more names hanging than are looked up at once, every other name has its verdict."""
    hanging = [f"hangs{number}.example.com" for number in range(5)]
    with (
        Misbehaving(PAGE) as good,
        knowing({"www.example.com": ["127.0.0.1"]}, hanging),
    ):
        wanted = targets(*hanging, "www.example.com", "nobody.example.com", port=good.port)
        results = swept(wanted, timeout=float(short()), lookups=2)
    assert reasons(results) == [
        *(f"{name}: look-up timed out after {short()} s" for name in hanging),
        "",
        "nobody.example.com: Name or service not known",
    ]


def test_name_is_looked_up_once_for_all_its_ports() -> None:
    """Several ports of one name cost one look-up."""
    with (
        Misbehaving(PAGE) as one,
        Misbehaving(PAGE) as two,
        knowing({"www.example.com": ["127.0.0.1"]}) as names,
    ):
        wanted = [
            Target(f"www.example.com:{port}", "www.example.com", port)
            for port in (one.port, two.port)
        ]
        assert reasons(swept(wanted)) == ["", ""]
    assert names.asked == ["www.example.com"]


def test_time_for_the_look_up_is_time_of_the_host() -> None:
    """What a look-up took is missing afterwards, and the result counts it."""
    with Misbehaving(misbehaving.silent) as server, knowing({}) as names:
        slow = threading.Event()

        def look_up(*_: Any, **__: Any) -> list[Any]:
            slow.wait(0.4)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", look_up)
            results = swept(targets("www.example.com", port=server.port), timeout=0.6)
    assert names.asked == []
    assert reasons(results) == ["timed out after 0.6 s, nothing came"]
    assert results[0].seconds >= 0.6


def test_deadline_ends_what_is_open() -> None:
    """At the deadline, hosts without a verdict are unknown: silent, hanging, and not yet begun."""
    with (
        Misbehaving(misbehaving.silent) as silent,
        Misbehaving(PAGE) as good,
        knowing({}, ["hangs.example.com"]),
    ):
        wanted = [
            *targets(good.place, silent.place, silent.place, good.place),
            *targets("hangs.example.com"),
        ]
        results = swept(wanted, deadline=time.monotonic() + 0.4, concurrency=2)
    unknown = "no verdict: the run's deadline came first"
    assert [each.reason for each in results] == ["", unknown, unknown, unknown, unknown]
    assert [each.state for each in results] == [State.GOOD] + [State.UNKNOWN] * 4


def test_no_more_hosts_at_once_than_asked_for() -> None:
    """The cap on open sockets holds, and everybody gets a turn."""
    present: list[Client] = []
    most = 0

    def counted(client: Client) -> None:
        nonlocal most
        present.append(client)
        most = max(most, len(present))
        PAGE(client)
        present.remove(client)

    with Misbehaving(counted) as server:
        results = swept(targets(*[server.place] * 30), concurrency=3)
    assert reasons(results) == [""] * 30
    assert 1 <= most <= 3


def _with_socket(made_by: Any) -> types.SimpleNamespace:
    """Return what the sweep knows of sockets, where `made_by` makes them."""
    return types.SimpleNamespace(**{**vars(socket), "socket": made_by})


def test_lack_of_descriptors_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that cannot be had leaves its host unknown."""

    def none_left(*_: Any) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(sweep_module, "socket", _with_socket(none_left))
    results = swept(targets("127.0.0.1:80", "127.0.0.2:80"))
    assert [each.state for each in results] == [State.UNKNOWN] * 2
    assert [each.reason for each in results] == ["Too many open files"] * 2


def test_descriptors_that_run_out_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where some sockets can be had, all hosts get theirs one after the other."""
    real, given = socket.socket, []

    def scarce(*arguments: Any, **more: Any) -> socket.socket:
        if threading.current_thread() is not threading.main_thread():
            return real(*arguments, **more)  # the server's
        if sum(each.fileno() >= 0 for each in given) >= 2:
            raise OSError(errno.EMFILE, "Too many open files")
        given.append(real(*arguments))
        return given[-1]

    with Misbehaving(PAGE) as server, monkeypatch.context() as patch:
        patch.setattr(sweep_module, "socket", _with_socket(scarce))
        results = swept(targets(*[server.place] * 20))
    assert reasons(results) == [""] * 20


def _waits_for(what: int) -> Any:
    def probe(_sock: socket.socket, _target: Target) -> Conversation:
        yield what
        yield READ
        return Verdict("", b"")

    return probe


@pytest.mark.parametrize("what", [READ, WRITE])
def test_probe_that_does_not_care_for_time_is_ended(what: int) -> None:
    """A conversation that lets the time-out pass through is a failure all the same."""
    with Misbehaving(misbehaving.silent) as silent, refusing() as bad:
        wanted = targets(silent.place)
        results = swept(wanted, timeout=0.2, probe=_waits_for(what))
        assert reasons(results) == ["timed out after 0.2 s"]
        assert bad


def test_bug_in_a_probe_is_not_swallowed() -> None:
    """What no probe should raise comes out, and nothing stays open."""

    def probe(_sock: socket.socket, _target: Target) -> Conversation:
        yield WRITE
        raise ZeroDivisionError

    with Misbehaving(misbehaving.silent) as silent:
        before = open_descriptors()
        with pytest.raises(ZeroDivisionError):
            swept(targets(silent.place, silent.place), probe=probe)
        wait_until(lambda: silent.connections == 2, "the server has seen both")
        wait_until(lambda: open_descriptors() <= before, "the sockets are closed")


def test_sweep_leaves_nothing_open() -> None:
    """After a sweep with every kind of host, no socket and no thread is left."""
    with (
        Misbehaving(misbehaving.silent) as silent,
        Misbehaving(PAGE) as good,
        refusing() as bad,
    ):
        threads, before = threading.active_count(), open_descriptors()
        with knowing({"www.example.com": ["127.0.0.1"]}, ["hangs.example.com"]):
            wanted = [
                *targets(good.place, silent.place, bad),
                *targets("www.example.com", "hangs.example.com", port=good.port),
            ]
            swept(wanted, timeout=0.2)
        # Those of the servers close when they hear of it.
        wait_until(lambda: open_descriptors() <= before, "the sockets are closed")
        wait_until(lambda: threading.active_count() <= threads, "the threads have ended")


def test_success_is_built_in_one_place() -> None:
    """Whatever asks over TCP, only a verdict without a reason makes a host good."""
    found = [
        (path.stem, line.strip())
        for path in sorted((CHECKOUT / "lvsalert" / "checks").glob("*.py"))
        if not path.stem.startswith("icmp")
        for line in path.read_text().splitlines()
        if re.search(r"(?<!is )(?<!is not )State\.GOOD", line)
    ]
    assert found == [("sweep", "state = State.FAILED if self.reason else State.GOOD")]
