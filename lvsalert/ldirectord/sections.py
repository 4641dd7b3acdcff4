"""ldirectord's configuration line by line: which line belongs where, and the line of each fault."""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lvsalert.errors import UsageError
from lvsalert.ldirectord.directives import GLOBAL, VIRTUAL, Directive, Settings
from lvsalert.ldirectord.readers import one_of
from lvsalert.ldirectord.servers import (
    ConfiguredServer,
    WrittenAddress,
    read_address,
    read_fallback,
    read_port,
    read_real,
    read_virtual,
)
from lvsalert.model import Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

_VIRTUAL_LINE = re.compile(r"virtual(6)?\s*=\s*(.*)", re.ASCII)
_INDENTED = re.compile(r" {4,}(.+)")
_COMMENT = re.compile(r"\s*#", re.ASCII)
_BLANK = re.compile(r"\s*$", re.ASCII)
_DIRECTIVE = re.compile(r"([^\s=]+)\s*(?:=\s*(.*))?", re.ASCII)
# A block of keepalived.conf(5), and what else begins a line of it.
_KEEPALIVED = re.compile(
    r"\s*(?:!|[a-z_]+(?:\s[^={]*)?\{|(?:virtual_server|vrrp_|global_defs|static_)\w*\b"
    r"|(?:include|local_address_group)\s+[^\s=])"
)
_BARE_SUPERVISED = re.compile(r"supervised\s*$", re.ASCII)
_PREFIX = re.compile(r"[0-9]+")
_QUAD = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
# Directives that are written with a 6 for IPv6.
_OF_A_FAMILY = {"real", "real6", "fallback", "fallback6"}
_ONLY_BELOW = {"real", "real6", "protocol", "netmask"}


class ConfigError(UsageError):
    """The file cannot be taken as it is; the message is ``file:line: what``."""


class Section:
    """A virtual service with its directives.

    ``own_fallback`` and ``reals`` are lines that wait for the protocol.
    """

    def __init__(self, line: int, family: int, address: WrittenAddress, protocol: Protocol) -> None:
        self.line = line
        self.family = family
        self.address = address
        self.protocol = protocol
        self.own = Settings()
        self.port = 0
        self.netmask: str | None = None
        self.own_fallback: tuple[int, WrittenAddress] | None = None
        self.fallback: ConfiguredServer | None = None
        self.reals: list[tuple[int, str]] = []
        self.real_servers: list[ConfiguredServer] = []

    @property
    def key(self) -> tuple[object, ...]:
        """Return what no two virtual services may have in common."""
        return self.protocol, self.address.host, self.port, self.address.fwmark, self.family


class Sections:
    """A whole file: its virtual services, global settings, fallbacks by family, and warnings."""

    def __init__(self) -> None:
        self.virtual: list[Section] = []
        self.common = Settings()
        self.fallbacks: dict[int, WrittenAddress] = {}
        self.warnings: list[str] = []


def read_sections(text: str, name: str) -> Sections:
    """Return the directives of a file, each where it belongs; ConfigError for the first fault."""
    reader = _Reader(name)
    for number, line in enumerate(text.split("\n"), 1):
        reader.take(number, line)
    return reader.finish()


