"""Out-times of real servers as a picture: SVG 1.1 text for a browser and for paper.

Nothing is told by colour alone: each cause has a colour, a pattern and a letter. Times are seconds
of the epoch, lengths the picture's own units.
"""

from __future__ import annotations

import datetime
import html
import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_WIDTH = 1000.0
_MARGIN = 16.0
_ROW = 24.0
_BAR = 16.0
_FONT = 12.0
# What a letter of the font may be wide; a little much, since fonts differ.
_LETTER = 7.2
# The shortest bar that can be seen, and the shortest that a letter has room in.
_THINNEST = 1.5
_LETTERED = 14.0
_TICK = 92.0
_LONGEST_TOTAL = "  out 23 h 59 min"

# Told apart by readers with any kind of colour vision (Okabe and Ito, "Color Universal Design"),
# and light enough for black letters.
_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#9ab5c9")
# Drawn over the colour in tiles of 8 by 8; their number has no divisor in common with the colours'.
_PATTERNS = (
    "",
    "M0 8L8 0M-2 2L2 -2M6 10L10 6",
    "M0 0L8 8M-2 6L2 10M6 -2L10 2",
    "M0 4H8",
    "M4 0V8",
    "M0 4H8M4 0V8",
)
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY = 86400
_DAYS = (1, 2, 7, 14, 28, 91, 182, 364)
# What XML 1.0 does not allow in a text, not even escaped.
_FORBIDDEN = re.compile("[^\\t\\n\\x20-\\x7e\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


class OutTime(NamedTuple):
    """When a real server was out, and what for; ``end`` is None where it still is.

    ``cause`` is what the bar is coloured by, ``why`` the whole reason. ``quiesced`` is whether it
    stood at weight 0 and not deleted.
    """

    begin: float
    end: float | None
    cause: str
    quiesced: bool
    why: str


class Lane(NamedTuple):
    """A real server of a virtual service, since when it is known, and its out-times in order."""

    virtual: str
    real: str
    since: float
    outs: list[OutTime]


class _Frame(NamedTuple):
    """Where the times lie in the picture, and what its own names begin with."""

    begin: float
    end: float
    name: str
    left: float

    @property
    def right(self) -> float:
        return _WIDTH - _MARGIN

    def at(self, when: float) -> float:
        share = (min(max(when, self.begin), self.end) - self.begin) / (self.end - self.begin)
        return self.left + share * (self.right - self.left)


def svg(lanes: Sequence[Lane], begin: float, end: float, name: str = "cause") -> str:
    """Return the picture of ``lanes`` from ``begin`` to ``end``, as a document of SVG.

    ``lanes`` of one virtual service follow each other. Times are written in the local zone. What
    the picture refers to in itself begins with ``name``, since a page may hold several.
    """
    end = max(end, begin + 1)
    causes = sorted({out.cause for lane in lanes for out in lane.outs})
    totals = [_out_time(lane, begin, end) for lane in lanes]
    longest = max([len(lane.real) for lane in lanes], default=0)
    longest += len(_LONGEST_TOTAL) if any(totals) else 0
    frame = _Frame(begin, end, name, min(_MARGIN + longest * _LETTER + 20, _WIDTH / 2))
    headings = len({lane.virtual for lane in lanes})
    top = 74.0
    bottom = top + _ROW * max(1, len(lanes) + headings)
    body = [
        *_axis(frame, top, bottom),
        *_rows(lanes, totals, frame, top, causes),
        *_legend(causes, bottom + 22, name),
    ]
    height = bottom + 46 + _ROW * (len(causes) + 1)
    zone = datetime.datetime.fromtimestamp(end).astimezone().strftime("%Z")
    title = f"Real servers out, {_stamp(begin)} to {_stamp(end)} ({zone})"
    about = f"{len(lanes)} real servers, a row each; a bar is a time out, its letter the cause."
    size = f'viewBox="0 0 {_WIDTH:g} {height:g}" width="{_WIDTH:g}" height="{height:g}"'
    font = f'font-family="sans-serif" font-size="{_FONT:g}" fill="#000"'
    head = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {font}>',
        f"<title>{_text(title)}</title>",
        f"<desc>{_text(about)}</desc>",
        *_definitions(len(causes), name),
        f'<rect width="{_WIDTH:g}" height="{height:g}" fill="#fff"/>',
        _label(_MARGIN, 30, title, ' font-size="17" font-weight="bold"'),
    ]
    return "\n".join([*head, *body, "</svg>", ""])


def _definitions(count: int, name: str) -> Iterator[str]:
    yield "<defs>"
    for number in range(count):
        colour = _COLOURS[number % len(_COLOURS)]
        lines = _PATTERNS[number % len(_PATTERNS)]
        drawn = f'<path d="{lines}" stroke="#000" stroke-width="1" fill="none"/>' if lines else ""
        yield (
            f'<pattern id="{name}{number}" width="8" height="8" patternUnits="userSpaceOnUse">'
            f'<rect width="8" height="8" fill="{colour}"/>{drawn}</pattern>'
        )
    yield "</defs>"


