"""What scenarios of checks by way of the virtual address have in common."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.lab.addresses import VIP, VIP6

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.director import Director
    from tests.lab.realserver import RealServer

ACCEPT_LOCAL = "ipv4/conf/eth0/accept_local"
_BOTH = "+net_admin,+net_raw"
# As mon.service runs it.
AS_MON = ("setpriv", "--reuid", "mon", "--regid", "mon", "--clear-groups")
WITH_BOTH = (*AS_MON, "--inh-caps", _BOTH, "--ambient-caps", _BOTH)
MONITORS = "/usr/local/lib/mon/mon.d"
DR, NAT, TUN = ("--forwarding", "dr"), ("--forwarding", "nat"), ("--forwarding", "tun")
SERVICE = f"-A -t {VIP}:80 -s rr"
IN_OUTPUT = ("add table inet f", "add chain inet f o { type route hook output priority -150 ; }")
IN_FILTER = ("add table inet f", "add chain inet f o { type filter hook output priority 0 ; }")
IN_INPUT = ("add table inet f", "add chain inet f i { type filter hook input priority 0 ; }")


class Answer(NamedTuple):
    """How a monitor ended: its status, the hosts that it names, and all it says."""

    status: int
    named: str
    said: str


def check(
    director: Director,
    *words: str,
    monitor: str = "http.monitor",
    by: tuple[str, ...] = WITH_BOTH,
    seconds: int = 2,
) -> Answer:
    """Run a monitor on a director as mon does; each host has so many seconds."""
    limit = ("-t", str(seconds), "--omit-good")
    done = director.run(*by, f"{MONITORS}/{monitor}", *limit, *words)
    assert done.stderr == ""
    return Answer(done.returncode, done.stdout.partition("\n")[0], done.stdout)


def by_way(director: Director, *words: str, address: str = VIP, **more: str) -> Answer:
    """Run a check of the first two real servers by way of the virtual address."""
    hosts = ("2001:db8::11", "2001:db8::12") if address == VIP6 else ("192.168.0.1", "192.168.0.2")
    return check(director, "--via", address, *words, *hosts, **more)


@contextmanager
def ip(real: RealServer, hurt: str, mend: str) -> Iterator[None]:
    """Change something by ip(8), and change it back."""
    real.ip(hurt.split("; "))
    try:
        yield
    finally:
        real.ip(mend.split("; "))


@contextmanager
def without_address(real: RealServer, *, forwards: bool) -> Iterator[None]:
    """Take the virtual address off lo, on a server that passes packets on or does not."""
    real.set_sysctls({"ipv4/ip_forward": int(forwards)})
    with ip(real, f"address del {VIP}/32 dev lo", f"address add {VIP}/32 dev lo"):
        yield
    real.set_sysctls({"ipv4/ip_forward": 0})


def tell_nothing(answer: Answer, said: str) -> str:
    """Return what is wrong with an answer that is to name nobody, for a reason."""
    is_right = answer[:2] == (3, "") and said in answer.said
    return "" if is_right else f"{said}: {answer}"
