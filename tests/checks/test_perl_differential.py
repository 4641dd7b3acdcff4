"""The stock Perl monitors and ours say the same of the same servers, but for a list."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.harness import misbehaving
from tests.harness.differences import (
    DIFFERENCES,
    FAILED,
    HOST,
    NO_ERROR,
    PAGE,
    Difference,
    status,
)
from tests.harness.misbehaving import OK, Misbehaving, Talk, ftp, refusing, replies
from tests.harness.mon import STOCK
from tests.harness.monitors import FPING, FTP, HTTP, Verdict, both
from tests.harness.nginx import Nginx, Site
from tests.harness.places import free_port, is_root, join, split
from tests.harness.vsftpd import Vsftpd
from tests.harness.waiting import short, wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not (STOCK / "mon.d" / "http.monitor").exists(), reason="mon is not installed"
)


HTTP_SAME: dict[str, tuple[Talk, list[str]]] = {
    "says nothing": (misbehaving.silent, []),
    "resets after the request": (misbehaving.resets_after_request, []),
    "hangs up after the request": (misbehaving.closes_after_request, []),
    "one byte at a time": (misbehaving.one_byte_at_a_time, []),
    "speaks SSH": (misbehaving.ssh_banner, []),
    "binary": (misbehaving.binary, []),
    "invalid UTF-8": (misbehaving.invalid_utf8, []),
    "chunked": (misbehaving.chunked, []),
    "a page without a head": (replies(b"<html>test page</html>"), []),
    "lines end in LF alone": (replies(b"HTTP/1.1 200 OK\n\ntest page\n"), []),
    "stays after the announced length": (
        misbehaving.replies_and_stays(OK + b"Content-Length: 4\r\n\r\npage"),
        [],
    ),
    **{
        f"status {code}": (status(b"HTTP/1.1 %d Reason" % code), [])
        for code in (200, 201, 204, 206, 301, 302, 303, 304, 307, 400, 401, 403, 404, 500, 503)
    },
    **{
        f"status line {line.decode()!r}": (status(line), [])
        for line in (
            b"HTTP/1.0 200",
            b"HTTP/1.1  200 OK",
            b"HTTP/1.9 200 OK",
            b"HTTP/1.1 200OK",
            b"HTTP/1.1 2000 OK",
            b"http/1.1 200 OK",
            b"ICY 200 OK",
        )
    },
    "match in the content": (PAGE, ["-m", "test page"]),
    "match in the head": (PAGE, ["-m", "X-Ready: yes"]),
    "match over lines": (PAGE, ["-m", "first.*page"]),
    "match at a line's beginning": (PAGE, ["-m", "^test"]),
    "no match": (PAGE, ["-m", "Test Page"]),
    "empty match": (PAGE, ["-m", ""]),
    "match of 0": (PAGE, ["-m", "0"]),
    "no match in a page that does not end": (
        misbehaving.replies_and_stays(OK + b"\r\ntest page"),
        ["-m", "other"],
    ),
    "good ones left out": (PAGE, ["-o"]),
}

FTP_SAME: dict[str, tuple[Talk, list[str]]] = {
    "says nothing": (misbehaving.silent, []),
    "resets": (misbehaving.resets, []),
    "hangs up": (misbehaving.closes, []),
    "one byte at a time": (misbehaving.one_byte_at_a_time, []),
    "speaks SSH": (misbehaving.ssh_banner, []),
    "binary": (misbehaving.binary, []),
    "421": (misbehaving.ftp_421, []),
    "530": (misbehaving.ftp_530, []),
    "greeting of many lines": (misbehaving.ftp_many_lines, []),
    "another code after QUIT": (misbehaving.ftp_bad_farewell, []),
    "empty greeting": (ftp(b""), []),
    **{
        f"greeting {words!r}": (ftp(words), [])
        for words in (
            b"220 ready\r\n",
            b"220 ready\n",
            b"220\r\n",
            b"220-never ends\r\n",
            b"220ready\r\n",
            b"2200 ready\r\n",
            b" 220 ready\r\n",
            b"230 in\r\n",
            b"220 r\xff\xfe\r\n",
            b"220-first\r\n221 not yet\r\n220 ready\r\n",
            b"220-first\r\nno code\r\n220 ready\r\n",
            b"220 ready\r\n220 again\r\n",
        )
    },
    **{
        f"farewell {words!r}": (ftp(farewell=words), [])
        for words in (
            b"221-Bye\r\n221 bye\r\n",
            b"221 bye\n",
            b"221\r\n",
            b"221bye\r\n",
            b"220 still here\r\n221 bye\r\n",
            b"500 no\r\n221 bye\r\n",
            b"226 done\r\n221 bye\r\n",
        )
    },
}

SAME = [
    pytest.param(monitor, talk, options, id=f"{monitor.partition('.')[0]}: {name}")
    for monitor, cases in ((HTTP, HTTP_SAME), (FTP, FTP_SAME))
    for name, (talk, options) in cases.items()
]


@pytest.mark.parametrize(("monitor", "talk", "options"), SAME)
def test_same_verdict(monitor: str, talk: Talk, options: list[str]) -> None:
    """The Perl monitor and ours agree about a server, good or misbehaving."""
    with Misbehaving(talk, HOST) as server:
        perl, ours = both(monitor, "-p", str(server.port), "-t", short(), *options, HOST)
    assert perl in (NO_ERROR, FAILED)
    assert ours == perl


@pytest.mark.parametrize("monitor", [HTTP, FTP])
@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [HOST],
        [HOST, HOST],
        ["127.0.8.2", "127.0.8.10", HOST],
        ["no-such-name.invalid"],
        ["no-such-name.invalid", HOST],
    ],
)
def test_same_verdict_about_hosts_that_refuse(monitor: str, hosts: list[str]) -> None:
    """The summary has each host once, as it was written, in the order of characters."""
    with refusing("0.0.0.0") as place:
        _, port = split(place)
        perl, ours = both(monitor, "-p", str(port), "-t", short(), *hosts)
    assert perl == ((1, " ".join(sorted(set(hosts)))) if hosts else NO_ERROR)
    assert ours == perl


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_same_verdict_about_a_mixed_group(folder: Path) -> None:
    """One run over real nginx of different states, one that refuses and one that hangs."""
    port = free_port("127.0.8.20")
    codes = {"127.0.8.20": 200, "127.0.8.21": 301, "127.0.8.22": 401, "127.0.8.23": 503}
    sites = [
        Site([join(address, port)], f"return {code} /elsewhere;") for address, code in codes.items()
    ]
    with (
        Nginx(folder / "nginx", *sites),
        Misbehaving(misbehaving.silent, "127.0.8.24", port=port),
    ):
        hosts = [*codes, "127.0.8.24", "127.0.8.25"]
        perl, ours = both(HTTP, "-p", str(port), "-t", short(), *hosts)
    assert perl == (1, "127.0.8.23 127.0.8.24 127.0.8.25")
    assert ours == perl


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], FAILED),
        (["-u", "/status"], NO_ERROR),
        (["-u", "/status?deep=1"], NO_ERROR),
        (["-a", "our agent"], NO_ERROR),
        (["-u", "/status", "-m", "all is well"], NO_ERROR),
        (["-u/status", "-om", "all is ill"], FAILED),
    ],
)
def test_same_request(folder: Path, options: list[str], expected: Verdict) -> None:
    """Path and agent reach a real nginx as the Perl monitor sends them."""
    body = (
        'location = /status { return 200 "all is well\\n"; }\n'
        'location / { if ($http_user_agent != "our agent") { return 403; } return 200; }'
    )
    port = free_port(HOST)
    with Nginx(folder / "nginx", Site([join(HOST, port)], body)):
        perl, ours = both(HTTP, "-p", str(port), "-t", "60", *options, HOST)
    assert perl == expected
    assert ours == perl


@pytest.mark.skipif(shutil.which("vsftpd") is None, reason="vsftpd is not installed")
def test_same_verdict_about_real_ftp_servers(folder: Path) -> None:
    """Two real vsftpd, of which one is killed."""
    port = free_port("127.0.8.30")
    hosts = ["127.0.8.30", "127.0.8.31"]
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(Vsftpd(folder / host, join(host, port), "ready")) for host in hosts
        ]
        perl, ours = both(FTP, "-p", str(port), *hosts)
        assert perl == NO_ERROR
        assert ours == perl
        servers[0].kill()
        perl, ours = both(FTP, "-p", str(port), *hosts)
    assert perl == (1, "127.0.8.30")
    assert ours == perl


# Hosts of 198.51.100.0/24 but for .254 are never heard of: the veth's other end has no address.
_NETWORK = """
ip link set lo up
ip link add v0 type veth peer v1
ip address add 198.51.100.254/24 dev v0
ip link set v0 arp off up
ip link set v1 up
exec "$@"
"""
OWN_NETWORK = ("unshare", "--net", "sh", "-ec", _NETWORK, "sh")


@pytest.mark.skipif(
    not is_root() or shutil.which("fping") is None, reason="needs root, and fping installed"
)
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", NO_ERROR),
        ("127.0.0.1", NO_ERROR),
        ("127.0.0.1 127.0.0.1", NO_ERROR),
        ("localhost", NO_ERROR),
        ("::1", NO_ERROR),
        ("127.0.0.1 127.0.0.2 198.51.100.254", NO_ERROR),
        ("198.51.100.7", (1, "198.51.100.7")),
        ("198.51.100.7 127.0.0.1 198.51.100.10", (1, "198.51.100.10 198.51.100.7")),
        ("-a 198.51.100.7 127.0.0.1", (0, "198.51.100.7")),
        ("-a 198.51.100.7 198.51.100.8", (1, "198.51.100.7 198.51.100.8")),
        ("-a 127.0.0.1", NO_ERROR),
        ("-s 0.0001 127.0.0.1", (1, "127.0.0.1")),
        ("-s 0.0001 127.0.0.1 198.51.100.7", (1, "127.0.0.1 198.51.100.7")),
        ("-s 10000 127.0.0.1", NO_ERROR),
        ("-r 0 127.0.0.1", NO_ERROR),
    ],
)
def test_same_pings(arguments: str, expected: Verdict) -> None:
    """Hosts that answer, answer late, and never answer, with each of the options."""
    perl, ours = both(FPING, "-r", "1", "-t", "500", *arguments.split(), within=OWN_NETWORK)
    assert perl == expected
    assert ours == perl


@pytest.mark.skipif(
    not is_root() or shutil.which("fping") is None, reason="needs root, and fping installed"
)
@pytest.mark.parametrize(
    "difference", DIFFERENCES, ids=[f"{each.monitor}: {each.name}" for each in DIFFERENCES]
)
def test_difference(difference: Difference) -> None:
    """Where the two differ on purpose, each says what the list says of it."""
    address = "::1" if difference.host == "::1" else HOST
    with Misbehaving(difference.talk, address) as server:
        port = () if difference.monitor == FPING else ("-p", str(server.port))
        arguments = (*port, *difference.options, difference.host)
        (status, summary), ours = both(difference.monitor, *arguments)
    assert status == difference.perl[0]
    assert summary.startswith(difference.perl[1])
    assert bool(summary) == bool(difference.perl[1])
    assert ours == difference.ours


# A Perl that goes on after connect(2) when the server has said or done something.
HESITATES = r"""
package Hesitates;
use Symbol;
BEGIN {
    *CORE::GLOBAL::connect = sub (*$) {
        my $socket = Symbol::qualify_to_ref($_[0], scalar caller);
        my $done = CORE::connect($socket, $_[1]);
        vec(my $readers = "", fileno($socket), 1) = 1;
        select($readers, undef, undef, 20);
        return $done;
    };
}
1;
"""


@pytest.mark.parametrize("talk", [misbehaving.resets, misbehaving.closes])
def test_no_monitor_of_ours_dies_of_a_signal(tmp_path: Path, talk: Talk) -> None:
    """A server that hangs up early kills Perl's http.monitor by PIPE, which mon takes for success.

    Perl writes its request in three pieces, and has to come too late with the first ones. It does
    not where the kernel is busy, so that it is asked until it does.
    """
    (tmp_path / "Hesitates.pm").write_text(HESITATES)
    late = ("env", f"PERL5LIB={tmp_path}", "PERL5OPT=-MHesitates")
    with Misbehaving(talk, HOST) as server:

        def dies() -> bool:
            perl, ours = both(HTTP, "-p", str(server.port), HOST, within=late)
            assert ours == FAILED
            return perl == (-13, "")

        wait_until(dies, "Perl's monitor dies by PIPE")
