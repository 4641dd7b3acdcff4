"""A plug-in of mon's, and lvs-director: the call is handed to the resident process.

That has everything imported.

Where there is none, or it does not take the call, or goes away in the middle, the plug-in runs the
command itself. So nothing is lost with the resident, and nothing is printed twice: what a run has
to say comes back whole or not at all. This is imported in each of mon's calls, and so draws in
nothing but modules in C.
"""

from __future__ import annotations

import _socket as sockets
import posix
import select
import sys
from posix import _exit as end

from lvsalert.resident import wire

# As typing's, which takes its time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as signals
    from typing import NoReturn
else:
    import _signal as signals

CANNOT_TELL = 3
"""The status of a run that has no verdict, or whose verdict nobody took."""

# How long a reader of the output may take no more of it.
_STUCK_SECONDS = 10.0
# So much goes into a pipe without waiting, once it has room for anything (pipe(7)).
_PIPE_BUF = 4096
# So long the resident may take to take a call; one that is stopped would else stop the plug-in.
_TAKEN_SECONDS = 5.0
# KILL and STOP cannot be caught, Python ignores PIPE already, and the others end no process. SEGV
# and its like are caught as well: to mon, hanging in a fault is better than a false success.
NOT_CAUGHT = frozenset(
    (
        signals.SIGKILL,
        signals.SIGSTOP,
        signals.SIGCHLD,
        signals.SIGCONT,
        signals.SIGURG,
        signals.SIGWINCH,
        signals.SIGTSTP,
        signals.SIGTTIN,
        signals.SIGTTOU,
        signals.SIGPIPE,
    )
)
# Its program is not to run within the resident's sandbox.
_NEVER = ("external.monitor",)
_DIRECTOR = "lvs-director"
# What it is told while a director takes over, by scripts that name the resident.
_TAKING_OVER = (["start"], ["stop"], ["status"])


def lvs_director() -> NoReturn:
    """Run lvs-director as a process of its own, by the resident or here."""
    run(_DIRECTOR)


def run(program: str) -> NoReturn:
    """Run a plug-in, or lvs-director, as a process of its own, by the resident or here."""
    _end_on_signals(program)
    stdin: bytes | None = None
    path = posix.environ.get(b"LVSALERT_SOCKET", wire.DEFAULT_SOCKET.encode())
    if path and _is_for_resident(program, path) and _has_streams():
        if program.endswith(".alert"):
            stdin = _read_all(0)
        answer = _ask(path, program, stdin or b"")
        if answer is not None:
            status, stdout, stderr = answer
            write(2, stderr)
            end(int(status) if write(1, stdout) else CANNOT_TELL)
    from lvsalert.commands.entry import run_process

    run_process(program, stdin)


def _is_for_resident(program: str, path: bytes) -> bool:
    """Return whether the resident does for this call just what the process itself would do.

    What a person calls by hand is that person's, and a run has its own user's rights. The scripts
    that move a director's address are root's, and name the resident; that gives back what it has
    not the rights for.
    """
    user = posix.geteuid()
    if program == _DIRECTOR:
        is_meant = b"LVSALERT_SOCKET" in posix.environ and sys.argv[1:2] in _TAKING_OVER
        return is_meant and user in (0, _owner(path))
    if program in _NEVER or (program.endswith(".alert") and b"MON_ALERTTYPE" not in posix.environ):
        return False
    return _owner(path) == user


def _owner(path: bytes) -> int | None:
    try:
        return posix.stat(path).st_uid
    except OSError:
        return None


def _end_on_signals(program: str) -> None:
    """Let no signal end the process as such: mon would take that for a success."""

    def told(signum: int, _frame: object) -> NoReturn:
        # Another module may be half imported.
        line = f"{program}: ended by {name_of(signum)}\n".encode()
        if is_monitor(program):
            write(1, b"\n" + line)
        else:
            write(2, line)
        end(CANNOT_TELL)

    for each in signals.valid_signals() - NOT_CAUGHT:
        signals.signal(each, told)


def is_monitor(program: str) -> bool:
    """Return whether mon reads the program's standard output as a report."""
    return program.endswith(".monitor")


def name_of(signum: int) -> str:
    """Return the name of a signal."""
    names = [
        name
        for name, number in vars(signals).items()
        if number == signum and name.startswith("SIG") and name[3] != "_"
    ]
    # Of two names for one signal, Python takes the first one, too.
    return min(names, default=f"signal {signum}")


def leave_signals() -> None:
    """Let signals do again what they do by themselves, for a program that lasts."""
    for each in signals.valid_signals() - NOT_CAUGHT:
        signals.signal(each, signals.SIG_DFL)


def _has_streams() -> bool:
    """Return whether there are all standard streams, which mon's plug-ins have."""
    try:
        for descriptor in (0, 1, 2):
            posix.fstat(descriptor)
    except OSError:
        return False
    return True


def _read_all(descriptor: int) -> bytes:
    read = []
    while piece := posix.read(descriptor, 65536):
        read.append(piece)
    return b"".join(read)


def _ask(path: bytes, program: str, stdin: bytes) -> list[bytes] | None:
    """Return status and output of a run by the resident, None where there was none."""
    sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM | sockets.SOCK_CLOEXEC)
    try:
        sock.settimeout(_TAKEN_SECONDS)
        sock.connect(path)
        sock.sendall(wire.call(program, stdin, posix.environ))
        if sock.recv(1) != wire.TAKEN:
            return None
        # From now on the run keeps its own time, and whoever kills it ends the connection.
        sock.settimeout(None)
        answer = b""
        while wanted := wire.missing(answer):
            piece = sock.recv(wanted)
            if not piece:
                return None
            answer += piece
        return wire.unpack(answer)
    except (OSError, ValueError, wire.Broken):
        return None
    finally:
        sock.close()


def write(descriptor: int, said: bytes) -> bool:
    """Write all that was said to a descriptor; return False where nobody takes it."""
    data = memoryview(said)
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    try:
        while data:
            if not poll.poll(_STUCK_SECONDS * 1000):
                return False
            data = data[posix.write(descriptor, data[:_PIPE_BUF]) :]
    except OSError:
        return False
    return True
