"""Whether the kernel forwards packets, as masquerading needs (ip-sysctl, ip_forward)."""

from __future__ import annotations

_SWITCHES = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")


def is_any_off() -> bool:
    """Return whether it does not for a family of addresses that it has."""
    return any(map(_is_off, _SWITCHES))


def forward_packets() -> list[str]:
    """Have the kernel forward packets, as masquerading needs; return what went wrong."""
    wrong = []
    for path in filter(_is_off, _SWITCHES):
        try:
            with open(path, "w", encoding="ascii") as switch:
                switch.write("1\n")
        except OSError as error:
            wrong.append(f"{path}: {error.strerror}, so nothing is masqueraded")
    return wrong


def _is_off(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as switch:
            return switch.read().strip() == "0"
    except FileNotFoundError:
        return False
    except OSError:
        return True
