"""The real keepalived on a host of the lab, as one that checks and keeps the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.realserver import There

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.network import Host

# It is told of a user of its own for its programs, or warns.
_HEAD = """\
global_defs {
    enable_script_security
    script_user root
}
"""


class Keepalived(There):
    """One keepalived without VRRP; `text` are its virtual servers."""

    def __init__(self, host: Host, folder: Path, text: str) -> None:
        conf = folder / "keepalived.conf"
        conf.write_text(_HEAD + text)
        pids = [f"--{name}={folder / name}" for name in ("pid", "checkers_pid")]
        words = ["keepalived", "--check", "--dont-fork", "--log-console", "--log-detail"]
        super().__init__([*words, f"--use-file={conf}", *pids], folder / "keepalived.log")
        self.host = host

    @property
    def story(self) -> str:
        """What it logged."""
        return self.output
