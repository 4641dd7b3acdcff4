"""TLS, redirects and authentication, against real servers."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import pytest

from tests.harness import misbehaving
from tests.harness.misbehaving import OK, Client, Misbehaving, Talk, replies
from tests.harness.nginx import PAGE, Nginx, Site
from tests.harness.places import free_port, join, open_folder
from tests.harness.waiting import short
from tests.monitors import PASSWORD, complaint, failed, http, knowing, reasons

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.certificates import Authority, Certificate

LATE = f"timed out after {short()} s"
LOGIN = ("--user", "me")
ADDRESSES = {"127.0.1.1": "IPv4", "::1": "IPv6"}
GOOD_PAGE = OK + b"Content-Length: 10\r\n\r\ntest page\n"


@pytest.fixture(params=ADDRESSES, ids=ADDRESSES.get)
def place(request: pytest.FixtureRequest) -> str:
    """A free place, on each family."""
    return join(request.param, free_port(request.param))


@pytest.fixture(params=["on the sweep", "to be followed", "through requests"])
def tls(request: pytest.FixtureRequest, folder: Path) -> tuple[str, ...]:
    """The options for TLS, on all ways that a page is asked for over it."""
    if request.param == "through requests":
        (folder / "password").write_text("open sesame\n")
        return ("--tls", *LOGIN, "--password-file", str(folder / "password"))
    return ("--tls", "--follow") if request.param == "to be followed" else ("--tls",)


@pytest.fixture(scope="module")
def cacert(authority: Authority) -> tuple[str, str]:
    """The options that make a run trust the tests' own authority."""
    return ("--cacert", str(authority.cacert))


def _address(place: str) -> str:
    return place.rpartition(":")[0].strip("[]")


def _certificate(authority: Authority, kind: str, address: str) -> Certificate:
    if kind == "good":
        return authority.valid(address)
    if kind == "expired":
        return authority.expired(address)
    if kind == "wrong name":
        return authority.valid("www.example.com", "127.0.9.9")
    return authority.self_signed()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("expired", "TLS: certificate has expired"),
        ("wrong name", "TLS: IP address mismatch, certificate is not valid for"),
        ("self-signed", "TLS: self-signed certificate"),
        ("good", ""),
    ],
)
def test_certificate_is_verified(
    authority: Authority, tls: tuple[str, ...], place: str, kind: str, reason: str
) -> None:
    """Each bad certificate fails its host for its own reason, unless any is trusted."""
    certificate = _certificate(authority, kind, _address(place))
    cacert = ("--cacert", str(authority.cacert))
    with open_folder() as folder, Nginx(folder, Site([place], certificate=certificate)):
        found = reasons(http(*tls, *cacert, place))
        assert found.get(place, "").startswith(reason)
        assert bool(found) == bool(reason)
        assert failed(http(*tls, "--insecure", place)) == []


def test_authority_of_the_tests_is_not_trusted_without_being_named(
    folder: Path, authority: Authority, tls: tuple[str, ...]
) -> None:
    """By default the system's authorities are trusted, and no other."""
    place = join("127.0.1.1", free_port())
    with Nginx(folder / "nginx", Site([place], certificate=authority.valid("127.0.1.1"))):
        assert reasons(http(*tls, place)) == {place: "TLS: unable to get local issuer certificate"}


def test_host_header_is_sent_and_verified(
    folder: Path,
    authority: Authority,
    tls: tuple[str, ...],
    cacert: tuple[str, str],
    place: str,
) -> None:
    """The name of --host-header picks the certificate and the page, and is what is verified."""
    sites = [
        Site([place], f"server_name {name}; {PAGE.replace('test', name)}", authority.valid(name))
        for name in ("first.example.com", "second.example.com")
    ]
    with Nginx(folder / "nginx", *sites):
        for name in ("first.example.com", "second.example.com"):
            match = ("-m", f"{name} page")
            assert failed(http(*tls, *cacert, "--host-header", name, *match, place)) == []
        third = reasons(http(*tls, *cacert, "--host-header", "third.example.com", place))
    assert third == {
        place: "TLS: Hostname mismatch, certificate is not valid for 'third.example.com'."
    }


