"""The one door to the kernel's table: ipvsadm(8), run under a lock.

Every command is an argv list with a cleared environment, a time-out and a status that is looked at.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lvsalert.errors import IpvsadmError, LockTimeoutError
from lvsalert.table import Change, Columns, Table, parse, parse_connections, plan

DEFAULT_PROGRAM = "ipvsadm"
DEFAULT_STATE_DIR = "/var/lib/lvsalert"
_FALLBACK_LOCK = "/run/lock/lvsalert.lock"
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"}
# How often a lock that is held is tried again, in seconds.
_LOCK_PAUSE = 0.02


class _Answer(NamedTuple):
    status: int
    stdout: str
    stderr: str


class Ipvsadm:
    """ipvsadm(8) as the program at ``program``, ended after ``timeout`` seconds a command."""

    def __init__(self, program: str, timeout: float) -> None:
        self.program = program
        self.timeout = timeout
        self._held: tuple[int, ...] = ()

    @contextlib.contextmanager
    def locked(self, path: str, timeout: float) -> Iterator[None]:
        """Hold the lock at ``path`` against other runs, waiting ``timeout`` seconds at most.

        The kernel frees it when its holder dies, however it dies. A running ipvsadm holds it too,
        so that a batch whose sender was killed has ended before the next run reads the table.
        LockTimeoutError where it stays held, IpvsadmError where it cannot be had at all.
        """
        descriptor = _open_lock(path)
        try:
            deadline = time.monotonic() + timeout
            while not _try_lock(descriptor):
                if time.monotonic() >= deadline:
                    raise LockTimeoutError(
                        f"{path}: another run has held the lock for {timeout:g} s"
                    )
                time.sleep(_LOCK_PAUSE)
            self._held = (descriptor,)
            yield
        finally:
            self._held = ()
            os.close(descriptor)

    def read(self) -> Table:
        """Return the table. IpvsadmError where it cannot be read."""
        rules = self._run(["-Sn"])
        # -Sn leaves the thresholds out, and an edit that does not repeat them resets them.
        thresholds = self._run(["-Ln", "--thresholds"]) if "-a" in rules.stdout else rules
        for answer in (rules, thresholds):
            if answer.status:
                raise IpvsadmError(f"{self.program} cannot read the table: {_words_of(answer)}")
        return parse(rules.stdout, thresholds.stdout)

    def connections(self) -> Columns:
        """Return active and inactive connections of each entry. IpvsadmError where it cannot."""
        answer = self._run(["-Ln"])
        if answer.status:
            raise IpvsadmError(f"{self.program} cannot list the table: {_words_of(answer)}")
        return parse_connections(answer.stdout)

    def apply(self, changes: Sequence[Change], desired: Table) -> None:
        """Run ``changes`` as one batch, read the table again and compare it with ``desired``.

        ipvsadm -R goes on after a line that the kernel refuses and its status tells only that
        something failed, so the table itself is the answer. IpvsadmError where it differs.
        """
        batch = "".join(f"{' '.join(change.words)}\n" for change in changes)
        answer = self._run(["-R"], batch)
        left = plan(self.read(), desired)
        if left:
            first = " ".join(left[0].words)
            raise IpvsadmError(
                f"{self.program} left {len(left)} of {len(changes)} changes undone,"
                f" first {first!r}: {_words_of(answer)}"
            )

    def _run(self, arguments: list[str], stdin: str = "") -> _Answer:
        import subprocess

        try:
            done = subprocess.run(
                [self.program, *arguments],
                input=stdin.encode(),
                capture_output=True,
                timeout=self.timeout,
                env=_ENVIRONMENT,
                pass_fds=self._held,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise IpvsadmError(
                f"{self.program} {' '.join(arguments)} did not answer in {self.timeout:g} s"
            ) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise IpvsadmError(f"cannot run {self.program}: {reason}") from None
        return _Answer(
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )


def lock_path(state_dir: str) -> str:
    """Return where the lock lies: in ``state_dir``, or in /run/lock where that is not there.

    A director that was not set up by ``install`` has no state directory, and its alert has to do
    its duty all the same.
    """
    return os.path.join(state_dir, "lock") if os.path.isdir(state_dir) else _FALLBACK_LOCK


def _open_lock(path: str) -> int:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        # Without O_CREAT first: fs.protected_regular refuses it, even to root, for another's file
        # in a folder that all may write.
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            descriptor = os.open(path, flags | os.O_CREAT, 0o666)
            os.fchmod(descriptor, 0o666)
            return descriptor
    except PermissionError:
        raise IpvsadmError(f"{path}: the lock cannot be opened: permission denied") from None
    except OSError as error:
        raise IpvsadmError(f"{path}: the lock cannot be opened: {error.strerror}") from None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _words_of(answer: _Answer) -> str:
    """Return what ipvsadm said, in one line."""
    said = "; ".join(line.strip() for line in answer.stderr.splitlines() if line.strip())
    return said or f"exit status {answer.status}"
