"""Echo requests on real sockets, in network namespaces where the test plays all the other hosts."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import icmplib  # type: ignore[import-untyped] # icmplib carries no types
import pytest
from icmplib import Hop, ICMPv4Socket, SocketPermissionError

from lvsalert.checks import icmp
from lvsalert.checks.icmp import ping
from lvsalert.checks.icmp_packet import Reply, Trouble
from lvsalert.checks.icmp_socket import NOT_ALLOWED, EchoSocket, Received
from lvsalert.checks.resolve import Address
from lvsalert.checks.traceroute import trace
from lvsalert.errors import PrivilegeError, ResolveError, UsageError
from lvsalert.model import Result, State
from tests.harness.echo_hosts import Answer, Behaviour, EchoHosts, Request
from tests.harness.icmp import (
    REPLY,
    REQUEST,
    TIME_EXCEEDED,
    UNREACHABLE,
    V4,
    V6,
    echo,
    error,
    ip_packet,
)
from tests.harness.namespace import Namespace, network_namespace
from tests.harness.places import CHECKOUT, loopback
from tests.harness.waiting import wait_until

NOBODY = 65534
DEBIANS_ICMPLIB = Path("/usr/lib/python3/dist-packages/icmplib")
WAIT = 0.8
OTHER = {V4: "127.0.9.9", V6: "2001:db8::9:9"}


@pytest.fixture
def quiet() -> Iterator[Namespace]:
    """A namespace whose loopback addresses answer no echo request of their own."""
    with quiet_namespace() as namespace:
        yield namespace


@contextmanager
def quiet_namespace() -> Iterator[Namespace]:
    """Give a namespace where only EchoHosts answer: 127.0.0.0/8, and 2001:db8::/32 as well."""
    with network_namespace() as namespace:
        namespace.ip("-6 route add local 2001:db8::/32 dev lo")
        namespace.sysctl("ipv6/ip_nonlocal_bind", "1")
        namespace.sysctl("ipv4/icmp_echo_ignore_all", "1")
        namespace.sysctl("ipv6/icmp/echo_ignore_all", "1")
        yield namespace


def ask(
    hosts: Sequence[str],
    *,
    prefer_ipv6: bool = False,
    retries: int = 1,
    wait: float = WAIT,
    pace: float = 0.00002,
    slow: float | None = None,
    seconds: float = 30,
    lookup_timeout: float = 10,
    lookups: int = 10,
) -> list[Result]:
    """Ping with what these tests usually ask for; the deadline is `seconds` from now."""
    return ping(
        hosts,
        prefer_ipv6=prefer_ipv6,
        retries=retries,
        wait=wait,
        pace=pace,
        slow=slow,
        deadline=time.monotonic() + seconds,
        lookup_timeout=lookup_timeout,
        lookups=lookups,
    )


CHILD = """
import json, os, sys, time
import icmplib
from lvsalert.errors import LvsalertError
from lvsalert.checks.icmp import ping
who, hosts, wait = json.loads(sys.argv[1])
os.setgroups([])
os.setresgid(who, who, who)
os.setresuid(who, who, who)
try:
    results = ping(hosts, retries=1, wait=wait, deadline=time.monotonic() + 30, lookup_timeout=10)
except LvsalertError as error:
    sys.exit(type(error).__name__ + ": " + str(error))
named = [each._replace(state=each.state.name, said=each.said.decode()) for each in results]
print(json.dumps(named))
"""


def ask_as_nobody(hosts: Sequence[str]) -> list[Result]:
    """Ping from a process that has no privilege left, and return what it found."""
    return ask_as(NOBODY, hosts)


def ask_as(who: int, hosts: Sequence[str], library: str = "") -> list[Result]:
    """Ping from a process of a user, with an icmplib from the folder `library` if that is given.

    It becomes that user after its imports: the interpreter may lie where only root can read.
    """
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps([who, list(hosts), WAIT])],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": library},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PermissionError(done.stderr.strip())
    found = []
    for host, state, reason, took, address, said, _ in json.loads(done.stdout):
        found.append(Result(host, State[state], reason, took, address, said.encode()))
    return found


def reply(request: Request) -> Answer:
    """The right answer."""
    words = (request.identifier, request.sequence, request.payload)
    return Answer(request.destination, echo(REPLY[request.family], *words))


def answers(request: Request) -> list[Answer]:
    """Answer as a host should."""
    return [reply(request)]


def silence(request: Request) -> list[Answer]:
    """Answer nothing."""
    return []


def duplicates(request: Request) -> list[Answer]:
    """Answer three times."""
    return [reply(request)] * 3


def second_request(request: Request) -> list[Answer]:
    """Answer from the second request on."""
    return [reply(request)] if request.number > 1 else []


def late() -> Behaviour:
    """Answer the first request when the second comes, and that one not at all."""
    first: list[Request] = []

    def behave(request: Request) -> list[Answer]:
        first.append(request)
        return [reply(first[0])] if request.number == 2 else []

    return behave


def other_payload(request: Request) -> list[Answer]:
    """Answer with the numbers of the request and the payload of somebody else's ping."""
    kind = REPLY[request.family]
    payload = request.payload[:-1] + b"!"
    return [Answer(request.destination, echo(kind, request.identifier, request.sequence, payload))]


