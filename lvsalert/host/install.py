"""lvs-director install and uninstall: which files stand, which are to be written, and doing it.

A file that somebody else wrote, or edited, is never overwritten and never removed: the mark in each
written file (``lvsalert.host.plugins``) tells.
"""

from __future__ import annotations

import compileall
import contextlib
import os
import site
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from lvsalert.errors import NotDoneError
from lvsalert.host import access
from lvsalert.host.heartbeat import LDIRECTORD, resource_files
from lvsalert.host.plugins import (
    STATE_DIR_MODE,
    File,
    Mark,
    check_prefix,
    plugin_files,
    read_mark,
    resident_files,
    signed,
    system_files,
    via_files,
)
from lvsalert.ipvs.defaults import DEFAULT_STATE_DIR
from lvsalert.mon.plugins import PACKAGE_PREFIX

_PACKAGES = ("lvsalert", "click", "icmplib", "requests")


class FileState(Enum):
    """What stands where a file is to be; the value is what it is called in a report."""

    ABSENT = "is not there"
    SAME = "is as it would be written"
    OURS = "was written by lvs-director"
    EDITED = "was edited since lvs-director wrote it"
    FOREIGN = "was not written by lvs-director"


class Step(NamedTuple):
    """A file, the path where it lies, what stands there, and the bytes that are to stand there."""

    path: Path
    file: File
    standing: FileState
    mark: Mark | None
    data: bytes


class Destination(NamedTuple):
    """Where to install: ``prefix`` holds mon.d and alert.d, ``root`` stands for / (``""`` is /)."""

    prefix: str
    root: str = ""

    def on_disk(self, path: str) -> Path:
        """Return where an absolute path lies under ``root``."""
        return Path(self.root + path)


def package_folders() -> list[str]:
    """Return the folders in which a plugin has to look for lvsalert and what it needs."""
    found = [str(each.parent) for each in _packages()]
    found += [each for each in site.getsitepackages() if Path(each).is_dir()]
    return list(dict.fromkeys(found))


def _packages() -> list[Path]:
    specs = [find_spec(name) for name in _PACKAGES]
    return [Path(spec.origin).parent for spec in specs if spec is not None and spec.origin]


def interpreter_trouble(user: access.Account) -> str | None:
    """Return what keeps ``user`` from running the plugins with this interpreter and its packages.

    None where nothing does. Where this process may, it tries as that user; otherwise, and to find
    the folder that is closed, it judges by the modes of folders and files.
    """
    # A folder that cannot be read is imported as an empty namespace, which has no file.
    code = (
        f"import importlib, sys; sys.path += {package_folders()!r};"
        f" sys.exit(not all(importlib.import_module(name).__file__ for name in {_PACKAGES!r}))"
    )
    said = access.run_as(user, [sys.executable, "-IS", "-c", code])
    if said == "":
        return None
    wanted = [(Path(sys.executable), access.RUN), (Path(os.__file__), access.READ)]
    for package in _packages():
        wanted += [(package.parent, access.READ | access.RUN), (package, access.READ | access.RUN)]
        wanted.append((package / "__init__.py", access.READ))
    for path, need in wanted:
        closed = access.first_closed(user, path, need)
        if closed is not None:
            return f"{closed} is closed to the user {user.name}, who has to get at {path}"
    return said and f"the user {user.name} cannot run {sys.executable}: {said}"


def interpreter_advice(user: access.Account) -> str:
    """Return what to do about an interpreter that ``user`` cannot run."""
    return (
        f"install from a virtual environment that {user.name} may read (umask 022,"
        " /usr/bin/python3 -m venv /opt/lvsalert), or name the user that mon runs as by --mon-user"
    )


def survey(
    destination: Destination,
    user: access.Account,
    pages: Sequence[File],
    *,
    systemd: bool,
    heartbeat: bool = False,
    via: Sequence[str] = (),
) -> list[Step]:
    """Return a step for each file of an installation for mon's ``user``, with what stands there.

    ``pages`` are those of the manual, and what completes words in shells. ``via`` are interfaces
    that face real servers, for checks by way of the virtual address. Of Debian's package there is
    nothing left to write but that and what belongs to heartbeat. An ldirectord that is
    installed keeps its place among heartbeat's resource scripts. UsageError where mon or the kernel
    could not use the prefix or the interpreter.
    """
    prefix = check_prefix(destination.prefix)
    folders = package_folders()
    files: list[File] = []
    if prefix != PACKAGE_PREFIX:
        files = [*plugin_files(prefix, sys.executable, folders), *pages]
        if systemd:
            files += [*system_files(), *resident_files(user.name, sys.executable, folders)]
    if heartbeat:
        files += resource_files(sys.executable, folders)
    if via:
        files += via_files(via)
    steps = [_step(destination, file) for file in files]
    theirs = (LDIRECTORD, FileState.FOREIGN)
    return [step for step in steps if (step.file.path, step.standing) != theirs]


