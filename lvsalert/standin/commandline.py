"""A command line of ipvsadm 1.31: words go in, a `Request` comes out, or ipvsadm's refusal.

ipvsadm(8) has the options; what it does not say (the order of the checks, texts and statuses)
was tried with the program.
"""

from __future__ import annotations

from . import kernel
from .legal import COMMANDS, Refusal, check_command, check_tunnel, spoken
from .popt import OptionError, Words
from .words import V4, V6, leading_number, number, pack, pack_any4, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TRY_HELP = "Try `ipvsadm -h' or 'ipvsadm --help' for more information."
PERSISTENCE_SECONDS = "360"
TIMEOUT_MAX = 31 * 86400
INT_MAX = 2**31 - 1
# The only scheduler that knows the flag by this name (empty: any), and the bit.
_SCHED_FLAGS = {
    "flag-1": ("", 0x8),
    "flag-2": ("", 0x10),
    "flag-3": ("", 0x20),
    "sh-fallback": ("sh", 0x8),
    "sh-port": ("sh", 0x10),
    "mh-fallback": ("mh", 0x8),
    "mh-port": ("mh", 0x10),
}
_TUNNEL_TYPES = {"ipip": kernel.IPIP, "gue": kernel.GUE, "gre": kernel.GRE}
_TUNNEL_FLAGS = {"tun-nocsum": 0, "tun-csum": 1, "tun-remcsum": 2}
_ROLES = {"master": kernel.MASTER, "backup": kernel.BACKUP}
_PROTOCOLS = {"tcp-service": kernel.TCP, "udp-service": kernel.UDP, "sctp-service": kernel.SCTP}
_FORWARDING = {
    "masquerading": kernel.MASQUERADING,
    "ipip": kernel.TUNNELLING,
    "gatewaying": kernel.GATEWAYING,
}
# Least, greatest, the name in messages, and the field that takes it.
_DAEMON_NUMBERS = {
    "syncid": (0, 255, "syncid", "syncid"),
    "mcast-port": (1, 65535, "mcast-port", "port"),
    "mcast-ttl": (1, 255, "mcast-ttl", "ttl"),
    "sync-maxlen": (1, 65535 - 28, "sync-maxlen", "maxlen"),
}
_NUMBERS = {
    "weight": (0, INT_MAX, "weight", "weight"),
    "u-threshold": (0, INT_MAX, "u_threshold", "upper"),
    "l-threshold": (0, INT_MAX, "l_threshold", "lower"),
    "tun-port": (1, 65535, "tunnel port", "tunnel_port"),
    **_DAEMON_NUMBERS,
}