def short_payload(request: Request) -> list[Answer]:
    """Answer with a payload that was cut."""
    words = (request.identifier, request.sequence, request.payload[:-1])
    return [Answer(request.destination, echo(REPLY[request.family], *words))]


def other_identifier(request: Request) -> list[Answer]:
    """Answer another process's ping."""
    words = (request.identifier ^ 1, request.sequence, request.payload)
    return [Answer(request.destination, echo(REPLY[request.family], *words))]


def other_sequence(request: Request) -> list[Answer]:
    """Answer a request that was never sent."""
    words = (request.identifier, request.sequence ^ 0x4000, request.payload)
    return [Answer(request.destination, echo(REPLY[request.family], *words))]


def other_source(request: Request) -> list[Answer]:
    """Let another host answer."""
    return [Answer(OTHER[request.family], reply(request).message)]


def request_back(request: Request) -> list[Answer]:
    """Send the request back as it came."""
    return [Answer(request.destination, request.message)]


def truncated(request: Request) -> list[Answer]:
    """Answer with four bytes."""
    return [Answer(request.destination, reply(request).message[:4])]


def unreachable(request: Request) -> list[Answer]:
    """Let a router say that there is no way."""
    message = error(UNREACHABLE[request.family], 1, request.quoted())
    return [Answer(OTHER[request.family], message)]


def unreachable_at_first(request: Request) -> list[Answer]:
    """Let a router say that there is no way, then answer."""
    return unreachable(request) if request.number == 1 else [reply(request)]


def expired_then_unreachable(request: Request) -> list[Answer]:
    """Let a router say one thing first and another in the end."""
    message = error(TIME_EXCEEDED[request.family], 0, request.quoted())
    return [Answer(OTHER[request.family], message)] if request.number == 1 else unreachable(request)


def other_request_unreachable(request: Request) -> list[Answer]:
    """Let a router complain of a request of another process, to the same host."""
    family = request.family
    foreign = echo(REQUEST[family], request.identifier ^ 1, request.sequence, request.payload)
    quoted = ip_packet(family, request.destination, foreign)
    return [Answer(OTHER[family], error(UNREACHABLE[family], 1, quoted))]


def other_destination_unreachable(request: Request) -> list[Answer]:
    """Let a router complain of a request with the same numbers to another host."""
    family = request.family
    quoted = ip_packet(family, OTHER[family], request.message)
    return [Answer(OTHER[family], error(UNREACHABLE[family], 1, quoted))]


def other_payload_unreachable(request: Request) -> list[Answer]:
    """Let a router complain of a request with the same numbers that somebody else sent."""
    family = request.family
    words = (request.identifier, request.sequence, request.payload[:-1] + b"!")
    quoted = ip_packet(family, request.destination, echo(REQUEST[family], *words))
    return [Answer(OTHER[family], error(UNREACHABLE[family], 1, quoted))]


class Case(NamedTuple):
    """A behaviour and what has to be found of it; `reason` is for IPv4, then for IPv6."""

    behaviour: Behaviour
    state: State
    reasons: tuple[str, str] = ("", "")
    said: tuple[str, str] = ("", "")
    requests: int = 2


NO_ANSWER = ("no answer to 2 echo requests",) * 2
NO_WAY = (
    "ICMP Host Unreachable from 127.0.9.9",
    "ICMP Communication Prohibited from 2001:db8::9:9",
)
EXPIRED = ("ICMP Time Exceeded from 127.0.9.9", "ICMP Time Exceeded from 2001:db8::9:9")
IN_ITS_PLACE = ("answered by 127.0.9.9 in its place", "answered by 2001:db8::9:9 in its place")

