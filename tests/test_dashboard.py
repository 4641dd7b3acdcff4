"""The example dashboard, held against Grafana's own model of dashboards."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.harness.places import CHECKOUT

if sys.version_info < (3, 11):
    pytest.skip("Grafana's library is for Python 3.11 and newer", allow_module_level=True)

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

DASHBOARD: dict[str, Any] = json.loads(
    (CHECKOUT / "examples" / "prometheus" / "grafana.json").read_text()
)


def _read(text: dict[str, Any]) -> Any:
    """Return a dashboard as Grafana's library has read it: without what its schema has not."""
    plugins.register_default_plugins()
    read = Dashboard.from_json(text)
    return json.loads(JSONEncoder().encode(read))


def _lacking(text: Any, read: Any, where: str = "") -> list[str]:
    """Return what of a text is not the same once read; what was not written has a default."""
    if isinstance(text, dict) and isinstance(read, dict):
        return [
            lack
            for name, value in text.items()
            for lack in _lacking(value, read.get(name), f"{where}/{name}")
        ]
    if isinstance(text, list) and isinstance(read, list) and len(text) == len(read):
        return [
            lack
            for place, pair in enumerate(zip(text, read))
            for lack in _lacking(*pair, f"{where}/{place}")
        ]
    return [] if text == read else [f"{where}: {text!r} is {read!r}"]


def test_grafana_knows_every_word_of_the_dashboard() -> None:
    """Panels, queries, transformations and variables are read by the schema, and none is lost."""
    assert _lacking(DASHBOARD, _read(DASHBOARD)) == []


@pytest.mark.parametrize("where", ["panel", "query", "fieldConfig"])
def test_a_word_that_grafana_does_not_know_is_found(where: str) -> None:
    """A slip anywhere would be told: the library leaves out what is not in the schema."""
    text = json.loads(json.dumps(DASHBOARD))
    panel = text["panels"][0]
    {"panel": panel, "query": panel["targets"][0], "fieldConfig": panel["fieldConfig"]}[where][
        "nonesuch"
    ] = 1
    (lack,) = _lacking(text, _read(text))
    assert lack.endswith("nonesuch: 1 is None")
