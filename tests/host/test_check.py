"""lvs-director check: what can be used, and what to do about what cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import lvs_director
from lvsalert.host import access, check
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.mon.plugins import PLUGINS
from lvsalert.standin import write_executable
from tests.harness import mon
from tests.harness.copied import Copied
from tests.harness.namespace import network_namespace
from tests.harness.places import is_root, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lvsalert.commands.entry import Outcome

HERE = f"{'':21}"
MONITORS = [name.removesuffix(".monitor") for name in PLUGINS["mondir"]]
OURS = " ".join([*(f"{name}.monitor" for name in MONITORS), "lvs.alert"])


@pytest.fixture(scope="module")
def copied() -> Iterator[Copied]:
    """An installation where every user can get at it."""
    with open_folder() as folder:
        yield Copied(folder / "venv")


@pytest.fixture
def ipvsadm(folder: Path) -> Path:
    """An ipvsadm whose kernel has IPVS: the stand-in, with two virtual services."""
    program = folder / "ipvsadm"
    write_executable(str(program), str(folder / "table"))
    for port in ("80", "21"):
        subprocess.run([str(program), "-A", "-t", f"10.0.0.3:{port}", "-s", "wlc"], check=True)
    return program


def checked(*argv: str, environment: Mapping[str, str] | None = None) -> Outcome:
    """Run the check in this process, for a mon that runs as root."""
    return lvs_director.run(["check", "--mon-user", "root", *argv], environment or {}, str)


def about(outcome: Outcome | subprocess.CompletedProcess[str], name: str) -> str:
    """Return what the check says of one thing, what to do about it included."""
    lines = outcome.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line[8:].startswith(f"{name} "))
    end = at + 2 if lines[at].startswith("failed") else at + 1
    return "\n".join(lines[at:end])


def script(path: Path, text: str) -> str:
    """Write a program that stands for an ipvsadm, and return its path."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def fails(folder: Path, *words: str) -> str:
    """Write an ipvsadm that says something on stderr and ends with status 255."""
    said = "".join(f'echo "{word}" >&2\n' for word in words)
    return script(folder / "ipvsadm", f"{said}exit 255")


@pytest.mark.skipif(not is_root(), reason="needs root, to open a raw socket")
def test_all_is_usable(folder: Path, ipvsadm: Path) -> None:
    """A director on which everything is in its place gives only lines of ok, and status 0."""
    prefix = folder / "mon"
    options = ("--prefix", str(prefix), "--mon-user", "root")
    printed = lvs_director.run(["install", *options], {}, str).stdout.splitlines()
    mon_cf = folder / "mon.cf"
    mon_cf.write_text("\n".join(line for line in printed if "dir = " in line))
    monitors = (f"{prefix}/mon.d/{name}.monitor" for name in MONITORS)
    argv = ("--ipvsadm", str(ipvsadm), "--state-dir", str(folder), "--mon-cf", str(mon_cf))
    assert checked(*argv)[:3] == (
        0,
        (
            f"ok      ipvsadm      {ipvsadm}\n"
            "ok      IPVS         virtual services in the table: 2\n"
            "ok      permission   the table can be had\n"
            "ok      ICMP         raw socket\n"
            f"ok      lock         {folder}/lock\n"
            f"ok      mondir       mon finds {', '.join(monitors)}\n"
            f"ok      alertdir     mon finds {prefix}/alert.d/lvs.alert\n"
            f"ok      mon          none with {mon_cf} is running, so far\n"
            f"ok      interpreter  {sys.executable}, for the user root\n"
        ),
        "",
    )


def test_the_variable_names_ipvsadm_too(folder: Path, ipvsadm: Path) -> None:
    """LVSALERT_IPVSADM counts as the option does, and the option wins."""
    environment = {"LVSALERT_IPVSADM": str(ipvsadm)}
    assert about(checked(environment=environment), "ipvsadm") == f"ok      ipvsadm      {ipvsadm}"
    other = checked("--ipvsadm", str(folder / "none"), environment=environment)
    assert about(other, "ipvsadm").startswith("failed  ")


def test_a_missing_ipvsadm_is_named(folder: Path) -> None:
    """Status 1, and how to get it."""
    outcome = checked("--ipvsadm", str(folder / "none"))
    assert outcome.status == 1
    assert about(outcome, "ipvsadm") == (
        f"failed  ipvsadm      there is no program {folder}/none\n"
        f"{HERE}install it (apt-get install ipvsadm), or name it by --ipvsadm"
    )