CASES = {
    "answers": Case(answers, State.GOOD, requests=1),
    "duplicates": Case(duplicates, State.GOOD, requests=1),
    "second request": Case(second_request, State.GOOD),
    "late": Case(late(), State.GOOD),
    "silence": Case(silence, State.FAILED, NO_ANSWER),
    "other payload": Case(other_payload, State.FAILED, NO_ANSWER),
    "short payload": Case(short_payload, State.FAILED, NO_ANSWER),
    "other identifier": Case(other_identifier, State.FAILED, NO_ANSWER),
    "other sequence": Case(other_sequence, State.FAILED, NO_ANSWER),
    "other source": Case(other_source, State.FAILED, IN_ITS_PLACE),
    "truncated": Case(truncated, State.FAILED, NO_ANSWER),
    "unreachable": Case(unreachable, State.FAILED, NO_WAY),
    "unreachable at first": Case(unreachable_at_first, State.GOOD, said=NO_WAY),
    "expired then unreachable": Case(expired_then_unreachable, State.FAILED, NO_WAY, EXPIRED),
    "other request unreachable": Case(other_request_unreachable, State.FAILED, NO_ANSWER),
    "other payload unreachable": Case(other_payload_unreachable, State.FAILED, NO_ANSWER),
    "other destination unreachable": Case(other_destination_unreachable, State.FAILED, NO_ANSWER),
}


class Found(NamedTuple):
    """What a ping of all CASES found, by their names."""

    family: int
    results: dict[str, Result]
    seen: dict[str, int]


def addresses(family: int) -> dict[str, str]:
    """Give each of CASES an address."""
    form = "127.0.1.{}" if family == V4 else "2001:db8::1:{:x}"
    return {name: form.format(number) for number, name in enumerate(CASES, 1)}


def ping_all_cases(family: int, *, raw: bool) -> Found:
    """Ping a host for each of CASES in one run, through a raw or a datagram socket."""
    hosts = addresses(family)
    behaviours = {hosts[name]: case.behaviour for name, case in CASES.items()}
    behaviours[hosts["late"]] = late()

    def run() -> Found:
        with EchoHosts(family, behaviours) as played:
            asked = list(hosts.values())
            results = ask(asked) if raw else ask_as_nobody(asked)
        seen = {name: played.seen[address] for name, address in hosts.items()}
        return Found(family, dict(zip(hosts, results)), seen)

    with quiet_namespace() as namespace:
        if not raw:
            namespace.sysctl("ipv4/ping_group_range", f"{NOBODY} {NOBODY}")
        return namespace.run(run)


WAYS = [(V4, True), (V6, True), (V4, False), (V6, False)]


@pytest.fixture(scope="module", params=WAYS, ids=["v4-raw", "v6-raw", "v4-datagram", "v6-datagram"])
def found(request: pytest.FixtureRequest) -> Found:
    """What a ping of all CASES found, for both families through both kinds of socket."""
    family, raw = request.param
    return ping_all_cases(family, raw=raw)


@pytest.mark.parametrize("name", CASES)
def test_only_an_answer_makes_a_host_good(found: Found, name: str) -> None:
    """A host is good by its own answer to our request alone; what else came is told in words."""
    case, result = CASES[name], found.results[name]
    which = 0 if found.family == V4 else 1
    assert (result.state, result.reason) == (case.state, case.reasons[which])
    assert result.said.decode() == case.said[which]
    assert result.address == addresses(found.family)[name]
    assert found.seen[name] == case.requests


def test_late_answer_counts_from_its_own_request(found: Found) -> None:
    """An answer that comes after a retry was sent took as long as since the first request."""
    assert found.results["late"].seconds >= WAIT
    assert found.results["second request"].seconds < found.results["late"].seconds


def test_request_sent_back_is_no_answer(quiet: Namespace) -> None:
    """A raw socket that hears our own request again takes it for nothing."""

    def run() -> list[Result]:
        with EchoHosts(V4, {"127.0.1.1": silence}) as played:
            results = ask(["127.0.1.1"], wait=0.1)
            assert played.seen == {"127.0.1.1": 2}
        return results

    assert quiet.run(run)[0].reason == "no answer to 2 echo requests"


