"""The one door to the kernel's table: ipvsadm(8), run under a lock.

Every command is an argv list with a cleared environment, a time-out and a status that is looked at.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from typing import Callable

from lvsalert.errors import IpvsadmError, LockTimeoutError, NoKernelError, TornTableError
from lvsalert.ipvs.marks import is_ours
from lvsalert.ipvs.plan import Change, plan
from lvsalert.ipvs.process import Answer, HungError, run
from lvsalert.ipvs.table import Columns, Table, parse, parse_connections

FALLBACK_LOCK = "/run/lock/lvsalert.lock"
"""The lock of runs that can have none in their state directory."""

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"}
# How often the table is read where it changes meanwhile.
_READINGS = 5
# What ipvsadm says where the kernel has no IPVS; without the privilege it says another thing.
_NO_KERNEL = r"Can't initialize ipvs: (?!Permission|Operation not permitted)"


class Ipvsadm:
    """ipvsadm(8) as the program at ``program``, ended after ``timeout`` seconds a command."""

    def __init__(self, program: str, timeout: float) -> None:
        self.program = program
        self.timeout = timeout
        self._held: tuple[int, ...] = ()

    @contextlib.contextmanager
    def locked(self, path: str, timeout: float) -> Iterator[None]:
        """Hold the lock at ``path`` against other runs; one may keep it for ``timeout`` seconds.

        However many wait before us, we wait on as long as they get on. The kernel frees the lock
        when its holder dies, however it dies. An ipvsadm with a batch holds it
        too, so that a batch whose sender was killed has ended before the next run reads the table.
        LockTimeoutError where it stays held, IpvsadmError where it cannot be had at all.
        """
        try:
            descriptor = _open_lock(path)
        except OSError as error:
            reason = _reason(error)
            raise IpvsadmError(f"{path}: the lock cannot be opened: {reason}") from None
        try:
            if not _lock(descriptor, path, timeout):
                raise LockTimeoutError(f"{path}: another run has held the lock for {timeout:g} s")
            self._held = (descriptor,)
            yield
        finally:
            self._held = ()
            os.close(descriptor)

    def read(self) -> Table:
        """Return the table, but for the marks of our checks. IpvsadmError where it cannot be read.

        So nobody plans with marks, shows them or removes them.
        """
        table, _ = self.read_with_texts()
        return table

    def read_with_texts(self) -> tuple[Table, tuple[str, str]]:
        """Return the same with what ipvsadm told of it. Errors as above."""
        table, texts = self._whole()
        return {key: each for key, each in table.items() if not is_ours(key)}, texts

    def marks(self) -> Table:
        """Return what the table has of the marks of our checks. Errors as above."""
        table, _ = self._whole()
        return {key: each for key, each in table.items() if is_ours(key)}

    def _whole(self) -> tuple[Table, tuple[str, str]]:
        # A look at the table holds no lock, and other programs know of none: between the two
        # listings a real server may come or go.
        for _ in range(_READINGS - 1):
            texts = self.texts()
            with contextlib.suppress(TornTableError):
                return parse(*texts), texts
        texts = self.texts()
        return parse(*texts), texts

    def texts(self) -> tuple[str, str]:
        """Return the table as ipvsadm tells it: its rules, and its thresholds. Errors as above."""
        # -Sn leaves the thresholds out, and an edit that does not repeat them resets them.
        rules, thresholds = self._told(("-Sn",), ("-Ln", "--thresholds"))
        return rules, thresholds

    def connections(self) -> Columns:
        """Return active and inactive connections of each entry. IpvsadmError where it cannot."""
        return parse_connections(*self._told(("-Ln",)))

    def synchronise(self, role: str, interface: str, sync_id: int) -> None:
        """Have the kernel send its connections over ``interface`` (``master``), or only listen.

        ``role`` is ``master`` or ``backup``. A director always listens, so that it knows the
        other's connections when it takes over; one kernel plays both roles at once.
        """
        (standing,) = self._told(("-L", "--daemon"))
        if "backup" not in standing:
            self._daemon("--start-daemon", "backup", interface, sync_id)
        if role == "master" and "master" not in standing:
            self._daemon("--start-daemon", "master", interface, sync_id)
        if role == "backup" and "master" in standing:
            self._daemon("--stop-daemon", "master", interface, sync_id)

    def _daemon(self, verb: str, role: str, interface: str, sync_id: int) -> None:
        starts = verb == "--start-daemon"
        words = ("--mcast-interface", interface, "--syncid", str(sync_id)) if starts else ()
        (answer,) = self._run((verb, role, *words))
        if answer.status:
            raise IpvsadmError(f"{self.program} {verb} {role}: {_words_of(answer)}")

    def _told(self, *commands: Sequence[str]) -> list[str]:
        answers = self._run(*commands)
        for answer in answers:
            if answer.status:
                kind = NoKernelError if re.search(_NO_KERNEL, answer.stderr) else IpvsadmError
                raise kind(f"{self.program} cannot read the table: {_words_of(answer)}")
        return [answer.stdout for answer in answers]

    def apply(self, changes: Sequence[Change], desired: Table) -> None:
        """Run ``changes`` as one batch, read the table again and compare it with ``desired``.

        ``set_marks`` does the same with the marks of our checks alone. ipvsadm -R goes on after a
        line that the kernel refuses and its status tells only that something failed, so the table
        itself is the answer. IpvsadmError where it differs.
        """
        self._batch(changes, desired, self.read)

    def set_marks(self, desired: Table) -> None:
        """Have the table hold exactly these marks, whatever else is in it. Errors as ``apply``."""
        changes = plan(self.marks(), desired)
        if changes:
            self._batch(changes, desired, self.marks)

    def _batch(self, changes: Sequence[Change], desired: Table, read: Callable[[], Table]) -> None:
        # From memory and not through a pipe: a sender that is killed leaves no half line.
        batch = os.memfd_create("batch")
        with os.fdopen(batch, "r+", encoding="utf-8") as file:
            file.writelines(f"{' '.join(change.words)}\n" for change in changes)
            file.seek(0)
            (answer,) = self._run(("-R",), stdin=batch, kept=self._held)
        left = plan(read(), desired)
        if left:
            first = " ".join(left[0].words)
            raise IpvsadmError(
                f"{self.program} left {len(left)} of {len(changes)} changes undone,"
                f" first {first!r}: {_words_of(answer)}"
            )

    def _run(
        self,
        *commands: Sequence[str],
        stdin: int | None = None,
        kept: tuple[int, ...] = (),
    ) -> list[Answer]:
        """Run ipvsadm once for each command, all at once.

        Each has the descriptor ``stdin``, or nothing to read, and those in ``kept``.
        """
        argvs = [[self.program, *arguments] for arguments in commands]
        try:
            return run(argvs, _ENVIRONMENT, self.timeout, stdin=stdin, kept=kept)
        except HungError as error:
            raise IpvsadmError(
                f"{' '.join(error.argv)} did not answer in {self.timeout:g} s"
            ) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise IpvsadmError(f"cannot run {self.program}: {reason}") from None


def lock_path(state_dir: str) -> str:
    """Return where the lock lies: in ``state_dir``, or in /run/lock where that is not there.

    A director that was not set up by ``install`` has no state directory, and its alert has to do
    its duty all the same.
    """
    return os.path.join(state_dir, "lock") if os.path.isdir(state_dir) else FALLBACK_LOCK


def _open_lock(path: str) -> int:
    # Nothing is written into it, but whoever gets it sets its time.
    try:
        return _open_or_make(path, os.O_RDWR)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return _open_or_make(path, os.O_RDONLY)


def _open_or_make(path: str, access: int) -> int:
    # Anybody may have laid a link or a pipe where the lock is: none is followed or waited for.
    flags = access | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    # Without O_CREAT first: fs.protected_regular refuses it, even to root, for another's file in a
    # folder that all may write.
    while True:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, flags)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            os.fchmod(descriptor, 0o666)
            return descriptor


def _lock(descriptor: int, path: str, timeout: float) -> bool:
    """Return whether the lock was had before one other run has held it for ``timeout`` seconds.

    The kernel queues those who wait (flock(2)), so that they cost nothing and none overtakes. The
    thread that waits cannot be stopped: given up, it frees the lock as soon as it gets it, since
    its descriptor is the last one then.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        is_had = _wait_for_lock(descriptor, timeout)
    except OSError as error:
        # As on a file system over the network.
        raise IpvsadmError(f"{path}: cannot be locked: {_reason(error)}") from None
    else:
        is_had = True
    if is_had:
        # By which those who wait see that it has gone on to another run.
        with contextlib.suppress(OSError):
            os.utime(descriptor)
    return is_had


def _wait_for_lock(descriptor: int, timeout: float) -> bool:
    """Return whether the lock comes to us before one other run has held it for ``timeout`` s."""
    import threading

    own = os.dup(descriptor)
    is_had = threading.Event()

    def wait() -> None:
        try:
            fcntl.flock(own, fcntl.LOCK_EX)
            is_had.set()
        finally:
            os.close(own)

    threading.Thread(target=wait, daemon=True).start()
    taken = None
    while (last := os.fstat(descriptor).st_mtime_ns) != taken:
        taken = last
        if is_had.wait(timeout):
            return True
    return False


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _words_of(answer: Answer) -> str:
    """Return what ipvsadm said, in one line."""
    said = "; ".join(line.strip() for line in answer.stderr.splitlines() if line.strip())
    return said or f"exit status {answer.status}"
