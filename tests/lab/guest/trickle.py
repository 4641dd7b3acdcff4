"""A slow download: numbers, one a line, for as long as the client listens. `trickle.py PORT`."""

from __future__ import annotations

import itertools
import socketserver
import sys
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
    with Server(("0.0.0.0", int(sys.argv[1])), Trickle) as server:
        print("ready", flush=True)
        server.serve_forever()