class Request:
    """What one command line asks for: the command's long name and all its settings."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.given: set[str] = set()
        self.service = kernel.VirtualService()
        self.server = kernel.RealServer()
        self.daemon = kernel.SyncDaemon()
        self.timeouts: list[int] = []
        self.sched_flags = ""
        self.tunnel = "ipip"


def read(words: list[str]) -> Request:
    """Read one command line, without the program's name.

    Raises Refusal where ipvsadm ends, OptionError where it gives up on this line alone.
    """
    line = Words(words)
    options = line.options()
    try:
        name, value = next(options)
    except (StopIteration, OptionError):
        raise Refusal(TRY_HELP, 255) from None
    request = Request(name)
    if name in {"help", "version"}:
        return request
    if name not in COMMANDS:
        raise Refusal(TRY_HELP, 255)
    if name == "start-daemon" and value not in _ROLES:
        raise Refusal("illegal start-daemon parameter specified")
    if name == "stop-daemon" and value not in _ROLES:
        raise Refusal("illegal start_daemon specified")
    request.daemon.state = _ROLES.get(value or "", 0)
    for name, value in options:
        _take(request, name, value, line.last)
    leftover = line.leftover
    if request.command == "set":
        if len(leftover) < 3:
            raise Refusal("--set option requires 3 timeout values")
        request.timeouts = [_seconds(text, 0) for text in leftover[:3]]
        leftover = leftover[3:]
    if leftover:
        raise Refusal(f"unexpected argument {leftover[0]}")
    _finish(request)
    return request


def _take(request: Request, name: str, value: str | None, word: str) -> None:
    if name in COMMANDS or name in {"help", "version"}:
        raise Refusal(f"invalid option `{word}'")
    if name == "sort":
        return
    if name == "ipv6":
        if request.service.fwmark == 0:
            raise Refusal("-6 used before -f\n")
        request.service.family, request.service.netmask = V6, 128
        return
    if spoken(name) in request.given:
        raise Refusal(f"multiple '{spoken(name)}' options specified")
    request.given.add(spoken(name))
    taker = _TAKERS.get(name)
    if taker is not None:
        # Of the options with a value, -p is the only one that may come without it.
        taker(request, name, PERSISTENCE_SECONDS if value is None else value)


def _take_flag(request: Request, name: str, _value: str) -> None:
    if name == "ops":
        request.service.flags |= kernel.ONE_PACKET
    elif name in _FORWARDING:
        request.server.forwarding = _FORWARDING[name]
    else:
        request.server.tunnel_flags = _TUNNEL_FLAGS[name]


def _take_text(request: Request, name: str, value: str) -> None:
    if name == "scheduler":
        request.service.scheduler = value[: kernel.NAME_MAX]
    elif name == "pe":
        request.service.engine = value[: kernel.NAME_MAX + 1]
    elif name == "sched-flags":
        request.sched_flags = value
    else:
        request.daemon.interface = value[: kernel.NAME_MAX]


def _take_number(request: Request, name: str, value: str) -> None:
    low, high, said, field = _NUMBERS[name]
    found = number(value, low, high)
    if found is None:
        raise Refusal(f"illegal {said} specified")
    setattr(request.daemon if name in _DAEMON_NUMBERS else request.server, field, found)


def _take_service(request: Request, name: str, value: str) -> None:
    service, protocol = request.service, _PROTOCOLS[name]
    found = place(value, protocol)
    if found is None:
        raise Refusal("illegal virtual server address[:port] specified")
    service.protocol = protocol
    service.address, service.port = found[0], found[1] or 0
    service.family = V4 if len(service.address) == 4 else V6
    if service.family == V6:
        service.netmask = 128


def _take_fwmark(request: Request, _name: str, value: str) -> None:
    mark = number(value, 1, 2**32 - 1)
    if mark is None:
        raise Refusal(f"invalid fwmark value `{value}' specified")
    request.service.family, request.service.protocol = V4, kernel.TCP
    request.service.fwmark = mark


def _take_netmask(request: Request, _name: str, value: str) -> None:
    service = request.service
    if service.family == V6:
        service.netmask = leading_number(value)
        if not 1 <= service.netmask <= 128:
            raise Refusal("illegal ipv6 netmask specified")
        return
    mask = pack_any4(value)
    if mask is None:
        raise Refusal("illegal virtual server persistent mask specified")
    service.netmask = int.from_bytes(mask, "big")


def _take_server(request: Request, _name: str, value: str) -> None:
    found = place(value, request.service.protocol)
    if found is None:
        raise Refusal("illegal real server address[:port] specified")
    address, port = found
    request.server.address = address
    request.server.port = request.service.port if port is None else port


def _take_group(request: Request, _name: str, value: str) -> None:
    family = V6 if ":" in value else V4
    group = pack(family, value)
    multicast = group is not None and (group[0] == 0xFF or (family, group[0] >> 4) == (V4, 0xE))
    if group is None or not multicast or (family == V4 and group[0] == 0xFF):
        raise Refusal(f"invalid {'IPv6' if family == V6 else 'IPv4'} mcast-group `{value}'")
    request.daemon.group = group


def _take_tunnel(request: Request, _name: str, value: str) -> None:
    if value not in _TUNNEL_TYPES:
        raise Refusal("illegal tunnel type specified")
    request.tunnel, request.server.tunnel_type = value, _TUNNEL_TYPES[value]


def _take_persistence(request: Request, _name: str, value: str) -> None:
    request.service.flags |= kernel.PERSISTENT
    request.service.timeout = _seconds(value, 1)


def _seconds(text: str, low: int) -> int:
    seconds = number(text, low, TIMEOUT_MAX)
    if seconds is None:
        raise Refusal(f"invalid timeout value `{text}' specified")
    return seconds


_TAKERS: dict[str, Callable[[Request, str, str], None]] = {
    **dict.fromkeys(_PROTOCOLS, _take_service),
    **dict.fromkeys(_NUMBERS, _take_number),
    **dict.fromkeys(["ops", *_FORWARDING, *_TUNNEL_FLAGS], _take_flag),
    **dict.fromkeys(["scheduler", "pe", "sched-flags", "mcast-interface"], _take_text),
    "fwmark-service": _take_fwmark,
    "netmask": _take_netmask,
    "real-server": _take_server,
    "mcast-group": _take_group,
    "tun-type": _take_tunnel,
    "persistent": _take_persistence,
}


def _finish(request: Request) -> None:
    """Check what only the whole line can tell, and fill in defaults, in ipvsadm's order."""
    _finish_flags(request)
    check_command(request.command, request.given)
    if request.command in {"add-service", "edit-service"}:
        _finish_service(request.service)
    elif request.command in {"add-server", "edit-server"}:
        _finish_server(request)
    elif request.command == "start-daemon":
        request.daemon.interface = request.daemon.interface or "eth0"
    elif request.command == "list":
        other = request.given & {"timeout", "daemon"}
        columns = request.given & {"stats", "rate", "thresholds"}
        if (columns and (other or "connection" in request.given)) or (
            other and "persistent-conn" in request.given
        ):
            raise Refusal("options conflicts in the list command")


def _finish_flags(request: Request) -> None:
    for flag in filter(None, request.sched_flags.split(",")):
        if flag not in _SCHED_FLAGS:
            raise Refusal(f"invalid scheduler flag `{flag}'")
        scheduler, bit = _SCHED_FLAGS[flag]
        if scheduler not in {"", request.service.scheduler}:
            raise Refusal(f"incompatible scheduler flag `{flag}'")
        request.service.flags |= bit


def _finish_service(service: kernel.VirtualService) -> None:
    if service.fwmark == 0 and service.port == 0 and not service.flags & kernel.PERSISTENT:
        raise Refusal("Zero port specified for non-persistent service")
    one_packet = service.flags & kernel.ONE_PACKET
    if one_packet and service.fwmark == 0 and service.protocol != kernel.UDP:
        raise Refusal("One-Packet Scheduling is only for UDP virtual services")
    service.scheduler = service.scheduler or "wlc"


def _finish_server(request: Request) -> None:
    service, server = request.service, request.server
    if service.fwmark == 0 and server.forwarding != kernel.MASQUERADING:
        server.port = service.port
    if server.family != service.family and server.forwarding != kernel.TUNNELLING:
        raise Refusal("Different address family is allowed only for tunneling servers")
    if any(name.startswith("tun-") for name in request.given):
        if server.forwarding != kernel.TUNNELLING:
            raise Refusal("Tunnel options conflict with forward method")
        check_tunnel(request.tunnel, request.given)
