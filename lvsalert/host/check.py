"""lvs-director check: what the current user can use, and what to do about what it cannot."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lvsalert.checks.icmp_socket import EchoSocket
from lvsalert.errors import IpvsadmError, LockTimeoutError, PrivilegeError
from lvsalert.host import access, check_path, install, running_mon
from lvsalert.host.finding import Finding
from lvsalert.host.running_mon import CAP_NET_ADMIN, CAP_NET_RAW
from lvsalert.ipvs.ipvsadm import Ipvsadm, lock_path
from lvsalert.mon.plugins import PLUGINS, searched

if TYPE_CHECKING:
    from lvsalert.checks.path import Kernel

# Where the door to the kernel looks for a program that is named without a folder.
_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
_PROC_TABLE = "/proc/net/ip_vs"
_NEEDED = {"CAP_NET_ADMIN": CAP_NET_ADMIN, "CAP_NET_RAW": CAP_NET_RAW}
_BETWEEN = re.compile(r"^\s*LVSALERT_BETWEEN=|--between", re.MULTILINE)
_TRAPS = re.compile(
    r"^trap\s+section\b(?:.*\n)*?\s*(?:127\.0\.0\.1|\*)\s+\S+\s+\S+\s*$", re.MULTILINE
)
_SYSTEMD = "lvs-director install --systemd"


class Subject(NamedTuple):
    """What to look at, as the commands' options name it; the time-out is in seconds.

    ``via`` is lent for checks by way of the virtual address, None where none are made.
    """

    ipvsadm: str
    ipvsadm_timeout: float
    state_dir: str
    mon_cf: str
    mon_user: str | None
    via: Kernel | None = None


def run(subject: Subject) -> list[Finding]:
    """Return all findings. UsageError where ``mon_user`` is named and is not there."""
    user = access.account(subject.mon_user)
    door = Ipvsadm(subject.ipvsadm, subject.ipvsadm_timeout)
    return [
        *_table(door),
        _icmp(),
        _lock(subject.state_dir, user),
        *_state(Path(subject.state_dir), user),
        *_search(Path(subject.mon_cf)),
        *_running(subject.mon_cf),
        _interpreter(user),
        *_path(door, subject.via),
    ]


def _path(door: Ipvsadm, kernel: Kernel | None) -> Iterator[Finding]:
    """Look at the path of clients; of a table that cannot be read another finding tells."""
    try:
        table = door.read()
    except IpvsadmError:
        return
    yield from check_path.arp(table)
    if kernel is not None:
        yield from check_path.by_way(table, kernel)


def _table(door: Ipvsadm) -> Iterator[Finding]:
    """Look at ipvsadm, the kernel's IPVS and the permission, which stand in each other's way."""
    path = shutil.which(door.program, path=_PATH)
    trouble = None
    services = 0
    try:
        services = len(door.read())
    except IpvsadmError as error:
        trouble = str(error)
    kernel = trouble is None or Path(_PROC_TABLE).exists()
    permitted = trouble is None or _has_net_admin()
    if path is None:
        todo = "install it (apt-get install ipvsadm), or name it by --ipvsadm"
        yield Finding("ipvsadm", f"there is no program {door.program}", todo)
    elif trouble is not None and kernel and permitted:
        yield Finding("ipvsadm", trouble, f"see what {path} -Sn says")
    else:
        yield Finding("ipvsadm", path)
    if trouble is None:
        yield Finding("IPVS", f"virtual services in the table: {services}")
    elif kernel:
        yield Finding("IPVS", f"loaded: {_PROC_TABLE}")
    else:
        said = re.search("Can't initialize ipvs[^;]*", trouble) if permitted else None
        todo = f"as root: modprobe ip_vs, and for every boot: {_SYSTEMD}"
        yield Finding("IPVS", f"not loaded: {said[0] if said else f'no {_PROC_TABLE}'}", todo)
    if permitted:
        yield Finding("permission", "the table can be had" if trouble is None else "CAP_NET_ADMIN")
    else:
        yield Finding("permission", "no CAP_NET_ADMIN", f"be root, or for mon: {_SYSTEMD}")


def _has_net_admin() -> bool:
    """Return whether this process has CAP_NET_ADMIN in effect (proc(5), capabilities(7))."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_NET_ADMIN & 1)
    return False


def _icmp() -> Finding:
    """Open the socket that fping.monitor would open."""
    try:
        echo = EchoSocket(socket.AF_INET, 1)
    except PrivilegeError:
        todo = f"sysctl net.ipv4.ping_group_range='0 2147483647', or for mon: {_SYSTEMD}"
        return Finding("ICMP", "neither a raw socket nor a datagram socket may be opened", todo)
    except OSError as error:
        return Finding("ICMP", f"no socket: {error.strerror}", "see icmp(7)")
    with socket.socket(fileno=os.dup(echo.fileno())) as same:
        kind = "raw" if same.type == socket.SOCK_RAW else "datagram"
    echo.close()
    return Finding("ICMP", f"{kind} socket")


