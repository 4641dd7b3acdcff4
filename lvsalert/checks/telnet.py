"""Whether a telnet server asks who one is (RFC 854)."""

from __future__ import annotations

import re
import socket

from lvsalert.checks.sweep import READ, Conversation, Target, TimedOut, Verdict
from lvsalert.errors import UsageError

_MOST_BYTES = 1 << 16
_IAC, _DONT, _DO, _WONT, _WILL, _SB, _SE = 255, 254, 253, 252, 251, 250, 240
# A command, an option that is offered or asked for, or a negotiation of one (RFC 855).
_COMMAND = re.compile(rb"\xff(?:\xff|([\xfb-\xfe])(.)|\xfa.*?\xff\xf0|[\xf0-\xf9])", re.DOTALL)
_SLASHED = re.compile(r"/(.*)/(i?)", re.DOTALL)


def parse_prompt(text: str) -> re.Pattern[bytes]:
    """Return the prompt that ``/ogin:/i`` stands for; UsageError where it is no expression."""
    slashed = _SLASHED.fullmatch(text)
    expression, is_any_case = (slashed[1], slashed[2]) if slashed else (text, "")
    try:
        return re.compile(expression.encode(), re.IGNORECASE if is_any_case else 0)
    except (re.error, UnicodeEncodeError) as error:
        raise UsageError(f"{text!r} is not a regular expression: {error}") from None


def probe(prompt: re.Pattern[bytes], sock: socket.socket, _target: Target) -> Conversation:
    """Refuse every option that the server offers or asks for, and wait for its prompt."""
    raw, said = b"", b""
    try:
        while not prompt.search(said):
            if len(said) > _MOST_BYTES:
                return Verdict(f"no prompt in {_MOST_BYTES} bytes", said)
            yield READ
            piece = sock.recv(4096)
            if not piece:
                return Verdict("closed without a prompt" if said else "closed without a word", said)
            text, answer, raw = _parted(raw + piece)
            said += text
            if answer:
                # As short as it is, it fits into the socket's buffer.
                sock.send(answer)
    except TimedOut as late:
        return Verdict(f"{late}, {'no prompt' if said else 'nothing came'}", said)
    except (ConnectionResetError, BrokenPipeError):
        return Verdict(f"connection reset, {'no prompt' if said else 'nothing came'}", said)
    return Verdict("", said)


def _parted(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the text, what is answered to the commands, and a command that has not come whole."""
    text, answer, at = bytearray(), bytearray(), 0
    while (start := data.find(b"\xff", at)) >= 0:
        text += data[at:start]
        command = _COMMAND.match(data, start)
        if command is None:
            return bytes(text), bytes(answer), data[start:]
        if command[0] == b"\xff\xff":
            text += b"\xff"
        elif command[1]:
            # WILL and WONT are answered by DONT, DO and DONT by WONT; the two negations are none.
            offered = command[1][0]
            if offered in (_WILL, _DO):
                answer += bytes((_IAC, _DONT if offered == _WILL else _WONT)) + command[2]
        at = command.end()
    return bytes(text + data[at:]), bytes(answer), b""