def test_spellings_and_order() -> None:
    """Hosts come back in their order and spelling; a port or brackets change nothing."""
    hosts = ["127.0.0.9", "[::1]", "127.0.0.2:80", "[::1]:80", "127.0.0.2", "127.0.0.9"]
    with network_namespace() as namespace:
        results = namespace.run(lambda: ask(hosts))
    assert [(each.host, each.state) for each in results] == [(host, State.GOOD) for host in hosts]
    assert [each.address for each in results[:4]] == ["127.0.0.9", "::1", "127.0.0.2", "::1"]


def test_no_hosts() -> None:
    """Without hosts there is nothing to ask, and no privilege is needed."""
    assert ask([]) == []


def test_retries_of_zero(quiet: Namespace) -> None:
    """With no retries a host gets one request."""

    def run() -> tuple[list[Result], dict[str, int]]:
        with EchoHosts(V4, {"127.0.1.1": silence}) as played:
            return ask(["127.0.1.1"], retries=0, wait=0.1), played.seen

    results, seen = quiet.run(run)
    assert seen == {"127.0.1.1": 1}
    assert results[0].reason == "no answer to 1 echo request"


SLOW = {
    "limit of zero": (0.0, r"answered in [\d.e-]+ ms, slower than 0 ms"),
    "limit not reached": (20.0, ""),
}


@pytest.mark.parametrize(("slow", "reason"), SLOW.values(), ids=SLOW.keys())
def test_slow(slow: float, reason: str) -> None:
    """An answer later than the limit is a failure that says how late it was."""
    with network_namespace() as namespace:
        result = namespace.run(lambda: ask(["127.0.0.1"], slow=slow))[0]
    assert result.state is (State.FAILED if reason else State.GOOD)
    assert re.fullmatch(reason, result.reason)


def test_deadline(quiet: Namespace) -> None:
    """A host without a verdict at the deadline is unknown, the others keep theirs."""

    def run() -> list[Result]:
        with EchoHosts(V4, {"127.0.1.1": answers}):
            return ask(["127.0.1.1", "127.0.1.2"], wait=20, seconds=1)

    good, open_still = quiet.run(run)
    assert good.state is State.GOOD
    assert open_still.state is State.UNKNOWN
    assert open_still.reason == "no verdict: the run's deadline came first"
    assert open_still.address == "127.0.1.2"


def test_pace(quiet: Namespace) -> None:
    """Packets keep their distance: five of them need four pauses."""
    began = time.monotonic()
    quiet.run(lambda: ask(loopback(0, 5), retries=0, wait=0, pace=0.1))
    # The pace may be caught up with by a millisecond.
    assert time.monotonic() - began >= 4 * (0.1 - 0.002)


NOT_HOSTS = {
    "v4 multicast": ("224.0.0.1", "224.0.0.1 is a multicast address, which is no host"),
    "v6 multicast": ("ff02::1%lo", "ff02::1%lo is a multicast address, which is no host"),
    "broadcast": (
        "255.255.255.255",
        "cannot send: it is a broadcast address, or a route prohibits it",
    ),
    "any address": ("0.0.0.0", "answered by 127.0.0.1 in its place"),
    "no route": ("192.0.2.1", "cannot send: Network is unreachable"),
    "no v6 route": ("2001:db8::1", "cannot send: Network is unreachable"),
    "no zone": ("fe80::1%nosuch", "cannot send: Name or service not known"),
    "zone that is no name": ("fe80::1%a..b", "cannot send: No such device"),
    "unreachable route": ("198.51.100.1", "cannot send: No route to host"),
    "prohibit route": (
        "198.51.100.65",
        "cannot send: it is a broadcast address, or a route prohibits it",
    ),
    "blackhole route": (
        "198.51.100.129",
        "cannot send: a blackhole route, or no address that can be sent to",
    ),
}


def test_addresses_that_are_no_hosts() -> None:
    """Where nothing can be sent to, the reason is in plain words, and the good stay good."""
    hosts = ["127.0.0.1", *(host for host, _ in NOT_HOSTS.values()), "::1"]
    with network_namespace() as namespace:
        namespace.ip("route add broadcast 255.255.255.255 dev lo")
        namespace.ip("route add unreachable 198.51.100.0/26")
        namespace.ip("route add prohibit 198.51.100.64/26")
        namespace.ip("route add blackhole 198.51.100.128/26")
        first, *bad, last = namespace.run(lambda: ask(hosts, wait=0.2))
    assert (first.state, last.state) == (State.GOOD, State.GOOD)
    told = {name: each.reason for name, each in zip(NOT_HOSTS, bad)}
    assert told == {name: reason for name, (_, reason) in NOT_HOSTS.items()}
    assert {each.state for each in bad} == {State.FAILED}


