"""heartbeat's resource scripts: what install makes of them, and what they answer to heartbeat."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.places import CHECKOUT, is_root
from tests.harness.tree import COMPLETIONS, NAMES, foreign, looks, put_in, take_out

if TYPE_CHECKING:
    from tests.harness.installation import Installation
    from tests.harness.standin import StandIn

SCRIPTS = ("lvs", "mon", "ldirectord")
DROP_IN = "etc/systemd/system/heartbeat.service.d/lvsalert.conf"
EXAMPLES = CHECKOUT / "examples" / "ha.d"
WWW = """\
virtual = 192.0.2.3:80
    real = 192.0.2.10:80 gate 5
    checktype = on
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An almost empty system for --root."""
    root = tmp_path / "root"
    (root / "var" / "lib").mkdir(parents=True)
    return root


def script(tree: Path, name: str) -> Path:
    """Return where a resource script lies in a tree."""
    return tree / "etc/ha.d/resource.d" / name


def test_install_writes_the_scripts_when_asked(tree: Path) -> None:
    """With --heartbeat the three scripts, executable, and the unit's drop-in are written."""
    put_in(tree)
    assert not (tree / "etc").exists()
    done = put_in(tree, "--heartbeat")
    assert done.status == 0
    assert done.stdout.count("unchanged") == len(NAMES) + len(COMPLETIONS) + 1
    assert {script(tree, name).stat().st_mode & 0o7777 for name in SCRIPTS} == {0o755}
    assert "ExecStartPre=-/etc/ha.d/resource.d/lvs stop" in (tree / DROP_IN).read_text()


def test_uninstall_removes_exactly_them(tree: Path) -> None:
    """Uninstall removes the scripts and leaves the others of heartbeat's folder."""
    script(tree, "IPaddr").parent.mkdir(parents=True)
    foreign(script(tree, "IPaddr"))
    before = looks(tree)
    put_in(tree, "--heartbeat")
    assert take_out(tree).status == 0
    (tree / "var/lib/lvsalert").rmdir()
    assert looks(tree) == before


@pytest.mark.parametrize("name", ["lvs", "mon"])
def test_a_script_of_another_hand_is_not_touched(tree: Path, name: str) -> None:
    """A script that somebody else wrote stops the installation before anything is written."""
    script(tree, name).parent.mkdir(parents=True)
    foreign(script(tree, name))
    before = looks(tree)
    done = put_in(tree, "--heartbeat")
    assert done.status == 1
    assert f"{script(tree, name)} was not written by lvs-director" in done.stderr
    assert looks(tree) == before


def test_an_installed_ldirectord_keeps_its_place(tree: Path) -> None:
    """Where a link to ldirectord stands, it stays, and the rest is installed."""
    link = script(tree, "ldirectord")
    link.parent.mkdir(parents=True)
    link.symlink_to("/usr/sbin/ldirectord")
    assert put_in(tree, "--heartbeat").status == 0
    assert link.readlink() == Path("/usr/sbin/ldirectord")
    assert script(tree, "lvs").exists()
    take_out(tree)
    assert link.is_symlink()


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_are_plain_sh(tree: Path, name: str) -> None:
    """Each script is taken by sh, and refuses another verb in one line."""
    put_in(tree, "--heartbeat")
    done = _run([str(script(tree, name)), "dance"], {})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"usage: {name} [")
    assert done.stderr.count("\n") == 1


def _run(
    argv: list[str], environment: dict[str, str], **more: str
) -> subprocess.CompletedProcess[str]:
    # A resident would stay on this machine; where there may be one, the test says so.
    return subprocess.run(
        argv,
        env={"PATH": os.environ["PATH"], "LVSALERT_SOCKET": "", **environment, **more},
        capture_output=True,
        text=True,
        check=False,
    )