@pytest.mark.parametrize("header", ["www.example.com:8443", "www.example.com.", "[::1]:8443"])
def test_host_header_is_verified_without_what_is_not_its_name(
    authority: Authority, tls: tuple[str, ...], cacert: tuple[str, str], header: str
) -> None:
    """A port or a last dot in --host-header goes into the Host field, and is not verified."""
    certificate = authority.valid("www.example.com", "::1")
    with Misbehaving(replies(GOOD_PAGE), certificate=certificate) as server:
        options = (*tls, *cacert, "--host-header", header)
        assert failed(http(*options, server.place)) == []
    assert f"\r\nHost: {header.rstrip('.')}".encode() in bytes(server.heard)


def test_usual_port_stays_out_of_the_host_field(
    authority: Authority, tls: tuple[str, ...], cacert: tuple[str, str]
) -> None:
    """On port 443 the Host field is the host alone, on another it has the port."""
    certificate = authority.valid("127.0.1.1")
    with (
        Misbehaving(replies(GOOD_PAGE), "127.0.1.1", port=443, certificate=certificate) as usual,
        Misbehaving(replies(GOOD_PAGE), "127.0.1.1", certificate=certificate) as other,
    ):
        assert failed(http(*tls, *cacert, "127.0.1.1", other.place)) == []
    assert b"\r\nHost: 127.0.1.1\r\n" in bytes(usual.heard)
    assert f"\r\nHost: {other.place}\r\n".encode() in bytes(other.heard)


def test_name_that_is_looked_up_is_verified(
    authority: Authority, tls: tuple[str, ...], cacert: tuple[str, str]
) -> None:
    """A host's name, not its address, is what its certificate is to be for."""
    certificate = authority.valid("www.example.com")
    with (
        Misbehaving(replies(GOOD_PAGE), certificate=certificate) as server,
        knowing({"www.example.com": ["127.0.0.1"], "w3.example.com": ["127.0.0.1"]}),
    ):
        good, bad = f"www.example.com:{server.port}", f"w3.example.com:{server.port}"
        found = reasons(http(*tls, *cacert, good, bad))
    fault = "TLS: Hostname mismatch, certificate is not valid for 'w3.example.com'."
    assert found == {bad: fault}


def test_other_address_is_tried_where_the_first_refuses(
    authority: Authority, tls: tuple[str, ...], cacert: tuple[str, str]
) -> None:
    """A name with an address where nobody listens is reached at its other one."""
    certificate = authority.valid("www.example.com")
    with (
        Misbehaving(replies(GOOD_PAGE), certificate=certificate) as server,
        knowing({"www.example.com": ["127.0.0.2", "127.0.0.1"]}),
    ):
        assert failed(http(*tls, *cacert, f"www.example.com:{server.port}")) == []


def _time_for(reason: str) -> tuple[str, str]:
    """Return the option that gives a host as much time as its reason says, or enough."""
    return ("-t", short() if reason.startswith(LATE) else "60")


def _drops(answer: bytes) -> Talk:
    """Answer with `answer`, and hang up without the farewell of TLS."""

    def talk(client: Client) -> None:
        client.request()
        client.send(answer)
        client.drop()

    return talk


def _says_two_bytes(client: Client) -> None:
    """Begin an answer, go on with it a little later, and then no more."""
    client.request()
    client.send(OK[:1])
    client.pause(0.5)
    client.send(OK[1:2])
    client.hangs_up()


