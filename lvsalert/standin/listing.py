"""What ipvsadm 1.31 prints: the rules of `-S`, the lists of `-L`. There never is a connection."""

from __future__ import annotations

import _socket
from functools import cmp_to_key

from . import kernel
from .kernel import RealServer, SyncDaemon, Table, VirtualService
from .words import PROTOCOL_NAMES, V4, V6

_VERSION = "IP Virtual Server version 1.2.1 (size=4096)\n"
_CONNECTIONS = "IPVS connection entries\npro expire {:<11} {:<18} {:<18} {}\n"
_ENGINE_CONNECTIONS = (
    "IPVS connection entries\npro expire {:<11} {:<18} {:<18} {:<18} pe name          pe_data\n"
)
_SERVICE_SWITCHES = {kernel.TCP: "-t", kernel.UDP: "-u", kernel.SCTP: "--sctp-service"}
_SWITCHES = {kernel.MASQUERADING: "-m", kernel.TUNNELLING: "-i", kernel.GATEWAYING: "-g"}
_METHODS = {kernel.MASQUERADING: "Masq", kernel.TUNNELLING: "Tunnel", kernel.GATEWAYING: "Route"}
_TUNNELS = {kernel.IPIP: "ipip", kernel.GUE: "gue", kernel.GRE: "gre"}
_CHECKSUMS = (("-c", "--tun-nocsum"), ("+c", "--tun-csum"), ("r+c", "--tun-remcsum"))
_FLAG_NAMES = {"sh": ("sh-fallback", "sh-port"), "mh": ("mh-fallback", "mh-port")}
_ANY_FLAG_NAMES = ("flag-1", "flag-2", "flag-3")
_COUNTERS = {
    "stats": ("Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"),
    "rate": ("CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"),
}
_PLAIN = "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           Forward "


def rules(table: Table, given: set[str]) -> str:
    """Return what `-S` prints for the options in `given`."""
    numeric = "numeric" in given
    lines = []
    for service in _services(table, given):
        name = _rule_name(service, numeric=numeric)
        lines.append(_service_rule(service, name))
        lines += [
            _server_rule(service, name, server, numeric) for server in _servers(service, given)
        ]
    return "".join(f"{line}\n" for line in lines)


def listing(table: Table, given: set[str], asked: VirtualService) -> str:
    """Return what `-L` prints for the options in `given`; `asked` is the service, if one is given.

    Raises OSError when that service does not stand.
    """
    if "connection" in given:
        title = _ENGINE_CONNECTIONS if "persistent-conn" in given else _CONNECTIONS
        return title.format("state", "source", "virtual", "destination")
    if "timeout" in given:
        return "Timeout (tcp tcpfin udp): {} {} {}\n".format(*table.timeouts)
    if "daemon" in given:
        return "".join(_daemon(table.daemons[state]) for state in sorted(table.daemons))
    if "service-address" in given:
        head, services = "", [table.find(asked)]
    else:
        head, services = _VERSION, _services(table, given)
    columns = ("stats", "rate", "thresholds", "persistent-conn", "tun-info")
    column = next((name for name in columns if name in given), "")
    lines = [_title(column)]
    for service in services:
        lines.append(_service_line(service, given, column))
        lines += [
            _server_line(service, server, given, column) for server in _servers(service, given)
        ]
    return head + "".join(f"{line}\n" for line in lines)


def _services(table: Table, given: set[str]) -> list[VirtualService]:
    services = list(table.services.values())
    return services if "nosort" in given else sorted(services, key=cmp_to_key(_order_services))


def _servers(service: VirtualService, given: set[str]) -> list[RealServer]:
    # The kernel puts each new destination before those that it has.
    servers = list(reversed(service.destinations.values()))
    return servers if "nosort" in given else sorted(servers, key=cmp_to_key(_order_servers))


def _order_services(one: VirtualService, other: VirtualService) -> int:
    return _order(_sort_key(one), _sort_key(other))


def _sort_key(service: VirtualService) -> list[int]:
    address = _as_words(service.address)
    return [service.fwmark, service.family, service.protocol, *address, service.port]


def _order_servers(one: RealServer, other: RealServer) -> int:
    return _order([*_as_words(one.address), one.port], [*_as_words(other.address), other.port])


def _as_words(address: bytes) -> list[int]:
    return [int.from_bytes(address[at : at + 4], "big") for at in range(0, len(address), 4)]


def _order(one: list[int], other: list[int]) -> int:
    """Compare as ipvsadm does, whose differences overflow: 192.168.0.1 comes before 10.0.0.1.

    So 10.0.0.1, 127.0.0.1 and 192.168.0.1 go round in a circle. Where such meet, the order is by
    chance, and may be another than the real one's.
    """
    for left, right in zip(one, other):
        if left != right:
            return 1 if (left - right) % 2**32 < 2**31 else -1
    return 0


def _place(service: VirtualService, address: bytes, port: int, *, numeric: bool) -> str:
    host = _socket.inet_ntop(V4 if len(address) == 4 else V6, address)
    # The kernel tells no protocol for a fwmark, so that its ports have no names.
    protocol = 0 if service.fwmark != 0 else service.protocol
    said = str(port) if numeric else _port_name(port, protocol)
    if len(address) == 4:
        return f"{host if numeric else _host_name(host)}:{said}"
    # ipvsadm asks for names with the length of an IPv4 address, so that none is found.
    return f"[{host}]:{said}"


def _port_name(port: int, protocol: int) -> str:
    try:
        return _socket.getservbyport(port, PROTOCOL_NAMES[protocol])
    except (KeyError, OSError):
        return str(port)


