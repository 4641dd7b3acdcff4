"""The one door to the kernel: what ipvsadm may do wrong, and the lock that orders the runs."""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lvsalert
from lvsalert import standin
from lvsalert.errors import IpvsadmError, LockTimeoutError
from lvsalert.ipvs.ipvsadm import Ipvsadm, lock_path
from lvsalert.ipvs.plan import Change, plan
from lvsalert.ipvs.table import Table
from lvsalert.model import RealServer
from tests.harness.places import is_root
from tests.harness.table_file import TableFile, placed_in, taken_out, tcp
from tests.harness.waiting import patience, unit, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

WEB = tcp("10.0.0.3", 80)
FILLED = "-A -t 10.0.0.3:80 -s wlc\n" + "".join(
    f"-a -t 10.0.0.3:80 -r 192.0.2.{number}:80 -g -w 5 -x 10 -y 5\n" for number in (1, 2, 3)
)
# A door that passes on what it is asked, so that a test can bend one answer.
HONEST = 'exec {honest} "$@"'


@pytest.fixture
def kernel(tmp_path: Path) -> TableFile:
    """A stand-in with three real servers."""
    kernel = TableFile(tmp_path / "table")
    kernel.fill(FILLED)
    return kernel


def program(folder: Path, *lines: str) -> str:
    """Write a shell script that stands for ipvsadm, and return its path."""
    honest = folder / "honest"
    standin.write_executable(str(honest), str(folder / "table"))
    path = folder / "ipvsadm"
    text = "\n".join(["#!/bin/sh", *lines]).replace("{honest}", str(honest))
    path.write_text(text.replace("{folder}", str(folder)) + "\n")
    path.chmod(0o755)
    return str(path)


def door(folder: Path, *lines: str, timeout: float = 10) -> Ipvsadm:
    """Return the door to a script of these lines."""
    return Ipvsadm(program(folder, *lines), timeout)


def quiesced(actual: Table) -> tuple[list[Change], Table]:
    """Return the plan, and the table that it leads to, where the first real server is quiesced."""
    changed = taken_out(actual[WEB], ("192.0.2.1", 80), quiesce=True)
    desired = {**actual, WEB: changed}
    return plan(actual, desired), desired


def refusal(action: Ipvsadm, kernel: TableFile) -> str:
    """Return the error of applying a plan; the table has to stand as it was."""
    before = kernel.rules
    changes, desired = quiesced(kernel.table)
    with pytest.raises(IpvsadmError) as caught:
        action.apply(changes, desired)
    assert kernel.rules == before
    assert caught.value.status == 1
    return str(caught.value)


def is_gone(pid: int) -> bool:
    """Say whether a process has ended, waited for or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def test_table_is_read(tmp_path: Path, kernel: TableFile) -> None:
    """The door reads the same table that the stand-in keeps, thresholds too."""
    table = door(tmp_path, HONEST).read()
    assert table == kernel.table
    assert table[WEB].real_servers["192.0.2.1", 80] == RealServer(
        "192.0.2.1", 80, weight=5, upper=10, lower=5
    )


def test_empty_table_is_read(tmp_path: Path, kernel: TableFile) -> None:
    """A director without a service has a table, an empty one."""
    kernel.fill("")
    assert door(tmp_path, HONEST).read() == {}


def test_plan_is_applied(tmp_path: Path, kernel: TableFile) -> None:
    """What was planned is what stands afterwards."""
    actual = door(tmp_path, HONEST)
    changes, desired = quiesced(actual.read())
    actual.apply(changes, desired)
    assert kernel.table == desired


def test_large_plan_is_one_batch(tmp_path: Path, kernel: TableFile) -> None:
    """A thousand changes go in as one run of ipvsadm -R, and all of them arrive."""
    counting = 'echo "$1" >>{folder}/runs'
    actual = door(tmp_path, counting, HONEST)
    table = actual.read()
    service = table[WEB]
    for number in range(1000):
        real = RealServer(f"198.51.{100 + number // 250}.{number % 250 + 1}", 80)
        service = placed_in(service, real)
    desired = {WEB: service}
    actual.apply(plan(table, desired), desired)
    assert len(kernel.table[WEB].real_servers) == 1003
    runs = (tmp_path / "runs").read_text().split()
    assert [sorted(runs[:2]), runs[2], sorted(runs[3:])] == [["-Ln", "-Sn"], "-R", ["-Ln", "-Sn"]]


def test_connections_are_read(tmp_path: Path, kernel: TableFile) -> None:
    """Each real server of the table has its numbers of connections."""
    assert door(tmp_path, HONEST).connections() == {
        WEB: {(f"192.0.2.{number}", 80): (0, 0) for number in (1, 2, 3)}
    }


def test_environment_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ipvsadm gets a path and plain words, and nothing of what mon or a user has set."""
    monkeypatch.setenv("LD_PRELOAD_OF_SOMEBODY", "1")
    monkeypatch.setenv("MON_ALERTTYPE", "up")
    script = 'tr "\\0" "\\n" </proc/$$/environ >{folder}/environ'
    assert door(tmp_path, script).read() == {}
    assert sorted((tmp_path / "environ").read_text().splitlines()) == [
        "LC_ALL=C",
        "PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin",
    ]


