"""What mon is told, whatever was found: the summary, the reasons, and nothing forged."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.checks.monitor import targets_of
from lvsalert.errors import UsageError
from lvsalert.model import Result, State
from lvsalert.mon.report import Report, printable, reasons_of, report_of

WELL = State.GOOD, State.FAILED, State.UNKNOWN


# Letters of every sort that has ever broken a line, an encoding or a parser.
ODD = "okHST .:()0\n\r\t\v\x00\x1b\x7f\x85\xa0\u2028\u2029\ud800\udcff\ufeff\\é世😀"


def _is_host(text: str) -> bool:
    try:
        return bool(targets_of([text], 80))
    except UsageError:
        return False


hosts = st.one_of(
    st.ip_addresses().map(str),
    st.tuples(st.ip_addresses(v=4), st.integers(1, 65535)).map(lambda pair: f"{pair[0]}:{pair[1]}"),
    st.tuples(st.ip_addresses(v=6), st.integers(1, 65535)).map(
        lambda pair: f"[{pair[0]}]:{pair[1]}"
    ),
    st.text("azAZ09._-é世", min_size=1),
).filter(_is_host)


@st.composite
def results(draw: st.DrawFn) -> list[Result]:
    """Draw the results of any run: hosts that a command line can name, and any words of servers."""
    found = []
    for host in draw(st.lists(hosts, unique=True, max_size=8)):
        state = draw(st.sampled_from(WELL))
        reason = "" if state is State.GOOD else draw(st.text(ODD, min_size=1))
        said = draw(st.binary(max_size=100) | st.binary(max_size=10).map(lambda part: part * 250))
        address = draw(st.sampled_from(["", "192.0.2.1:80", "[2001:db8::1]:80"]))
        seconds = draw(st.floats(0, 1e5))
        found.append(Result(host, state, reason, seconds, address, said))
    return found


def _report(found: list[Result], **more: bool) -> Report:
    return report_of(found, started=0.0, ended=1.5, **more)


@given(results(), st.booleans())
def test_summary_is_the_failed_hosts_sorted(found: list[Result], omit_good: bool) -> None:
    """The first line holds the hosts that are not good; the status says whether there are any."""
    report = _report(found, omit_good=omit_good)
    bad = sorted(each.host for each in found if each.state is not State.GOOD)
    judged = any(each.state is not State.UNKNOWN for each in found)
    summary = report.text.split("\n", 1)[0]
    if found and not judged:
        assert (summary, report.status) == ("", 3)
    else:
        assert (summary, report.status) == (" ".join(bad), int(bool(bad)))


@given(results(), st.booleans())
def test_report_holds_no_control_characters(found: list[Result], omit_good: bool) -> None:
    """Whatever servers say, mon, its alerts and a terminal get plain lines."""
    text = _report(found, omit_good=omit_good).text
    assert all(each == "\n" or printable(each) == each for each in text)
    assert text.endswith("\n")
    text.encode()


@given(results(), st.booleans())
def test_reasons_are_read_back(found: list[Result], omit_good: bool) -> None:
    """The alert reads out of the report why each host failed, and nothing that a server said."""
    read = reasons_of(_report(found, omit_good=omit_good).text)
    assert read == {
        each.host: printable(each.reason)
        for each in found
        if each.state is not State.GOOD and printable(each.reason) != "ok"
    }


@given(results())
def test_length_is_bounded_by_the_number_of_hosts(found: list[Result]) -> None:
    """What a server said is cut, so that a report can be mailed."""
    reasons = sum(len(printable(each.reason)) for each in found)
    names = sum(3 * len(each.host) for each in found)
    assert len(_report(found).text) <= 200 + reasons + names + len(found) * 9000


@given(results())
def test_good_hosts_can_be_left_out(found: list[Result]) -> None:
    """With -o the detail names the failed alone."""
    text = _report(found, omit_good=True).text
    named = re.findall(r"^HOST (\S+): ", text, re.MULTILINE)
    assert named == sorted(each.host for each in found if each.state is not State.GOOD)


@pytest.mark.parametrize(
    ("states", "status", "summary"),
    [
        ((), 0, ""),
        ((State.GOOD,), 0, ""),
        ((State.FAILED,), 1, "h0"),
        ((State.GOOD, State.FAILED), 1, "h1"),
        ((State.UNKNOWN,), 3, ""),
        ((State.UNKNOWN, State.UNKNOWN), 3, ""),
        ((State.UNKNOWN, State.GOOD), 1, "h0"),
        ((State.UNKNOWN, State.FAILED), 1, "h0 h1"),
    ],
)
def test_status_of_states(states: tuple[State, ...], status: int, summary: str) -> None:
    """3 where nothing was judged; beside a verdict, a host without one counts as failed."""
    found = [
        Result(f"h{number}", state, "" if state is State.GOOD else "why", 0.0)
        for number, state in enumerate(states)
    ]
    report = _report(found)
    assert (report.status, report.text.split("\n", 1)[0]) == (status, summary)


def test_report_reads_well() -> None:
    """The whole report: summary, the failed, the good, the times."""
    found = [
        Result("b", State.FAILED, "Connection refused", 0.0005, "192.0.2.2:80"),
        Result("c", State.GOOD, "", 0.25, "192.0.2.3:80", b"HTTP/1.1 200 OK\r\nServer: \xff"),
        Result("a", State.FAILED, "timed out after 5 s, nothing came", 5.0, "192.0.2.1:80"),
    ]
    lines = _report(found).text.split("\n")
    assert lines[:10] == [
        "a b",
        "HOST a: timed out after 5 s, nothing came (5.000 s, 192.0.2.1:80)",
        "",
        "HOST b: Connection refused (0.001 s, 192.0.2.2:80)",
        "",
        "HOST c: ok (0.250 s, 192.0.2.3:80)",
        "    HTTP/1.1 200 OK",
        r"    Server: \xff",
        "",
        lines[9],
    ]
    assert [line.partition(":")[0] for line in lines[9:]] == [
        "start time",
        "end time  ",
        "duration  ",
        "",
    ]
    assert lines[11] == "duration  : 1.500 seconds"


def test_what_a_server_says_is_cut() -> None:
    """A long line and many lines both end in dots."""
    for said in (b"x" * 5000, b"x\r\n" * 50):
        text = _report([Result("a", State.GOOD, "", 0.0, "", said)]).text
        assert "\n    ...\n" in text
        assert len(text) < 2500