def _resets_in_body(client: Client) -> None:
    """Break off the body with a reset."""
    client.request()
    client.send(OK + b"Content-Length: 1000\r\n\r\ntest page\n")
    client.reset()


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (misbehaving.silent, f"{LATE}, nothing came"),
        (misbehaving.closes_after_request, "closed without a word"),
        (_says_two_bytes, f"{LATE}, the headers broke off after 2 bytes"),
        (misbehaving.truncated, "closed too early, the body broke off after 10 bytes"),
        (
            misbehaving.replies_and_stays(OK + b"Content-Length: 11\r\n\r\ntest page\n"),
            f"{LATE}, the body broke off after 10 bytes",
        ),
        (replies(OK + b"X: y\r\n"), "closed too early, the headers broke off after 23 bytes"),
        (replies(OK + b"\r\ntest page\n"), ""),
        (_drops(OK + b"\r\ntest page\n"), ""),
        (_drops(GOOD_PAGE[:-1]), "closed too early, the body broke off after 9 bytes"),
        (_drops(b""), "closed without a word"),
        (misbehaving.chunked, ""),
        (misbehaving.invalid_utf8, ""),
        (replies(OK + b"\r\n" + b"test page\n" * 200_000), ""),
        (misbehaving.ssh_banner, "the answer is not HTTP"),
        (misbehaving.says(b"SSH-2.0\r\n"), "the answer is not HTTP"),
    ],
)
def test_misbehaving_server_under_tls_gets_its_reason(
    authority: Authority, tls: tuple[str, ...], cacert: tuple[str, str], talk: Talk, reason: str
) -> None:
    """A valid certificate makes no answer good."""
    with Misbehaving(talk, certificate=authority.valid("127.0.0.1")) as server:
        found = reasons(http(*_time_for(reason), *tls, *cacert, server.place))
    if "--user" in tls:
        # What a library's buffers hold of a body is not told.
        reason = re.sub("(?<=body broke off) after .*", "", reason)
    assert found == ({server.place: reason} if reason else {})


@pytest.mark.parametrize(
    ("talk", "reason", "through_requests"),
    [
        (
            misbehaving.resets_after_request,
            "connection reset, nothing came",
            "closed without a word",
        ),
        (
            _resets_in_body,
            "connection reset, the body broke off after 10 bytes",
            "closed too early, the body broke off",
        ),
    ],
)
def test_reset_under_tls_is_a_failure(
    authority: Authority, cacert: tuple[str, str], talk: Talk, reason: str, through_requests: str
) -> None:
    """A reset is told from an end, which a TLS socket of Python's own takes it for."""
    with Misbehaving(talk, certificate=authority.valid("127.0.0.1")) as server:
        options = ("--tls", *cacert)
        for way in ((), ("--follow",)):
            assert reasons(http(*options, *way, server.place)) == {server.place: reason}
        found = reasons(http(*options, *LOGIN, server.place, environ=PASSWORD))
    assert found == {server.place: through_requests}


def test_long_answer_comes_whole_over_tls(
    authority: Authority, tls: tuple[str, ...], cacert: tuple[str, str]
) -> None:
    """A body of many records of TLS is read to its end, in which the match is."""
    body = b"and on " * 40000 + b"and off"
    answer = OK + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    with Misbehaving(replies(answer), certificate=authority.valid("127.0.0.1")) as server:
        assert failed(http(*tls, *cacert, "-m", "and off$", server.place)) == []
        assert failed(http(*tls, *cacert, "--method", "HEAD", server.place)) == []


def test_long_request_goes_whole_over_tls(
    authority: Authority, tls: tuple[str, ...], cacert: tuple[str, str]
) -> None:
    """A request of many records, which a server takes late, is sent to its end."""

    def talk(client: Client) -> None:
        assert client.line().endswith(b"/the-end HTTP/1.1\r\n")
        client.request()
        client.send(GOOD_PAGE)

    with Misbehaving(talk, certificate=authority.valid("127.0.0.1")) as server:
        long = ("--url", "/on" * 20000 + "/the-end")
        assert failed(http(*tls, *cacert, *long, server.place)) == []


def test_server_that_wants_our_certificate_is_a_failure(
    folder: Path, authority: Authority, tls: tuple[str, ...], cacert: tuple[str, str]
) -> None:
    """nginx answers with 400 where it wants a certificate of the client's."""
    place = join("127.0.1.1", free_port())
    asks = f"ssl_verify_client on; ssl_client_certificate {authority.cacert}; {PAGE}"
    with Nginx(folder / "nginx", Site([place], asks, authority.valid("127.0.1.1"))):
        assert reasons(http(*tls, *cacert, place)) == {place: "status 400 is not accepted"}


