"""What mon tells an alert, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.errors import UsageError
from lvsalert.mon.alert_call import AlertCall, Event, alert_call, alert_event
from lvsalert.mon.report import printable

FLAGS = [Event.UP, Event.ACK, Event.DISABLE, Event.TRAP, Event.TRAP_TIMEOUT]
TELLING = {Event.FAILURE, Event.TRAP, Event.TRAP_TIMEOUT}


def called(
    environ: dict[str, str] | None = None,
    *,
    flags: tuple[Event, ...] = (),
    group: str | None = "www",
    service: str | None = "http",
    hosts: str = "web1 web2 web3",
    stdin: str = "web1\ndetail\n",
) -> AlertCall:
    """Return the call of an alert for a group of three, of which the summary names the first."""
    return alert_call(
        {"MON_ALERTTYPE": "failure"} if environ is None else environ,
        flags=flags,
        group=group,
        service=service,
        hosts=hosts,
        time=1_700_000_000,
        stdin=stdin,
    )


@pytest.mark.parametrize("flag", [None, *FLAGS])
@pytest.mark.parametrize("event", Event)
def test_variable_is_the_truth(event: Event, flag: Event | None) -> None:
    """MON_ALERTTYPE counts whatever flag stands beside it: an up trap arrives with -T."""
    flags = [] if flag is None else [flag]
    assert alert_event({"MON_ALERTTYPE": event.value}, flags) is event


@pytest.mark.parametrize("flag", FLAGS)
def test_flag_counts_where_the_variable_is_missing(flag: Event) -> None:
    """By hand there is no MON_ALERTTYPE, and the flag says what happened."""
    assert alert_event({}, [flag]) is flag


def test_last_flag_counts() -> None:
    """Of several flags the last one is the event, as in mon."""
    assert alert_event({}, [Event.UP, Event.TRAP]) is Event.TRAP


def test_without_variable_and_flag_it_is_a_failure() -> None:
    """A bare call is the one that mon makes for a failure."""
    assert alert_event({}, []) is Event.FAILURE


@pytest.mark.parametrize("name", ["", "UP", "upalert", "failure ", "up\n", "unknown", "$(id)"])
def test_unknown_event_is_quoted(name: str) -> None:
    """A MON_ALERTTYPE that mon does not have is no failure by default."""
    with pytest.raises(UsageError) as caught:
        alert_event({"MON_ALERTTYPE": name}, [])
    assert str(caught.value) == f"MON_ALERTTYPE: {name!r} is not an alert of mon's"


@pytest.mark.parametrize("event", Event)
def test_summary_is_read_of_failures_and_traps_alone(event: Event) -> None:
    """Before an upalert stdin is an earlier run's output, so it names nobody."""
    call = called({"MON_ALERTTYPE": event.value})
    tells = event in TELLING
    assert call.failed == (frozenset({"web1"}) if tells else frozenset())
    assert call.detail == ("detail\n" if tells else "")


@pytest.mark.parametrize(
    ("stdin", "failed"),
    [
        ("", set()),
        ("\n", set()),
        ("\nweb1\n", set()),
        ("web1", {"web1"}),
        ("web1\n", {"web1"}),
        ("web1\r\n", {"web1"}),
        ("  web1   web3  \n", {"web1", "web3"}),
        ("web1 web1\n", {"web1"}),
        ("web9\n", set()),
        ("web1 web9\n", {"web1"}),
        ("web10\n", set()),
        ("web1:80\n", set()),
        ("WEB1\n", set()),
        ("web1,web2\n", set()),
        ("web1;id web2\n", {"web2"}),
        ("$(id) web3\n", {"web3"}),
        ("web1\0\n", set()),
        ("web2\udcff\n", set()),
        ("cannot resolve web1 here\n", {"web1"}),
    ],
)
def test_failed_hosts_are_words_of_the_first_line(stdin: str, failed: set[str]) -> None:
    """The summary's words that are hosts of the group, spelled alike, are the failed ones."""
    assert called(stdin=stdin).failed == failed


