"""The servers of the harness are what they claim to be."""

from __future__ import annotations

import ftplib
import socket
import ssl
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.harness import misbehaving, vsftpd
from tests.harness.misbehaving import Misbehaving, refusing, unanswering
from tests.harness.nginx import Nginx, Site, serving
from tests.harness.places import answers, free_port, is_root, join, loopback, split
from tests.harness.waiting import patience, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.certificates import Authority, Certificate


def _first_words(place: str, request: bytes = b"GET / HTTP/1.0\r\n\r\n") -> bytes:
    with socket.create_connection(split(place), timeout=patience()) as connection:
        connection.sendall(request)
        return connection.recv(65536)


@pytest.mark.parametrize("address", ["127.0.1.1", "::1"])
def test_nginx_serves_refuses_and_serves_again(folder: Path, address: str) -> None:
    """A killed nginx refuses connections, and one that is started again serves its page."""
    place = join(address, free_port(address))
    with serving(folder / "nginx", place) as nginx:
        assert urllib.request.urlopen(f"http://{place}/").read() == b"test page\n"
        nginx.kill()
        assert not answers(place)
        nginx.start()
        assert answers(place)
    assert not answers(place)


def test_nginx_serves_a_thousand_addresses(folder: Path) -> None:
    """One nginx stands for a thousand real servers."""
    port = free_port()
    places = [join(address, port) for address in loopback(0, 1000)]
    with serving(folder / "nginx", *places):
        assert b"200 OK" in _first_words(places[999])


def _verify(place: str, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.cacert))
    host, _ = split(place)
    with (
        socket.create_connection(split(place), timeout=patience()) as plain,
        context.wrap_socket(plain, server_hostname=host),
    ):
        pass


def _tls(folder: Path, certificate: Certificate) -> Nginx:
    return Nginx(folder / "nginx", Site([f"127.0.1.1:{free_port()}"], certificate=certificate))


def test_valid_certificate_is_accepted(folder: Path, authority: Authority) -> None:
    """A client that trusts the authority is content with a valid certificate."""
    with _tls(folder, authority.valid("127.0.1.1")) as nginx:
        _verify(nginx.sites[0].listen[0], authority)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("expired", "expired"),
        ("wrong name", "IP address mismatch"),
        ("self-signed", "self-signed"),
    ],
)
def test_bad_certificate_is_refused(
    folder: Path, authority: Authority, fault: str, message: str
) -> None:
    """Each bad certificate is refused for its own reason."""
    made = {
        "expired": lambda: authority.expired("127.0.1.1"),
        "wrong name": lambda: authority.valid("www.example.com"),
        "self-signed": authority.self_signed,
    }
    with (
        _tls(folder, made[fault]()) as nginx,
        pytest.raises(ssl.SSLCertVerificationError, match=message),
    ):
        _verify(nginx.sites[0].listen[0], authority)


def _fetch(place: str, user: str = "anonymous", password: str = "") -> str:
    lines: list[str] = []
    with ftplib.FTP() as client:  # noqa: S321 - FTP is what is under test
        client.connect(*split(place), timeout=patience())
        client.login(user, password)
        client.retrlines(f"RETR {vsftpd.FILE}", lines.append)
    return "\n".join([*lines, ""])


@pytest.mark.parametrize("address", ["127.0.1.1", "::1"])
def test_vsftpd_greets_and_gives_its_file(folder: Path, address: str) -> None:
    """Everybody gets vsftpd's greeting, and its file."""
    place = join(address, free_port(address))
    with vsftpd.Vsftpd(folder / "vsftpd", place):
        assert _first_words(place, b"") == b"220 ready\r\n"
        assert _fetch(place) == vsftpd.CONTENT


@pytest.mark.skipif(not is_root(), reason="a local user of vsftpd's own needs root")
def test_vsftpd_knows_one_user(folder: Path) -> None:
    """The local user is let in with the right password only."""
    place = join("127.0.1.1", free_port())
    with vsftpd.Vsftpd(folder / "vsftpd", place):
        assert _fetch(place, vsftpd.USER, vsftpd.PASSWORD) == vsftpd.CONTENT
        with pytest.raises(ftplib.error_perm, match="530"):
            _fetch(place, vsftpd.USER, "wrong")


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (misbehaving.silent, None),
        (misbehaving.closes_after_request, b""),
        (misbehaving.endless_headers, b"HTTP/1.1 200 OK\r\n"),
        (misbehaving.endless_body, b"HTTP/1.1 200 OK\r\n"),
        (misbehaving.one_byte_at_a_time, b"H"),
        (misbehaving.ssh_banner, b"SSH-2.0"),
        (misbehaving.invalid_utf8, b"HTTP/1.1 200 OK\r\n"),
        (misbehaving.ftp_421, b"421 "),
        (misbehaving.ftp_many_lines, b"220-Welcome"),
    ],
)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_misbehaving_server_starts_as_it_should(
    address: str, talk: misbehaving.Talk, words: bytes | None
) -> None:
    """The first that a client hears is what the way of misbehaving promises."""
    with Misbehaving(talk, address) as server:
        if words is None:
            with socket.create_connection(split(server.place), timeout=0.3) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                with pytest.raises(socket.timeout):
                    connection.recv(1)
        else:
            assert _first_words(server.place).startswith(words)
        assert server.connections == 1


def test_misbehaving_server_hangs_up() -> None:
    """The client hears the end of the connection, and nothing before it."""
    with Misbehaving(misbehaving.closes) as server:
        assert _first_words(server.place, b"") == b""


@pytest.mark.parametrize("talk", [misbehaving.resets, misbehaving.resets_after_request])
def test_misbehaving_server_resets(talk: misbehaving.Talk) -> None:
    """The client's connection breaks with a reset."""
    with Misbehaving(talk) as server, pytest.raises(ConnectionResetError):
        _first_words(server.place)


def test_misbehaving_server_hears_its_clients() -> None:
    """What clients sent can be looked at."""
    with Misbehaving(misbehaving.chunked) as server:
        assert b"5\r\ntest" in _first_words(server.place, b"GET /x HTTP/1.0\r\n\r\n")
        wait_until(lambda: server.heard == b"GET /x HTTP/1.0\r\n\r\n", "the request is heard")


def test_misbehaving_server_speaks_tls(authority: Authority) -> None:
    """A misbehaving server can do so under a valid certificate."""
    certificate = authority.valid("127.0.0.1")
    with Misbehaving(misbehaving.silent, certificate=certificate) as server:
        _verify(server.place, authority)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_refusing_place_refuses(address: str) -> None:
    """A connection to a refusing place is refused at once."""
    with refusing(address) as place, pytest.raises(ConnectionRefusedError):
        socket.create_connection(split(place), timeout=patience())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_unanswering_place_never_accepts(address: str) -> None:
    """A connection to an unanswering place is neither accepted nor refused."""
    with unanswering(address) as place, pytest.raises(socket.timeout):
        socket.create_connection(split(place), timeout=0.3)


def test_waiting_says_what_did_not_happen() -> None:
    """The message of a wait that is over names what was waited for."""
    with pytest.raises(AssertionError, match=r"not within 0\.05 s: pigs fly"):
        wait_until(lambda: False, "pigs fly", limit=0.05)