def _resets_handshake(client: Client) -> None:
    """Answer the greeting of TLS, which has a line's end in it, with a reset."""
    client.line()
    client.reset()


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (misbehaving.silent, f"{LATE}, TLS did not come up"),
        (misbehaving.hears_and_closes, "closed too early, TLS did not come up"),
        (_resets_handshake, "connection reset, TLS did not come up"),
        (misbehaving.says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "TLS: wrong version number"),
        (
            misbehaving.says(b"\x15\x03\x03\x00\x02\x02\x28"),
            "TLS: sslv3 alert handshake failure",
        ),
        (
            misbehaving.dribbles(b"\x16\x03\x03\x00\x7a" + bytes(100)),
            f"{LATE}, TLS did not come up",
        ),
    ],
)
def test_server_that_does_not_speak_tls_gets_its_reason(
    tls: tuple[str, ...], talk: Talk, reason: str
) -> None:
    """What comes in place of a handshake is a failure, in time."""
    with Misbehaving(talk) as server:
        found = reasons(http(*_time_for(reason), *tls, server.place))
    assert found == {server.place: reason}


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_any_version_of_tls_will_do(
    folder: Path, authority: Authority, tls: tuple[str, ...], cacert: tuple[str, str], version: str
) -> None:
    """A server that speaks one version of TLS alone is asked with that."""
    place = join("127.0.1.1", free_port())
    body = f"ssl_protocols {version}; {PAGE}"
    with Nginx(folder / "nginx", Site([place], body, authority.valid("127.0.1.1"))):
        assert failed(http(*tls, *cacert, "-m", "test page", place)) == []


def test_tls_server_is_no_plain_server(folder: Path, authority: Authority) -> None:
    """nginx answers plain HTTP on a TLS port with 400."""
    place = join("127.0.1.1", free_port())
    with Nginx(folder / "nginx", Site([place], certificate=authority.valid("127.0.1.1"))):
        assert reasons(http(place)) == {place: "status 400 is not accepted"}


def _redirects(to: str, then: bytes = GOOD_PAGE, status: bytes = b"302 Found") -> Talk:
    """Answer / with a redirect `to`, and everything else with `then`."""

    def talk(client: Client) -> None:
        line = client.line()
        client.request()
        if line.startswith(b"GET / "):
            location = to.encode("latin-1")
            client.send(b"HTTP/1.1 %b\r\nLocation: %b\r\n\r\n" % (status, location))
        else:
            client.send(then)

    return talk


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"303 See", b"307 T", b"308 P"])
@pytest.mark.parametrize("to", ["/page", "page", "http://www.example.com/page"])
def test_redirect_comes_back_to_the_same_real_server(to: str, status: bytes) -> None:
    """Each real server is asked for the page that it redirected to, whatever its name."""
    with (
        Misbehaving(_redirects(to, status=status)) as one,
        Misbehaving(_redirects(to, b"HTTP/1.1 503 Oops\r\n\r\n", status), "::1") as two,
        knowing({}) as names,
    ):
        options = ("--follow", "--host-header", "www.example.com")
        found = reasons(http(*options, one.place, two.place))
    assert names.asked == []
    assert found == {
        two.place: "redirected to http://www.example.com/page: status 503 is not accepted"
    }
    for server in (one, two):
        assert server.connections == 2
        assert bytes(server.heard).count(b"\r\nHost: www.example.com\r\n") == 2
        assert b"GET /page HTTP/1.1\r\n" in bytes(server.heard)


def test_redirect_of_nginx_is_followed(folder: Path, place: str) -> None:
    """nginx names itself in a redirect by the Host field, port and all."""
    body = 'location = / { return 301 /there; } location /there { return 200 "test page\\n"; }'
    with Nginx(folder / "nginx", Site([place], body)):
        assert failed(http("--follow", "-m", "test page", place)) == []
        assert reasons(http("--status", "200", place)) == {place: "status 301 is not accepted"}


