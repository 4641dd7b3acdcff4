"""The directives of ldirectord's configuration: how each is read, and where it may stand."""

from __future__ import annotations

from typing import NamedTuple

from lvsalert.ipvs.service_flags import MAX_PERSISTENCE
from lvsalert.ldirectord import readers as read


class Settings:
    """What directives have set, globally or for one virtual service; None where none has.

    Times are in seconds.
    """

    check_timeout: int | None = None
    negotiate_timeout: int | None = None
    check_interval: int | None = None
    check_count: int | None = None
    failure_count: int | None = None
    quiescent: bool | None = None
    clean_stop: bool | None = None
    email_to: str | None = None
    fallback_command: str | None = None
    callback: str | None = None
    email_every: int | None = None
    email_states: frozenset[str] | None = None
    email_from: str | None = None
    maintenance_dir: str | None = None
    fork: bool | None = None
    autoreload: bool | None = None
    check_type: tuple[str, int] | None = None
    service: str | None = None
    check_port: int | None = None
    command: str | None = None
    request: str | None = None
    receive: str | None = None
    method: str | None = None
    virtual_host: str | None = None
    login: str | None = None
    password: str | None = None
    database: str | None = None
    secret: str | None = None
    scheduler: str | None = None
    persistent: int | None = None
    scheduler_flags: str | None = None
    one_packet: bool | None = None


class Directive(NamedTuple):
    """How a directive is read, and the setting it is for: None where nothing here uses it."""

    setting: str | None
    reader: read.Reader

    @property
    def is_used(self) -> bool:
        """Return whether the directive changes anything here; fork only chooses an interval."""
        return self.setting not in (None, "fork")


_BOTH = {
    "checktimeout": Directive("check_timeout", read.number(1)),
    "connecttimeout": Directive(None, read.superseded),
    "negotiatetimeout": Directive("negotiate_timeout", read.number(1)),
    "checkinterval": Directive("check_interval", read.number(1)),
    "checkcount": Directive("check_count", read.number(1)),
    "failurecount": Directive("failure_count", read.number(1)),
    "quiescent": Directive("quiescent", read.yes_or_no),
    "cleanstop": Directive("clean_stop", read.yes_or_no),
    "emailalert": Directive("email_to", read.email),
    "emailalertfreq": Directive("email_every", read.email_every),
    "emailalertstatus": Directive("email_states", read.email_states),
    "smtp": Directive(None, read.mail_host),
}

GLOBAL = {
    **_BOTH,
    "timeout": Directive("check_timeout", read.number(1)),
    "autoreload": Directive("autoreload", read.yes_or_no),
    "callback": Directive("callback", read.quoted_or_empty),
    "emailalertfrom": Directive("email_from", read.some_text),
    "fallbackcommand": Directive("fallback_command", read.some_text),
    "execute": Directive(None, read.any_text),
    "fork": Directive("fork", read.yes_or_no),
    "logfile": Directive(None, read.quoted_or_empty),
    "maintenancedir": Directive("maintenance_dir", read.some_text),
    "readdquiescent": Directive(None, read.yes_or_no),
    "supervised": Directive(None, read.yes_or_no),
}
"""What may stand outside of a virtual service, beside ``virtual`` and ``fallback``."""

VIRTUAL = {
    **_BOTH,
    "checkcommand": Directive("command", read.quoted_or_bare),
    "checkport": Directive("check_port", read.number(1, 65535)),
    "checktype": Directive("check_type", read.check_type),
    "comment": Directive(None, read.any_text),
    "database": Directive("database", read.quoted),
    "fallbackcommand": Directive("fallback_command", read.quoted_or_bare),
    "httpmethod": Directive("method", read.http_method),
    "load": Directive(None, read.load),
    "login": Directive("login", read.quoted),
    "monitorfile": Directive(None, read.quoted_or_bare),
    "ops": Directive("one_packet", read.yes_or_no),
    "passwd": Directive("password", read.quoted),
    "persistent": Directive("persistent", read.number(1, MAX_PERSISTENCE)),
    "receive": Directive("receive", read.receive),
    "request": Directive("request", read.request),
    "schedflags": Directive("scheduler_flags", read.scheduler_flags),
    "scheduler": Directive("scheduler", read.scheduler),
    "secret": Directive("secret", read.quoted),
    "service": Directive("service", read.one_of(read.SERVICES)),
    "servicename": Directive(None, read.any_text),
    "timeout": Directive(None, read.superseded),
    "virtualhost": Directive("virtual_host", read.virtual_host),
}
"""What may stand below a virtual service, beside real servers, fallback, netmask and protocol."""