def test_a_kernel_without_ipvs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ipvsadm's own words are shown, without modprobe's before them and its guess behind."""
    monkeypatch.setattr(check, "_PROC_TABLE", str(folder / "ip_vs"))
    monkeypatch.setattr(check, "_has_net_admin", lambda: True)
    outcome = checked(
        "--ipvsadm",
        fails(
            folder,
            "modprobe: FATAL: Module ip_vs not found in directory /lib/modules/6.1.0",
            "Can't initialize ipvs: Protocol not available",
            "Are you sure that IP Virtual Server is built in the kernel or as module?",
        ),
    )
    assert outcome.status == 1
    assert about(outcome, "ipvsadm") == f"ok      ipvsadm      {folder}/ipvsadm"
    assert about(outcome, "IPVS") == (
        "failed  IPVS         not loaded: Can't initialize ipvs: Protocol not available\n"
        f"{HERE}as root: modprobe ip_vs, and for every boot: lvs-director install --systemd"
    )
    assert about(outcome, "permission") == "ok      permission   CAP_NET_ADMIN"


def test_a_missing_capability(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel has IPVS, the permission alone is what is missing."""
    (folder / "ip_vs").touch()
    monkeypatch.setattr(check, "_PROC_TABLE", str(folder / "ip_vs"))
    monkeypatch.setattr(check, "_has_net_admin", lambda: False)
    program = fails(folder, "Can't initialize ipvs: Permission denied (you must be root)")
    outcome = checked("--ipvsadm", program)
    assert about(outcome, "ipvsadm") == f"ok      ipvsadm      {program}"
    assert about(outcome, "IPVS") == f"ok      IPVS         loaded: {folder}/ip_vs"
    assert about(outcome, "permission") == (
        "failed  permission   no CAP_NET_ADMIN\n"
        f"{HERE}be root, or for mon: lvs-director install --systemd"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("exec sleep 60", " -Sn did not answer in 0.2 s"),
        ("exit 3", " cannot read the table: exit status 3"),
        ("echo nonsense", None),
    ],
)
def test_an_ipvsadm_that_is_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str | None
) -> None:
    """Where neither kernel nor permission is missing, ipvsadm is what is wrong."""
    (folder / "ip_vs").touch()
    monkeypatch.setattr(check, "_PROC_TABLE", str(folder / "ip_vs"))
    monkeypatch.setattr(check, "_has_net_admin", lambda: True)
    program = script(folder / "ipvsadm", text)
    told = about(checked("--ipvsadm", program, "--ipvsadm-timeout", "0.2"), "ipvsadm")
    assert told.startswith("failed  ipvsadm      ")
    assert told.endswith(f"\n{HERE}see what {program} -Sn says")
    if words is not None:
        assert f"{program}{words}\n" in told


@pytest.mark.skipif(shutil.which("ipvsadm", path="/sbin") is None, reason="needs ipvsadm")
def test_the_real_ipvsadm_on_this_kernel() -> None:
    """The verdict on the kernel is that of the kernel itself."""
    outcome = checked()
    assert about(outcome, "ipvsadm").split() == ["ok", "ipvsadm", "/usr/sbin/ipvsadm"]
    told = about(outcome, "IPVS")
    assert told.startswith("ok " if Path("/proc/net/ip_vs").exists() else "failed  IPVS  ")


def test_a_lock_that_is_held_is_usable(folder: Path) -> None:
    """Another run at this moment is no fault."""
    with Ipvsadm("", 0).locked(str(folder / "lock"), 0):
        told = about(checked("--state-dir", str(folder)), "lock")
    assert told == f"ok      lock         {folder}/lock"


@pytest.mark.skipif(not is_root(), reason="needs root, to give a file away")
def test_a_state_directory_that_mon_cannot_write(folder: Path) -> None:
    """A file in it that belongs to another user is named: no alert could remember anything."""
    user = access.account()
    argv = ("--state-dir", str(folder))
    (folder / "ledger.db").touch(mode=0o640)
    os.chown(folder, user.uid, user.gid)
    done = lvs_director.run(["check", *argv], {}, str)
    assert about(done, "state") == (
        f"failed  state        {folder}/ledger.db is closed to the user {user.name},"
        f" who has to write {folder}/ledger.db\n{HERE}as root: chown -R {user.name}: {folder}"
    )
    os.chown(folder / "ledger.db", user.uid, user.gid)
    assert "\nfailed  state " not in lvs_director.run(["check", *argv], {}, str).stdout