def test_redirect_to_tls_stays_at_the_address(
    authority: Authority, cacert: tuple[str, str]
) -> None:
    """A redirect to https, on another port, is asked of the same address, and verified by name."""
    certificate = authority.valid("www.example.com")
    with (
        Misbehaving(replies(GOOD_PAGE), certificate=certificate) as secure,
        Misbehaving(_redirects(f"https://www.example.com:{secure.port}/page")) as plain,
        Misbehaving(_redirects(f"https://w3.example.com:{secure.port}/page")) as other,
        knowing({}) as names,
    ):
        found = reasons(http("--follow", *cacert, plain.place, other.place))
        assert failed(http("--follow", "--insecure", plain.place, other.place)) == []
    assert names.asked == []
    url = f"https://w3.example.com:{secure.port}/page"
    fault = "TLS: Hostname mismatch, certificate is not valid for 'w3.example.com'."
    assert found == {other.place: f"redirected to {url}: {fault}"}


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("/", "redirected to http://127.0.0.1:{port}/: more than 10 redirects"),
        ("ftp://www.example.com/", "redirected to ftp://www.example.com/: No connection adapters"),
        ("http://[", ""),
        (
            "http://www.example.com:1/",
            "redirected to http://www.example.com:1/: Connection refused",
        ),
        ("http://www.example.com:99999/", "redirected to http://www.example.com:99999/: "),
        ("mailto:me", "redirected to mailto:me: No connection adapters"),
        ("//", ""),
        ("http://\xff\xfe/", "redirected to http://\xff\xfe/: "),
    ],
)
def test_redirect_to_nowhere_is_a_failure(to: str, reason: str) -> None:
    """A redirect that leads to no page fails its host, and says where it led."""
    with Misbehaving(_redirects(to)) as server:
        found = reasons(http("--follow", server.place))
    assert found[server.place].startswith(reason.format(port=server.port))


def test_redirect_without_a_place_is_judged_itself() -> None:
    """A 302 without Location is a status like any other."""
    with Misbehaving(replies(b"HTTP/1.1 302 Found\r\n\r\n")) as server:
        assert failed(http("--follow", server.place)) == []
        found = reasons(http("--follow", "--status", "200", server.place))
    assert found == {server.place: "status 302 is not accepted"}


def test_redirect_with_an_endless_body_is_followed() -> None:
    """A redirect's own body is not awaited, or by --user not beyond --max-bytes."""

    def talk(client: Client) -> None:
        line = client.line()
        client.request()
        if line.startswith(b"GET / "):
            client.send(b"HTTP/1.1 302 Found\r\nLocation: /page\r\n\r\n")
            while True:
                client.send(b"moved " * 10000)
        client.send(GOOD_PAGE)

    with Misbehaving(talk) as server:
        for way in ((), LOGIN):
            options = (*way, "--follow", "--status", "200")
            assert failed(http(*options, server.place, environ=PASSWORD)) == []


@pytest.fixture
def guarded(folder: Path) -> Iterator[str]:
    """An nginx that lets one user in, with a password."""
    place = join("127.0.1.1", free_port())
    (folder / "htpasswd").write_text("webmaster:{PLAIN}open sesame\n")
    guard = f'auth_basic "staff"; auth_basic_user_file {folder}/htpasswd; root {folder}/www;'
    (folder / "www").mkdir()
    (folder / "www" / "index.html").write_text("test page\n")
    with Nginx(folder / "nginx", Site([place], guard)):
        yield place


def test_login_with_the_password_from_the_environment(guarded: str) -> None:
    """The right password gets the page, a wrong one a failure, and no log-in mon's usual 401."""
    login = ("--user", "webmaster", "-m", "test page")
    assert failed(http(*login, guarded, environ=PASSWORD)) == []
    wrong = http(*login, guarded, environ={"LVSALERT_PASSWORD": "wrong"})
    assert reasons(wrong) == {guarded: "status 401 is not accepted"}
    assert failed(http(guarded)) == []
    assert failed(http(*login[:2], "--status", "401", guarded, environ=PASSWORD)) == [guarded]


