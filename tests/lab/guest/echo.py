"""A UDP server: sends each datagram back with its own name before it. `echo.py NAME PORT ADDRESS…`.

It binds each address by itself, so that an answer goes out with the address that was asked.
"""

from __future__ import annotations

import selectors
import socket
import sys


def main(name: str, port: str, *addresses: str) -> None:
    """Serve until killed."""
    waiting = selectors.DefaultSelector()
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.bind((address, int(port)))
        waiting.register(server, selectors.EVENT_READ, server)
    print("ready", flush=True)
    while True:
        for key, _ in waiting.select():
            data, sender = key.data.recvfrom(65536)
            key.data.sendto(f"{name} ".encode() + data, sender)


if __name__ == "__main__":
    main(*sys.argv[1:])
