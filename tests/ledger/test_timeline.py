"""The picture of out-times: valid XML, bars where the times are, more than colour for a cause."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.ledger.timeline import Lane, OutTime, svg, ticks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BEGIN = 1_700_000_000.0
HOUR = 3600.0
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone that sets its clocks, wherever the tests run."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def lane(*outs: OutTime, real: str = "192.0.2.1:80", since: float = 0.0) -> Lane:
    """Return a real server of the web service with these out-times."""
    return Lane("tcp 10.0.0.3:80", real, since, list(outs))


def out(begin: float, end: float | None, cause: str = "www/http", **more: object) -> OutTime:
    """Return a time out, in seconds after the beginning."""
    stop = None if end is None else BEGIN + end
    why = str(more.get("why", f"{cause}: refused"))
    return OutTime(BEGIN + begin, stop, cause, bool(more.get("quiesced")), why)


def drawn(*lanes: Lane, seconds: float = HOUR) -> ET.Element:
    """Return the picture of an hour, parsed."""
    return ET.fromstring(svg(lanes, BEGIN, BEGIN + seconds))  # noqa: S314 - our own text


def bars(picture: ET.Element) -> list[dict[str, str]]:
    """Return the attributes of each bar, with what is said of it."""
    found = []
    for group in picture.iter(f"{SVG}g"):
        rect, title = group.find(f"{SVG}rect"), group.find(f"{SVG}title")
        assert rect is not None
        assert title is not None
        found.append({**rect.attrib, "title": title.text or ""})
    return found


def texts(picture: ET.Element) -> list[str]:
    """Return all that is written in the picture."""
    return [each.text or "" for each in picture.iter(f"{SVG}text")]


def test_bar_lies_where_its_time_is() -> None:
    """A quarter of the hour is a quarter of the width; a bar without an end reaches the right."""
    first, last = bars(drawn(lane(out(0, HOUR / 4), out(HOUR / 2, None))))
    whole = 4 * float(first["width"])
    left = float(first["x"])
    assert float(last["x"]) == pytest.approx(left + whole / 2, abs=0.2)
    assert float(last["x"]) + float(last["width"]) == pytest.approx(left + whole, abs=0.2)


def test_bar_is_cut_at_the_edges() -> None:
    """What began before the picture starts at its left edge."""
    (bar,) = bars(drawn(lane(out(-HOUR, HOUR / 2))))
    (whole,) = bars(drawn(lane(out(0, None))))
    assert bar["x"] == whole["x"]
    assert float(bar["width"]) == pytest.approx(float(whole["width"]) / 2, abs=0.1)


def test_moment_can_be_seen() -> None:
    """A server that was out for a moment at the very end has a bar inside the picture."""
    (bar,) = bars(drawn(lane(out(HOUR, HOUR)), seconds=HOUR))
    (whole,) = bars(drawn(lane(out(0, None))))
    assert float(bar["width"]) > 1
    assert float(bar["x"]) + float(bar["width"]) <= float(whole["x"]) + float(whole["width"]) + 0.1


def test_causes_differ_by_more_than_colour() -> None:
    """Forty causes have forty different looks; each has a line of the legend and a letter."""
    causes = [f"group{number}/http" for number in range(40)]
    text = svg([lane(*(out(0, None, cause) for cause in causes))], BEGIN, BEGIN + HOUR)
    looks = re.findall(r'<pattern id="cause\d+"[^>]*>(.*?)</pattern>', text)
    assert len(set(looks)) == 40
    written = texts(ET.fromstring(text))  # noqa: S314 - our own text
    assert {f"taken out by {cause}" for cause in causes} <= set(written)
    assert {"A", "Z", "27", "40"} <= set(written)


def test_quiesced_is_half_as_high() -> None:
    """A server at weight 0 is told from one that was deleted."""
    deleted, quiesced = bars(drawn(lane(out(0, 60), out(60, 120, quiesced=True))))
    assert float(quiesced["height"]) == float(deleted["height"]) / 2
    assert [each["title"].split()[0] for each in (deleted, quiesced)] == ["out", "quiesced"]


def test_bar_tells_its_reason() -> None:
    """A browser shows times and reason of the bar under the pointer, in local time."""
    (bar,) = bars(drawn(lane(out(0, 60, why="www/http: connection refused"))))
    told = "out 2023-11-14 23:13:20 to 2023-11-14 23:14:20: www/http: connection refused"
    assert bar["title"] == told


def test_row_begins_when_the_server_is_known() -> None:
    """The line of a server that came in half an hour ago begins in the middle."""

    def line(since: float) -> float:
        paths = [each.get("d") or "" for each in drawn(lane(since=since)).iter(f"{SVG}path")]
        (found,) = (re.match(r"M([\d.]+) [\d.]+H([\d.]+)", each) for each in paths if "H" in each)
        assert found is not None
        return float(found[2]) - float(found[1])

    assert line(BEGIN + HOUR / 2) == pytest.approx(line(0) / 2, abs=0.2)


def test_real_servers_stand_below_their_service() -> None:
    """Each virtual service is written once, above its real servers."""
    lanes = [lane(real="192.0.2.1:80"), lane(real="192.0.2.2:80")]
    lanes.append(Lane("fwm 7", "192.0.2.1:0", 0.0, []))
    names = {"tcp 10.0.0.3:80", "fwm 7", "192.0.2.1:80", "192.0.2.2:80", "192.0.2.1:0"}
    assert [each for each in texts(drawn(*lanes)) if each in names] == [
        *("tcp 10.0.0.3:80", "192.0.2.1:80", "192.0.2.2:80"),
        *("fwm 7", "192.0.2.1:0"),
    ]


def test_empty_journal_is_a_picture_too() -> None:
    """Without a real server the picture says that there is none."""
    assert "The journal holds no change of a real server." in texts(drawn())


@given(st.text(), st.text())
def test_any_text_is_valid_xml(cause: str, why: str) -> None:
    """Whatever a monitor said, the picture is XML and says it as far as XML can."""
    (bar,) = bars(drawn(lane(out(0, 60, cause, why=why))))
    plain = re.sub(r"[^ -~]", "", why)
    assert re.sub(r"[^ -~]", "", bar["title"]).replace("?", "").endswith(plain.replace("?", ""))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (60, ["13:20", "13:30", "13:40", "13:50", "14:00", "14:10", "14:20"]),
        (HOUR, ["20:00", "30:00", "40:00", "50:00", "00:00", "10:00"]),
    ],
)
def test_ticks_are_round(seconds: float, expected: Sequence[str]) -> None:
    """The times at the top are whole minutes, or tens of seconds."""
    found = ticks(BEGIN, BEGIN + seconds, 8)
    assert [time.strftime("%M:%S", time.localtime(when)) for when in found] == expected


def test_the_last_time_is_not_cut_off() -> None:
    """Where the picture ends at a round time, that is written inside it."""
    begin = time.mktime((2023, 11, 14, 8, 0, 0, 0, 0, -1))
    picture = ET.fromstring(svg([lane()], begin, begin + 4 * HOUR))  # noqa: S314 - our own text
    places = {each.text: float(each.attrib["x"]) for each in picture.iter(f"{SVG}text")}
    half_of_it = len("12:00:00") * 7 / 2
    assert places["12:00:00"] + half_of_it <= float(picture.attrib["width"])


def test_ticks_stay_round_where_the_clock_is_set() -> None:
    """Days begin at local midnight before and after the change to winter time."""
    begin = time.mktime((2023, 10, 27, 5, 0, 0, 0, 0, -1))
    found = ticks(begin, begin + 5 * 86400, 8)
    shown = [time.strftime("%d %H:%M", time.localtime(when)) for when in found]
    assert shown == ["28 00:00", "29 00:00", "30 00:00", "31 00:00", "01 00:00"]


@given(st.floats(0.5, 1e9), st.floats(1, 30))
def test_ticks_are_not_too_many(seconds: float, room: float) -> None:
    """However long the time is, its ticks find room."""
    found = ticks(BEGIN, BEGIN + seconds, room)
    assert len(found) <= room + 2
    assert found == sorted(found)
    assert all(BEGIN <= when <= BEGIN + seconds for when in found)


def test_a_row_tells_how_long_its_server_was_out_in_all() -> None:
    """What lies in the picture counts, until its end; a server that was never out has no total."""
    assert "out 1 h 30 min" in texts(
        drawn(lane(out(-HOUR, HOUR), out(2 * HOUR, 9 * HOUR)), seconds=2.5 * HOUR)
    )
    assert not [text for text in texts(drawn(lane())) if text.startswith("out ")]


def test_a_low_bar_has_its_letter_too() -> None:
    """In the bar and in the legend."""
    assert texts(drawn(lane(out(0, HOUR, quiesced=True)))).count("A") == 2


def test_the_title_names_the_zone() -> None:
    """Its times are local."""
    assert any(text.endswith(" (CET)") for text in texts(drawn(lane())))
