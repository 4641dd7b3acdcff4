"""A director with a file: lvs-director and lvs.alert --config in the test's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvsalert.commands import lvs_director
from lvsalert.ldirectord.file import load, source_of
from tests.harness.alerts import Director

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from lvsalert.commands.entry import Outcome

WEB = """\
virtual = 10.0.0.3:80
    real = 192.0.2.1:80 gate 5
    real = 192.0.2.2:80 gate 3
    scheduler = wlc
    checktype = on
"""


class Machine(Director):
    """A director with a file for it, and mon's word on its services."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Write a file with one web service."""
        super().__init__(folder, monkeypatch)
        self.file = folder / "www.cf"
        self.write(WEB)

    def write(self, text: str) -> None:
        """Write the file anew."""
        self.file.write_text(text)

    def run(self, *argv: str) -> Outcome:
        """Run lvs-director with these words."""
        return lvs_director.run(argv, self.environ, lambda: "")

    def with_file(self, command: str, *options: str) -> Outcome:
        """Run a command of lvs-director on the file."""
        return self.run(command, *options, str(self.file))

    def told_by_mon(
        self, event: str, hosts: str, failed: str = "", *options: str, number: int = 0
    ) -> Outcome:
        """Run lvs.alert as mon does for the file's service of this number."""
        found = load(
            str(self.file), lambda names, _: {name: self.names.get(name, []) for name in names}
        )
        service = found.services[number]
        group, name = source_of(service)
        virtual = service.virtual.words()
        self.time += 60
        environ = {
            "MON_ALERTTYPE": event,
            "MON_GROUP": group,
            "MON_SERVICE": name,
            "MON_RETVAL": "1" if failed else "0",
            "LVSALERT_CONFIG": str(self.file),
            "LVSALERT_VIRTUAL_SERVICE": virtual[1],
        }
        if "-6" in virtual:
            environ["LVSALERT_IPV6_FWMARK"] = "1"
        argv = ["-s", name, "-g", group, "-h", hosts, "-t", str(self.time)]
        argv += ["-u"] if event == "up" else []
        return self.alert(*argv, *options, environ=environ, stdin=f"{failed}\n")