@pytest.mark.parametrize(
    ("hosts", "members"),
    [
        ("", ()),
        ("   ", ()),
        ("web1", ("web1",)),
        ("web2 web1", ("web2", "web1")),
        ("web1 web1", ("web1",)),
        ("web1\tweb2", ("web1", "web2")),
        ("*web1 web2", ("web2",)),
        ("192.0.2.1 [2001:db8::11]:80", ("192.0.2.1", "[2001:db8::11]:80")),
    ],
)
def test_hosts_are_those_that_mon_checks(hosts: str, members: tuple[str, ...]) -> None:
    """Each host comes once, in order, and one that an operator disabled not at all."""
    assert called(hosts=hosts).hosts == members


def test_disabled_host_is_not_failed() -> None:
    """A host that mon does not check is not taken out by a summary that still names it."""
    assert called(hosts="*web1 web2").failed == frozenset()


@pytest.mark.parametrize(
    ("text", "retval"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        ("1", 1),
        ("3", 3),
        ("255", 255),
        ("x", None),
        ("-1", None),
        ("3 ", None),
        ("\uff13", None),
        ("9" * 5000, None),
    ],
)
def test_retval_is_a_number_or_none(text: str | None, retval: int | None) -> None:
    """The monitor's exit status is taken where it is one."""
    environ = {"MON_ALERTTYPE": "failure"}
    if text is not None:
        environ["MON_RETVAL"] = text
    assert called(environ).retval == retval


@pytest.mark.parametrize(
    ("environ", "group", "service", "by_hand"),
    [
        ({}, None, None, True),
        ({}, "www", None, False),
        ({}, None, "http", False),
        ({"MON_ALERTTYPE": "up"}, None, None, False),
        ({"MON_GROUP": "www", "MON_SERVICE": "http"}, None, None, True),
    ],
)
def test_by_hand_is_without_all_that_mon_gives(
    environ: dict[str, str], group: str | None, service: str | None, by_hand: bool
) -> None:
    """mon always gives -s, -g and MON_ALERTTYPE; a person gives none of them."""
    assert called(environ, group=group, service=service).by_hand is by_hand


@pytest.mark.parametrize(
    ("group", "service", "who"),
    [("www", "http", "www/http"), (None, None, "env-group/env-service"), ("www", None, None)],
)
def test_who_is_group_and_service(group: str | None, service: str | None, who: str | None) -> None:
    """The options count before the variables."""
    environ = {"MON_GROUP": "env-group", "MON_SERVICE": "env-service"}
    expected = who if who is not None else "www/env-service"
    assert called(environ, group=group, service=service).who == expected


@pytest.mark.parametrize("first", [None, "", "0", "1700000000"])
@pytest.mark.parametrize("event", Event)
def test_recovery_is_an_up_after_a_failure(event: Event, first: str | None) -> None:
    """mon names the first failure as long as the last check failed; an up then is a recovery."""
    environ = {"MON_ALERTTYPE": event.value}
    if first is not None:
        environ["MON_FIRST_FAILURE"] = first
    assert called(environ).is_recovery is (event is Event.UP and first == "1700000000")


@given(
    hosts=st.text(max_size=60),
    stdin=st.text(max_size=60),
    retval=st.text(max_size=10),
    event=st.sampled_from(Event),
)
def test_whatever_is_said_names_no_stranger(
    hosts: str, stdin: str, retval: str, event: Event
) -> None:
    """However garbled, the failed are hosts of the group and the words of the summary."""
    environ = {"MON_ALERTTYPE": event.value, "MON_RETVAL": retval}
    call = called(environ, hosts=hosts, stdin=stdin)
    assert call.failed <= set(call.hosts)
    assert call.failed <= set(stdin.partition("\n")[0].split())
    assert not any(host.startswith("*") or host.split() != [host] for host in call.hosts)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("web1 is down", "web1 is down"),
        ("b\u00fccher", "b\u00fccher"),
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\0", "\\x00"),
        ("\udcff", "\\udcff"),
        ("a\u2028b", "a\\u2028b"),
        ("\u202eweb1", "\\u202eweb1"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_printable_is_one_plain_line(text: str, shown: str) -> None:
    """What could forge a line, or hide one, is shown as an escape."""
    assert printable(text) == shown


@given(st.text())
def test_printable_is_printable(text: str) -> None:
    """Whatever comes, it can be printed, logged and encoded."""
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()