def _lock(state_dir: str, user: access.Account) -> Finding:
    """Take the lock that every run takes; one that another run holds can be used too."""
    path = lock_path(state_dir)
    in_its_place = Path(path).parent == Path(state_dir)
    try:
        with Ipvsadm("", 0).locked(path, 0):
            pass
    except LockTimeoutError:
        pass
    except IpvsadmError as error:
        owned = state_dir if in_its_place else path
        todo = f"be {user.name} or root; as root: chown -R {user.name}: {owned}"
        return Finding("lock", str(error), todo)
    return Finding("lock", path if in_its_place else f"{path}, as there is no {state_dir}")


def _state(state_dir: Path, user: access.Account) -> Iterator[Finding]:
    """Look whether mon's alerts can remember what they do; who may not look leaves it out."""
    try:
        for path in (state_dir, *state_dir.iterdir()):
            need = access.READ | access.WRITE | (access.RUN if path.is_dir() else 0)
            closed = access.first_closed(user, path, need)
            if closed is not None:
                found = f"{closed} is closed to the user {user.name}, who has to write {path}"
                yield Finding("state", found, f"as root: chown -R {user.name}: {state_dir}")
                return
    except OSError:
        # What another run removes at this moment is no fault either.
        return


def _search(mon_cf: Path) -> Iterator[Finding]:
    """Look which program mon would find for each plugin's name."""
    try:
        text = mon_cf.read_text(errors="replace")
    except OSError as error:
        todo = "install mon (apt-get install mon), or name its file by --mon-cf"
        yield Finding("mon.cf", f"{mon_cf}: {error.strerror}", todo)
        return
    for keyword, folders in searched(text).items():
        path = os.pathsep.join(folders)
        found = {name: shutil.which(name, path=path) for name in PLUGINS[keyword]}
        missing = [name for name, at in found.items() if at is None]
        others = [at for at in found.values() if at is not None and not _is_ours(at)]
        if missing or others:
            todo = f"lvs-director install, and the {keyword} that it prints into {mon_cf}"
            told = [f"mon would run its own {', '.join(others)}"] if others else []
            told += [f"mon finds no {', '.join(missing)}"] if missing else []
            yield Finding(keyword, "; ".join(told), todo)
        else:
            yield Finding(keyword, f"mon finds {', '.join(filter(None, found.values()))}")


def _running(mon_cf: str) -> Iterator[Finding]:
    """Look at the mon that reads this mon.cf: what the programs that it starts may do."""
    mons = [each for each in running_mon.all_running() if each.mon_cf == mon_cf]
    if not mons:
        yield Finding("mon", f"none with {mon_cf} is running, so far")
    for each in mons:
        about = f"process {each.pid}, as {access.name_of(each.uid)}"
        lacking = [name for name, number in _NEEDED.items() if not each.may(number)]
        if lacking:
            todo = f"as root: {_SYSTEMD}; systemctl daemon-reload; systemctl restart mon"
            yield Finding("mon", f"{about}, has no {' and no '.join(lacking)}", todo)
        else:
            yield Finding("mon", f"{about}, with {' and '.join(_NEEDED)}")
        yield from _auth(Path(each.mon_cf), Path(each.auth))


def _auth(mon_cf: Path, auth: Path) -> Iterator[Finding]:
    """Look whether mon takes the traps of checks between its own, where it is to have any."""
    try:
        if not _BETWEEN.search(mon_cf.read_text(errors="replace")):
            return
        text = auth.read_text(errors="replace")
    except OSError as error:
        yield Finding("auth.cf", f"{error.filename}: {error.strerror}", "be mon's user or root")
        return
    if _TRAPS.search(text):
        yield Finding("auth.cf", f"{auth}: mon takes traps from 127.0.0.1")
    else:
        todo = f"the line 127.0.0.1 * * below trap section in {auth}, and restart mon"
        yield Finding("auth.cf", f"{auth}: mon takes no traps from 127.0.0.1", todo)


def _is_ours(path: str) -> bool:
    """Return whether a program is one of ours, installed, of a checkout or of a package."""
    try:
        return b"lvsalert" in Path(path).read_bytes()
    except OSError:
        return False


def _interpreter(user: access.Account) -> Finding:
    trouble = install.interpreter_trouble(user)
    if trouble is not None:
        return Finding("interpreter", trouble, install.interpreter_advice(user))
    return Finding("interpreter", f"{sys.executable}, for the user {user.name}")
