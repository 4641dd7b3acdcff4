"""What a plug-in and the resident process say to each other.

Each side sends one message: its length, then its parts, each with its length in front (four bytes,
little-endian). A plug-in's holds the version, the program, its working directory, what was on
standard input, the number of its words, the words, and the environment. The answer to it is TAKEN
at once, and when the run is over its status, standard output and standard error. No answer, and an
answer that breaks off, mean that the plug-in has to run by itself.

Plug-ins import this before everything else, so it imports nothing that takes time.
"""

from __future__ import annotations

import posix
import sys

from lvsalert import __version__

# As typing's, which takes its time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SOCKET = "/run/lvsalert/socket"
"""Where the resident process listens (unix(7))."""

TAKEN = b"+"
_LENGTH = 4
# More than the kernel lets anybody have as arguments and environment, with standard input.
MOST_BYTES = 1 << 26


class Broken(Exception):
    """What was received is no message."""


def call(program: str, stdin: bytes, environ: Mapping[bytes, bytes]) -> bytes:
    """Return the message that calls a program with this process's words, in its folder."""
    # As os.fsencode does, whose module takes its time.
    how = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
    words = [word.encode(*how) for word in sys.argv]
    head = [__version__.encode(), program.encode(), posix.getcwdb(), stdin, b"%d" % len(words)]
    return pack([*head, *words, *[name + b"=" + value for name, value in environ.items()]])


def head(data: bytes) -> tuple[str, str]:
    """Return the version and the program of a call that has begun; Broken where it is none."""
    found, at = [], _LENGTH
    for _ in range(2):
        end = at + _LENGTH
        at = end + int.from_bytes(data[at:end], "little")
        if at > len(data):
            raise Broken("a message without a head")
        found.append(data[end:at].decode("ascii", "replace"))
    return found[0], found[1]


def pack(parts: list[bytes]) -> bytes:
    """Return a message of these parts."""
    body = b"".join([len(part).to_bytes(_LENGTH, "little") + part for part in parts])
    return len(body).to_bytes(_LENGTH, "little") + body


def missing(data: bytes) -> int:
    """Return how many bytes a message that has begun still needs; Broken where it is too long."""
    if len(data) < _LENGTH:
        return _LENGTH - len(data)
    length = int.from_bytes(data[:_LENGTH], "little")
    if length > MOST_BYTES:
        raise Broken(f"a message of {length} bytes")
    return _LENGTH + length - len(data)


def unpack(data: bytes) -> list[bytes]:
    """Return the parts of a whole message; Broken for what is none."""
    if missing(data) != 0:
        raise Broken("a message that is not whole")
    parts, at = [], _LENGTH
    while at < len(data):
        end = at + _LENGTH
        length = int.from_bytes(data[at:end], "little")
        at = end + length
        if at > len(data):
            raise Broken("a part that is longer than its message")
        parts.append(data[end:at])
    return parts