class Resource:
    """The script lvs with a table of its own, called as heartbeat does."""

    def __init__(self, folder: Path, standin: StandIn, installation: Installation) -> None:
        """Install the scripts into a tree."""
        tree = folder / "root"
        (tree / "var" / "lib").mkdir(parents=True)
        options = ["--heartbeat", "--root", str(tree), "--mon-user", "root"]
        done = installation.run("lvs-director", "install", *options)
        assert done.returncode == 0, done.stderr
        self.table = standin
        self.www = folder / "www.cf"
        self.www.write_text(WWW)
        self._script = script(tree, "lvs")

    def __call__(self, verb: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Call it with the file and a verb."""
        return _run([str(self._script), str(self.www), verb], dict(self.table.environment), **more)

    def start_by(self, interpreter: Path) -> None:
        """Have another interpreter run lvs-director."""
        text = re.sub(r"\S+(?= -IS -c )", str(interpreter), self._script.read_text())
        self._script.write_text(text)

    def says(self, verb: str) -> tuple[int, str]:
        """Return its status and what it prints."""
        done = self(verb)
        return done.returncode, done.stdout


@pytest.fixture
def lvs(folder: Path, standin: StandIn, installation: Installation) -> Resource:
    """The resource script lvs."""
    return Resource(folder, standin, installation)


def test_start_status_stop(lvs: Resource) -> None:
    """Status says stopped, then running, then stopped, as the table has the services or not."""
    assert lvs.says("status") == (3, "stopped\n")
    assert lvs("start").returncode == 0
    assert set(lvs.table.servers("192.0.2.3:80")) == {"192.0.2.10:80"}
    assert lvs.says("status") == (0, "running\n")
    assert lvs("stop").returncode == 0
    assert lvs.says("status") == (3, "stopped\n")
    assert lvs("stop").returncode == 0


def test_status_of_an_empty_table_starts_no_python(lvs: Resource) -> None:
    """heartbeat asks a standby before each start, and is answered at once."""
    started, python = lvs.www.parent / "started", lvs.www.parent / "python"
    python.write_text(f"#!/bin/sh\n: >{started}\n")
    python.chmod(0o755)
    lvs.start_by(python)
    assert lvs.says("status") == (3, "stopped\n")
    assert not started.exists()
    lvs.table.run("-A", "-t", "192.0.2.4:80")
    assert lvs.says("status") == (3, "stopped\n")
    assert started.exists()


def test_a_stop_succeeds_without_the_file(lvs: Resource) -> None:
    """The services of a file that is gone run until they are taken out."""
    lvs("start")
    lvs.www.unlink()
    assert lvs.says("status") == (0, "running\n")
    assert lvs("stop").returncode == 0
    assert lvs.says("status") == (3, "stopped\n")
    assert lvs.table.run("-Sn") == ""


def test_a_stop_succeeds_without_ipvs(lvs: Resource) -> None:
    """A kernel without IPVS has nothing to stop; a start there fails."""
    no_kernel = lvs.www.parent / "ipvsadm"
    no_kernel.write_text(
        '#!/bin/sh\necho "Can\'t initialize ipvs: Protocol not available" >&2\nexit 255\n'
    )
    no_kernel.chmod(0o755)
    assert lvs("stop", LVSALERT_IPVSADM=str(no_kernel)).returncode == 0
    assert lvs("start", LVSALERT_IPVSADM=str(no_kernel)).returncode == 1
    assert lvs("status", LVSALERT_IPVSADM=str(no_kernel)).stdout == "stopped\n"


# In namespaces of its own: mon's port and its folder below /run are those of the machine.
_MON = """
set -e
mount -t tmpfs run /run
ip link set lo up
mon=$1
$mon "$2" status || true
echo 1 >/tmp/stale.$$ && mkdir /run/mon && mv /tmp/stale.$$ /run/mon/mon.pid
$mon "$2" start
$mon "$2" status
first=$(cat /run/mon/mon.pid)
grep -E 'Uid|CapEff' "/proc/$first/status"
kill -KILL "$first"
for _ in $(seq 200); do
    now=$(cat /run/mon/mon.pid)
    [ "$now" = "$first" ] || [ ! -d "/proc/$now" ] || break
    sleep 0.1
done
[ "$now" != "$first" ] && echo again
$mon "$2" start
$mon "$2" stop
$mon "$2" status || true
pgrep -u mon -l . || echo none left
$mon "$2" stop
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
def test_mon_is_kept_running_as_its_own_user(tree: Path, folder: Path) -> None:
    """mon runs as its user with two capabilities, is started again, and leaves nobody behind."""
    put_in(tree, "--heartbeat")
    configuration = folder / "mon.cf"
    configuration.write_text(_MON_CF)
    apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    done = _run([*apart, "sh", "-c", _MON, "sh", str(script(tree, "mon")), str(configuration)], {})
    assert done.returncode == 0, done.stdout + done.stderr
    uid = subprocess.run(["id", "-u", "mon"], capture_output=True, text=True, check=True)
    ids = "\t".join([uid.stdout.strip()] * 4)
    assert done.stdout.splitlines() == [
        "stopped",
        "running",
        f"Uid:\t{ids}",
        # CAP_NET_ADMIN (12) and CAP_NET_RAW (13).
        "CapEff:\t0000000000003000",
        "again",
        "stopped",
        "none left",
    ]


CHECKED = """\
virtual = 10.0.0.3:80
    real = 192.0.2.1:80 gate
    checktype = connect
    checktimeout = 1
"""
_LDIRECTORD = """
set -e
mount -t tmpfs run /run
ip link set lo up
$1 "$2" status || true
$1 "$2" start
$1 "$2" status
stat -c '%a %U %G' /run/lvsalert/mon.cf
pgrep -u mon -f -c '/usr/sbin/mon -c /run/lvsalert/mon.cf'
$1 "$2" stop
$1 "$2" status || true
pgrep -u mon -l . || echo none left
"""


@pytest.mark.skipif(not is_root(), reason="needs root, to give mon its user and capabilities")
@pytest.mark.skipif(not Path("/usr/sbin/mon").exists(), reason="mon is not installed")
def test_the_place_of_ldirectord_is_table_and_mon(lvs: Resource) -> None:
    """The script ldirectord sets up the table and starts mon with the mon.cf for the file."""
    ldirectord = script(lvs.www.parent / "root", "ldirectord")
    apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    argv = [*apart, "sh", "-c", _LDIRECTORD, "sh", str(ldirectord), str(lvs.www)]
    done = _run(argv, dict(lvs.table.environment))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if "192.0.2." not in line]
    assert lines == ["stopped", "1 of 1 in", "running", "640 mon mon", "1", "stopped", "none left"]
    assert lvs.table.run("-Sn") == ""


