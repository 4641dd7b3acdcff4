"""Numbers, addresses and ports as ipvsadm 1.31 takes them: strtol, atoi, inet_aton and netdb."""

from __future__ import annotations

import _socket  # the module socket costs more than the rest of a run and adds nothing used here

V4, V6 = 2, 10
PROTOCOL_NAMES = {6: "tcp", 17: "udp", 132: "sctp"}
_SPACE = " \t\n\v\f\r"


def number(text: str, low: int, high: int) -> int | None:
    """Return the decimal number in `text` (blanks and a sign may lead), None unless low..high."""
    digits = text.lstrip(_SPACE)
    if digits[:1] in {"+", "-"}:
        digits = digits[1:]
    if not (digits.isascii() and digits.isdigit()) or len(digits.lstrip("0")) > 20:
        return None
    value = int(text)
    return value if low <= value <= high else None


def leading_number(text: str) -> int:
    """Return the number that `text` begins with, 0 without one, as C's atoi does."""
    text = text.lstrip(_SPACE)
    end = 1 if text[:1] in {"+", "-"} else 0
    while end < len(text) and text[end] in "0123456789":
        end += 1
    return int(text[:end]) if text[:end].strip("+-") else 0


def pack(family: int, text: str) -> bytes | None:
    """Return the packed address, None when `text` is no full address of this family."""
    try:
        return _socket.inet_pton(family, text)
    except (OSError, ValueError):
        return None


def pack_any4(text: str) -> bytes | None:
    """Return the packed IPv4 address of a short, octal or hexadecimal spelling or of a name."""
    try:
        return _socket.inet_aton(text)
    except (OSError, ValueError):
        pass
    if text == "":
        return None
    try:
        return _socket.inet_aton(_socket.gethostbyname(text))
    except (OSError, ValueError):
        return None


def port_number(text: str, protocol: int) -> int | None:
    """Return the port by number, or by its name in the services database."""
    port = number(text, 0, 65535)
    if port is not None or protocol not in PROTOCOL_NAMES:
        return port
    try:
        return _socket.getservbyname(text, PROTOCOL_NAMES[protocol])
    except (OSError, ValueError):
        return None


def place(text: str, protocol: int) -> tuple[bytes, int | None] | None:
    """Return (packed address, port or None without one) of `address[:port]`, None if illegal.

    As ipvsadm has it: bare digits are no address, brackets need a port behind them, and an IPv6
    address without brackets has none.
    """
    if text == "" or (text.isascii() and text.isdigit()):
        return None
    port_text = None
    if text.startswith("["):
        text, bracket, port_text = text[1:].partition("]")
        if not bracket or not port_text.startswith(":"):
            return None
        port_text = port_text[1:]
    address = pack(V6, text)
    if address is None:
        host, colon, behind = text.rpartition(":")
        text, port_text = (host, behind) if colon else (text, None)
        address = pack_any4(text)
    if address is None or port_text is None:
        return None if address is None else (address, None)
    port = port_number(port_text, protocol)
    return None if port is None else (address, port)
