"""Measurements as text for Prometheus: OpenMetrics 1.0, and the older text format 0.0.4.

The older one is what node_exporter's textfile collector and ``promtool check metrics`` read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""How OpenMetrics is called over HTTP."""

OLDER_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""How the older text format is called over HTTP."""


class Kind(Enum):
    """What a family is: the word in OpenMetrics, and that in the older format."""

    GAUGE = ("gauge", "gauge", "")
    COUNTER = ("counter", "counter", "_total")
    INFO = ("info", "gauge", "_info")
    SUMMARY = ("summary", "summary", "")

    @property
    def word(self) -> str:
        """Return the type in OpenMetrics."""
        return self.value[0]

    @property
    def older_word(self) -> str:
        """Return the type in the older format."""
        return self.value[1]

    @property
    def suffix(self) -> str:
        """Return what a sample's name has behind that of its family."""
        return self.value[2]


class Sample(NamedTuple):
    """One measurement; ``part`` is that of a summary: ``_count`` or ``_sum``."""

    labels: Mapping[str, str]
    value: float
    part: str = ""


class Family(NamedTuple):
    """Measurements of one name; a name with a ``unit`` ends with it.

    ``help`` is one line without a quote or a backslash, which the formats escape differently.
    """

    name: str
    kind: Kind
    help: str
    samples: Sequence[Sample]
    unit: str = ""


def text(families: Sequence[Family], *, older: bool = False) -> str:
    """Return families as OpenMetrics, or in the ``older`` format; one without samples is left out.

    No measurement has a time stamp: it is of the moment in which it is read.
    """
    lines = [line for each in families if each.samples for line in _lines(each, older=older)]
    return "".join(f"{line}\n" for line in (*lines, *(() if older else ("# EOF",))))


def _lines(family: Family, *, older: bool) -> Iterator[str]:
    kind = family.kind
    # The older format knows samples alone, so that a family is called as they are.
    name = f"{family.name}{kind.suffix}" if older else family.name
    yield f"# HELP {name} {family.help}"
    yield f"# TYPE {name} {kind.older_word if older else kind.word}"
    if family.unit and not older:
        yield f"# UNIT {name} {family.unit}"
    for sample in family.samples:
        labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sample.labels.items())
        braces = f"{{{labels}}}" if labels else ""
        yield f"{family.name}{kind.suffix}{sample.part}{braces} {_number(sample.value)}"


def _escaped(value: str) -> str:
    value = value.encode("utf-8", "replace").decode()
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isfinite(value) and value == int(value):
        return str(int(value))
    return repr(float(value)).replace("inf", "Inf").replace("nan", "NaN")
