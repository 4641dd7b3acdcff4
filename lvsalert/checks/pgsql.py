"""A log-in to PostgreSQL and a statement, through pg8000."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any

from lvsalert.checks.sql import LoginError, Query, Rows, judged
from lvsalert.checks.threads import Judge, Reach
from lvsalert.checks.tls import broken_off

PORT = 5432


def fetch(query: Query, reach: Reach) -> Judge:
    """Log in at one address and run the statement; return what judges it.

    NotConnected where nothing listens there.
    """
    import pg8000.native

    sock = reach.connect(reach.target.port)

    def log_in() -> Rows:
        try:
            connection = pg8000.native.Connection(
                query.user, password=query.password, database=query.database or None, sock=sock
            )
        except pg8000.exceptions.DatabaseError as error:
            raise LoginError(_words(error)) from None

        def rows(statement: str) -> Sequence[Any]:
            found: Sequence[Any] = connection.run(statement) or ()
            return found

        return rows

    try:
        return judged(reach, query, log_in, _words)
    finally:
        sock.close()


def _words(error: Exception) -> str:
    """Return what the server said; its fields are told by letters (protocol-error-fields)."""
    if isinstance(error, ssl.SSLError):
        return broken_off(error, "log-in")
    said = error.args[0] if error.args else error
    return str(said.get("M", said) if isinstance(said, dict) else error)
