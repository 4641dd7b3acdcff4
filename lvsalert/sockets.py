"""Sockets and numeric addresses, without what the socket module of Python puts around them.

That module makes enumerations of hundreds of constants when it is imported, which is a tenth of
what a run with numeric addresses takes to start, and classes of its own around each socket. Below
it lies the same in C, in CPython as in PyPy; this is what the suite takes of it. Names need the
module itself.
"""

from __future__ import annotations

from _socket import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    SHUT_WR,
    SO_ERROR,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    getservbyname,
    inet_aton,
    inet_ntoa,
    inet_ntop,
    inet_pton,
    socket,
)

__all__ = (
    "AF_INET",
    "AF_INET6",
    "AF_UNSPEC",
    "SHUT_WR",
    "SOCK_NONBLOCK",
    "SOCK_STREAM",
    "SOL_SOCKET",
    "SO_ERROR",
    "getservbyname",
    "inet_aton",
    "inet_ntoa",
    "inet_ntop",
    "inet_pton",
    "socket",
)