def _step(destination: Destination, file: File) -> Step:
    path = destination.on_disk(file.path)
    with _told(path):
        standing, mark, data = _look(path)
        made = mark.made if mark is not None else _missing_folders(path)
        wanted = signed(file, destination.prefix, made)
        if data == wanted and stat.S_IMODE(path.stat().st_mode) == file.mode:
            standing = FileState.SAME
    return Step(path, file, standing, mark, wanted)


def _look(path: Path) -> tuple[FileState, Mark | None, bytes]:
    """Return what stands at ``path``, its mark and its bytes; a link or folder is not ours."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return FileState.FOREIGN, None, b""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return FileState.ABSENT, None, b""
    mark = read_mark(data)
    if mark is None:
        return FileState.FOREIGN, None, data
    return FileState.OURS if mark.intact else FileState.EDITED, mark, data


def _missing_folders(path: Path) -> int:
    return sum(not folder.exists() for folder in path.parents)


def conflicts(steps: Sequence[Step]) -> list[str]:
    """Return a line for each file that is not to be overwritten."""
    hands_off = (FileState.EDITED, FileState.FOREIGN)
    return [f"{step.path} {step.standing.value}" for step in steps if step.standing in hands_off]


def write(steps: Sequence[Step]) -> None:
    """Write each file that is not there or out of date, whole or not at all.

    NotDoneError names the first that cannot be written.
    """
    with _open_umask():
        for step in steps:
            if step.standing is not FileState.SAME:
                with _told(step.path):
                    step.path.parent.mkdir(parents=True, exist_ok=True)
                    _replace(step.path, step.data, step.file.mode)


def compile_package() -> None:
    """Compile lvsalert to byte code, which mon's user may not do at each start."""
    (folder,) = _packages()[:1]
    if os.access(folder, os.W_OK):
        with _open_umask():
            compileall.compile_dir(folder, quiet=2)


def make_state_dir(destination: Destination, user: access.Account) -> tuple[str, Path] | None:
    """Make the state directory as systemd would for the unit, or give it to mon's user.

    Return what was done and the path, None where nothing was. Where mon is installed later than
    lvsalert, the directory is somebody else's until then.
    """
    path = destination.on_disk(DEFAULT_STATE_DIR)
    with _told(path):
        if not path.exists():
            path.mkdir(parents=True)
            path.chmod(STATE_DIR_MODE)
            if os.geteuid() == 0:
                os.chown(path, user.uid, user.gid)
            return "made", path
        if os.geteuid() != 0 or path.stat().st_uid == user.uid:
            return None
        for each in (*path.iterdir(), path):
            os.chown(each, user.uid, user.gid, follow_symlinks=False)
    return "gave to mon", path


def remove(
    destination: Destination, pages: Sequence[File], *, dry_run: bool
) -> tuple[list[Path], list[str]]:
    """Remove what an installation for this prefix wrote; return that, and a line for what is left.

    Folders that were made for it go where they are empty, and so does an empty state directory with
    the drop-in that asks for it.
    """
    # Of these files the paths alone count, so any interpreter is as good as the one that wrote.
    files = [*plugin_files(check_prefix(destination.prefix), "", ()), *system_files()]
    files += [*resident_files("", "", ()), *resource_files("", ()), *via_files(()), *pages]
    removed: list[Path] = []
    left = []
    folders: set[Path] = set()
    for file in files:
        path = destination.on_disk(file.path)
        with _told(path):
            standing, mark, _ = _look(path)
        if mark is None or mark.prefix != destination.prefix:
            continue
        if standing is FileState.EDITED:
            left.append(f"{path} {standing.value}")
            continue
        removed.append(path)
        folders.update(list(path.parents)[: mark.made])
        if file.path.endswith("/mon.service.d/lvsalert.conf"):
            folders.add(destination.on_disk(DEFAULT_STATE_DIR))
    removed += _empty_without(folders, removed)
    for path in () if dry_run else removed:
        with _told(path):
            path.rmdir() if path.is_dir() else path.unlink()
    return removed, left


def _empty_without(folders: set[Path], removed: Sequence[Path]) -> list[Path]:
    """Return the folders, innermost first, in which nothing is left without ``removed``."""
    gone = set(removed)
    for folder in sorted(folders, key=lambda each: len(each.parts), reverse=True):
        if folder.is_dir() and gone.issuperset(folder.iterdir()):
            gone.add(folder)
    return sorted(gone.difference(removed), key=lambda each: len(each.parts), reverse=True)


def _replace(path: Path, data: bytes, mode: int) -> None:
    """Write a file beside ``path`` and rename it: a plugin that mon starts meanwhile is whole."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
            os.fchmod(descriptor, mode)
            stream.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


@contextlib.contextmanager
def _open_umask() -> Iterator[None]:
    """Let folders and byte code be readable for mon's user, whatever root's umask is."""
    previous = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(previous)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file into a NotDoneError that names it."""
    try:
        yield
    except OSError as error:
        raise NotDoneError(f"{path}: {error.strerror}") from None