def _host_name(address: str) -> str:
    try:
        return _socket.gethostbyaddr(address)[0]
    except OSError:
        return address


def _signed(fwmark: int) -> int:
    return fwmark - 2**32 if fwmark >= 2**31 else fwmark


def _flag_names(service: VirtualService) -> str:
    names = _FLAG_NAMES.get(service.scheduler, _ANY_FLAG_NAMES)
    return ",".join(name for name, bit in zip(names, kernel.SCHEDULER_FLAGS) if service.flags & bit)


def _mask(service: VirtualService) -> str:
    if service.family == V6:
        return "" if service.netmask == 128 else str(service.netmask)
    if service.netmask == 0xFFFFFFFF:
        return ""
    return _socket.inet_ntop(V4, service.netmask.to_bytes(4, "big"))


def _rule_name(service: VirtualService, *, numeric: bool) -> str:
    if service.fwmark != 0:
        return f"-f {_signed(service.fwmark)}" + (" -6" if service.family == V6 else "")
    where = _place(service, service.address, service.port, numeric=numeric)
    return f"{_SERVICE_SWITCHES[service.protocol]} {where}"


def _service_rule(service: VirtualService, name: str) -> str:
    line = f"-A {name} -s {service.scheduler}"
    if service.flags & kernel.PERSISTENT:
        line += f" -p {service.timeout}"
        if _mask(service):
            line += f" -M {_mask(service)}"
    if service.engine:
        line += f" --pe {service.engine}"
    if service.flags & kernel.ONE_PACKET:
        line += " -o"
    if any(service.flags & bit for bit in kernel.SCHEDULER_FLAGS):
        line += f" -b {_flag_names(service)}"
    return line


def _server_rule(service: VirtualService, name: str, server: RealServer, numeric: bool) -> str:
    where = _place(service, server.address, server.port, numeric=numeric)
    line = f"-a {name} -r {where} {_SWITCHES[server.forwarding]} -w {server.weight}"
    if server.forwarding == kernel.TUNNELLING:
        line += f" --tun-type {_TUNNELS[server.tunnel_type]}"
        if server.tunnel_type == kernel.GUE:
            line += f" --tun-port {server.tunnel_port}"
        if server.tunnel_type != kernel.IPIP:
            line += f" {_CHECKSUMS[server.tunnel_flags][1]}"
    return line


def _title(column: str) -> str:
    remote = "\n  -> RemoteAddress:Port"
    if column in _COUNTERS:
        return (
            "{:<33} {:>8} {:>8} {:>8} {:>8} {:>8}".format(
                "Prot LocalAddress:Port", *_COUNTERS[column]
            )
            + remote
        )
    if column == "thresholds":
        return (
            "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn " + remote
        )
    if column == "persistent-conn":
        return (
            "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn " + remote
        )
    tunnel = "TunnelInfo    " if column == "tun-info" else ""
    return f"{_PLAIN}{tunnel}Weight ActiveConn InActConn"


def _service_line(service: VirtualService, given: set[str], column: str) -> str:
    if service.fwmark != 0:
        name = f"FWM  {_signed(service.fwmark)}" + (" IPv6" if service.family == V6 else "")
    else:
        protocol = PROTOCOL_NAMES[service.protocol].upper()
        where = _place(service, service.address, service.port, numeric="numeric" in given)
        name = f"{protocol:<4} {where}"
        if service.family == V4:
            name = name[:33]
    if column in _COUNTERS:
        return f"{name:<33}" + "        0" * 5
    line = f"{name} {service.scheduler}"
    if any(service.flags & bit for bit in kernel.SCHEDULER_FLAGS):
        line += f" ({_flag_names(service)})"
    if service.flags & kernel.PERSISTENT:
        line += f" persistent {service.timeout}"
        if _mask(service):
            line += f" mask {_mask(service)}"
        if service.engine:
            line += f" pe {service.engine}"
    if service.flags & kernel.ONE_PACKET:
        line += " ops"
    return line


def _server_line(service: VirtualService, server: RealServer, given: set[str], column: str) -> str:
    where = _place(service, server.address, server.port, numeric="numeric" in given)
    if service.family == V4:
        where = where[:28]
    line = f"  -> {where:<28}"
    idle = f"{0:<10} {0:<10}"
    if column in _COUNTERS:
        return line + "        0" * 5
    if column == "thresholds":
        return f"{line} {server.upper:<10} {server.lower:<10} {idle}"
    if column == "persistent-conn":
        return f"{line} {server.weight:<9} {0:<11} {idle}"
    tunnel = f"{_tunnel_info(server):<13} " if column == "tun-info" else ""
    return f"{line} {_METHODS[server.forwarding]:<7} {tunnel}{server.weight:<6} {idle}"


def _tunnel_info(server: RealServer) -> str:
    if server.forwarding != kernel.TUNNELLING:
        return "n/a"
    info = _TUNNELS[server.tunnel_type]
    if server.tunnel_type == kernel.GUE:
        info += f":{server.tunnel_port}"
    if server.tunnel_type != kernel.IPIP:
        info += f":{_CHECKSUMS[server.tunnel_flags][0]}"
    return info


def _daemon(daemon: SyncDaemon) -> str:
    role = "master" if daemon.state == kernel.MASTER else "backup"
    group = _socket.inet_ntop(V4 if len(daemon.group) == 4 else V6, daemon.group)
    return (
        f"{role} sync daemon (mcast={daemon.interface}, syncid={daemon.syncid}, "
        f"maxlen={daemon.maxlen}, group={group}, port={daemon.port}, ttl={daemon.ttl})\n"
    )
