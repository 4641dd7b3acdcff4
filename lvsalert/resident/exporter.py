"""The process that shows how things stand over HTTP: read-only, and apart from all runs.

It is one of its own, so that nothing that a client does can reach the loop or a run.
"""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any, Callable, NamedTuple, NoReturn, Union
from urllib.parse import urlsplit

from lvsalert.errors import UsageError
from lvsalert.model import canonical_address, join_endpoint, parse_port, split_endpoint
from lvsalert.resident import notes
from lvsalert.resident.server import listen

Place = Union[tuple[str, int], str]
"""Where to listen: an address with its port, or the path of a Unix socket."""

# What a client may take for all of its request and our answer.
_SECONDS = 5.0
_MOST_CLIENTS = 16
# Clients that ask at once see the same.
_FRESH_SECONDS = 1.0
_AGAIN_SECONDS = 1.0
# The group may connect to a Unix socket too.
_MASK = 0o117
# A page is text with its own style and script, and nothing from anywhere else.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_UNIX = "unix:"


class Page(NamedTuple):
    """An answer: its type, and its bytes."""

    content_type: str
    body: bytes


Pages = Mapping[str, Callable[[notes.Counts, str], Page]]
"""By their paths, what makes them of the counts and of the client's header ``Accept``."""


def parse_place(text: str) -> Place:
    """Return where ``ADDRESS:PORT``, ``PORT`` (on loopback) or ``unix:PATH`` is.

    UsageError for what is none of them.
    """
    if text.startswith(_UNIX):
        path = text[len(_UNIX) :]
        if os.path.isabs(path):
            return path
    elif text.isdigit():
        return "127.0.0.1", parse_port(text)
    else:
        host, port = split_endpoint(text)
        address = canonical_address(host)
        if address is not None and port is not None:
            return address, parse_port(port)
    raise UsageError(f"{text!r} is not a place to listen: write 127.0.0.1:9798, 9798 or unix:/PATH")


def spelled(place: Place) -> str:
    """Return a place as a user writes it."""
    return f"{_UNIX}{place}" if isinstance(place, str) else join_endpoint(*place)


def export(
    heard: socket.socket, counts: notes.Counts, places: Sequence[Place], pages: Pages
) -> NoReturn:
    """Show the pages at all these places, and count what is ``heard``, until the resident ends.

    Where one cannot be had, as another process has it still, that is said once and tried again.
    """
    kept = _Kept(counts, pages)
    for place in places:
        threading.Thread(target=_serve, args=(place, kept), daemon=True).start()
    while words := notes.read(heard):
        counts.take(words)
    os._exit(0)


def _serve(place: Place, kept: _Kept) -> None:
    is_told = False
    while True:
        try:
            server = _Server(place, kept)
        except OSError as error:
            if not is_told:
                is_told = True
                said = f"{spelled(place)}: {error.strerror}: tried again until it can be had"
                print(f"lvs-director: {said}", file=sys.stderr, flush=True)  # noqa: T201
            time.sleep(_AGAIN_SECONDS)
            continue
        server.serve_forever()


class _Kept:
    """The pages, each made anew where the last one is old; one at a time."""

    def __init__(self, counts: notes.Counts, pages: Pages) -> None:
        self._counts = counts
        self._pages = pages
        self._making = threading.Lock()
        self._made: dict[tuple[str, str], tuple[float, Page]] = {}

    def get(self, path: str, accept: str) -> Page | None:
        """Return a page, None where there is none of that path."""
        make = self._pages.get(path)
        if make is None:
            return None
        with self._making:
            now = time.monotonic()
            # What is old goes, so that clients cannot fill the memory with what they accept.
            self._made = {
                key: each for key, each in self._made.items() if each[0] > now - _FRESH_SECONDS
            }
            if (path, accept) not in self._made:
                self._made[path, accept] = now, make(self._counts, accept)
            return self._made[path, accept][1]


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """An HTTP server at a place, with a thread for each of a few clients."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, place: Place, kept: _Kept) -> None:
        self.kept = kept
        self._room = threading.Semaphore(_MOST_CLIENTS)
        if isinstance(place, str):
            super().__init__(("", 0), _Handler, bind_and_activate=False)
            self.socket.close()
            self.socket = listen(place, _MASK)
        else:
            is_v6 = ":" in place[0]
            self.address_family = socket.AF_INET6 if is_v6 else socket.AF_INET
            super().__init__(place, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; where there are too many, not at all."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and end whatever a client does after its time."""
        end = threading.Timer(_SECONDS, _cut_off, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away; anything else is a bug."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _cut_off(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One request, of GET or HEAD."""

    server: _Server
    timeout = _SECONDS
    server_version = "lvsalert"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with a page."""
        self._answer(has_body=True)

    def do_HEAD(self) -> None:
        """Answer without it."""
        self._answer(has_body=False)

    def _answer(self, *, has_body: bool) -> None:
        page = self.server.kept.get(urlsplit(self.path).path, self.headers.get("Accept", ""))
        if page is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if has_body:
            self.wfile.write(page.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing: a scrape every few seconds is no news."""
