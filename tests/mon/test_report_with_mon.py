"""What mon is told of a run: the summary, the detail, and the exit status."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.model import Result, State
from lvsalert.mon.report import Report, cannot_tell, reasons_of
from lvsalert.mon.report import report_of as report

GOOD, FAILED, UNKNOWN = State.GOOD, State.FAILED, State.UNKNOWN
STARTED = 1_700_000_000.0
WHEN = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(STARTED))
TIMES = [f"start time: {WHEN}", f"end time  : {WHEN}", "duration  : 0.250 seconds"]


def told(
    *results: Result,
    omit_good: bool = False,
    all_of_them: bool = False,
    notes: tuple[str, ...] = (),
) -> Report:
    """Return the report of a run that took a quarter of a second."""
    return report(
        results,
        started=STARTED,
        ended=STARTED + 0.25,
        omit_good=omit_good,
        only_if_all_failed=all_of_them,
        notes=notes,
    )


def result(host: str, state: State, reason: str = "", said: bytes = b"") -> Result:
    """Return a result after an eighth of a second."""
    return Result(host, state, reason or ("" if state is GOOD else "it broke"), 0.125, "", said)


def test_report_to_the_last_line() -> None:
    """Summary, the failed with reason, time, place and words, the good, the notes, the times."""
    text, status = told(
        Result("web2", GOOD, "", 0.125, "192.0.2.2:80", b"HTTP/1.0 200 OK\r\n"),
        Result("web3", FAILED, "Connection refused", 0.0014, "192.0.2.3:80", b"500 no\r\nbye"),
        Result("web1", UNKNOWN, "not a name", 2.0, "", b""),
        notes=("one host was asked twice",),
    )
    assert status == 1
    assert text.split("\n") == [
        "web1 web3",
        "HOST web1: not a name (2.000 s)",
        "",
        "HOST web3: Connection refused (0.001 s, 192.0.2.3:80)",
        "    500 no",
        "    bye",
        "",
        "HOST web2: ok (0.125 s, 192.0.2.2:80)",
        "    HTTP/1.0 200 OK",
        "",
        "one host was asked twice",
        *TIMES,
        "",
    ]


@pytest.mark.parametrize(
    ("states", "summary", "status", "status_of_all"),
    [
        ([], "", 0, 0),
        ([GOOD], "", 0, 0),
        ([GOOD, GOOD], "", 0, 0),
        ([FAILED], "a", 1, 1),
        ([FAILED, GOOD], "a", 1, 0),
        ([GOOD, FAILED], "b", 1, 0),
        ([FAILED, FAILED], "a b", 1, 1),
        ([UNKNOWN], "", 3, 3),
        ([UNKNOWN, UNKNOWN], "", 3, 3),
        ([UNKNOWN, GOOD], "a", 1, 0),
        ([UNKNOWN, FAILED], "a b", 1, 1),
        ([UNKNOWN, FAILED, GOOD], "a b", 1, 0),
    ],
)
def test_status_and_summary(
    states: list[State], summary: str, status: int, status_of_all: int
) -> None:
    """0 where all are good, 1 with a verdict, 3 without one: then the summary names nobody."""
    results = [result(host, state) for host, state in zip("abc", states)]
    assert told(*results).status == status
    assert told(*results).text.split("\n")[0] == summary
    of_all = told(*results, all_of_them=True)
    assert (of_all.status, of_all.text.split("\n")[0]) == (status_of_all, summary)


def test_good_ones_are_left_out_where_that_is_asked_for() -> None:
    """-o keeps the failed ones' detail."""
    text = told(result("a", GOOD), result("b", FAILED), omit_good=True).text
    assert text.split("\n") == ["b", "HOST b: it broke (0.125 s)", "", *TIMES, ""]


def test_both_lists_are_sorted() -> None:
    """Whatever order the answers came in, the report is the same."""
    results = [result(host, state) for host, state in zip("dacb", [FAILED, GOOD, GOOD, FAILED])]
    text = told(*results).text
    assert re.findall(r"^HOST (\S+):", text, re.MULTILINE) == ["b", "d", "a", "c"]
    assert told(*reversed(results)).text == text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"", []),
        (b"hello", ["    hello"]),
        (b"hello\r\n", ["    hello"]),
        (b"one\ntwo\r\nthree", ["    one", "    two", "    three"]),
        (b"\x1b[31mred\x00\x07", ["    \\x1b[31mred\\x00\\x07"]),
        (b"\xff\xfe", ["    \\xff\\xfe"]),
        ("b\u00fccher".encode(), ["    b\u00fccher"]),
        (b"x" * 2000, ["    " + "x" * 2000]),
        (b"x" * 2001, ["    " + "x" * 2000, "    ..."]),
        (b"y\n" * 20, ["    y"] * 20),
        (b"y\n" * 21, ["    y"] * 20 + ["    ..."]),
        (b"HOST b: ok (0.1 s)", ["    HOST b: ok (0.1 s)"]),
    ],
)
@pytest.mark.parametrize("state", [GOOD, FAILED])
def test_words_of_the_server_are_escaped_and_cut(
    state: State, said: bytes, shown: list[str]
) -> None:
    """2000 bytes and 20 lines of what it said are shown, indented, in characters to be seen."""
    lines = told(result("a", state, said=said)).text.split("\n")
    assert lines[2 : lines.index("", 2)] == shown


def test_reason_is_one_line() -> None:
    """A reason cannot begin a line of its own."""
    text = told(result("a", FAILED, "two\nlines\x1b")).text
    assert "HOST a: two\\nlines\\x1b (0.125 s)" in text.split("\n")


def test_run_without_a_verdict_names_no_host() -> None:
    """An empty summary, one line of reason, status 3."""
    assert cannot_tell("no\nprivilege") == ("\nno\\nprivilege\n", 3)


WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
REASONS = WORDS.map(str.strip).filter(lambda text: text not in {"", "ok"} and text.isprintable())


@given(
    st.dictionaries(st.sampled_from(["web1", "192.0.2.1", "[2001:db8::1]:80"]), REASONS),
    st.binary(max_size=60),
)
def test_reasons_are_read_back(failed: dict[str, str], said: bytes) -> None:
    """lvs.alert finds why each host failed in what the monitor reported, and nothing else."""
    results = [result(host, FAILED, reason, said) for host, reason in failed.items()]
    text = told(*results, result("web9", GOOD, said=said)).text
    assert reasons_of(text.partition("\n")[2]) == failed


@pytest.mark.parametrize(
    "detail",
    ["", "HOST", "HOST web1", "HOST web1: broken", "HOST : x (0.1 s)", "    HOST a: b (0.1 s)"],
)
def test_reasons_of_other_monitors_are_none(detail: str) -> None:
    """The detail of a monitor that words it otherwise gives no reason, and no harm."""
    assert reasons_of(detail) == {}


def test_place_is_no_part_of_the_reason() -> None:
    """The endpoint that was asked stands behind the time."""
    failed = Result("web1", FAILED, "Connection refused (111)", 0.1, "192.0.2.1:80")
    assert reasons_of(told(failed).text) == {"web1": "Connection refused (111)"}
