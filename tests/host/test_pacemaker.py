"""The OCF agents for Pacemaker, held against the DTD and the tester of Debian's resource agents."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from tests.harness.documents import blocks
from tests.harness.places import CHECKOUT, is_root
from tests.harness.tree import put_in

if TYPE_CHECKING:
    from tests.harness.installation import Installation
    from tests.harness.standin import StandIn

EXAMPLES = CHECKOUT / "examples" / "pacemaker"
AGENT, MON_AGENT = EXAMPLES / "lvs", EXAMPLES / "mon"
DTD = Path("/usr/share/resource-agents/ra-api-1.dtd")
WWW = """\
virtual = 192.0.2.3:80
    real = 192.0.2.10:80 gate 5
    checktype = on
"""

pytestmark = pytest.mark.skipif(not DTD.exists(), reason="Debian's resource-agents is not here")


@pytest.fixture
def www(folder: Path) -> Path:
    """A director's file."""
    path = folder / "www.cf"
    path.write_text(WWW)
    return path


def _call(
    action: str, standin: StandIn, installation: Installation, config: Path, **more: str
) -> subprocess.CompletedProcess[str]:
    """Call the agent as Pacemaker does."""
    environment = {
        "PATH": os.environ["PATH"],
        **standin.environment,
        "OCF_ROOT": "/usr/lib/ocf",
        "OCF_RESOURCE_INSTANCE": "table",
        "OCF_RESKEY_config": str(config),
        "OCF_RESKEY_program": str(installation.bin / "lvs-director"),
        "LVSALERT_SOCKET": "",
        **more,
    }
    return subprocess.run(
        [str(AGENT), action], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("agent", [AGENT, MON_AGENT], ids=lambda agent: agent.name)
def test_the_meta_data_is_valid(agent: Path) -> None:
    """An agent's description of itself is valid by the DTD of resource agents."""
    environment = {"PATH": os.environ["PATH"], "OCF_ROOT": "/usr/lib/ocf"}
    said = subprocess.run(
        [str(agent), "meta-data"], env=environment, capture_output=True, check=True
    )
    done = subprocess.run(
        ["xmllint", "--noout", "--dtdvalid", str(DTD), "-"],
        input=said.stdout,
        cwd=DTD.parent,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_tester_of_agents_is_content(
    standin: StandIn, installation: Installation, www: Path
) -> None:
    """ocf-tester finds every action as the standard wants it."""
    program = installation.bin / "lvs-director"
    done = subprocess.run(
        ["ocf-tester", "-n", "lvs", "-o", f"config={www}", "-o", f"program={program}", str(AGENT)],
        env={"PATH": f"/usr/sbin:{os.environ['PATH']}", **standin.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed all tests" in done.stdout


def test_a_missing_service_is_noticed(
    standin: StandIn, installation: Installation, www: Path
) -> None:
    """Its monitor action says not running (7) once the table was emptied."""
    assert _call("start", standin, installation, www).returncode == 0
    assert _call("monitor", standin, installation, www).returncode == 0
    standin.run("-C")
    assert _call("monitor", standin, installation, www).returncode == 7


def test_a_parameter_has_real_servers_checked_by_way(
    standin: StandIn, installation: Installation, www: Path
) -> None:
    """It reaches the program that the agent runs, and is off otherwise."""
    program, heard = www.with_name("lvs-director"), www.with_name("heard")
    real = installation.bin / "lvs-director"
    program.write_text(f'#!/bin/sh\nenv >{heard}\nexec {real} "$@"\n')
    program.chmod(0o755)
    for value, is_heard in (("true", True), ("0", False)):
        more = {"OCF_RESKEY_program": str(program), "OCF_RESKEY_check_via": value}
        assert _call("start", standin, installation, www, **more).returncode == 0
        assert ("LVSALERT_CHECK_VIA=1\n" in heard.read_text()) == is_heard


def test_a_stop_succeeds_without_a_program(
    standin: StandIn, installation: Installation, www: Path
) -> None:
    """A stop that fails would cost the node, so without lvs-director there is nothing to stop."""
    done = _call("stop", standin, installation, www, OCF_RESKEY_program="/nonexistent")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_bad_file_is_named(standin: StandIn, installation: Installation, www: Path) -> None:
    """A file with a fault is refused as a configuration error (6), with its file and line."""
    www.write_text("virtual = nonsense\n")
    done = _call("validate-all", standin, installation, www)
    assert done.returncode == 6
    assert f"{www}:1: " in done.stderr


# In namespaces of its own: mon's port and its folder below /run are those of the machine. The umask
# is that of keepalived's scripts.
_TESTER = """
set -e
umask 0133
mount -t tmpfs run /run
ip link set lo up
ocf-tester -n mon -o config="$1" -o script="$2" "$3"
"$3" validate-all
pgrep -u mon -x mon || echo no mon left
pgrep -u mon -f -c '^/bin/sh -c .* resident-of-heartbeat '
"""
_MON_CF = """\
serverbind = 127.0.0.1
trapbind = 127.0.0.1
hostgroup here 127.0.0.1
watch here
    service nothing
        interval 1h
        monitor true
"""


@pytest.mark.skipif(not is_root(), reason="needs root, to give mon its user and capabilities")
@pytest.mark.skipif(not Path("/usr/sbin/mon").exists(), reason="mon is not installed")
def test_the_tester_is_content_with_mon_too(folder: Path) -> None:
    """It starts and stops the real mon, and leaves the resident for the next start."""
    tree, mon_cf = folder / "tree", folder / "mon.cf"
    tree.mkdir()
    put_in(tree, "--heartbeat")
    mon_cf.write_text(_MON_CF)
    script = tree / "etc/ha.d/resource.d/mon"
    apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    words = {"config": str(mon_cf), "script": str(script)}
    environment = {f"OCF_RESKEY_{name}": value for name, value in words.items()}
    done = subprocess.run(
        [*apart, "sh", "-c", _TESTER, "sh", *words.values(), str(MON_AGENT)],
        env={"PATH": f"/usr/sbin:/sbin:{os.environ['PATH']}", "OCF_ROOT": "/usr/lib/ocf"}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed all tests" in done.stdout
    assert done.stdout.endswith("no mon left\n1\n")


@pytest.mark.parametrize(
    ("lacking", "status", "said"),
    [
        ("script", 5, "is not there: lvs-director install --heartbeat writes it"),
        ("config", 6, "cannot be read"),
    ],
)
def test_what_mon_lacks_is_named(tmp_path: Path, lacking: str, status: int, said: str) -> None:
    """Without the script it is not installed (5), without the file not configured (6)."""
    paths = {name: tmp_path / name for name in ("script", "config")}
    for path in paths.values():
        path.touch(mode=0o755)
    paths[lacking].unlink()
    environment = {f"OCF_RESKEY_{name}": str(path) for name, path in paths.items()}
    done = subprocess.run(
        [str(MON_AGENT), "validate-all"],
        env={"PATH": os.environ["PATH"], "OCF_ROOT": "/usr/lib/ocf", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert f"{paths[lacking]} {said}" in done.stderr


# The agents lie where the cluster's programs look for them, under a layer that goes with the shell.
_LOADED = """
set -e
mount -t tmpfs layers "$1"
mkdir "$1/upper" "$1/work"
folder=/usr/lib/ocf/resource.d
mount -t overlay layer -o "lowerdir=$folder,upperdir=$1/upper,workdir=$1/work" "$folder"
mkdir "$folder/lvsalert"
cp "$2/lvs" "$2/mon" "$folder/lvsalert"
cd "$3"
pcs() { command pcs -f pcs.xml "$@"; }
cibadmin --empty >pcs.xml
cp pcs.xml crm.xml
CIB_file=$PWD/crm.xml crm configure load update "$2/lvs.crm"
eval "$4"
crm_verify -x crm.xml
crm_verify -x pcs.xml
"""


@pytest.mark.skipif(not is_root(), reason="needs root, for a layer over the agents' folder")
@pytest.mark.skipif(shutil.which("pcs") is None, reason="pcs is not installed")
@pytest.mark.skipif(shutil.which("crm") is None, reason="crmsh is not installed")
def test_crm_and_pcs_make_the_same_cluster(tmp_path: Path) -> None:
    """The example for crm and the commands of the document for pcs mean the same to Pacemaker."""
    (commands,) = blocks("high-availability.md", "pcs")
    (tmp_path / "layers").mkdir()
    argv = ["unshare", "--mount", "sh", "-c", _LOADED, "sh"]
    done = subprocess.run(
        [*argv, tmp_path / "layers", EXAMPLES, tmp_path, commands],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    by_crm, by_pcs = (_cluster(tmp_path / f"{name}.xml") for name in ("crm", "pcs"))
    assert by_crm == by_pcs
    assert [each[0] for each in by_crm[0]] == ["table", "address", "mon"]


def _cluster(cib: Path) -> tuple[list[tuple[object, ...]], list[str | None]]:
    """Return the group's resources in their order, each with what it is told, and its places."""
    tree = ElementTree.parse(cib)  # noqa: S314 - the cluster's own tools wrote it
    resources = []
    for each in tree.iterfind(".//group[@id='director']/primitive"):
        kind = tuple(each.get(name) for name in ("id", "class", "provider", "type"))
        told = {pair.get("name"): pair.get("value") for pair in each.iterfind(".//nvpair")}
        checked = [op.get("interval") for op in each.iterfind(".//op[@name='monitor']")]
        resources.append((*kind, told, checked))
    places = [
        each.get(name) for each in tree.iter("rsc_location") for name in ("rsc", "node", "score")
    ]
    return resources, places
