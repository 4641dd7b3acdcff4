"""A log-in to MySQL or MariaDB and a statement, through PyMySQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lvsalert.checks.sql import LoginError, Query, Rows, judged
from lvsalert.checks.threads import Judge, Reach

PORT = 3306


def fetch(query: Query, reach: Reach) -> Judge:
    """Log in at one address and run the statement; return what judges it.

    NotConnected where nothing listens there.
    """
    import pymysql

    sock = reach.connect(reach.target.port)
    left = reach.seconds_left()
    connection = pymysql.connections.Connection(
        user=query.user,
        password=query.password,
        database=query.database or None,
        read_timeout=left,
        write_timeout=left,
        defer_connect=True,
    )

    def log_in() -> Rows:
        try:
            connection.connect(sock)
        except pymysql.err.OperationalError as error:
            if isinstance(error.__cause__ or error.__context__, TimeoutError):
                raise TimeoutError from None
            raise LoginError(_words(error)) from None
        return rows

    def rows(statement: str) -> Sequence[Any]:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone() or ()

    try:
        return judged(reach, query, log_in, _words)
    finally:
        sock.close()


def _words(error: Exception) -> str:
    """Return what the server said, without the number before it."""
    return str(error.args[-1] if error.args else error)