def test_name_is_looked_up_in_the_path_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller's own PATH does not choose the program that may change the table."""
    (tmp_path / "surely-not-ipvsadm").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(IpvsadmError) as caught:
        Ipvsadm("surely-not-ipvsadm", 10).read()
    assert str(caught.value) == "cannot run surely-not-ipvsadm: No such file or directory"


def test_missing_program_is_named(tmp_path: Path) -> None:
    """Without ipvsadm the error says which one was looked for."""
    with pytest.raises(IpvsadmError) as caught:
        Ipvsadm(str(tmp_path / "nowhere"), 10).read()
    assert str(caught.value) == f"cannot run {tmp_path}/nowhere: No such file or directory"


def test_program_that_may_not_be_run_is_named(tmp_path: Path) -> None:
    """A file that is not executable is no ipvsadm."""
    path = tmp_path / "ipvsadm"
    path.write_text("#!/bin/sh\n")
    with pytest.raises(IpvsadmError) as caught:
        Ipvsadm(str(path), 10).read()
    assert str(caught.value) == f"cannot run {path}: Permission denied"


def test_program_that_is_no_program_is_named(tmp_path: Path) -> None:
    """Nor is an executable file that the kernel cannot run: no shell is tried on it."""
    path = tmp_path / "ipvsadm"
    path.write_text("touch canary\n")
    path.chmod(0o755)
    with pytest.raises(IpvsadmError) as caught:
        Ipvsadm(str(path), 10).read()
    assert str(caught.value) == f"cannot run {path}: Exec format error"


@pytest.mark.parametrize("name", ["ipvs\0adm", ""])
def test_name_that_is_none_is_an_error(name: str) -> None:
    """A name that no program can have does not end in a bug."""
    with pytest.raises(IpvsadmError, match=r"^cannot run "):
        Ipvsadm(name, 10).read()


def test_kernel_without_ipvs_is_told_in_its_words(tmp_path: Path) -> None:
    """What ipvsadm says of a kernel without IPVS is passed on, in one line."""
    script = (
        'echo "Can\'t initialize ipvs: Protocol not available" >&2\n'
        "echo 'Are you sure that IP Virtual Server is built in the kernel or as module?' >&2\n"
        "exit 2"
    )
    with pytest.raises(IpvsadmError) as caught:
        door(tmp_path, script).read()
    assert str(caught.value) == (
        f"{tmp_path}/ipvsadm cannot read the table: Can't initialize ipvs: Protocol not available; "
        "Are you sure that IP Virtual Server is built in the kernel or as module?"
    )


@pytest.mark.parametrize("argument", ["-Sn", "-Ln"])
def test_silent_failure_is_told_by_its_status(
    tmp_path: Path, kernel: TableFile, argument: str
) -> None:
    """A status other than 0 is an error for either half of the reading, words or none."""
    with pytest.raises(IpvsadmError) as caught:
        door(tmp_path, f'[ "$1" != {argument} ] || exit 7', HONEST).read()
    assert str(caught.value) == f"{tmp_path}/ipvsadm cannot read the table: exit status 7"


