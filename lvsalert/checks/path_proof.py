"""What shows whether a verdict by way of a virtual address counts, or says nothing of its host.

A verdict counts only if the kernel's list of connections shows that very connection at that very
real server: without the mark's service any one answers, or none. After a silence we look whether
the answer had come in, or the question had not left, and this machine dropped it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Callable

from lvsalert.checks.path_setting import Doubt, sysctl
from lvsalert.checks.rtnetlink import unresolved
from lvsalert.errors import LvsalertError, PrivilegeError
from lvsalert.model import Connection, Protocol, Result

if TYPE_CHECKING:
    from typing_extensions import Self

    from lvsalert.checks.path_host import Host
    from lvsalert.checks.traffic import Traffic

# Often enough to see each connection before the list forgets it, which takes 10 s.
_LOOK_SECONDS = 6.0
# What leaves the list while it is read has others passed over.
_LOOKS = 3
# How the reasons of those end from whom nothing came.
_SILENT = {
    Protocol.TCP: ("no connection", "Connection timed out"),
    Protocol.UDP: ("no answer",),
}


class Proof:
    """Sees the kernel's list of connections while hosts are asked, so that none is forgotten.

    ``made`` returns those of the connections that are in the list.
    """

    def __init__(
        self, made: Callable[[Iterable[Connection]], set[Connection]], hosts: Sequence[Host]
    ) -> None:
        self._made = made
        self._hosts = hosts
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self.seen: set[Connection] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        for _each in range(_LOOKS):
            if not self._look():
                break

    def _go_on(self) -> None:
        while not self._is_over.wait(_LOOK_SECONDS):
            # What is wrong is told at the end.
            with contextlib.suppress(LvsalertError):
                self._look()

    def _look(self) -> bool:
        """Look for connections that were not seen yet; return whether some are still missing."""
        begun = {each for host in self._hosts for each in tuple(host.connections)} - self.seen
        found = self._made(begun)
        self.seen |= found
        return found != begun


def astray(host: Host, seen: Collection[Connection]) -> Doubt | None:
    """Return why a host's answer is none of its own, None where the kernel had sent us there."""
    if host.connections and all(each in seen for each in host.connections):
        return None
    found = "the kernel did not send the check there"
    if sysctl("vs/backup_only"):
        reason = "net.ipv4.vs.backup_only is 1, by which a backup director balances nothing"
        return Doubt(f"{found}: {reason}", "as root: sysctl -w net.ipv4.vs.backup_only=0")
    return Doubt(
        f"{found} by its firewall mark {host.mark}",
        "somebody removed that from the table meanwhile (ipvsadm -C), and the next check sets it;"
        " or a rule of the firewall's OUTPUT changes marks, and must not",
    )


class Watch:
    """What comes in for the hosts' sources and leaves from them, and why that is not seen."""

    def __init__(self, hosts: Iterable[Host], stack: contextlib.ExitStack) -> None:
        from lvsalert.checks.traffic import Traffic

        self.lacking = ""
        self._traffic: dict[tuple[Protocol, str], Traffic] = {}
        try:
            for key in {(host.protocol, host.source) for host in hosts}:
                self._traffic[key] = Traffic(*key)
                stack.callback(self._traffic[key].close)
        except PrivilegeError as error:
            self.lacking = str(error)

    def answer_has_come(self, host: Host) -> bool:
        """Return whether an answer has come in that a client would have got."""
        traffic = self._traffic[host.protocol, host.source]
        # What is masqueraded comes as the real server's, and one that answers as itself where it
        # was asked as the virtual address answers nobody.
        return any(
            traffic.has_come(each.real if host.is_masqueraded else each.virtual, each.source)
            for each in host.connections
        )

    def question_has_left(self, host: Host) -> bool:
        """Return whether a packet has left for a host, or nothing here can have kept it back.

        Nothing leaves for a host that no neighbour answers for, which is the host's fault. What is
        masqueraded is others' to change, and behind a router we do not see whom it is sent to.
        """
        if host.is_masqueraded or not host.is_direct:
            return True
        traffic = self._traffic[host.protocol, host.source]
        if any(traffic.has_left(each.source, each.virtual) for each in host.connections):
            return True
        return host.way.address in unresolved()


@contextlib.contextmanager
def watching(hosts: Iterable[Host]) -> Iterator[Watch]:
    """See what comes and goes while hosts are asked once more."""
    with contextlib.ExitStack() as stack:
        yield Watch(hosts, stack)


def dropped(host: Host, result: Result, watch: Watch) -> Doubt | None:
    """Return why a silence is none of the host's, None where it is."""
    if not result.reason.endswith(_SILENT[host.protocol]):
        return None
    if watch.lacking:
        return Doubt(f"is silent, and {watch.lacking}", "for mon: lvs-director install --systemd")
    name, (address, port) = host.protocol.name, (host.target.name, host.target.port)
    if watch.answer_has_come(host):
        todo = f"let the firewall's INPUT take {name} from {address} port {port} to {host.source}"
        return Doubt("its answer came in and was dropped here", todo)
    if not watch.question_has_left(host):
        todo = f"let the firewall's OUTPUT pass {name} from {host.source} to {address} port {port}"
        return Doubt("the check was dropped here on its way out", todo)
    return None