def _axis(frame: _Frame, top: float, bottom: float) -> Iterator[str]:
    """Yield the lines of the times, and what they are."""
    dates = frame.end - frame.begin > _DAY
    for when in ticks(frame.begin, frame.end, (frame.right - frame.left) / _TICK):
        x = frame.at(when)
        yield f'<path d="M{x:.1f} {top - 4:g}V{bottom:g}" stroke="#ccc"/>'
        local = datetime.datetime.fromtimestamp(when)
        midnight = (local.hour, local.minute, local.second) == (0, 0, 0)
        form = "%Y-%m-%d" if midnight else "%m-%d %H:%M" if dates else "%H:%M:%S"
        text = local.strftime(form)
        # A time at the very end is told inside the picture.
        middle = min(x, _WIDTH - len(text) * _LETTER / 2)
        yield _label(middle, top - 10, text, ' text-anchor="middle"')


def ticks(begin: float, end: float, room: float) -> list[float]:
    """Return round local times between ``begin`` and ``end``, ``room`` of them at most or so."""
    wanted = (end - begin) / max(1.0, room)
    steps = (*_STEPS, *(days * _DAY for days in _DAYS))
    most = math.ceil(wanted / steps[-1]) * steps[-1]
    step = next((each for each in steps if each >= wanted), most)
    local = datetime.datetime.fromtimestamp(begin)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    first = 0 if step >= _DAY else int((local - midnight).total_seconds() // step)
    found = []
    # In local hours and not in seconds, so that they stay round where the clock is set.
    for number in range(first, first + int((end - begin) / step) + 3):
        when = (midnight + datetime.timedelta(seconds=number * step)).timestamp()
        if begin <= when <= end:
            found.append(when)
    return found


def _out_time(lane: Lane, begin: float, end: float) -> str:
    """Return for how long in all a real server was out, nothing where it never was."""
    seconds = 0.0
    for out in lane.outs:
        until = end if out.end is None else out.end
        seconds += max(0.0, min(until, end) - max(out.begin, begin))
    return f"out {_length(seconds)}" if seconds else ""


def _length(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    left = max(1, round(seconds))
    words: list[str] = []
    for size, unit in ((_DAY, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size and len(words) < 2:
            words.append(f"{left // size} {unit}")
        left %= size
    return " ".join(words)


def _rows(
    lanes: Sequence[Lane],
    totals: Sequence[str],
    frame: _Frame,
    top: float,
    causes: Sequence[str],
) -> Iterator[str]:
    """Yield each virtual service's heading and the rows of its real servers."""
    if not lanes:
        yield _label(_MARGIN, top + 17, "The journal holds no change of a real server.")
    y, heading = top, None
    for lane, total in zip(lanes, totals):
        if lane.virtual != heading:
            heading = lane.virtual
            yield _label(_MARGIN, y + 17, heading, ' font-weight="bold"')
            y += _ROW
        middle = y + _ROW / 2
        yield _label(_MARGIN + 10, middle + 4, lane.real)
        yield _label(frame.left - 10, middle + 4, total, ' text-anchor="end"')
        left = frame.at(lane.since)
        yield f'<path d="M{left:.1f} {middle:g}H{frame.right:.1f}" stroke="#888"/>'
        for out in lane.outs:
            yield from _bar(out, frame, middle, causes.index(out.cause))
        y += _ROW


def _bar(out: OutTime, frame: _Frame, middle: float, number: int) -> Iterator[str]:
    """Yield one time out: full height where it was deleted, half where it was quiesced."""
    left, right = frame.at(out.begin), frame.at(frame.end if out.end is None else out.end)
    width = max(_THINNEST, right - left)
    left = min(left, frame.right - width)
    high = _BAR / 2 if out.quiesced else _BAR
    until = "now" if out.end is None else _stamp(out.end)
    kind = "quiesced" if out.quiesced else "out"
    tip = f"{kind} {_stamp(out.begin)} to {until}: {out.why}"
    yield (
        f'<g><title>{_text(tip)}</title><rect x="{left:.1f}" y="{middle - high / 2:g}"'
        f' width="{width:.1f}" height="{high:g}" fill="url(#{frame.name}{number})" stroke="#000"'
        ' stroke-width="0.75"/></g>'
    )
    if width >= _LETTERED:
        yield from _letter(left + width / 2, middle, number)


def _letter(x: float, middle: float, number: int) -> Iterator[str]:
    """Yield a cause's letter on a white disc, readable on every pattern."""
    yield f'<circle cx="{x:.1f}" cy="{middle:g}" r="6.5" fill="#fff"/>'
    yield _label(x, middle + 4, _name(number), ' text-anchor="middle" font-weight="bold"')


def _name(number: int) -> str:
    """Return A to Z, then 27, 28 and so on."""
    return chr(ord("A") + number) if number < 26 else str(number + 1)


def _legend(causes: Sequence[str], top: float, name: str) -> Iterator[str]:
    for number, cause in enumerate(causes):
        middle = top + number * _ROW + _ROW / 2
        yield (
            f'<rect x="{_MARGIN:g}" y="{middle - _BAR / 2:g}" width="44" height="{_BAR:g}"'
            f' fill="url(#{name}{number})" stroke="#000" stroke-width="0.75"/>'
        )
        yield from _letter(_MARGIN + 22, middle, number)
        yield _label(_MARGIN + 56, middle + 4, f"taken out by {cause}")
    last = top + len(causes) * _ROW + _ROW / 2 + 4
    yield _label(_MARGIN, last, "line: in; high bar: deleted; low bar: quiesced (weight 0)")


def _label(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:g}"{more}>{_text(text)}</text>'


def _stamp(when: float) -> str:
    return datetime.datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M:%S")


def _text(text: str) -> str:
    """Return ``text`` as XML has it; what XML cannot have at all becomes a question mark."""
    return html.escape(_FORBIDDEN.sub("?", text))