@pytest.mark.parametrize("content", ["open sesame\n", "open sesame", "open sesame\nmore\n"])
def test_login_with_the_password_from_a_file(guarded: str, folder: Path, content: str) -> None:
    """The first line of --password-file is the password, and comes before the variable."""
    file = folder / "password"
    file.write_text(content)
    login = ("--user", "webmaster", "--password-file", str(file))
    assert failed(http(*login, guarded, environ={"LVSALERT_PASSWORD": "wrong"})) == []
    from_variables = {"LVSALERT_USER": "webmaster", "LVSALERT_PASSWORD_FILE": str(file)}
    assert failed(http("-m", "test page", guarded, environ=from_variables)) == []


@pytest.mark.parametrize(
    ("user", "password"),
    [("me", ""), ("größe", "пароль"), ("me", "with:colons:"), ("me", "\udcff")],
)
def test_login_goes_out_in_utf_8(user: str, password: str) -> None:
    """Any user and password are sent as RFC 7617 says, with charset UTF-8."""
    with Misbehaving(replies(GOOD_PAGE)) as server:
        assert (
            failed(http("--user", user, server.place, environ={"LVSALERT_PASSWORD": password}))
            == []
        )
    expected = base64.b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape"))
    assert b"\r\nAuthorization: Basic %b\r\n" % expected in bytes(server.heard)


@pytest.mark.parametrize(
    ("to", "logs_in"),
    [
        ("/page", 2),
        ("http://www.example.com/page", 2),
        ("http://other.example.com/page", 1),
    ],
)
def test_login_does_not_follow_to_another_name(to: str, logs_in: int) -> None:
    """A redirect to another name goes without the password."""
    with Misbehaving(_redirects(to)) as server:
        options = ("--follow", "--user", "me", "--host-header", "www.example.com")
        assert failed(http(*options, server.place, environ=PASSWORD)) == []
    assert server.connections == 2
    assert bytes(server.heard).count(b"\r\nAuthorization: Basic ") == logs_in


def test_login_does_not_leave_tls(authority: Authority, cacert: tuple[str, str]) -> None:
    """A redirect from https to http goes without the password."""
    with Misbehaving(replies(GOOD_PAGE)) as plain:
        certificate = authority.valid("127.0.0.1")
        to = f"http://127.0.0.1:{plain.port}/page"
        with Misbehaving(_redirects(to), certificate=certificate) as secure:
            options = ("--tls", "--follow", *cacert, "--user", "me")
            assert failed(http(*options, secure.place, environ=PASSWORD)) == []
    assert b"\r\nAuthorization: " in bytes(secure.heard)
    assert b"\r\nAuthorization: " not in bytes(plain.heard)


def test_surroundings_do_not_matter(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Neither a proxy's variable nor a .netrc of the user's has a say."""
    (folder / ".netrc").write_text("default login me password secret\n")
    for name, value in {
        "HOME": str(folder),
        "http_proxy": "http://127.0.0.1:1",
        "REQUESTS_CA_BUNDLE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    with Misbehaving(_redirects("/page")) as server:
        assert failed(http("--follow", server.place)) == []
    assert server.connections == 2
    assert b"Authorization" not in bytes(server.heard)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ("", "no certificate or crl found"),
        ("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", ""),
    ],
)
def test_file_without_certificates_is_refused(
    folder: Path, tls: tuple[str, ...], content: str | None, reason: str
) -> None:
    """A --cacert that cannot be used ends the run before any host is asked."""
    file = folder / "ca.pem"
    if content is not None:
        file.write_text(content)
    line = complaint(http(*tls, "--cacert", str(file), "127.0.0.1"))
    assert line.startswith(f"http.monitor: --cacert: {str(file)!r}: ")
    assert reason.lower() in line.lower()
