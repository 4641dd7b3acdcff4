"""mon.cf for the lab: the examples, as quick as the guest can take it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Of the environment that the tests run in.
LVS_DIRECTOR = str(Path(sys.executable).with_name("lvs-director"))
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name: str, interval: int) -> str:
    """Return an example's text with its checks `interval` seconds apart, the first one at once."""
    text = (EXAMPLES / name).read_text()
    text = re.sub(r"^randstart .*", "randstart = 1s", text, flags=re.MULTILINE)
    return re.sub(r"\binterval \d+s", f"interval {interval}s", text)


def group(
    hosts: Sequence[str],
    options: Mapping[str, str] | None = None,
    *,
    monitor: str = "http.monitor",
) -> str:
    """Return the group example for `hosts`, checked every three seconds.

    `options` are those of lvs.alert by their long names: they replace the example's, or join them.
    The scheduler is rr unless it is among them: wlc would hide a dead server from the clients.
    """
    text = example("mon-group.cf", interval=3)
    members = f"hostgroup www {' '.join(hosts)}"
    text = re.sub(r"^hostgroup www .*", members, text, flags=re.MULTILINE)
    text = text.replace("monitor http.monitor", f"monitor {monitor}")
    for name, value in {"scheduler": "rr", **(options or {})}.items():
        line = f"        LVSALERT_{name.upper()}={value}\n"
        text = re.sub(rf"^ *LVSALERT_{name.upper()}=.*\n", "", text, flags=re.MULTILINE)
        text = text.replace("        redistribute", f"{line}        redistribute")
    return text
