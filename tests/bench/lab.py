"""What needs a real kernel: `tests/bench/run --lab` boots the lab's guest for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.comparisons import alerts, write_perl_alert
from tests.bench.measuring import HEAD, Comparison, Measure, Side
from tests.harness.nginx import Site
from tests.harness.places import CHECKOUT, loopback, open_folder
from tests.lab import kernel, network, packages
from tests.lab.addresses import VIP
from tests.lab.configuration import LVS_DIRECTOR
from tests.lab.machine import Machine
from tests.lab.realserver import HostNginx

_SECONDS = 3600
_SERVERS = 1000
# One run of a program there takes about ten times as long as here.
_REPEATS = 3
# One more beforehand lays the marks, which stay.
_CHECKS = 9


def measure(document: Path | None, only: str = "") -> None:
    """Print the figures, taken in the guest; some of them need the document."""
    if document is None:
        print("LEFT OUT: the Perl lvs.alert: --document names no file to take it from")
    packages.install()
    for module in ("tests.bench.lab", "tests.bench.reactions"):
        with Machine(kernel.prepare()) as machine:
            given = [] if document is None else [str(document.resolve())]
            machine.start([sys.executable, "-m", module, only, *given])
            status = machine.wait(_SECONDS)
            print("\n".join(line for line in machine.console.splitlines() if line.startswith("|")))
            if status:
                raise SystemExit(machine.tail())


def _inside(only: str, document: Path | None) -> None:
    """In the guest: install the suite, and measure what has the words ``only`` in it."""
    subprocess.run([LVS_DIRECTOR, "install", "--systemd"], capture_output=True, check=True)
    with open_folder() as folder:
        runner = Measure(folder)
        print(HEAD, flush=True)
        if only in _by_way().work:
            with _on_a_director(folder):
                print(runner.compare(_by_way()).row(), flush=True)
        for each in _alerts(document, folder):
            if only in each.work:
                print(runner.compare(each).row(), flush=True)


def _alerts(document: Path | None, folder: Path) -> list[Comparison]:
    if document is None:
        return []
    perl = folder / "perl.alert"
    write_perl_alert(document, perl, Path("/sbin/ipvsadm"))
    ours = ["/usr/local/lib/mon/alert.d/lvs.alert"]
    found = alerts(ours, str(perl), _fill, _SERVERS)
    return [each._replace(repeats=_REPEATS) for each in found]


@contextmanager
def _on_a_director(folder: Path) -> Iterator[None]:
    """Stay on a director beside a host that is a thousand real servers, with a real nginx."""
    network.make_bridge()
    director = network.Host("director", [f"{VIP}/32", "10.0.0.1/24", "172.16.255.1/16"])
    director.set_sysctls({"ipv4/conf/eth0/accept_local": 1})
    real = network.Host("real", [f"{each}/16" for each in _reals()], ["10.0.0.0/24 dev eth0"])
    real.set_sysctls({"ipv4/conf/all/arp_ignore": 1, "ipv4/conf/all/arp_announce": 2})
    real.ip([f"address add {VIP}/32 dev lo"])
    page = Site(["0.0.0.0:80"], "location / { return 200 ok; }")
    with HostNginx(real, folder / "nginx", [page]), director.inside():
        yield


def _reals() -> list[str]:
    return [f"172.16.{each // 250}.{each % 250 + 1}" for each in range(_SERVERS)]


def _by_way() -> Comparison:
    """Return the check of all servers by way of the virtual address, beside the ordinary one."""
    monitor = ["/usr/local/lib/mon/mon.d/http.monitor", "--omit-good"]
    by_way = Side([[*monitor, "--via", VIP, *_reals()]])
    ordinary = Side([[*monitor, *_reals()]])
    return Comparison(
        "http.monitor, 1,000 servers, by way of the virtual address",
        ("--via", "without"),
        by_way,
        ordinary,
        {"cpu": 1.3, "wall": 1.3},
        _CHECKS,
    )


def _fill(servers: int, _lost: int) -> None:
    rules = ["-A -t 10.0.0.3:80 -s wlc\n"]
    rules += [f"-a -t 10.0.0.3:80 -r {host} -g -w 5\n" for host in loopback(0, servers)]
    subprocess.run(["ipvsadm", "-C"], check=True)
    subprocess.run(["ipvsadm", "-R"], input="".join(rules), text=True, check=True, cwd=CHECKOUT)


if __name__ == "__main__":
    _inside(sys.argv[1], Path(sys.argv[2]) if sys.argv[2:] else None)