def test_program_that_is_killed_is_an_error(tmp_path: Path, kernel: TableFile) -> None:
    """An ipvsadm that crashes has not printed an empty table."""
    with pytest.raises(IpvsadmError) as caught:
        door(tmp_path, "kill -SEGV $$").read()
    assert str(caught.value) == f"{tmp_path}/ipvsadm cannot read the table: exit status -11"


@pytest.mark.parametrize(
    ("argument", "garbage", "message"),
    [
        ("-Sn", "hello", "cannot read what ipvsadm -Sn printed: 'hello'"),
        ("-Sn", "\\377\\376", "cannot read what ipvsadm -Sn printed: '\\ufffd\\ufffd'"),
        ("-Ln", "hello", "ipvsadm -Ln --thresholds does not show 192.0.2.1:80 of tcp 10.0.0.3:80"),
        ("-Ln", "", "ipvsadm -Ln --thresholds does not show 192.0.2.1:80 of tcp 10.0.0.3:80"),
        ("-Ln", "FWM x", "cannot read what ipvsadm -Ln --thresholds printed: 'FWM x'"),
    ],
)
def test_garbage_is_no_table(
    tmp_path: Path, kernel: TableFile, argument: str, garbage: str, message: str
) -> None:
    """Text that is no table is an error that quotes it, whatever the status."""
    script = f"if [ \"$1\" = {argument} ]; then printf '{garbage}\\n'; exit 0; fi"
    with pytest.raises(IpvsadmError) as caught:
        door(tmp_path, script, HONEST).read()
    assert str(caught.value).encode("ascii", "backslashreplace").decode() == message


def test_table_that_changes_between_the_listings_is_read_again(
    tmp_path: Path, kernel: TableFile
) -> None:
    """A real server that leaves after the first listing is in none that is returned."""
    # The listing of the thresholds waits for the other one, and takes a real server out before.
    script = (
        'if [ "$1" = -Sn ]; then {honest} "$@"; status=$?; : >{folder}/listed; exit $status; fi\n'
        'if [ "$1" = -Ln ]; then\n'
        "    until [ -e {folder}/listed ]; do sleep 0.01; done\n"
        "    {honest} -d -t 10.0.0.3:80 -r 192.0.2.1:80 2>/dev/null\n"
        "fi"
    )
    table = door(tmp_path, script, HONEST).read()
    assert table == kernel.table
    assert list(table[WEB].real_servers) == [("192.0.2.2", 80), ("192.0.2.3", 80)]


@pytest.mark.parametrize("argument", ["-Sn", "-Ln", "-R"])
def test_program_that_hangs_is_ended_with_its_children(
    tmp_path: Path, kernel: TableFile, argument: str
) -> None:
    """After its time-out neither ipvsadm nor what it started is left."""
    hang = f'if [ "$1" = {argument} ]; then sleep 1000 & echo $$ $! >{{folder}}/pids; wait; fi'
    changes, desired = quiesced(kernel.table)
    # As long as the ones that do not hang may take on this machine.
    timeout = max(0.5, 30 * unit())
    with pytest.raises(IpvsadmError) as caught:
        door(tmp_path, hang, HONEST, timeout=timeout).apply(changes, desired)
    told = {"-Ln": "-Ln --thresholds"}.get(argument, argument)
    assert str(caught.value) == f"{tmp_path}/ipvsadm {told} did not answer in {timeout:g} s"
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        wait_until(functools.partial(is_gone, pid), f"process {pid} is ended")


def test_program_whose_child_keeps_the_output_is_ended(tmp_path: Path) -> None:
    """An ipvsadm that leaves something behind which holds its output does not hold the run."""
    script = '[ "$1" != -Sn ] || { sleep 1000 & echo $! >{folder}/pids; }'
    with pytest.raises(IpvsadmError, match=r"did not answer in 0\.5 s"):
        door(tmp_path, script, timeout=0.5).read()
    pid = int((tmp_path / "pids").read_text())
    wait_until(lambda: is_gone(pid), f"process {pid} is ended")


