"""An LDAP server's log-in and one entry (RFC 4511), through ldap3."""

from __future__ import annotations

import functools
import math
import re
import ssl
from typing import TYPE_CHECKING, NamedTuple

from lvsalert.checks.sweep import Verdict
from lvsalert.checks.threads import Judge, NotConnected, Reach
from lvsalert.checks.tls import NOT_UP, Trust

if TYPE_CHECKING:
    import ldap3

PORT, TLS_PORT = 389, 636
# How ldap3 hands on what OpenSSL says of a certificate.
_NOT_VERIFIED = re.compile(r"verify failed: ([^(]*)")


class Search(NamedTuple):
    """A log-in (anonymous without ``user``), and the one entry that has to be there.

    ``base`` is its name, empty for the server's own (the root DSE). ``receive`` is searched in the
    name as the server writes it; None where any will do.
    """

    user: str | None
    password: str
    base: str = ""
    receive: re.Pattern[str] | None = None


def fetch(search: Search, trust: Trust | None, reach: Reach) -> Judge:
    """Log in at one address, over TLS where there is a ``trust``, and look for the entry.

    What is returned judges it. NotConnected where nothing listens there.
    """
    import ldap3
    from ldap3.core.exceptions import LDAPException, LDAPSocketOpenError, LDAPSocketReceiveError

    # It opens a socket of its own, so whether there is somebody is found out first.
    reach.connect(reach.target.port).close()
    left = reach.seconds_left()
    server = ldap3.Server(
        reach.address.text.partition("%")[0],
        reach.target.port,
        use_ssl=trust is not None,
        tls=None if trust is None else _tls(trust),
        connect_timeout=left,
        get_info=ldap3.NONE,
    )
    # It takes a zone, but not from the beginning.
    server.host = reach.address.text
    connection = ldap3.Connection(
        server,
        search.user,
        search.password or None,
        # Whole seconds; a thread that is late by less is given up.
        receive_timeout=math.ceil(left),
        auto_referrals=False,
    )
    stage, names, reason = "log-in", [], ""
    try:
        if not connection.bind():
            reason = f"log-in: {connection.result['description']}"
        else:
            stage = "search"
            connection.search(
                search.base, "(objectClass=*)", ldap3.BASE, attributes=[ldap3.NO_ATTRIBUTES]
            )
            entries = connection.response or ()
            names = [each["dn"] for each in entries if each["type"] == "searchResEntry"]
            if len(names) != 1:
                reason = f"search: {connection.result['description']}, {len(names)} entries"
    except LDAPSocketOpenError as error:
        if trust is None:
            raise NotConnected(str(error)) from None
        found = _NOT_VERIFIED.search(str(error))
        reason = f"TLS: {found[1].strip()}" if found else f"log-in: {NOT_UP}"
    except LDAPSocketReceiveError:
        reason = f"{stage}: {reach.late}" if reach.is_over() else f"{stage}: closed"
    except LDAPException as error:
        reason = f"{stage}: {error}"
    finally:
        connection.strategy.close()
        # One that could not be connected is left open.
        if connection.socket is not None:
            connection.socket.close()
    return functools.partial(_judge, search, names, reason)


def _tls(trust: Trust) -> ldap3.Tls:
    import ldap3

    return ldap3.Tls(
        validate=ssl.CERT_REQUIRED if trust.verify else ssl.CERT_NONE,
        ca_certs_file=trust.ca_file,
        local_certificate_file=trust.cert_file,
        local_private_key_file=trust.key_file or trust.cert_file,
    )


def _judge(search: Search, names: list[str], reason: str) -> Verdict:
    if not reason and search.receive is not None and not search.receive.search(names[0]):
        reason = f"no match for {search.receive.pattern!r}: {names[0]}"
    return Verdict(" ".join(reason.split()), b"")
