"""A command line of ipvsadm 1.31: words go in, a `Request` comes out, or ipvsadm's refusal.

ipvsadm(8) has the options; what it does not say (the order of the checks, texts and statuses)
was tried with the program.
"""

from __future__ import annotations

from . import kernel
from .legal import COMMANDS, Refusal, check_command, check_tunnel, spoken
from .popt import OptionError, Words
from .words import V4, V6, leading_number, number, pack, pack_any4, place

TRY_HELP = "Try `ipvsadm -h' or 'ipvsadm --help' for more information."
PERSISTENCE_SECONDS = 360
TIMEOUT_MAX = 31 * 86400
INT_MAX = 2**31 - 1
SCHED_FLAGS = {
    "flag-1": ("", 0x8),
    "flag-2": ("", 0x10),
    "flag-3": ("", 0x20),
    "sh-fallback": ("sh", 0x8),
    "sh-port": ("sh", 0x10),
    "mh-fallback": ("mh", 0x8),
    "mh-port": ("mh", 0x10),
}
"""Scheduler flags: the only scheduler that has the name (empty: any), and the bit."""
TUNNEL_TYPES = {"ipip": kernel.IPIP, "gue": kernel.GUE, "gre": kernel.GRE}
TUNNEL_FLAGS = {"tun-nocsum": 0, "tun-csum": 1, "tun-remcsum": 2}
ROLES = {"master": kernel.MASTER, "backup": kernel.BACKUP}
_PROTOCOLS = {"tcp-service": kernel.TCP, "udp-service": kernel.UDP, "sctp-service": kernel.SCTP}
_FORWARDING = {
    "masquerading": kernel.MASQUERADING,
    "ipip": kernel.TUNNELLING,
    "gatewaying": kernel.GATEWAYING,
}
_NUMBERS = {
    "weight": (0, INT_MAX, "weight"),
    "u-threshold": (0, INT_MAX, "u_threshold"),
    "l-threshold": (0, INT_MAX, "l_threshold"),
    "syncid": (0, 255, "syncid"),
    "mcast-port": (1, 65535, "mcast-port"),
    "mcast-ttl": (1, 255, "mcast-ttl"),
    "sync-maxlen": (1, 65535 - 28, "sync-maxlen"),
    "tun-port": (1, 65535, "tunnel port"),
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
    if name == "start-daemon" and value not in ROLES:
        raise Refusal("illegal start-daemon parameter specified")
    if name == "stop-daemon" and value not in ROLES:
        raise Refusal("illegal start_daemon specified")
    request.daemon.state = ROLES.get(value or "", 0)
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
    if name == "persistent":
        request.service.flags |= kernel.PERSISTENT
        request.service.timeout = PERSISTENCE_SECONDS if value is None else _seconds(value, 1)
    elif name == "ops":
        request.service.flags |= kernel.ONE_PACKET
    elif name in _FORWARDING:
        request.server.forwarding = _FORWARDING[name]
    elif name in TUNNEL_FLAGS:
        request.server.tunnel_flags = TUNNEL_FLAGS[name]
    elif value is not None:
        _take_value(request, name, value)


def _take_value(request: Request, name: str, value: str) -> None:
    if name in _NUMBERS:
        _take_number(request, name, value)
    elif name in _PROTOCOLS:
        _take_service(request.service, _PROTOCOLS[name], value)
    elif name == "fwmark-service":
        mark = number(value, 1, 2**32 - 1)
        if mark is None:
            raise Refusal(f"invalid fwmark value `{value}' specified")
        request.service.family, request.service.protocol = V4, kernel.TCP
        request.service.fwmark = mark
    elif name == "netmask":
        _take_netmask(request.service, value)
    elif name == "real-server":
        _take_server(request, value)
    elif name == "scheduler":
        request.service.scheduler = value[: kernel.NAME_MAX]
    elif name == "pe":
        request.service.engine = value[: kernel.NAME_MAX + 1]
    elif name == "sched-flags":
        request.sched_flags = value
    elif name == "tun-type":
        if value not in TUNNEL_TYPES:
            raise Refusal("illegal tunnel type specified")
        request.tunnel, request.server.tunnel_type = value, TUNNEL_TYPES[value]
    elif name == "mcast-interface":
        request.daemon.interface = value[: kernel.NAME_MAX]
    elif name == "mcast-group":
        _take_group(request.daemon, value)


def _take_number(request: Request, name: str, value: str) -> None:
    low, high, said = _NUMBERS[name]
    found = number(value, low, high)
    if found is None:
        raise Refusal(f"illegal {said} specified")
    if name == "weight":
        request.server.weight = found
    elif name == "u-threshold":
        request.server.upper = found
    elif name == "l-threshold":
        request.server.lower = found
    elif name == "syncid":
        request.daemon.syncid = found
    elif name == "mcast-port":
        request.daemon.port = found
    elif name == "mcast-ttl":
        request.daemon.ttl = found
    elif name == "sync-maxlen":
        request.daemon.maxlen = found
    elif name == "tun-port":
        request.server.tunnel_port = found


def _take_service(service: kernel.VirtualService, protocol: int, value: str) -> None:
    found = place(value, protocol)
    if found is None:
        raise Refusal("illegal virtual server address[:port] specified")
    service.protocol = protocol
    service.address, service.port = found[0], found[1] or 0
    service.family = V4 if len(service.address) == 4 else V6
    if service.family == V6:
        service.netmask = 128


def _take_netmask(service: kernel.VirtualService, value: str) -> None:
    if service.family == V6:
        service.netmask = leading_number(value)
        if not 1 <= service.netmask <= 128:
            raise Refusal("illegal ipv6 netmask specified")
        return
    mask = pack_any4(value)
    if mask is None:
        raise Refusal("illegal virtual server persistent mask specified")
    service.netmask = int.from_bytes(mask, "big")


def _take_server(request: Request, value: str) -> None:
    found = place(value, request.service.protocol)
    if found is None:
        raise Refusal("illegal real server address[:port] specified")
    address, port = found
    request.server.address = address
    request.server.port = request.service.port if port is None else port


def _take_group(daemon: kernel.SyncDaemon, value: str) -> None:
    family = V6 if ":" in value else V4
    group = pack(family, value)
    multicast = group is not None and (group[0] == 0xFF or (family, group[0] >> 4) == (V4, 0xE))
    if group is None or not multicast or (family == V4 and group[0] == 0xFF):
        raise Refusal(f"invalid {'IPv6' if family == V6 else 'IPv4'} mcast-group `{value}'")
    daemon.group = group


def _seconds(text: str, low: int) -> int:
    seconds = number(text, low, TIMEOUT_MAX)
    if seconds is None:
        raise Refusal(f"invalid timeout value `{text}' specified")
    return seconds


def _finish(request: Request) -> None:
    """Check what only the whole line can tell, and fill in defaults, in ipvsadm's order."""
    service, server = request.service, request.server
    for flag in filter(None, request.sched_flags.split(",")):
        if flag not in SCHED_FLAGS:
            raise Refusal(f"invalid scheduler flag `{flag}'")
        scheduler, bit = SCHED_FLAGS[flag]
        if scheduler not in {"", service.scheduler}:
            raise Refusal(f"incompatible scheduler flag `{flag}'")
        service.flags |= bit
    check_command(request.command, request.given)
    if request.command in {"add-service", "edit-service"}:
        if service.fwmark == 0 and service.port == 0 and not service.flags & kernel.PERSISTENT:
            raise Refusal("Zero port specified for non-persistent service")
        one_packet = service.flags & kernel.ONE_PACKET
        if one_packet and service.fwmark == 0 and service.protocol != kernel.UDP:
            raise Refusal("One-Packet Scheduling is only for UDP virtual services")
        service.scheduler = service.scheduler or "wlc"
    elif request.command == "start-daemon":
        request.daemon.interface = request.daemon.interface or "eth0"
    elif request.command in {"add-server", "edit-server"}:
        if service.fwmark == 0 and server.forwarding != kernel.MASQUERADING:
            server.port = service.port
        if server.family != service.family and server.forwarding != kernel.TUNNELLING:
            raise Refusal("Different address family is allowed only for tunneling servers")
        if any(name.startswith("tun-") for name in request.given):
            if server.forwarding != kernel.TUNNELLING:
                raise Refusal("Tunnel options conflict with forward method")
            check_tunnel(request.tunnel, request.given)
    elif request.command == "list":
        shown = request.given
        special = shown & {"connection", "timeout", "daemon"}
        if (special and shown & {"stats", "rate", "thresholds"}) or (
            shown & {"timeout", "daemon"} and "persistent-conn" in shown
        ):
            raise Refusal("options conflicts in the list command")
