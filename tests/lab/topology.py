"""The hosts of the lab, plugged together."""

from __future__ import annotations

from pathlib import Path

from tests.lab import network
from tests.lab.client import Client
from tests.lab.director import Director
from tests.lab.realserver import RealServer

# Where lvs.alert remembers, on all hosts alike.
STATE = Path("/var/lib/lvsalert")


class Topology:
    """Two directors, three real servers and a client on one bridge.

    director1 has the virtual addresses. Nothing is served before a scenario starts it.
    """

    def __init__(self, folder: Path) -> None:
        network.make_bridge()
        self.director1 = Director("director1", "10.0.0.1", "192.168.0.251", "2001:db8::1")
        self.director2 = Director("director2", "10.0.0.2", "192.168.0.252", "2001:db8::2")
        self.real_servers = [
            RealServer(f"real{number}", f"192.168.0.{number}", f"2001:db8::1{number}", folder)
            for number in (1, 2, 3)
        ]
        self.client = Client("client", "10.0.0.100/24", "2001:db8::100/64")
        self.director1.take_addresses()

    def start_web(self) -> None:
        """Start the web server of each real server."""
        for real_server in self.real_servers:
            real_server.web.start()

    def reset(self) -> None:
        """Bring everything back to how a scenario finds it."""
        for real_server in self.real_servers:
            for program in real_server.programs:
                program.kill()
            real_server.say(real_server.name)
            real_server.plug_in()
            real_server.filter_packets()
        for director in (self.director1, self.director2):
            director.forget()
            director.filter_packets()
        for part in STATE.glob("ledger.db*"):
            part.unlink()
        # An address that moved would be looked for where it was.
        for host in (*self.real_servers, self.director1, self.director2, self.client):
            host.ip(["neigh flush all"])
        self.client.asked.clear()

    def story(self) -> list[tuple[str, str]]:
        """Return what everybody saw, each part with its title."""
        parts = [(director.name, director.story()) for director in (self.director1, self.director2)]
        for real_server in self.real_servers:
            said = "\n".join(program.output for program in real_server.programs if program.output)
            parts.append((real_server.name, said))
        return [*parts, (self.client.name, self.client.story())]
