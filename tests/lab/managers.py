"""What moves the virtual address between two directors, and how it is asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.lab.node import Node


class Manager:
    """One way of moving it.

    ``beat`` is what tcpdump(8) is to show of its heartbeats, ``shown`` a regular expression for
    such a line behind the sender's hardware address; both are empty where a neighbour hears none.
    ``asked`` are commands whose output belongs into a director's story, and ``killed`` is what of
    mon may be killed, in pkill's words.
    """

    beat: str = ""
    shown: str = ""
    asked: Sequence[Sequence[str]] = ()
    killed: Sequence[str] = ("-x", "mon")

    def start(self, node: Node, *, is_ours: bool) -> None:
        """Start it on a director that was just switched on."""
        raise NotImplementedError

    def configure(self, node: Node) -> None:
        """Tell the cluster, once and on one director, what there is to run."""

    def forget(self, node: Node) -> None:
        """Have it done with what it found amiss, before the next thing happens."""

    def stand_by(self, node: Node) -> None:
        """Have it give everything to the other director."""
        raise NotImplementedError

    def is_settled(self, node: Node) -> bool:
        """Say whether it is done with starting all on a director that has the address."""
        raise NotImplementedError

    def is_open(self, node: Node) -> bool:
        """Say whether new connections get to the table of a director that has the address."""
        del node
        return True

    def is_ready(self, node: Node) -> bool:
        """Say whether a director without the address could take it over."""
        del node
        return True

    def was_held_up(self, said: str, node: Node) -> bool:
        """Say whether a director's story tells that the guest stood still for too long."""
        del said, node
        return False


class Heartbeat(Manager):
    """heartbeat with its own resource manager."""

    # The port in both examples.
    beat = "udp dst port 1001"
    shown = r"\.1001: UDP"
    asked = (["cl_status", "rscstatus"], ["cat", "/var/log/ha-debug"])

    def start(self, node: Node, *, is_ours: bool) -> None:
        """Start it; with ours as its unit does with the drop-in: a standby first."""
        if is_ours:
            node.do("/etc/ha.d/resource.d/lvs", "stop")
        node.do("/etc/init.d/heartbeat", "start")

    def stand_by(self, node: Node) -> None:
        """Ask it until it takes the request: what comes by its FIFO is lost now and then."""
        taken = f"{node.name}.domain.com wants to go standby [all]"

        def is_taken() -> bool:
            if taken in node.do("cat", "/var/log/syslog"):
                return True
            node.do("/usr/share/heartbeat/hb_standby")
            return False

        wait_until(is_taken, node.story, pause=3)

    def is_settled(self, node: Node) -> bool:
        """Ask for the state in which it would take a request for a standby."""
        return node.run("cl_status", "rscstatus").stdout.strip() in ("local", "all", "foreign")

    def was_held_up(self, said: str, node: Node) -> bool:
        """Say whether heartbeats came so late that they count as lost."""
        return f"Late heartbeat: Node {node.name}.domain.com" in said


class Vrrp(Manager):
    """keepalived as VRRP alone."""

    beat = "ip proto 112"
    shown = r"VRRPv2, Advertisement"

    def start(self, node: Node, *, is_ours: bool) -> None:
        """Lay the rules and start it as its unit does."""
        assert is_ours
        node.do("nft", "-f", "/etc/keepalived/director.nft")
        node.do("keepalived", "--vrrp", "--log-detail")

    def stand_by(self, node: Node) -> None:
        """Stop it, as its unit does."""
        node.do("pkill", "-TERM", "-o", "-x", "keepalived")

    def is_settled(self, node: Node) -> bool:
        """Say whether its script has done all."""
        return self.is_open(node) and self.is_ready(node)

    def is_ready(self, node: Node) -> bool:
        """Say whether its script has set up the table and started mon."""
        stands = node.run("cat", "/run/lvs-director.table").stdout == "0\n"
        return stands and not node.run("/etc/ha.d/resource.d/mon", "status").returncode

    def is_open(self, node: Node) -> bool:
        """Say whether no new connection waits for a check of the real servers."""
        return "elements" not in node.do("nft", "list", "set", "inet", "director", "lately")


class Pacemaker(Manager):
    """Pacemaker on corosync, told by crm(8)."""

    # corosync's go from one director to the other, many a second.
    asked = (["crm_mon", "-1rnf"],)
    # With what starts it again, so that Pacemaker has to.
    killed = ("-u", "mon")

    def start(self, node: Node, *, is_ours: bool) -> None:
        """Start both as their units do, with the drop-in for Pacemaker's."""
        assert is_ours
        node.do("/etc/ha.d/resource.d/lvs", "stop")
        node.do("corosync")
        # What is told to syslog is enough; its own log takes a good part of the time.
        daemon = "PCMK_logfile=none setsid pacemakerd >/dev/null 2>&1 </dev/null &"
        node.do("sh", "-c", daemon)

    def configure(self, node: Node) -> None:
        """Load the example once both directors are there."""

        def are_online() -> bool:
            said = node.run("crm_mon", "-1").stdout
            return all(name in said for name in ("Online", "lvs1.domain.com lvs2.domain.com"))

        wait_until(are_online, node.story, pause=1)
        node.do("crm", "configure", "load", "update", "/etc/lvs.crm")

    def forget(self, node: Node) -> None:
        """Have it look at everything anew; it then knows of nothing amiss."""
        node.do("crm_resource", "--refresh")

    def stand_by(self, node: Node) -> None:
        """Have crm say so, of the director that it runs on."""
        node.do("crm", "node", "standby")

    def is_settled(self, node: Node) -> bool:
        """Say whether the last of its resources runs, and it has no more to do."""
        if node.run("/etc/ha.d/resource.d/mon", "status").returncode:
            return False
        return not node.run("crm_resource", "--wait").returncode and node.runs_mon
