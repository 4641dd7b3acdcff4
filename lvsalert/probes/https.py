"""A web server's answer through requests: TLS, redirects and authentication.

What the plain probe cannot do goes this way; the verdict is made by the same function.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, InsecureRequestWarning, NewConnectionError

from lvsalert.errors import UsageError
from lvsalert.model import join_endpoint
from lvsalert.probes.http import Check, host_header, judge
from lvsalert.probes.threaded import NotConnected
from lvsalert.resolve import Address
from lvsalert.sweep import Target, Verdict

_PIECE = 65536


class Access(NamedTuple):
    """How a page is reached beyond plain HTTP.

    ``ca_file`` is a file of certificates to trust in place of the system's; ``verify`` off trusts
    any. ``user`` and ``password`` are for basic authentication (RFC 7617).
    """

    tls: bool = False
    ca_file: str | None = None
    verify: bool = True
    follow: bool = False
    user: str | None = None
    password: str = ""


def check_ca_file(path: str) -> None:
    """UsageError where ``path`` holds no certificates that can be trusted."""
    import ssl

    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        raise UsageError(f"--cacert: {path!r}: {_plain(error)}") from None


class _Pinned(HTTPAdapter):
    """Sends what is meant for a name to one real server's address.

    The name stays in the Host field, in TLS's server name and in the check of the certificate, so
    that a redirect to the service's own name comes back to the same real server.
    """

    def __init__(self, address: str, name: str, tls: bool) -> None:
        self._address = address
        self._tls_name = {"server_hostname": name, "assert_hostname": name} if tls else {}
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(self._tls_name)
        super().init_poolmanager(*args, **kwargs)

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        from urllib.parse import urlsplit, urlunsplit

        meant = request.url or ""
        parts = urlsplit(meant)
        request.headers.setdefault("Host", parts.netloc.rpartition("@")[2])
        request.url = urlunsplit(parts._replace(netloc=self._address))
        try:
            response = super().send(request, *args, **kwargs)
        finally:
            request.url = meant
        response.url = meant
        return response


def fetch(
    check: Check, access: Access, target: Target, address: Address, timeout: float
) -> Verdict:
    """Ask one host at one address and return the verdict. NotConnected where nothing listens."""
    if not access.verify:
        # Asked for by --insecure; mon would read the warning as a summary.
        warnings.simplefilter("ignore", InsecureRequestWarning)
    started = time.monotonic()
    scheme, usual = ("https", 443) if access.tls else ("http", 80)
    host = host_header(check, target, usual)
    with requests.Session() as session:
        session.trust_env = False
        session.mount(
            f"{scheme}://{host}/",
            _Pinned(join_endpoint(address.text, target.port), _name_of(host), access.tls),
        )
        session.headers.update({"User-Agent": check.agent, "Accept-Encoding": "identity"})
        try:
            with session.request(
                check.method,
                f"{scheme}://{host}{check.path}",
                timeout=timeout,
                stream=True,
                allow_redirects=access.follow,
                auth=(access.user, access.password) if access.user is not None else None,
                verify=access.ca_file or True if access.verify else False,
            ) as response:
                head = _head_of(response)
                try:
                    body = _body_of(response, check.max_bytes, started + timeout)
                except (requests.RequestException, HTTPError, OSError) as error:
                    return Verdict(f"the body broke off: {_plain(error)}", head)
                seconds = time.monotonic() - started
                return Verdict(judge(check, response.status_code, head, body, seconds), head)
        except requests.exceptions.SSLError as error:
            return Verdict(f"TLS: {_plain(error)}", b"")
        except requests.exceptions.ReadTimeout:
            return Verdict(f"timed out after {timeout:g} s", b"")
        except requests.exceptions.ConnectionError as error:
            if _is_refusal(error):
                raise NotConnected(_plain(error)) from None
            return Verdict(_plain(error), b"")
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            return Verdict(_plain(error), b"")


def _name_of(host: str) -> str:
    """Return the name in a Host field, without port and brackets."""
    from urllib.parse import urlsplit

    return urlsplit(f"//{host}").hostname or host


def _head_of(response: requests.Response) -> bytes:
    """Return status line and header fields as a server would have sent them."""
    version = {10: "1.0", 11: "1.1"}.get(response.raw.version, "1.1")
    lines = [f"HTTP/{version} {response.status_code} {response.reason or ''}".rstrip()]
    fields: Mapping[str, str] = response.raw.headers
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode("latin-1", "backslashreplace")


def _body_of(response: requests.Response, most: int, limit: float) -> bytes:
    """Return up to ``most`` bytes of the body, by ``limit`` (time.monotonic())."""
    pieces, size = [], 0
    for piece in response.iter_content(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size >= most:
            break
        if time.monotonic() > limit:
            raise TimeoutError(f"timed out after {size} bytes")
    return b"".join(pieces)[:most]


def _is_refusal(error: BaseException) -> bool:
    """Return whether no connection came about at all."""
    return any(isinstance(each, NewConnectionError) for each in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and what it came from, the innermost last."""
    found = [error]
    while True:
        inner = getattr(found[-1], "reason", None)
        if not isinstance(inner, BaseException):
            inner = found[-1].__cause__ or found[-1].__context__
        if inner is None and found[-1].args and isinstance(found[-1].args[0], BaseException):
            inner = found[-1].args[0]
        if not isinstance(inner, BaseException) or inner in found:
            return found
        found.append(inner)


def _plain(error: BaseException) -> str:
    """Return the innermost reason of a library's error, without the layers around it."""
    inner = _causes(error)[-1]
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    if inner.args and isinstance(inner.args[-1], str):
        return inner.args[-1]
    return str(inner) or type(inner).__name__
