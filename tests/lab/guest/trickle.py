"""A slow download: numbers, one a line, for as long as the client listens. `trickle.py PORT…`."""

from __future__ import annotations

import itertools
import socketserver
import sys
import threading
import time

PAUSE = 0.1


class Trickle(socketserver.BaseRequestHandler):
    """Sends to one client."""

    def handle(self) -> None:
        """Send until the connection breaks."""
        try:
            for number in itertools.count():
                self.request.sendall(b"%d\n" % number)
                time.sleep(PAUSE)
        except OSError:
            return


class Server(socketserver.ThreadingTCPServer):
    """Serves every address of its host."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    servers = [Server(("0.0.0.0", int(port)), Trickle) for port in sys.argv[1:]]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    servers[0].serve_forever()
