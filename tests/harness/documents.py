"""What the documents show, for the tests that run it as it stands there."""

from __future__ import annotations

import re

from tests.harness.places import CHECKOUT


def blocks(document: str, kind: str) -> list[str]:
    """Return the blocks of one kind in a document below docs/, each without its fences."""
    text = (CHECKOUT / "docs" / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{re.escape(kind)}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
