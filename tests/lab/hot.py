"""What the guest has in its memory from the start, in place of asking the share for it.

Every look-up, opening and listing on the share wakes qemu's own thread, which was half of the lab's
work: a start of Python alone makes some hundred.
"""

from __future__ import annotations

import compileall
import os
import re
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from shutil import which
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]
# Started again and again.
PROGRAMS = (
    *("ipvsadm", "ip", "nft", "nginx", "vsftpd", "fping", "perl", "mon"),
    *("sh", "setpriv", "unshare", "nsenter", "env", "modprobe", "logger", "pgrep", "pkill"),
    *(
        "awk",
        "basename",
        "cat",
        "chmod",
        "chown",
        "cut",
        "date",
        "dirname",
        "grep",
        "head",
        "hostname",
    ),
    *(
        "ifconfig",
        "install",
        "kill",
        "ln",
        "ls",
        "mkdir",
        "mknod",
        "mount",
        "mv",
        "rm",
        "sed",
        "seq",
    ),
    *("setsid", "sleep", "sort", "tail", "test", "touch", "tr", "tty", "uname", "wc", "which"),
)
DATA = (
    *("/bin", "/lib", "/lib64", "/sbin"),
    *("/etc/ld.so.cache", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/hosts"),
    *("/etc/services", "/etc/protocols", "/etc/localtime", "/etc/iproute2"),
    *("/usr/lib/ocf", "/usr/lib/heartbeat", "/usr/libexec/heartbeat", "/usr/share/heartbeat"),
    *("/usr/lib/x86_64-linux-gnu/perl-base", "/etc/ha.d/resource.d"),
    *(
        "/usr/share/locale/locale.alias",
        "/usr/lib/locale/C.utf8",
        "/usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache",
    ),
)
# Parts of Python's library and of the virtual environment that nothing in the guest imports.
_UNUSED = re.compile(
    r"config-\d.*|test|idlelib|lib2to3|pydoc_data|ensurepip|tkinter|turtledemo|.*\.opt-[12]\.pyc|"
    r"mypy.*|.*__mypyc.*|ast_serialize.*|librt.*|ruff.*|hypothesis.*|_hypothesis.*|pip(-.*)?|"
    r"setuptools.*|pkg_resources.*|trustme.*|cryptography.*|_?cffi.*|pycparser.*|\..*"
)


class Entry(NamedTuple):
    """A file, folder or symbolic link: its st_mode and what it holds (a link: where it leads).

    Python takes a module's byte code only where `changed`, the source's time, is the same.
    """

    mode: int
    data: bytes = b""
    changed: int = 0


def trees() -> list[Path]:
    """Return the folders that are in memory as a whole: Python's library, its packages, and us."""
    names = ("stdlib", "purelib", "platlib")
    found = {Path(sysconfig.get_path(name)).resolve() for name in names}
    return sorted({path for path in found if path.is_dir()} | {CHECKOUT})


def entries() -> dict[str, Entry]:
    """Return everything by its path without the leading slash, folders before what they hold."""
    for package in ("lvsalert", "tests"):
        compileall.compile_dir(CHECKOUT / package, quiet=2)
    found: dict[str, Entry] = {}
    for path in [*_programs(), *map(Path, DATA), *trees()]:
        for each in _walk(path):
            _add(each, found)
    return found


def _walk(path: Path) -> Iterator[Path]:
    """Go through a file, or a folder with all that it holds that is of use."""
    yield path
    if path.is_dir() and not path.is_symlink():
        for name in os.listdir(path):
            if not _UNUSED.fullmatch(name):
                yield from _walk(path / name)


def _add(path: Path, found: dict[str, Entry]) -> None:
    """Add a path, the folders above it and, of a link, what it leads to."""
    path = path.parent.resolve() / path.name
    if str(path)[1:] in found or not os.path.lexists(path):
        return
    for folder in (*reversed(path.parents[:-1]), path):
        mode = folder.lstat().st_mode
        if stat.S_ISDIR(mode):
            found.setdefault(str(folder)[1:], Entry(mode))
    if path.is_symlink():
        target = path.readlink()
        found[str(path)[1:]] = Entry(path.lstat().st_mode, os.fsencode(target))
        _add(path.parent / target, found)
    elif path.is_file():
        state = path.stat()
        found[str(path)[1:]] = Entry(state.st_mode, path.read_bytes(), int(state.st_mtime))


def _programs() -> Iterable[Path]:
    """Return the programs, with the libraries that they and Python's modules are linked with."""
    programs = [sys.executable, *filter(None, map(which, PROGRAMS))]
    modules = Path(sysconfig.get_path("stdlib"), "lib-dynload").glob("*.so")
    done = subprocess.run(["ldd", *programs, *modules], capture_output=True, text=True, check=False)
    libraries = re.findall(r"(/\S+) \(", done.stdout)
    return [Path(path) for path in (*programs, *sorted(set(libraries)))]