def test_program_that_hangs_in_silence_is_ended(tmp_path: Path) -> None:
    """An ipvsadm that has closed its output and does not end does not hold the run either."""
    script = '[ "$1" != -Sn ] || { echo $$ >{folder}/pids; exec >&- 2>&- sleep 1000; }'
    with pytest.raises(IpvsadmError, match=r"did not answer in 0\.5 s"):
        door(tmp_path, script, timeout=0.5).read()
    pid = int((tmp_path / "pids").read_text())
    wait_until(lambda: is_gone(pid), f"process {pid} is ended")


def test_status_is_waited_for(tmp_path: Path) -> None:
    """An ipvsadm that closes its output first and fails then has failed."""
    with pytest.raises(IpvsadmError, match=r"exit status 7$"):
        door(tmp_path, "exec >&- 2>&-; sleep 0.1; exit 7").read()


def test_words_of_any_length_are_read(tmp_path: Path) -> None:
    """More than a pipe holds, on both outputs at once, keeps ipvsadm from nothing."""
    script = "head -c 300000 /dev/zero | tr '\\0' x | tee /dev/stderr; exit 7"
    with pytest.raises(IpvsadmError) as caught:
        door(tmp_path, script).read()
    assert str(caught.value).endswith(f": {'x' * 300000}")


def test_long_time_out_is_no_bug(tmp_path: Path, kernel: TableFile) -> None:
    """Whoever wants to wait for years may."""
    assert door(tmp_path, HONEST, timeout=1e9).read() == kernel.table


def test_caller_that_ignores_its_children_reads(tmp_path: Path, kernel: TableFile) -> None:
    """Where SIGCHLD is ignored, as a parent may have left it, there is a table all the same."""
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert door(tmp_path, HONEST).read() == kernel.table
    finally:
        signal.signal(signal.SIGCHLD, previous)


def test_program_hears_of_a_closed_pipe(tmp_path: Path) -> None:
    """Python's own ignoring of SIGPIPE is not handed on."""
    assert door(tmp_path, "grep SigIgn /proc/$$/status >{folder}/ignored").read() == {}
    ignored = int((tmp_path / "ignored").read_text().split()[1], 16)
    assert not ignored & 1 << signal.SIGPIPE - 1


def test_program_that_reads_nothing_is_no_bug(tmp_path: Path, kernel: TableFile) -> None:
    """An ipvsadm that ends without reading its batch has left it undone."""
    told = refusal(door(tmp_path, '[ "$1" != -R ] || exit 255', HONEST), kernel)
    assert told == (
        f"{tmp_path}/ipvsadm left 1 of 1 changes undone, first "
        "'-e -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 0 -x 10 -y 5': exit status 255"
    )


def test_program_that_lies_is_found_out(tmp_path: Path, kernel: TableFile) -> None:
    """Status 0 is no proof: the table is read again."""
    told = refusal(door(tmp_path, '[ "$1" != -R ] || exit 0', HONEST), kernel)
    assert told == (
        f"{tmp_path}/ipvsadm left 1 of 1 changes undone, first "
        "'-e -t 10.0.0.3:80 -r 192.0.2.1:80 -g -w 0 -x 10 -y 5': exit status 0"
    )


def test_refusal_is_told_in_its_words(tmp_path: Path, kernel: TableFile) -> None:
    """What ipvsadm says while it refuses is passed on, in one line."""
    script = (
        '[ "$1" != -R ] || { printf "Memory allocation problem\\n\\nGood bye\\n" >&2; exit 255; }'
    )
    told = refusal(door(tmp_path, script, HONEST), kernel)
    assert told.endswith(": Memory allocation problem; Good bye")