_RESIDENT = """
set -e
mount -t tmpfs run /run
ip link set lo up
lvs=$1
www=$2
# heartbeat calls the scripts in a folder of its own.
mkdir -m 700 "${www%/*}/cores"
cd "${www%/*}/cores"
# Who runs ipvsadm.
told="${www%/*}/ipvsadm-of"
told_to="id -nu >>'$told'; exec '$LVSALERT_IPVSADM'"
export LVSALERT_IPVSADM="${www%/*}/ipvsadm"
printf '#!/bin/sh\n%s "$@"\n' "$told_to" >"$LVSALERT_IPVSADM"
chmod 755 "$LVSALERT_IPVSADM"
touch "$told"
chmod 666 "$told"
resident() { pgrep -u mon -o -f '^\\S*python\\S* .* serve$'; }
runs() { pgrep -c -P "$(resident)" || true; }
listens() { until grep -q ' 00010000 .* /run/lvsalert/socket' /proc/net/unix; do sleep 0.1; done; }
# The first stop, as at a boot, finds none and starts it.
$lvs "$www" stop
listens
echo "runs: $(runs)"
: >"$told"
$lvs "$www" start
echo "by $(sort -u "$told")"
$lvs "$www" status
echo "runs: $(runs)"
echo 'not answering'
kill -STOP "$(resident)"
$lvs "$www" status
kill -KILL "$(resident)"
$lvs "$www" stop
$lvs "$www" status || true
listens
echo 'again'
printf '    real = 127.0.0.1:81 masq\\n' >>"$www"
$lvs "$www" start
cat /proc/sys/net/ipv4/ip_forward
$lvs "$www" status
chmod 600 "$www"
$lvs "$www" stop
pgrep -u mon -f -c '^/bin/sh -c .* resident-of-heartbeat '
"${lvs%/*}/mon" resident
pgrep -u mon -f -c '^/bin/sh -c .* resident-of-heartbeat '
"""


@pytest.mark.skipif(not is_root(), reason="needs root, to give the resident its user")
@pytest.mark.skipif(not Path("/usr/sbin/mon").exists(), reason="mon is not installed")
def test_a_change_of_directors_goes_through_the_resident(lvs: Resource) -> None:
    """Start, status and stop run there in root's name, and by themselves where it does not answer.

    So does what takes root: a file that is closed, and the kernel that is to forward packets.
    """
    lvs.www.write_text(CHECKED.replace("192.0.2.1:80", "127.0.0.1:80"))
    lvs.www.chmod(0o644)
    apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    argv = [*apart, "sh", "-c", _RESIDENT, "sh", str(script(lvs.www.parent / "root", "lvs"))]
    environment = {**lvs.table.environment, "LVSALERT_SOCKET": "/run/lvsalert/socket"}
    done = _run([*argv, str(lvs.www)], environment)
    assert done.returncode == 0, done.stdout + done.stderr
    created = "director root: tcp 10.0.0.3:80: virtual service created"
    deleted = created.replace("created", "deleted")
    assert done.stdout.splitlines() == [
        *("nothing to change", "runs: 0", created, "0 of 1 in", "by mon", "running", "runs: 1"),
        *("not answering", "running", deleted, "stopped"),
        *("again", created, "0 of 2 in", "1", "running", deleted),
        *("1", "1"),
    ]


