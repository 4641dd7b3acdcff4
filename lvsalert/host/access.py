"""What the user that mon runs as may read and run, found out before mon does."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path
from typing import NamedTuple

from lvsalert.errors import UsageError

READ = stat.S_IROTH
WRITE = stat.S_IWOTH
RUN = stat.S_IXOTH
NOBODY = "nobody"
"""Who stands for mon's user where mon is not installed yet: what is open to it is open to mon."""

# Until a user that is tried as has answered, in seconds.
_TIMEOUT = 30.0


class Account(NamedTuple):
    """A user, with the number of its own group and of all groups that it is in."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int]


def account(name: str | None = None) -> Account:
    """Return the user ``name``: by default mon, or nobody where there is no mon.

    UsageError where there is no such user.
    """
    for each in (name,) if name is not None else ("mon", NOBODY):
        try:
            found = pwd.getpwnam(each)
        except KeyError:
            continue
        groups = frozenset(os.getgrouplist(found.pw_name, found.pw_gid))
        return Account(found.pw_name, found.pw_uid, found.pw_gid, groups)
    raise UsageError(f"there is no user {name or 'mon'}")


def name_of(uid: int) -> str:
    """Return the name of a user, or the number of one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def run_as(user: Account, argv: list[str]) -> str | None:
    """Run a command as ``user`` with an empty environment in /; return what was wrong.

    That is "" where it ended well, and None where this process may not become that user.
    """
    already = os.geteuid() == user.uid
    if not already and os.geteuid() != 0:
        return None
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            env={},
            cwd="/",
            check=False,
            user=None if already else user.uid,
            group=None if already else user.gid,
            extra_groups=None if already else sorted(user.groups),
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {_TIMEOUT:g} s"
    except OSError as error:
        return str(error.strerror)
    if done.returncode == 0:
        return ""
    said = done.stderr.decode(errors="replace").split("\n")
    return next((line for line in reversed(said) if line), f"exit status {done.returncode}")


def first_closed(user: Account, path: Path, need: int) -> Path | None:
    """Return the first folder or file that keeps ``user`` from ``path``, or None.

    ``need`` is READ, WRITE, RUN or more of them, for what lies at the end; on the way there,
    through symbolic links, every folder has to be open. It is judged by owner, group and mode
    (path_resolution(7)).
    """
    while True:
        parent = path.parent.resolve()
        for folder in (*reversed(parent.parents), parent):
            if not _may(user, folder, RUN):
                return folder
        path = parent / path.name
        if not path.is_symlink():
            return None if _may(user, path, need) else path
        path = parent / path.readlink()


def _may(user: Account, path: Path, need: int) -> bool:
    status = path.stat()
    if user.uid == 0:
        return True
    if status.st_uid == user.uid:
        need <<= 6
    elif status.st_gid in user.groups:
        need <<= 3
    return status.st_mode & need == need
