"""How soon a dead real server is out of the table, by each program that may watch it.

All of them have the same two real servers, with a real nginx each, on the lab's kernel.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple

from tests.harness.places import open_folder
from tests.harness.waiting import wait_until
from tests.lab.addresses import VIP
from tests.lab.configuration import LVS_DIRECTOR
from tests.lab.document import read
from tests.lab.realserver import HostNginx
from tests.lab.topology import Topology

if TYPE_CHECKING:
    from tests.lab.director import Director
    from tests.lab.document import Document

_TIMES = 9
# Between a server's return and its next death at least, in seconds.
_SETTLED = 4.0
# What is between two looks at the table, in seconds.
_LOOK = 0.02
# How long a check waits for an answer, in seconds, where nothing else is said.
_TIMEOUT = 5
_SERVICE = f"{VIP}:80"
_SERVERS = ("192.168.0.1", "192.168.0.2")
_WWW = f"""\
checkinterval = {{interval}}
negotiatetimeout = {{timeout}}
checktimeout = {{timeout}}
supervised = yes
quiescent = no

virtual = {_SERVICE}
    real = {_SERVERS[0]}:80 gate 5
    real = {_SERVERS[1]}:80 gate 5
    service = http
    request = "/"
    receive = "real"
    scheduler = rr
"""
# One check that fails is enough for the others, too.
_KEEPALIVED = """\
    real_server {server} 80 {{
        weight 5
        HTTP_GET {{
            url {{
                path /
                status_code 200
            }}
            connect_timeout 5
            retry 0
        }}
    }}