@pytest.fixture
def silent_send(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let EchoSocket.send fail with these errors, one after the other, and then send."""
    errors: list[int] = []
    send = EchoSocket.send

    def failing(self: EchoSocket, address: str, payload: bytes) -> tuple[int, int]:
        if errors:
            number = errors.pop(0)
            raise OSError(number, os.strerror(number))
        return send(self, address, payload)

    monkeypatch.setattr(EchoSocket, "send", failing)
    return errors


SEND_ERRORS = {
    "busy": ([errno.ENOBUFS, errno.EAGAIN, errno.ENOMEM], ""),
    "firewall, then open": ([errno.EPERM], "cannot send: a firewall on this machine forbids it"),
    "network down, then up": ([errno.ENETDOWN], "cannot send: Network is down"),
}


@pytest.mark.parametrize(("errors", "said"), SEND_ERRORS.values(), ids=SEND_ERRORS.keys())
def test_send_errors_pass(silent_send: list[int], errors: list[int], said: str) -> None:
    """What cannot be sent now is sent later: soon where the machine is busy, else as a retry."""
    silent_send += errors
    with network_namespace() as namespace:
        result = namespace.run(lambda: ask(["127.0.0.1"]))[0]
    assert (result.state, result.said.decode()) == (State.GOOD, said)


def names(monkeypatch: pytest.MonkeyPatch, known: dict[str, list[str]]) -> None:
    """Let look-ups know these names; a name with no address hangs until its test is over."""

    def look_up(name: str) -> list[Address]:
        if name not in known:
            raise ResolveError(f"{name}: Name or service not known")
        if not known[name]:
            threading.Event().wait(20)
        return [Address(V6 if ":" in text else V4, text) for text in known[name]]

    monkeypatch.setattr(icmp, "look_up", look_up)


@pytest.mark.parametrize("lookups", [10, 1])
def test_names_hold_up_nobody(monkeypatch: pytest.MonkeyPatch, lookups: int) -> None:
    """A name that hangs and one that is unknown fail by themselves; each says why."""
    names(monkeypatch, {"hangs.example": [], "web1.example": ["127.0.0.1"]})
    hosts = ["hangs.example", "nosuch.example", "web1.example:80", "web1.example", "127.0.0.2"]
    with network_namespace() as namespace:
        results = namespace.run(lambda: ask(hosts, lookup_timeout=0.5, lookups=lookups))
    assert [(each.host, each.reason) for each in results] == [
        ("hangs.example", "hangs.example: look-up timed out after 0.5 s"),
        ("nosuch.example", "nosuch.example: Name or service not known"),
        ("web1.example:80", ""),
        ("web1.example", ""),
        ("127.0.0.2", ""),
    ]


def test_deadline_holds_for_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that hangs past the deadline leaves its host without a verdict."""
    names(monkeypatch, {"hangs.example": []})
    with network_namespace() as namespace:
        results = namespace.run(lambda: ask(["hangs.example", "127.0.0.1"], seconds=0.5))
    assert [each.state for each in results] == [State.UNKNOWN, State.GOOD]


@pytest.mark.parametrize(
    ("prefer_ipv6", "address"), [(False, "127.0.1.1"), (True, "2001:db8::1:1")], ids=["4", "6"]
)
def test_first_family(
    monkeypatch: pytest.MonkeyPatch, quiet: Namespace, prefer_ipv6: bool, address: str
) -> None:
    """A name's IPv4 addresses come first, or its IPv6 addresses where these are preferred."""
    names(monkeypatch, {"both.example": ["2001:db8::1:1", "127.0.1.1"]})

    def run() -> list[Result]:
        with EchoHosts(V4, {"127.0.1.1": answers}), EchoHosts(V6, {"2001:db8::1:1": answers}):
            return ask(["both.example"], prefer_ipv6=prefer_ipv6)

    result = quiet.run(run)[0]
    assert (result.state, result.address) == (State.GOOD, address)


def test_addresses_take_turns(monkeypatch: pytest.MonkeyPatch, quiet: Namespace) -> None:
    """A name is good when any of its addresses answers; each try goes to the next."""
    names(monkeypatch, {"three.example": ["127.0.1.1", "127.0.1.2", "2001:db8::1:1"]})

    def run() -> tuple[list[Result], dict[str, int]]:
        v4 = EchoHosts(V4, {"127.0.1.1": silence, "127.0.1.2": unreachable})
        with v4 as played, EchoHosts(V6, {"2001:db8::1:1": answers}):
            return ask(["three.example"], retries=3), played.seen

    (result,), seen = quiet.run(run)
    assert (result.state, result.address) == (State.GOOD, "2001:db8::1:1")
    assert seen == {"127.0.1.1": 1, "127.0.1.2": 1}
    assert result.said == b"ICMP Host Unreachable from 127.0.9.9"


def test_family_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without IPv6 in the kernel, hosts that need it get no verdict; the others are not touched."""

    def no_ipv6(family: int, hosts: int) -> EchoSocket:
        if family == V6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return EchoSocket(family, hosts)

    monkeypatch.setattr(icmp, "EchoSocket", no_ipv6)
    names(monkeypatch, {"both.example": ["::1", "127.0.0.1"]})
    with network_namespace() as namespace:
        results = namespace.run(lambda: ask(["::1", "127.0.0.1", "both.example"], prefer_ipv6=True))
    assert [each.state for each in results] == [State.UNKNOWN, State.GOOD, State.GOOD]
    expected = "cannot open an ICMP socket: Address family not supported by protocol"
    assert results[0].reason == expected


def test_no_privilege() -> None:
    """A user who may open neither kind of socket is told what would help."""
    with network_namespace() as namespace:
        namespace.sysctl("ipv4/ping_group_range", "1 0")
        with pytest.raises(PermissionError) as caught:
            namespace.run(lambda: ask_as_nobody(["127.0.0.1"]))
    assert str(caught.value) == f"PrivilegeError: {NOT_ALLOWED}"


@pytest.mark.skipif(not DEBIANS_ICMPLIB.exists(), reason="python3-icmplib is not installed")
@pytest.mark.parametrize("who", [0, NOBODY])
def test_debians_icmplib(tmp_path: Path, who: int) -> None:
    """With the release that Debian has, raw sockets and datagram sockets tell dead from alive."""
    (tmp_path / "icmplib").symlink_to(DEBIANS_ICMPLIB)
    with network_namespace() as namespace:
        namespace.sysctl("ipv4/ping_group_range", "0 2147483647")
        hosts = ["127.0.0.1", "::1", "192.0.2.1"]
        found = namespace.run(lambda: ask_as(who, hosts, str(tmp_path)))
    assert [each.state for each in found] == [State.GOOD, State.GOOD, State.FAILED]


def received(sock: EchoSocket) -> list[Received]:
    """Wait until something has come back, and return it."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    assert poll.poll(20_000), "nothing came back"
    return sock.receive()


def unprivileged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let icmplib open datagram sockets alone."""
    real = icmplib.ICMPv4Socket

    def refuse(privileged: bool) -> ICMPv4Socket:
        if privileged:
            raise SocketPermissionError(True)
        return real(privileged=False)

    monkeypatch.setattr("icmplib.ICMPv4Socket", refuse)


def have_an_error_wait(sock: EchoSocket) -> None:
    """Send to a host that a router calls unreachable, until that stands in the error queue."""
    sock.send("127.0.1.1", b"first")
    poll = select.poll()
    poll.register(sock, 0)
    assert poll.poll(20_000) == [(sock.fileno(), select.POLLERR)]


@pytest.mark.parametrize("more", [0, 3])
def test_error_of_one_request_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, quiet: Namespace, more: int
) -> None:
    """A datagram socket sends on although ICMP errors wait, and more come while it tries again."""

    def run() -> Counter[type]:
        hosts = {"127.0.1.1": unreachable, "127.0.1.2": answers}
        with EchoHosts(V4, hosts), closing(EchoSocket(V4, 2)) as sock:
            send, left = sock._send, [more]

            def send_late(address: str, payload: bytes) -> tuple[int, int]:
                if address == "127.0.1.2" and left[0]:
                    left[0] -= 1
                    have_an_error_wait(sock)
                return send(address, payload)

            monkeypatch.setattr(sock, "_send", send_late)
            have_an_error_wait(sock)
            sock.send("127.0.1.2", b"second")
            found: Counter[type] = Counter()
            while found[Reply] < 1 or found[Trouble] < 1 + more:
                found.update(type(each.message) for each in received(sock))
            return found

    quiet.sysctl("ipv4/ping_group_range", "0 0")
    unprivileged(monkeypatch)
    assert quiet.run(run) == {Trouble: 1 + more, Reply: 1}


def test_send_that_fails_for_itself(monkeypatch: pytest.MonkeyPatch, quiet: Namespace) -> None:
    """What is queued about other requests does not hide that a request cannot be sent."""

    def run() -> int | None:
        with EchoHosts(V4, {"127.0.1.1": unreachable}), closing(EchoSocket(V4, 2)) as sock:
            have_an_error_wait(sock)
            try:
                sock.send("255.255.255.255", b"second")
            except OSError as error:
                return error.errno
            return None

    quiet.sysctl("ipv4/ping_group_range", "0 0")
    unprivileged(monkeypatch)
    assert quiet.run(run) in (errno.EACCES, errno.ENETUNREACH)


def test_answer_that_waits_does_not_grow_old() -> None:
    """A packet counts from its arrival at the kernel, however late the process reads it."""

    def lateness() -> float:
        with closing(EchoSocket(V4, 1)) as sock:
            sock.send("127.0.0.1", b"payload")
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            assert poll.poll(20_000)
            came = time.monotonic()
            threading.Event().wait(0.2)
            return sock.receive()[0].at - came

    with network_namespace() as namespace:
        # The kernel starts to take times a moment after a first socket asks for them.
        wait_until(lambda: namespace.run(lateness) < 0.1, "the time of arrival")


def descriptors() -> Counter[str]:
    """What this process has open, by the kind of thing."""
    found: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        try:
            found[re.sub(r"\d+", "", os.readlink(f"/proc/self/fd/{name}"))] += 1
        except FileNotFoundError:
            continue  # the descriptor by which the folder itself was read
    return found


def test_nothing_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets and pipes are closed after a verdict, after the deadline, and after an error."""
    names(monkeypatch, {"hangs.example": [], "web1.example": ["127.0.0.1"]})

    def refused(family: int, hosts: int) -> EchoSocket:
        if family == V6:
            raise PrivilegeError(NOT_ALLOWED)
        return EchoSocket(family, hosts)

    with network_namespace() as namespace:
        before = descriptors()
        namespace.run(lambda: ask(["127.0.0.1", "::1", "web1.example"]))
        namespace.run(lambda: ask(["127.0.0.1", "hangs.example"], seconds=0.1))
        monkeypatch.setattr(icmp, "EchoSocket", refused)
        with pytest.raises(PrivilegeError, match="CAP_NET_RAW"):
            namespace.run(lambda: ask(["127.0.0.1", "::1"]))
        assert descriptors() == before


def test_host_that_cannot_be_one() -> None:
    """A host that cannot be understood is a usage error, before anything is sent."""
    with pytest.raises(UsageError, match=r"'\[::1' is not an address"):
        ask(["127.0.0.1", "[::1"])


@pytest.fixture
def routed() -> Iterator[Namespace]:
    """A namespace behind a router, which knows some ways and not others.

    192.0.2.1 and 2001:db8::1 are ours, .254 and ::254 the router's. The whole of 127.0.0.0/8 and
    of 2001:db8:1::/48 are loopback hosts.
    """
    with network_namespace() as ours, network_namespace() as router:
        ours.ip("-6 route add local 2001:db8:1::/48 dev lo")
        ours.ip(f"link add wire type veth peer name wire netns {router.thread_id}")
        for namespace, last in ((ours, "1"), (router, "254")):
            namespace.ip(f"addr add 192.0.2.{last}/24 dev wire")
            namespace.ip(f"addr add 2001:db8::{last}/64 dev wire nodad")
            namespace.ip("link set wire up")
        ours.ip("route add default via 192.0.2.254")
        ours.ip("-6 route add default via 2001:db8::254")
        router.sysctl("ipv4/ip_forward", "1")
        router.sysctl("ipv6/conf/all/forwarding", "1")
        # A router's ICMP errors are few by default; here each of them is looked for.
        router.sysctl("ipv4/icmp_ratemask", "0")
        router.sysctl("ipv6/icmp/ratemask", "\n")
        for kind, v4, v6 in ROUTES:
            router.ip(f"route add {kind} {v4}")
            router.ip(f"-6 route add {kind} {v6}")
        # Behind the router, a wire on which nobody has the address that 203.0.113.193 should have.
        router.ip("link add stub type veth peer name nobody")
        router.ip("link set stub up")
        router.ip("link set nobody up")
        router.ip("route add 203.0.113.192/26 dev stub")
        router.ip("neigh add 203.0.113.193 lladdr 02:00:00:00:00:01 dev stub nud permanent")
        near = ["192.0.2.254", "2001:db8::254"]
        wait_until(
            lambda: all(each.state is State.GOOD for each in ours.run(lambda: ask(near))),
            "the router answers",
        )
        yield ours


ROUTES = (
    ("unreachable", "203.0.113.0/26", "2001:db8:a::/48"),
    ("prohibit", "203.0.113.64/26", "2001:db8:b::/48"),
    ("blackhole", "203.0.113.128/26", "2001:db8:c::/48"),
)

# First host, how many, and the reason. A Linux router sends five IPv4 errors for missing ways, then
# one a second, and that cannot be set in a namespace.
DEAD = (
    ("203.0.113.{}", 1, 2, "ICMP Host Unreachable from 192.0.2.254"),
    ("203.0.113.{}", 65, 2, "ICMP Communication Prohibited from 192.0.2.254"),
    ("203.0.113.{}", 129, 26, "no answer to 2 echo requests"),
    ("198.51.100.{}", 1, 20, "cannot send: No route to host"),
    ("2001:db8:a::{}", 1, 20, "ICMP No Route to Destination from 2001:db8::254"),
    ("2001:db8:b::{}", 1, 20, "ICMP Communication Prohibited from 2001:db8::254"),
    ("2001:db8:c::{}", 1, 10, "no answer to 2 echo requests"),
)


def test_a_thousand_hosts(routed: Namespace) -> None:
    """A thousand hosts in one run: each dead one is told with its own reason, none is lost."""
    routed.ip("route add unreachable 198.51.100.0/24")
    good = [*loopback(0, 450), *(f"2001:db8:1::{number:x}" for number in range(1, 451))]
    dead = {
        form.format(number): reason
        for form, first, count, reason in DEAD
        for number in range(first, first + count)
    }
    hosts = [*good, *dead]
    hosts.sort(key=lambda host: host[::-1])
    results = routed.run(lambda: ask(hosts, wait=2))
    assert len(hosts) == 1000
    assert [each.host for each in results] == hosts
    told = {each.host: each.reason for each in results if each.state is not State.GOOD}
    assert told == dead
    assert Counter(each.state for each in results) == {State.GOOD: 900, State.FAILED: 100}


def test_trace(routed: Namespace) -> None:
    """The way to a failed host is told hop by hop, and where it was not walked to its end."""
    failed = [
        Result("web1", State.FAILED, "", 0, "192.0.2.254"),
        Result("silent", State.FAILED, "", 0, "203.0.113.193"),
        Result("six", State.FAILED, "", 0, "2001:db8::254"),
        Result("nosuch.example", State.FAILED, "", 0, ""),
    ]
    lines = routed.run(lambda: trace(failed, deadline=time.monotonic() + 2.5))
    shown = "\n".join(re.sub(r"[\d.]+ ms", "T ms", line) for line in lines)
    assert shown.startswith(
        "traceroute to web1 (192.0.2.254):\n"
        "   1  192.0.2.254  T ms\n"
        "\n"
        "traceroute to silent (203.0.113.193):\n"
        "   1  192.0.2.254  T ms\n"
        "   2  *\n"
    )
    assert shown.endswith(
        "    not finished: the run's deadline came first\n"
        "\n"
        "traceroute to six (2001:db8::254):\n"
        "   1  2001:db8::254  T ms\n"
    )
    assert "nosuch" not in shown


def test_trace_without_a_raw_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the privilege for a raw socket the lines say so, and nothing is raised."""

    def refused(address: str, **how: float) -> list[Hop]:
        raise SocketPermissionError(True)

    monkeypatch.setattr("icmplib.traceroute", refused)
    failed = [Result("web1", State.FAILED, "", 0, "192.0.2.1")]
    assert trace(failed, deadline=time.monotonic() + 20) == [
        "traceroute to web1 (192.0.2.1):",
        "    it needs a raw socket: give mon CAP_NET_RAW",
        "",
    ]


def test_trace_of_nothing() -> None:
    """Where nothing failed there is nothing to say."""
    assert trace([], deadline=time.monotonic() + 20) == []