class _Reader:
    """Takes a file line by line; ``finish`` ends it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found = Sections()
        self._section: Section | None = None
        self._line = 0
        self._unused: dict[str, None] = {}
        # Where each virtual service is.
        self._lines: dict[tuple[object, ...], int] = {}
        # Whether the line ended a virtual service by being indented too little.
        self._is_cut = False

    @contextmanager
    def _at(
        self, line: int, directive: str, value: str = "", *, had_remark: bool = False
    ) -> Iterator[list[str]]:
        """Lead every fault and note from within to its place in the file.

        A remark in the ``value`` is what may be wrong with it, or the blank that one leaves at its
        end where ldirectord drops it.
        """
        notes: list[str] = []
        try:
            yield notes
        except UsageError as error:
            hint = ""
            is_for_blank = value.endswith((" ", "\t")) and str(error).startswith(repr(value))
            if "#" in value or (is_for_blank and had_remark):
                hint = "; a remark needs a line of its own"
            elif is_for_blank:
                hint = "; it ends with a blank"
            raise ConfigError(f"{self._name}:{line}: {directive}: {error}{hint}") from None
        self._found.warnings += (f"{self._name}:{line}: {directive}: {note}" for note in notes)

    def take(self, number: int, line: str) -> None:
        """Take the next line, without its end."""
        self._line = number
        if self._section is not None:
            if _COMMENT.match(line):
                return
            kept, sharp, _ = line.partition("#")
            indented = _INDENTED.match(kept.replace("\t", "    "))
            if indented is not None:
                self._take_own(self._section, indented.group(1), had_remark=bool(sharp))
                return
            self._close(self._section)
            self._is_cut = bool(line[:1].isspace() and line.strip())
        virtual = _VIRTUAL_LINE.match(line)
        if virtual is not None:
            self._open(virtual)
        elif not _BLANK.match(line) and not _COMMENT.match(line):
            self._take_global(line)

    def finish(self) -> Sections:
        """Return all that was found."""
        if self._section is not None:
            self._close(self._section)
        found = self._found
        own_intervals = [each for each in found.virtual if each.own.check_interval is not None]
        if not found.common.fork:
            found.warnings += (
                f"{self._name}:{each.line}: the service's own checkinterval counts only with"
                " fork = yes, as with ldirectord"
                for each in own_intervals
            )
        elif own_intervals:
            self._unused.pop("fork", None)
        if self._unused:
            found.warnings.append(f"{self._name}: without effect here: {', '.join(self._unused)}")
        return found

    def _open(self, virtual: re.Match[str]) -> None:
        family = socket.AF_INET6 if virtual.group(1) else socket.AF_INET
        with self._at(self._line, "virtual6" if virtual.group(1) else "virtual") as notes:
            address = read_virtual(virtual.group(2), family, notes)
        protocol = Protocol.UDP if address.port in ("53", "domain") else Protocol.TCP
        if address.fwmark:
            protocol = Protocol.FWMARK
        self._section = Section(self._line, family, address, protocol)

    def _take_own(self, section: Section, text: str, *, had_remark: bool) -> None:
        name, value = self._split(text)
        with self._at(self._line, name, value, had_remark=had_remark) as notes:
            if name in _OF_A_FAMILY:
                self._take_server(section, name, value, notes)
            elif name == "protocol":
                section.protocol = _read_protocol(value, section, notes)
            elif name == "netmask":
                section.netmask = _read_netmask(value, section.family)
            elif name in VIRTUAL:
                self._set(section.own, name, VIRTUAL[name], value, notes)
            elif name in GLOBAL:
                raise UsageError("goes for all virtual services and must not be indented")
            else:
                raise UsageError("ldirectord knows no such directive")

    def _take_server(self, section: Section, name: str, value: str, notes: list[str]) -> None:
        plain = name.rstrip("6")
        wanted = plain + ("6" if section.family == socket.AF_INET6 else "")
        if name != wanted:
            raise UsageError(f"write {wanted} in this virtual service")
        if plain == "real":
            section.reals.append((self._line, value))
        else:
            section.own_fallback = self._line, read_fallback(value, notes)

    def _take_global(self, line: str) -> None:
        if _BARE_SUPERVISED.match(line):
            self._unused["supervised"] = None
            return
        is_cut, self._is_cut = self._is_cut, False
        name, value = self._split(line)
        with self._at(self._line, name, value) as notes:
            if is_cut:
                raise UsageError(
                    "is indented too little: below a virtual service it takes four blanks or a tab"
                )
            if line[0].isspace():
                raise UsageError("is indented but below no virtual service; an empty line ends one")
            if name in ("fallback", "fallback6"):
                family = socket.AF_INET6 if name == "fallback6" else socket.AF_INET
                self._found.fallbacks[family] = self._common_fallback(value, family, notes)
            elif name in GLOBAL:
                self._set(self._found.common, name, GLOBAL[name], value, notes)
                if name == "timeout":
                    notes.append("ldirectord knows it no longer; taken as checktimeout")
            elif name in VIRTUAL or name in _ONLY_BELOW:
                raise UsageError(
                    "belongs below a virtual service, indented by four blanks or a tab"
                )
            else:
                raise UsageError("ldirectord knows no such directive")

    def _split(self, text: str) -> tuple[str, str]:
        """Return the name of a directive and the text behind ``=``."""
        if _KEEPALIVED.match(text):
            raise ConfigError(
                f"{self._name}:{self._line}: {text.strip()!r} is keepalived's:"
                " a file of ldirectord's is wanted"
            )
        match = _DIRECTIVE.match(text.lstrip())
        if match is None:
            raise ConfigError(f"{self._name}:{self._line}: {text!r} is not a directive")
        name, value = match.groups()
        if value is None:
            raise ConfigError(f"{self._name}:{self._line}: {name!r} has no = behind it")
        return name, value

    def _set(
        self, settings: Settings, name: str, directive: Directive, value: str, notes: list[str]
    ) -> None:
        read = directive.reader(value, notes)
        if directive.setting is not None:
            setattr(settings, directive.setting, read)
        if not directive.is_used:
            self._unused[name] = None

    def _common_fallback(self, value: str, family: int, notes: list[str]) -> WrittenAddress:
        address = read_fallback(value, notes)
        if address.port is not None:
            for protocol in ("tcp", "udp"):
                read_port(address.port, protocol)
        return address._replace(host=read_address(address.host, family, notes), line=self._line)

    def _close(self, section: Section) -> None:
        """End a virtual service: what needs its protocol can be read now."""
        self._section = None
        protocol = section.protocol.name.lower()
        six = "6" if section.family == socket.AF_INET6 else ""
        if section.own_fallback is not None:
            line, address = section.own_fallback
            with self._at(line, f"fallback{six}") as notes:
                host = read_address(address.host, section.family, notes)
                port_text = address.port if address.port is not None else section.address.port
                port = read_port(port_text or "0", protocol)
            section.fallback = ConfiguredServer(host, port, address.forwarding, line=line)
        with self._at(section.line, f"virtual{six}"):
            section.port = read_port(section.address.port or "0", protocol)
        for line, text in section.reals:
            with self._at(line, f"real{six}") as notes:
                servers = read_real(text, section.family, notes)
            section.real_servers += (server._replace(line=line) for server in servers)
        with self._at(section.line, f"virtual{six}"):
            if section.port == 0 and not section.address.fwmark and section.own.persistent is None:
                raise UsageError("port 0 is for a persistent service only")
            first = self._lines.setdefault(section.key, section.line)
            if first != section.line:
                raise UsageError(f"the virtual service of line {first} again")
        self._found.virtual.append(section)


def _read_protocol(value: str, section: Section, notes: list[str]) -> Protocol:
    words = (Protocol.FWMARK,) if section.address.fwmark else (Protocol.TCP, Protocol.UDP)
    spelled = {"fwm" if each is Protocol.FWMARK else each.name.lower(): each for each in words}
    return spelled[one_of(tuple(spelled))(value, notes)]


def _read_netmask(value: str, family: int) -> str:
    if family == socket.AF_INET6:
        if not _PREFIX.fullmatch(value) or not 1 <= int(value) <= 128:
            raise UsageError(f"{value!r} is not a prefix length: 1 to 128")
        return str(int(value))
    if not _QUAD.fullmatch(value):
        raise UsageError(f"{value!r} is not a netmask such as 255.255.255.0")
    return read_address(value, family, [])