"""


class Way(NamedTuple):
    """A way of watching: its name, seconds between checks, and its set-up."""

    name: str
    interval: float
    watched: Callable[[Director, Path], AbstractContextManager[object]]
    die: Callable[[HostNginx], None] = HostNginx.kill


def ways(document: Document | None) -> Iterator[Way]:
    """Return the ways; the Perl pieces need the document."""
    killed = "killed, interval 2 s"
    yield Way(f"{killed}: lvsalert, mon", 2, _ours(interval=2))
    yield Way(f"{killed}: lvsalert, mon, --between 1", 1, _ours(interval=2, between=1))
    if document is not None:
        yield Way(f"{killed}: the Perl pieces, mon", 2, _perl(document, interval=2))
    yield Way(f"{killed}: ldirectord", 2, _ldirectord(interval=2))
    yield Way(f"{killed}: keepalived", 2, _keepalived(interval=2))
    between = "interval 10 s: lvsalert, mon, --between 1"
    yield Way(f"killed, {between}", 1, _ours(interval=10, between=1))
    yield Way(f"hung, {between}, -t 1", 1, _ours(interval=10, between=1, timeout=1), _hang)


def measure(document: Document | None, only: str) -> Iterator[str]:
    """Yield a row of a table in Markdown a way whose name has ``only`` in it: seconds until out."""
    chosen = [each for each in ways(document) if only in each.name]
    if not chosen:
        return
    with open_folder() as folder:
        lab = Topology(folder)
        lab.start_web()
        for number, way in enumerate(chosen):
            place = folder / str(number)
            place.mkdir()
            place.chmod(0o755)
            with way.watched(lab.director1, place):
                after = [way.interval * (each + 0.5) / _TIMES for each in range(_TIMES)]
                found = [_reaction(lab, each, way.die) for each in after]
            lab.director1.forget()
            figures = (statistics.median(found), min(found), max(found))
            yield " | ".join([f"| {way.name}", *(f"{each:.2f}" for each in figures), ""])


def _hang(web: HostNginx) -> None:
    """Stop a server: the kernel takes connections, and nobody answers them."""
    os.killpg(web.pid, signal.SIGSTOP)


def _reaction(lab: Topology, after: float, die: Callable[[HostNginx], None]) -> float:
    """Return the seconds from a server's death until it is out; it serves again then.

    The death comes so many seconds ``after`` a check, by which the deaths are spread over the time
    between two of them, and is in no way's favour.
    """
    server, director = lab.real_servers[1], lab.director1
    _wait(director, _SERVERS)
    time.sleep(_SETTLED)
    asked = server.asked.stat().st_size
    wait_until(lambda: server.asked.stat().st_size > asked, "a check", pause=_LOOK)
    time.sleep(after)
    begun = time.monotonic()
    die(server.web)
    _wait(director, _SERVERS[:1])
    took = time.monotonic() - begun
    server.web.kill()
    server.web.start()
    return took


def _wait(director: Director, servers: Sequence[str]) -> None:
    wanted = {f"{each}:80" for each in servers}

    def is_so() -> bool:
        entries = [line.split() for line in director.table if line.startswith("-a")]
        return {words[4] for words in entries if words[-1] != "0"} == wanted

    wait_until(is_so, lambda: f"{servers} are in\n{director.story()}", pause=_LOOK)


def _ours(
    interval: int, *, between: int | None = None, timeout: int = _TIMEOUT
) -> Callable[[Director, Path], AbstractContextManager[object]]:
    @contextmanager
    def watched(director: Director, folder: Path) -> Iterator[None]:
        file = folder / "www.cf"
        file.write_text(_WWW.format(interval=interval, timeout=timeout))
        director.do(LVS_DIRECTOR, "start", str(file))
        more = [] if between is None else ["--between", str(between)]
        mon_cf = director.do(LVS_DIRECTOR, "mon-config", *more, str(file))
        with director.mon(folder, mon_cf):
            yield
        director.do(LVS_DIRECTOR, "stop", str(file))

    return watched


def _perl(
    document: Document, interval: int
) -> Callable[[Director, Path], AbstractContextManager[object]]:
    @contextmanager
    def watched(director: Director, folder: Path) -> Iterator[None]:
        alert = folder / "lvs.alert"
        alert.write_text(document.alert)
        alert.chmod(0o755)
        lines = [line for line in document.mon_cf.splitlines() if "mail.alert" not in line]
        text = "\n".join(lines) + "\n"
        for old, new in {
            "interval 10s": f"interval {interval}s",
            "randstart = 30s": "randstart = 1s",
            "alertdir   = /usr/lib/mon/alert.d": f"alertdir = {folder}",
            "www1.domain.com": _SERVERS[0],
            "www2.domain.com": _SERVERS[1],
        }.items():
            assert old in text, old
            text = text.replace(old, new)
        real = [f"-a -t {_SERVICE} -r {each}:80 -g -w 5" for each in _SERVERS]
        director.lay(f"-A -t {_SERVICE} -s rr", *real)
        with director.mon(folder, text, has_resident=False):
            yield

    return watched


def _ldirectord(interval: int) -> Callable[[Director, Path], AbstractContextManager[object]]:
    def watched(director: Director, folder: Path) -> AbstractContextManager[object]:
        file = folder / "www.cf"
        file.write_text(_WWW.format(interval=interval, timeout=_TIMEOUT))
        return director.ldirectord(file)

    return watched


def _keepalived(interval: int) -> Callable[[Director, Path], AbstractContextManager[object]]:
    def watched(director: Director, folder: Path) -> AbstractContextManager[object]:
        servers = [_KEEPALIVED.format(server=each) for each in _SERVERS]
        head = f"virtual_server {VIP} 80 {{\n    delay_loop {interval}\n    lvs_sched rr\n"
        return director.keepalived(folder, f"{head}    lvs_method DR\n{''.join(servers)}}}\n")

    return watched


def _inside(only: str, document: Path | None) -> None:
    """In the guest: install the suite, and print the table."""
    subprocess.run([LVS_DIRECTOR, "install", "--systemd"], capture_output=True, check=True)
    print("| until the real server is out (s) | median | least | most |\n|---|---|---|---|")
    for row in measure(None if document is None else read(document), only):
        print(row, flush=True)


if __name__ == "__main__":
    _inside(sys.argv[1], Path(sys.argv[2]) if sys.argv[2:] else None)