def test_a_missing_state_directory_is_told(folder: Path) -> None:
    """The lock is elsewhere then, and it is said where."""
    told = about(checked("--state-dir", str(folder / "none")), "lock")
    assert told == (f"ok      lock         /run/lock/lvsalert.lock, as there is no {folder}/none")


@pytest.mark.parametrize(
    ("mon_cf", "name", "told"),
    [
        (
            None,
            "mon.cf",
            (
                "failed  mon.cf       {folder}/mon.cf: No such file or directory\n"
                "{here}install mon (apt-get install mon), or name its file by --mon-cf"
            ),
        ),
        (
            "mondir = {folder}/perl",
            "mondir",
            (
                "failed  mondir       mon would run its own {folder}/perl/ftp.monitor,"
                " {folder}/perl/http.monitor; mon finds no {others}\n"
                "{here}lvs-director install, and the mondir that it prints into {folder}/mon.cf"
            ),
        ),
        (
            "mondir = {folder}/perl:{folder}/ours",
            "mondir",
            (
                "failed  mondir       mon would run its own {folder}/perl/ftp.monitor,"
                " {folder}/perl/http.monitor\n"
                "{here}lvs-director install, and the mondir that it prints into {folder}/mon.cf"
            ),
        ),
        (
            "alertdir = {folder}/perl:{folder}/ours",
            "alertdir",
            "ok      alertdir     mon finds {folder}/ours/lvs.alert",
        ),
        (
            "alertdir = {folder}/not-executable",
            "alertdir",
            (
                "failed  alertdir     mon finds no lvs.alert\n"
                "{here}lvs-director install, and the alertdir that it prints into {folder}/mon.cf"
            ),
        ),
    ],
)
def test_what_mon_finds_first(folder: Path, mon_cf: str | None, name: str, told: str) -> None:
    """The first executable of the name wins, as in mon's own search."""
    perl = ("ftp", "http")
    others = ", ".join(f"{each}.monitor" for each in MONITORS if each not in perl)
    for place, names, text, mode in (
        ("perl", "ftp.monitor http.monitor", "perl", 0o755),
        ("ours", OURS, "import lvsalert", 0o755),
        ("not-executable", "lvs.alert", "import lvsalert", 0o644),
    ):
        (folder / place).mkdir()
        for each in names.split():
            (folder / place / each).write_text(text)
            (folder / place / each).chmod(mode)
    if mon_cf is not None:
        (folder / "mon.cf").write_text(mon_cf.format(folder=folder))
    outcome = checked("--mon-cf", str(folder / "mon.cf"))
    assert about(outcome, name) == told.format(folder=folder, here=HERE, others=others)


@pytest.mark.skipif(not is_root(), reason="needs root, to give mon its user and capabilities")
@pytest.mark.skipif(not Path("/usr/sbin/mon").exists(), reason="mon is not installed")
@pytest.mark.parametrize(
    ("capabilities", "told"),
    [
        (
            "-all,+net_admin,+net_raw",
            "ok      mon          process {pid}, as mon, with CAP_NET_ADMIN and CAP_NET_RAW",
        ),
        (
            "-all,+net_raw",
            (
                "failed  mon          process {pid}, as mon, has no CAP_NET_ADMIN\n"
                f"{HERE}as root: lvs-director install --systemd;"
                " systemctl daemon-reload; systemctl restart mon"
            ),
        ),
    ],
)
def test_the_mon_that_runs_is_judged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capabilities: str, told: str
) -> None:
    """What it may do counts, not what root may, who asks: Debian 13's unit grants too little."""
    monkeypatch.setattr(mon, "_CAPABILITIES", capabilities)
    with mon.Mon(folder / "mon", "watch none\n", options=["-S"]) as running:
        assert about(checked("--mon-cf", str(running.file)), "mon") == told.format(pid=running.pid)


