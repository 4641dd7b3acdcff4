"""ldirectord's configuration (www.cf, ldirectord.cf), read as ldirectord 4.12 reads it.

Text comes in, values go out. Host names stay names, to be looked up by who uses them. A virtual
service's directives follow its line at once, indented by four blanks or a tab; a line that is not
ends it, an empty one too. The values are those that ldirectord works with, defaults filled in.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, TypeVar

from lvsalert.ipvs.service_flags import flag_names
from lvsalert.ldirectord.directives import Settings
from lvsalert.ldirectord.readers import EMAIL_STATES, SERVICE_PORTS
from lvsalert.ldirectord.sections import ConfigError, Section, Sections, read_sections
from lvsalert.ldirectord.servers import ConfiguredServer, WrittenAddress, address_range, read_port
from lvsalert.model import Protocol

__all__ = [
    "Check",
    "Config",
    "ConfigError",
    "ConfiguredServer",
    "ConfiguredService",
    "Email",
    "address_range",
    "parse",
]

_CHECK_TIMEOUT = 5
_NEGOTIATE_TIMEOUT = 30
_CHECK_INTERVAL = 10
_PORT_SERVICES = {port: service for service, port in SERVICE_PORTS.items()}
# How ipvsadm -S prints flags of a scheduler, in its order.

_T = TypeVar("_T")
# What was accepted, and what the file says now, of more than one file.
_REMEMBERED = 4


class Check(NamedTuple):
    """How the real servers of a virtual service are checked; times in seconds.

    ``type`` is ldirectord's checktype; a number there is ``combined``, with ``connects`` connects
    before each request. ``service`` is what a ``negotiate`` check speaks, ``none`` where that
    always succeeds. ``port`` is None where a real server's own is meant. ``request`` has a slash
    in front, even where the service takes it off again (dns, sql, ldap, simpletcp); a whole URL is
    behind the slash. ``receive`` is a Perl regular expression, empty where any answer will do.
    ``virtual_host`` is None where the real server's address is meant. An empty ``login`` means the
    service's own default (ftp: anonymous, sip: ldirectord@ and the host's name).
    ``timeout`` is for connect, ping and external checks, ``tries`` for
    ping.
    """

    type: str
    service: str
    port: int | None
    request: str
    receive: str
    method: str
    virtual_host: str | None
    login: str
    password: str
    database: str
    secret: str
    command: str
    timeout: int
    negotiate_timeout: int
    interval: int
    tries: int
    connects: int

    def port_of(self, real_port: int) -> int | None:
        """Return the port to check at a real server: ``checkport``, its own, or the service's.

        None where there is none of them.
        """
        if self.port is not None:
            return self.port
        return real_port or SERVICE_PORTS.get(self.service)


class Email(NamedTuple):
    """Who is told of changes, nobody where ``addresses`` is empty.

    ``every`` is the seconds between repeated mails, 0 for no repeating; ``states`` are the
    director's states in which mail is sent.
    """

    addresses: tuple[str, ...]
    sender: str | None
    every: int
    states: frozenset[str]


class ConfiguredService(NamedTuple):
    """A virtual service as the file has it, and all that goes for it.

    ``address`` is numeric or a name; a firewall mark has protocol FWMARK, ``fwmark``, no address
    and port 0. ``flags`` are the words of ipvsadm(8) beyond the scheduler, as ``ipvsadm -S`` prints
    them. ``line`` is where it begins. ``fallback_command`` is a program with its words, empty where
    there is none.
    """

    protocol: Protocol
    address: str
    port: int
    fwmark: int
    family: int
    scheduler: str
    flags: tuple[str, ...]
    real_servers: tuple[ConfiguredServer, ...]
    fallback: ConfiguredServer | None
    check: Check
    quiescent: bool
    failure_count: int
    clean_stop: bool
    email: Email
    line: int
    fallback_command: str = ""

    def __str__(self) -> str:
        """Return the service as the file names it."""
        if self.protocol is Protocol.FWMARK:
            return f"fwm {self.fwmark}"
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.protocol.name.lower()} {host}:{self.port}"


class Config(NamedTuple):
    """A whole file; ``warnings`` are lines for the user, ``file:line: what``.

    ``callback`` is a program that wants to know when the file has changed, or empty.
    """

    services: tuple[ConfiguredService, ...]
    maintenance_dir: str | None
    warnings: tuple[str, ...]
    autoreload: bool = False
    callback: str = ""


@functools.lru_cache(_REMEMBERED)
def parse(text: str, name: str = "www.cf") -> Config:
    """Return what the text of a configuration file says.

    The text has to have its lines' ends as they are in the file (``open(…, newline="")``), since
    ldirectord refuses some lines that end like DOS's. ``name`` is for messages. What is the same
    text is the same value, and a process that stays parses each version once. ConfigError for
    what ldirectord refuses, and for what it takes although ipvsadm(8) has to refuse it later.
    """
    sections = read_sections(text, name)
    return Config(
        tuple(_service(section, sections) for section in sections.virtual),
        sections.common.maintenance_dir,
        tuple(sections.warnings),
        sections.common.autoreload or False,
        sections.common.callback or "",
    )


def _first(*values: _T | None, default: _T) -> _T:
    """Return the first value that is set."""
    return next((value for value in values if value is not None), default)


def _service(section: Section, sections: Sections) -> ConfiguredService:
    own, common = section.own, sections.common
    return ConfiguredService(
        protocol=section.protocol,
        address=section.address.host,
        port=section.port,
        fwmark=section.address.fwmark,
        family=section.family,
        scheduler=_first(own.scheduler, default="wrr"),
        flags=_flags(section),
        real_servers=tuple(section.real_servers),
        fallback=section.fallback or _common_fallback(section, sections.fallbacks),
        check=_check(section, common),
        quiescent=_first(own.quiescent, common.quiescent, default=False),
        failure_count=_first(own.failure_count, common.failure_count, default=1),
        clean_stop=_first(own.clean_stop, common.clean_stop, default=True),
        email=_email(own, common),
        line=section.line,
        fallback_command=_first(own.fallback_command, common.fallback_command, default=""),
    )


def _flags(section: Section) -> tuple[str, ...]:
    own = section.own
    words: list[str] = []
    if own.persistent is not None:
        words += ["-p", str(own.persistent)]
        # A mask of the whole address is the kernel's own, which ipvsadm does not print.
        if section.netmask not in (None, "255.255.255.255", "128"):
            words += ["-M", str(section.netmask)]
    if own.one_packet and section.protocol is Protocol.UDP:
        words.append("-o")
    if own.scheduler_flags is not None:
        words += ["-b", flag_names(own.scheduler_flags, _first(own.scheduler, default="wrr"))]
    return tuple(words)


def _common_fallback(
    section: Section, fallbacks: dict[int, WrittenAddress]
) -> ConfiguredServer | None:
    """Return the global fallback as it stands for a service that has none of its own."""
    address = fallbacks.get(section.family)
    if address is None:
        return None
    port = section.port
    if address.port is not None:
        is_udp = section.protocol is Protocol.UDP
        port = read_port(address.port, "udp" if is_udp else "tcp")
    return ConfiguredServer(address.host, port, address.forwarding, line=address.line)


def _check(section: Section, common: Settings) -> Check:
    own = section.own
    kind, connects = own.check_type or ("negotiate", 0)
    is_mark = section.protocol is Protocol.FWMARK
    by_port = "none" if is_mark else _PORT_SERVICES.get(section.port, "none")
    interval = own.check_interval if common.fork else None
    return Check(
        type=kind,
        service=_first(own.service, default=by_port),
        port=own.check_port,
        request=_first(own.request, default="/"),
        receive=_first(own.receive, default=""),
        method=_first(own.method, default="GET"),
        virtual_host=own.virtual_host,
        login=_first(own.login, default=""),
        password=_first(own.password, default=""),
        database=_first(own.database, default=""),
        secret=_first(own.secret, default=""),
        command=_first(own.command, default="/bin/true"),
        # The two are each other's default, one's own before the global ones.
        timeout=_first(
            own.check_timeout,
            own.negotiate_timeout,
            common.check_timeout,
            common.negotiate_timeout,
            default=_CHECK_TIMEOUT,
        ),
        negotiate_timeout=_first(
            own.negotiate_timeout,
            own.check_timeout,
            common.negotiate_timeout,
            common.check_timeout,
            default=_NEGOTIATE_TIMEOUT,
        ),
        interval=_first(interval, common.check_interval, default=_CHECK_INTERVAL),
        tries=_first(own.check_count, common.check_count, default=1),
        connects=connects,
    )


def _email(own: Settings, common: Settings) -> Email:
    written = _first(own.email_to, common.email_to, default="").split(",")
    addresses = (address.strip(' "') for address in written)
    return Email(
        tuple(address for address in addresses if address),
        common.email_from,
        _first(own.email_every, common.email_every, default=0),
        _first(own.email_states, common.email_states, default=frozenset(EMAIL_STATES)),
    )