def test_one_refused_line_leaves_the_others_done(tmp_path: Path, kernel: TableFile) -> None:
    """The kernel refuses one of three lines: the others are done, and the error names it."""
    actual = kernel.table
    service = actual[WEB]
    for number in (4, 5, 6):
        real = RealServer(f"192.0.2.{number}", 80)
        service = placed_in(service, real)
    desired = {WEB: service}
    drop = 'if [ "$1" = -R ]; then grep -v 192.0.2.5 | {honest} -R; echo No buffer >&2; exit 0; fi'
    with pytest.raises(IpvsadmError) as caught:
        door(tmp_path, drop, HONEST).apply(plan(actual, desired), desired)
    assert str(caught.value) == (
        f"{tmp_path}/ipvsadm left 1 of 3 changes undone, first "
        "'-a -t 10.0.0.3:80 -r 192.0.2.5:80 -g -w 1': No buffer"
    )
    assert set(desired[WEB].real_servers) - set(kernel.table[WEB].real_servers) == {
        ("192.0.2.5", 80)
    }


def test_refusal_that_does_not_matter_is_no_error(tmp_path: Path, kernel: TableFile) -> None:
    """Where another got there first, the table is as it should be, and that is what counts."""
    changes, desired = quiesced(kernel.table)
    kernel.change("".join(f"{' '.join(change.words)}\n" for change in changes))
    actual = door(tmp_path, '[ "$1" != -R ] || exit 255', HONEST)
    actual.apply(changes, desired)
    assert kernel.table == desired


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock at `path`."""
    with Ipvsadm("none", 1).locked(str(path), 10):
        yield


def test_held_lock_is_waited_for_in_vain(tmp_path: Path) -> None:
    """After the time-out the error names the lock; the table has not been touched."""
    path = tmp_path / "lock"
    with (
        held(path),
        pytest.raises(LockTimeoutError) as caught,
        door(tmp_path).locked(str(path), 0.05),
    ):
        pass
    assert str(caught.value) == f"{path}: another run has held the lock for 0.05 s"
    assert caught.value.status == 1


@pytest.mark.parametrize("timeout", [0, 10])
def test_free_lock_is_had_at_once(tmp_path: Path, timeout: float) -> None:
    """A time-out of 0 is one try, and that succeeds where nobody holds the lock."""
    with door(tmp_path).locked(str(tmp_path / "lock"), timeout):
        pass
    with held(tmp_path / "lock"):
        pass


def test_freed_lock_is_handed_on(tmp_path: Path) -> None:
    """A run that waits goes on as soon as the one before it has ended."""
    path = tmp_path / "lock"
    waiting, done = threading.Event(), threading.Event()

    def wait() -> None:
        waiting.set()
        with held(path):
            done.set()

    thread = threading.Thread(target=wait)
    with held(path):
        thread.start()
        assert waiting.wait(10)
        assert not done.is_set()
    assert done.wait(10)
    thread.join()


def test_run_waits_as_long_as_the_others_get_on(tmp_path: Path) -> None:
    """A time-out is for one run that keeps the lock, and not for how many came before."""
    path = tmp_path / "lock"
    timeout = patience(5)
    had = threading.Event()

    def wait() -> None:
        with door(tmp_path).locked(str(path), timeout):
            had.set()

    thread = threading.Thread(target=wait)
    with held(path):
        thread.start()
        until = time.monotonic() + 3 * timeout
        while time.monotonic() < until:
            assert thread.is_alive()
            # As each of many runs does that get the lock one after the other.
            os.utime(path)
            time.sleep(timeout / 20)
    thread.join()
    assert had.is_set()


def test_lock_that_may_only_be_read_serves_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another's lock that may not be written to is one all the same."""
    path = tmp_path / "lock"
    path.touch()
    real = os.open

    def refuse(name: str, flags: int, mode: int = 0o777) -> int:
        if name == str(path) and flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return real(name, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    with held(path), pytest.raises(LockTimeoutError), door(tmp_path).locked(str(path), 0):
        pass


def test_run_that_gave_up_does_not_keep_the_lock(tmp_path: Path) -> None:
    """It stays in the kernel's queue, but lets the lock go at once when its turn comes."""
    path = tmp_path / "lock"
    with held(path):
        for _ in range(20):
            with pytest.raises(LockTimeoutError), door(tmp_path).locked(str(path), 0.01):
                pass
    for _ in range(20):
        with held(path):
            pass


def test_all_who_wait_have_their_turn(tmp_path: Path) -> None:
    """Fifty runs at once hold the lock one after the other."""
    path = tmp_path / "lock"
    holding: list[int] = []
    most: list[int] = []

    def run(number: int) -> None:
        with held(path):
            holding.append(number)
            most.append(len(holding))
            holding.remove(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(50)]
    with held(path):
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 50


def test_lock_is_freed_by_an_error(tmp_path: Path) -> None:
    """A run that fails under the lock does not keep it."""
    path = tmp_path / "lock"
    with pytest.raises(IpvsadmError), held(path):
        Ipvsadm(str(tmp_path / "nowhere"), 1).read()
    with door(tmp_path).locked(str(path), 0):
        pass


HOLDER = """
import sys, time
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.ipvs.plan import plan
door = Ipvsadm(sys.argv[1], 1000)
with door.locked(sys.argv[2], 10):
    print("held", flush=True)
    if sys.argv[3] == "sleep":
        time.sleep(1000)
    actual = door.read()
    door.apply(plan(actual, {}), {})
"""


@contextmanager
def holder(program: str, lock: Path, what: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock, and does `what` under it."""
    argv = [sys.executable, "-c", HOLDER, program, str(lock), what]
    environ = {"PYTHONPATH": str(Path(lvsalert.__file__).parents[1])}
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_lock_is_freed_when_its_holder_is_killed(tmp_path: Path) -> None:
    """No run that was killed stands in the way of the next one."""
    path = tmp_path / "lock"
    with holder("none", path, "sleep") as process:
        with pytest.raises(LockTimeoutError), door(tmp_path).locked(str(path), 0):
            pass
        process.kill()
        process.wait()
        with door(tmp_path).locked(str(path), 10):
            pass


def test_lock_is_held_until_the_batch_of_a_killed_run_has_ended(
    tmp_path: Path, kernel: TableFile
) -> None:
    """The batch goes on without its sender, so the next run waits for it."""
    path = tmp_path / "lock"
    slow = (
        'if [ "$1" = -R ]; then touch {folder}/begun; '
        "until [ -e {folder}/go ]; do sleep 0.02; done; fi"
    )
    # A door that writes no program, where another one's is just to be run.
    next_run = Ipvsadm(str(tmp_path / "nowhere"), 10)
    with holder(program(tmp_path, slow, HONEST), path, "apply") as process:
        wait_until((tmp_path / "begun").exists, "the batch has begun")
        process.kill()
        process.wait()
        with pytest.raises(LockTimeoutError), next_run.locked(str(path), 0.1):
            pass
        (tmp_path / "go").touch()
        with next_run.locked(str(path), 10):
            assert kernel.rules == []


def test_reading_does_not_hold_the_lock_for_a_killed_run(tmp_path: Path, kernel: TableFile) -> None:
    """An ipvsadm that only reads, and hangs, keeps nobody out once its caller is gone."""
    path = tmp_path / "lock"
    hang = "echo $$ >>{folder}/pids; exec sleep 1000"
    with holder(program(tmp_path, hang), path, "apply") as process:
        pids = tmp_path / "pids"
        wait_until(lambda: pids.exists() and pids.read_text().count("\n") == 2, "both hang")
        process.kill()
        process.wait()
        try:
            with door(tmp_path).locked(str(path), 0):
                pass
        finally:
            for pid in map(int, pids.read_text().split()):
                os.kill(pid, signal.SIGKILL)


def test_lock_can_be_had_by_every_user(tmp_path: Path) -> None:
    """Whatever umask the first run has, the next one may be another user's."""
    umask = os.umask(0o077)
    try:
        with held(tmp_path / "lock"):
            pass
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o666


def lay_link(path: Path) -> None:
    """Lay a link to somebody's file."""
    path.with_name("victim").write_text("mine")
    path.symlink_to(path.with_name("victim"))


def lay_dangling_link(path: Path) -> None:
    """Lay a link to a file that is not there, which opening would make."""
    path.symlink_to(path.with_name("victim"))


def lay_file_for_folder(path: Path) -> None:
    """Lay a file where the lock's folder should be."""
    path.parent.rmdir()
    path.parent.write_text("")


@pytest.mark.parametrize(
    ("lay", "reason"),
    [
        (lay_link, "too many levels of symbolic links"),
        (lay_dangling_link, "too many levels of symbolic links"),
        (lay_file_for_folder, "not a directory"),
        (lambda path: path.parent.rmdir(), "no such file or directory"),
    ],
    ids=["link", "dangling link", "file for a folder", "no folder"],
)
def test_lock_that_cannot_be_opened_is_named(tmp_path: Path, lay: object, reason: str) -> None:
    """No link is followed, no folder is made, and the error names the lock."""
    path = tmp_path / "state" / "lock"
    path.parent.mkdir()
    assert callable(lay)
    lay(path)
    with pytest.raises(IpvsadmError) as caught, held(path):
        pass
    assert str(caught.value) == f"{path}: the lock cannot be opened: {reason}"
    assert caught.value.status == 1
    victim = path.with_name("victim")
    assert not victim.is_file() or victim.read_text() == "mine"


def test_lock_that_cannot_be_locked_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that knows no locks is an error, and no bug."""

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(IpvsadmError) as caught, held(tmp_path / "lock"):
        pass
    assert str(caught.value) == f"{tmp_path}/lock: cannot be locked: no locks available"


def test_pipe_in_place_of_the_lock_does_not_hang(tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to would wait for ever; it serves as a lock instead."""
    os.mkfifo(tmp_path / "lock")
    with held(tmp_path / "lock"):
        pass


def test_lock_lies_in_the_state_directory(tmp_path: Path) -> None:
    """Without one it lies where every machine has a folder for locks."""
    assert lock_path(str(tmp_path)) == f"{tmp_path}/lock"
    assert lock_path(str(tmp_path / "nowhere")) == "/run/lock/lvsalert.lock"


needs_root = pytest.mark.skipif(
    not is_root() or shutil.which("setpriv") is None, reason="needs root and setpriv"
)


def lock_as(user: str, folder: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """Take and leave the lock as another user, with a copy of the package that he may read."""
    package = folder / "package"
    if not package.exists():
        source = Path(lvsalert.__file__).parent
        shutil.copytree(source, package / "lvsalert", ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from lvsalert.ipvs.ipvsadm import Ipvsadm\n"
        "with Ipvsadm('none', 1).locked(sys.argv[2], 0): print('held')"
    )
    become = ["setpriv", "--reuid", user, "--clear-groups"]
    argv = [*become, "/usr/bin/python3", "-c", script, str(package), str(path)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_lock_of_root_can_be_had_by_another_user(folder: Path, mode: int) -> None:
    """mon's user takes the lock that an operator's run has made, and waits for it while held."""
    path = folder / "state" / "lock"
    path.parent.mkdir()
    path.parent.chmod(mode)
    with held(path):
        busy = lock_as("nobody", folder, path)
    assert busy.returncode == 1
    assert "LockTimeoutError" in busy.stderr
    assert lock_as("nobody", folder, path).stdout == "held\n"


@needs_root
@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_lock_of_another_user_can_be_had_by_root(folder: Path, mode: int) -> None:
    """An operator takes the lock that mon's user has made, in a folder for all too."""
    path = folder / "state" / "lock"
    path.parent.mkdir()
    path.parent.chmod(mode)
    assert lock_as("nobody", folder, path).stdout == "held\n"
    assert path.stat().st_uid != 0
    with held(path):
        pass


@needs_root
def test_lock_that_another_user_may_not_open_is_named(folder: Path) -> None:
    """A state directory that is closed to the caller is an error that names the lock."""
    path = folder / "state" / "lock"
    path.parent.mkdir()
    path.parent.chmod(0o700)
    done = lock_as("nobody", folder, path)
    assert f"IpvsadmError: {path}: the lock cannot be opened: permission denied" in done.stderr
