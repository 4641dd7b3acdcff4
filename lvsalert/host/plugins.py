"""The files that ``lvs-director install`` writes, as values, and the mark that tells its own.

Nothing here writes one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from lvsalert.errors import UsageError
from lvsalert.mon.plugins import FOLDERS, PLUGINS
from lvsalert.templates import filled

STATE_DIR_MODE = 0o770
VIA_FILE = "/etc/sysctl.d/60-lvsalert-via.conf"
"""Where the settings for checks by way of the virtual address are."""

# What the kernel takes (dev_valid_name), as far as it can stand in a setting's name.
_INTERFACE = re.compile(r"(?!\.\.?$)[\w.-]{1,15}", re.ASCII)
ROFF_COMMENT = '.\\" '
"""What a page's mark stands behind."""
# execve(2): kernels before 5.1 cut the first line of a script here.
_SHEBANG_BYTES = 127
_MARK = re.compile(
    rb'^(?:\.\\" )?# Written by lvs-director install --prefix (\S+), folders made: (\d+),'
    rb" sha256: (\w{64})$",
    re.MULTILINE,
)


class File(NamedTuple):
    """A file to be: ``first`` stands before the mark (a script's first line), ``rest`` after it."""

    path: str
    mode: int
    first: str
    rest: str

    @property
    def unsigned(self) -> str:
        """The text without a mark, for a package manager, which knows its files by itself."""
        return self.rest if self.first == ROFF_COMMENT else self.first + self.rest


class Mark(NamedTuple):
    """What the mark of a written file says.

    ``prefix`` is the prefix it was written for, ``made`` how many of its folders, from the
    innermost outwards, were made for it; ``intact`` whether the file is as it was written.
    """

    prefix: str
    made: int
    intact: bool


def check_prefix(prefix: str) -> str:
    """Return the prefix where mon.cf can name it; UsageError otherwise."""
    if not prefix.isprintable() or " " in prefix or ":" in prefix:
        raise UsageError(f"{prefix!r} cannot be a prefix: mon.cf takes no blank or colon in it")
    return prefix


def plugin_files(prefix: str, interpreter: str, folders: Sequence[str]) -> list[File]:
    """Return the plugins under ``prefix``.

    They run with ``interpreter`` and look for modules in its standard library, then in
    ``folders``. Nothing of the environment counts (-I), and the start spares the search for further
    folders (-S). UsageError where execve(2) could not take the interpreter's path from a script.
    """
    shebang = f"#!{interpreter} -IS\n"
    if " " in interpreter or not interpreter.isprintable():
        raise UsageError(f"{interpreter!r} cannot be a script's interpreter: it has a blank in it")
    if len(shebang.encode()) > _SHEBANG_BYTES:
        raise UsageError(
            f"{interpreter!r} cannot be a script's interpreter: its path is too long"
            f" ({_SHEBANG_BYTES} bytes with '#!' and '-IS')"
        )
    return [
        File(f"{prefix}/{FOLDERS[keyword]}/{name}", 0o755, shebang, _script(name, folders))
        for keyword, names in PLUGINS.items()
        for name in names
    ]


def _script(name: str, folders: Sequence[str]) -> str:
    return filled("plugin.template", program=name, folders=f"{list(folders)!a}")


def modules() -> list[str]:
    """Return IPVS and its schedulers, as far as every kernel since 4.18 has them."""
    return filled("modules-load.conf").split()


def director_argv(interpreter: str, folders: Sequence[str]) -> list[str]:
    """Return what runs lvs-director apart from the environment, as plug-ins run.

    The interpreter looks for modules in its standard library and then in ``folders``.
    """
    code = (
        f"import sys; sys.path += {list(folders)!a};"
        " from lvsalert.commands.stub import lvs_director; lvs_director()"
    )
    return [interpreter, "-IS", "-c", code]


def resident_files(user: str, interpreter: str, folders: Sequence[str]) -> list[File]:
    """Return the units of the resident process, which runs as mon's user.

    Its socket starts it with the first call (systemd.socket(5)).
    """
    words = [_unit_word(word) for word in director_argv(interpreter, folders)]
    return [
        File(
            f"/etc/systemd/system/{name}",
            0o644,
            "",
            filled(name, user=user, lvs_director=" ".join(words)),
        )
        for name in ("lvsalert.socket", "lvsalert.service")
    ]


def _unit_word(word: str) -> str:
    """Return a word of a command line as it stands in a unit (systemd.service(5))."""
    for character, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        word = word.replace(character, written)
    return f'"{word}"'


def system_files() -> list[File]:
    """Return the drop-in for Debian's mon.service and the list for modules-load.d(5).

    The service runs as User=mon without any capability, and may not load modules. Its state
    directory gets the owner that the unit runs as (systemd.exec(5)).
    """
    return [
        File(f"/etc/{path}", 0o644, "", filled(name))
        for path, name in (
            ("systemd/system/mon.service.d/lvsalert.conf", "mon.service.conf"),
            ("modules-load.d/lvsalert.conf", "modules-load.conf"),
        )
    ]


def via_files(interfaces: Sequence[str]) -> list[File]:
    """Return what sysctl.d(5) reads: on these interfaces answers from virtual addresses are taken.

    UsageError for what is no interface's name.
    """
    for each in interfaces:
        if not _INTERFACE.fullmatch(each):
            raise UsageError(f"{each!r} is not an interface: a name such as eth0")
    settings = "\n".join(f"{setting}=1" for setting in map(accept_local, interfaces))
    text = filled("sysctl-via.conf", settings=settings)
    return [File(VIA_FILE, 0o644, "", text)]


def accept_local(interface: str) -> str:
    """Return the kernel's setting by which an interface takes what comes from our own addresses.

    With slashes, since an interface's name may have dots (sysctl.d(5)).
    """
    return f"net/ipv4/conf/{interface}/accept_local"


def signed(file: File, prefix: str, made: int) -> bytes:
    """Return the bytes of a file with its mark: the SHA-256 sum is of all but the sum itself."""
    import hashlib

    first, rest = file.first.encode(), file.rest.encode()
    mark = f"# Written by lvs-director install --prefix {prefix}, folders made: {made}, sha256: "
    total = hashlib.sha256(first + mark.encode() + b"\n" + rest).hexdigest()
    return first + mark.encode() + total.encode() + b"\n" + rest


def read_mark(data: bytes) -> Mark | None:
    """Return the mark of a file's bytes, or None where there is none."""
    import hashlib

    found = _MARK.search(data)
    if found is None:
        return None
    total = hashlib.sha256(data[: found.start(3)] + data[found.end(3) :]).hexdigest()
    prefix, made, written = (each.decode(errors="replace") for each in found.groups())
    return Mark(prefix, int(made), total == written)