@pytest.mark.skipif(not Path("/usr/sbin/mon").exists(), reason="mon is not installed")
@pytest.mark.parametrize(
    ("traps", "told"),
    [
        ("127.0.0.1 * *", "ok      auth.cf      {auth}: mon takes traps from 127.0.0.1"),
        ("#\n* lvs secret", "ok      auth.cf      {auth}: mon takes traps from 127.0.0.1"),
        (
            "192.0.2.1 * *\n# 127.0.0.1 * *",
            (
                "failed  auth.cf      {auth}: mon takes no traps from 127.0.0.1\n"
                f"{HERE}the line 127.0.0.1 * * below trap section in {{auth}}, and restart mon"
            ),
        ),
    ],
)
def test_checks_between_mons_need_its_traps(folder: Path, traps: str, told: str) -> None:
    """Where mon.cf asks for them, mon's auth.cf has to let them in."""
    made = mon.Mon(folder / "mon", "watch none\n", options=["-S"])
    made.allow("list", traps=traps)
    with made as running:
        assert "auth.cf" not in checked("--mon-cf", str(running.file)).stdout
        running.configure("watch none\n# a service\n    LVSALERT_BETWEEN=1\n")
        auth = folder / "mon" / "auth.cf"
        said = about(checked("--mon-cf", str(running.file)), "auth.cf")
        assert said == told.format(auth=auth)


def test_a_user_that_is_not_there() -> None:
    """A name that is no user's is bad usage."""
    outcome = checked("--mon-user", "no-such-user")
    assert outcome[:3] == (3, "", "lvs-director: there is no user no-such-user\n")


@pytest.mark.skipif(not is_root(), reason="needs root, to become another user")
@pytest.mark.parametrize(
    ("groups", "told"),
    [
        (
            "1\t0",
            (
                "failed  ICMP         neither a raw socket nor a datagram socket may be opened\n"
                f"{HERE}sysctl net.ipv4.ping_group_range='0 2147483647', or for mon:"
                " lvs-director install --systemd"
            ),
        ),
        ("0\t2147483647", "ok      ICMP         datagram socket"),
    ],
)
def test_an_unprivileged_user(folder: Path, copied: Copied, groups: str, told: str) -> None:
    """Each thing that mon's user lacks under Debian's unit is named with its remedy."""
    user = access.account()
    (folder / "closed").mkdir(mode=0o700)
    with network_namespace() as namespace:
        namespace.sysctl("ipv4/ping_group_range", groups)
        done = namespace.run(
            lambda: copied.director(
                "check",
                "--state-dir",
                str(folder / "closed"),
                before=(
                    "setpriv",
                    f"--reuid={user.uid}",
                    f"--regid={user.gid}",
                    "--clear-groups",
                    "--inh-caps=-all",
                ),
                environment={"PATH": "/usr/bin:/bin"},
            )
        )
    assert (done.returncode, done.stderr) == (1, "")
    assert about(done, "ICMP") == told
    assert about(done, "permission") == (
        "failed  permission   no CAP_NET_ADMIN\n"
        f"{HERE}be root, or for mon: lvs-director install --systemd"
    )
    assert about(done, "lock") == (
        f"failed  lock         {folder}/closed/lock: the lock cannot be opened: permission denied\n"
        f"{HERE}be {user.name} or root; as root: chown -R {user.name}: {folder}/closed"
    )
    assert about(done, "interpreter") == (
        f"ok      interpreter  {copied.python}, for the user {user.name}"
    )


@pytest.mark.skipif(not is_root(), reason="needs root, to become another user")
def test_an_interpreter_that_mon_cannot_run(folder: Path, copied: Copied) -> None:
    """The folder that is closed to mon is named."""
    shutil.copytree(copied.folder, folder / "venv", symlinks=True)
    (folder / "venv").chmod(0o700)
    user = access.account()
    code = "from lvsalert.commands.stub import lvs_director; lvs_director()"
    python = folder / "venv" / "bin" / "python3"
    done = subprocess.run(
        [str(python), "-I", "-c", code, "check"],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert about(done, "interpreter") == (
        f"failed  interpreter  {folder}/venv is closed to the user {user.name},"
        f" who has to get at {python}\n"
        f"{HERE}install from a virtual environment that {user.name} may read (umask 022,"
        " /usr/bin/python3 -m venv /opt/lvsalert), or name the user that mon runs as by --mon-user"
    )
