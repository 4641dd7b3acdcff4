"""Which options ipvsadm 1.31 takes with which command and tunnel type, and its words where not."""

from __future__ import annotations

_OPTIONS = (
    "numeric connection service-address scheduler persistent netmask real-server forwarding-method "
    "weight u-threshold l-threshold mcast-interface timeout daemon stats rate thresholds "
    "persistent-conn nosort syncid exact ops pe sched-flags mcast-group mcast-port mcast-ttl "
    "sync-maxlen tun-info tun-type tun-port tun-nocsum tun-csum tun-remcsum"
)
_SPOKEN = {
    "tcp-service": "service-address",
    "udp-service": "service-address",
    "sctp-service": "service-address",
    "fwmark-service": "service-address",
    "masquerading": "forwarding-method",
    "ipip": "forwarding-method",
    "gatewaying": "forwarding-method",
    "clear": "flush",
}
_SERVICE = {"+": "service-address", " ": "scheduler persistent netmask ops pe sched-flags"}
_SERVER = {
    "+": "service-address real-server",
    " ": "forwarding-method weight u-threshold l-threshold "
    "tun-type tun-port tun-nocsum tun-csum tun-remcsum",
}
# '+' has to be there, ' ' may be, of '1' one may be; all others are illegal.
_COMMANDS = {
    "add-service": _SERVICE,
    "edit-service": _SERVICE,
    "delete-service": {"+": "service-address"},
    "clear": {},
    "list": {
        " ": "numeric stats rate thresholds persistent-conn nosort syncid exact tun-info",
        "1": "connection service-address timeout daemon",
    },
    "add-server": _SERVER,
    "edit-server": _SERVER,
    "delete-server": {"+": "service-address real-server"},
    "set": {},
    "start-daemon": {" ": "mcast-interface syncid mcast-group mcast-port mcast-ttl sync-maxlen"},
    "stop-daemon": {" ": "syncid"},
    "restore": {},
    "save": {" ": "numeric"},
    "zero": {" ": "service-address"},
}
COMMANDS = frozenset(_COMMANDS)
_TUNNELS = {
    "ipip": {},
    "gue": {"+": "tun-port", "1": "tun-nocsum tun-csum tun-remcsum"},
    "gre": {"1": "tun-nocsum tun-csum"},
}
_TUNNEL_OPTIONS = ["tun-port", "tun-nocsum", "tun-csum", "tun-remcsum"]


class Refusal(Exception):
    """ipvsadm says no and ends, in the midst of a batch too, with this exit status."""

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status


def spoken(name: str) -> str:
    """Return the name that messages use for an option or command."""
    return _SPOKEN.get(name, name)


def check_command(command: str, given: set[str]) -> None:
    """Refuse options that this command does not take, or lacks."""
    _check(_OPTIONS.split(), _COMMANDS[command], given, f"'{spoken(command)}' command")


def check_tunnel(tunnel: str, given: set[str]) -> None:
    """Refuse tunnel options that this tunnel type does not take, or lacks."""
    _check(_TUNNEL_OPTIONS, _TUNNELS[tunnel], given, f"'{tunnel}' tunnel type")


def _check(options: list[str], legal: dict[str, str], given: set[str], where: str) -> None:
    kinds = {name: kind for kind, names in legal.items() for name in names.split()}
    exclusive = ""
    for name in options:
        kind = kinds.get(name)
        if name not in given:
            if kind == "+":
                raise Refusal(f"You need to supply the '{name}' option for the {where}")
        elif kind is None:
            raise Refusal(f"Illegal '{name}' option with the {where}")
        elif kind == "1" and exclusive:
            raise Refusal(
                f"The option '{name}' conflicts with the '{exclusive}' option in the {where}"
            )
        elif kind == "1":
            exclusive = name
