"""Scenario 9: what lvs-director check says, and what the drop-in gives, hold on a real kernel."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.configuration import LVS_DIRECTOR

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from tests.lab.network import Host
    from tests.lab.topology import Topology

DROP_IN = Path("/etc/systemd/system/mon.service.d/lvsalert.conf")
MODULES = Path("/etc/modules-load.d/lvsalert.conf")


def _granted() -> list[str]:
    """Return the capabilities that the drop-in gives to mon, in setpriv's words."""
    # A setting may stand there twice: the last is what it gives.
    unit = ConfigParser(strict=False)
    unit.read(DROP_IN)
    names = unit["Service"]["AmbientCapabilities"].split()
    return [f"+{name.removeprefix('CAP_').lower()}" for name in names]


def _as_mon(host: Host, capabilities: list[str], *argv: str) -> CompletedProcess[str]:
    """Run a program on a host as the user mon with these capabilities and no others."""
    words = ",".join(["-all", *capabilities])
    user = ["--reuid=mon", "--regid=mon", "--init-groups", f"--bounding-set={words}"]
    return host.run("setpriv", *user, f"--inh-caps={words}", f"--ambient-caps={words}", *argv)


def _mon_cf(folder: Path, said: str) -> Path:
    """Return Debian's mon.cf with the lines in it that the installation printed for it."""
    text = Path("/etc/mon/mon.cf").read_text()
    for keyword in ("mondir", "alertdir"):
        (line,) = re.findall(rf"^{keyword} *= .*$", said, re.MULTILINE)
        text = re.sub(rf"^\s*{keyword}\s*=.*$", line, text, flags=re.MULTILINE)
    written = folder / "mon.cf"
    written.write_text(text)
    return written


def test_the_check_finds_nothing_with_what_the_drop_in_gives(
    lab: Topology, folder: Path, installed: str
) -> None:
    """With the drop-in's capabilities and the lines in mon.cf, everything is in its place."""
    mon_cf = _mon_cf(folder, installed)
    done = _as_mon(lab.director1, _granted(), LVS_DIRECTOR, "check", "--mon-cf", str(mon_cf))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "failed" not in done.stdout


def test_the_check_names_what_mon_lacks_without_the_drop_in(
    lab: Topology, folder: Path, installed: str
) -> None:
    """Without capabilities the check fails, names the table and ICMP, and says what to do."""
    mon_cf = _mon_cf(folder, installed)
    done = _as_mon(lab.director1, [], LVS_DIRECTOR, "check", "--mon-cf", str(mon_cf))
    assert done.returncode == 1, done.stdout
    failed = re.findall(r"^failed +(\S+)", done.stdout, re.MULTILINE)
    assert failed == ["permission", "ICMP"], done.stdout
    assert done.stdout.count("lvs-director install --systemd") == len(failed)


def test_the_capabilities_are_enough_and_needed(lab: Topology, installed: str) -> None:
    """With the drop-in's capabilities mon's user changes the table; without them it cannot."""
    director = lab.director1
    director.lay("-A -t 10.0.0.3:80 -s rr")
    alert = [
        "/usr/local/lib/mon/alert.d/lvs.alert",
        *["-u", "-V", "10.0.0.3:80", "-R", "192.168.0.1", "-W", "5", "-F", "dr"],
    ]
    refused = _as_mon(director, [], *alert)
    assert refused.returncode == 1
    assert "Permission denied" in refused.stderr
    assert director.table == ["-A -t 10.0.0.3:80 -s rr"]
    done = _as_mon(director, _granted(), *alert)
    assert (done.returncode, done.stderr) == (0, "")
    assert director.table[1:] == ["-a -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w 5"]


def test_the_modules_to_load_are_there(lab: Topology, installed: str) -> None:
    """Debian's kernel has every module of the modules-load file, and loads it."""
    lines = MODULES.read_text().splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    lab.director1.do("modprobe", "-a", *names)
    assert [name for name in names if not Path("/sys/module", name).exists()] == []