def test_the_examples_agree() -> None:
    """The names in ha.cf and haresources are the same, and authkeys begins without a secret."""
    nodes = [
        line.split()[1]
        for line in (EXAMPLES / "ha.cf").read_text().splitlines()
        if line.startswith("node ")
    ]
    (line,) = [
        each
        for each in (EXAMPLES / "haresources").read_text().splitlines()
        if each and not each.startswith("#")
    ]
    assert nodes == ["lvs1.domain.com", "lvs2.domain.com"]
    assert line.split() == [nodes[0], "lvs::www", "10.0.0.3", "mon"]
    assert (EXAMPLES / "authkeys").read_text().endswith("auth 1\n1 sha1 FILL-IN\n")


_TWO_FILES = """
set -e
mount -t tmpfs run /run
ip link set lo up
groups() { grep ^hostgroup /run/lvsalert/mon.cf | cut -d ' ' -f 2 | tr '\\n' ' '; }
pid() { cat /run/mon/mon.pid; }
reads() { until moncmd -s 127.0.0.1 list group "$1" | grep -q ^hostgroup; do sleep 0.1; done; }
$1 "$2" start
before=$(pid)
$1 "$3" start
echo "$(groups)"
reads tcp-10.0.0.4-80
[ "$before" = "$(pid)" ] && echo same mon
pgrep -u mon -f -c '/usr/sbin/mon -c /run/lvsalert/mon.cf'
$1 "$2" status
$1 "$3" status
echo nonsense >>"$2"
$1 "$3" stop
echo "$(groups)"
$1 "$2" status
$1 "$3" status || true
$1 "$3" start
echo "$(groups)"
$1 "$2" stop
echo "$(groups)"
$1 "$3" status
$1 "$3" stop
mount -t tmpfs default /etc/default
echo LVSALERT_CHECK_VIA=1 >/etc/default/lvs-director
$1 "$3" start
grep -o -e '--via .*' /run/lvsalert/mon.cf
$1 "$3" stop
pgrep -u mon -l . || echo none left
"""


@pytest.mark.skipif(not is_root(), reason="needs root, to give mon its user and capabilities")
@pytest.mark.skipif(not Path("/usr/sbin/mon").exists(), reason="mon is not installed")
def test_one_mon_watches_all_files_that_are_started(lvs: Resource) -> None:
    """A second file is added to what it watches; a stop takes one out, a slip stops nothing.

    What /etc/default/lvs-director says of its checks goes into its configuration.
    """
    other = lvs.www.with_name("other.cf")
    lvs.www.write_text(CHECKED)
    other.write_text(CHECKED.replace("10.0.0.3", "10.0.0.4"))
    ldirectord = script(lvs.www.parent / "root", "ldirectord")
    apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    argv = [*apart, "sh", "-c", _TWO_FILES, "sh", str(ldirectord), str(lvs.www), str(other)]
    done = _run(argv, dict(lvs.table.environment))
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = "tcp-10.0.0.3-80 ", "tcp-10.0.0.4-80 "
    assert [
        line.strip()
        for line in done.stdout.splitlines()
        if "192.0.2." not in line and "virtual service" not in line and not line.endswith(" in")
    ] == [
        f"{first}{second}".strip(),
        "same mon",
        "1",
        "running",
        "running",
        first.strip(),
        "running",
        "stopped",
        f"{first}{second}".strip(),
        second.strip(),
        "running",
        "--via 10.0.0.4",
        "none left",
    ]
    assert lvs.table.run("-Sn") == ""


@pytest.mark.skipif(not is_root(), reason="needs root, for a /run of its own")
def test_a_bare_ldirectord_means_ldirectord_cf(tree: Path) -> None:
    """As in haresources of old, where the file was not named."""
    put_in(tree, "--heartbeat")
    commands = """
        mount -t tmpfs run /run
        [ ! -d /etc/ha.d ] || mount -t tmpfs ha /etc/ha.d
        exec "$1" start
    """
    argv = ["unshare", "--mount", "sh", "-c", commands, "sh", str(script(tree, "ldirectord"))]
    done = _run(argv, {})
    assert done.returncode != 0
    tried = "/etc/ha.d/ldirectord, /etc/ha.d/ldirectord.cf, "
    assert done.stderr.startswith(f"lvs-director: ldirectord: no such file: tried {tried}")
