"""What the compared programs are given: servers on loopback, hosts that are silent, a table."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Callable, NamedTuple

from tests.bench.measuring import compile_program
from tests.harness.datagrams import answer_dns, answer_sip, answering
from tests.harness.installation import Installation, install
from tests.harness.misbehaving import Client, Misbehaving
from tests.harness.namespace import unshare_network
from tests.harness.nginx import Nginx, Site
from tests.harness.places import free_port, is_root, loopback, open_folder, split
from tests.harness.resident import Resident
from tests.harness.vsftpd import ManyVsftpd

_COLUMNS = "Prot LocalAddress:Port Uthreshold Lthreshold ActiveConn InActConn\n"
_SILENT = "198.51.100"


class World(NamedTuple):
    """Where everything is; `silent` hosts take what is sent to them and never answer."""

    folder: Path
    installation: Installation
    http: int
    https: int
    ftp: int
    cacert: Path
    silent: list[str]
    yardstick: Path
    ipvsadm: Path
    words: dict[str, int]
    resident: Resident
    watching: Resident

    def plugin(self, name: str) -> str:
        """Return the path of one of our plugins, as `lvs-director install` wrote it."""
        kind = "alert.d" if name.endswith(".alert") else "mon.d"
        return str(self.installation.prefix / kind / name)

    def write_table(self, servers: int, lost: int) -> None:
        """Let the fake ipvsadm know a table, and the one that is left when `lost` are out."""
        rules = ["-A -t 10.0.0.3:80 -s wlc\n"]
        rules += [f"-a -t 10.0.0.3:80 -r {real}:80 -g -w 5\n" for real in loopback(0, servers)]
        place = self.ipvsadm.parent
        (place / "restored").unlink(missing_ok=True)
        (place / "rules").write_text("".join(rules))
        (place / "after").write_text("".join([rules[0], *rules[1 + lost :]]))
        limits = [_COLUMNS, "TCP  10.0.0.3:80 wlc\n"]
        limits += [f"  -> {real}:80 0 0 0 0\n" for real in loopback(0, servers)]
        (place / "thresholds").write_text("".join(limits))


def _silent_hosts(count: int) -> list[str]:
    """Go to a network of our own, and return addresses on a wire with nobody at its other end.

    None where that needs to be root.
    """
    if not is_root():
        return []
    unshare_network()
    hosts = [f"{_SILENT}.{number + 10}" for number in range(count)]
    commands = ["link set lo up", "link add s0 type veth peer name s1", "link set s0 up"]
    commands += ["link set s1 up", f"addr add {_SILENT}.1/24 dev s0"]
    commands += [f"neigh add {host} lladdr 02:00:00:00:00:99 dev s0" for host in hosts]
    for words in commands:
        subprocess.run(["ip", *words.split()], check=True)
    return hosts


@contextmanager
def build() -> Iterator[World]:
    """Install the suite, start the servers, and give the world; all of it ends afterwards."""
    # The lab's guest, which builds no world, has no library for certificates.
    from tests.harness.certificates import Authority

    with ExitStack() as stack:
        folder = stack.enter_context(open_folder())
        installation = install(_made(folder / "suite"))
        silent = _silent_hosts(10)
        http, https, ftp = (free_port() for _ in range(3))
        authority = Authority(folder)
        certificate = authority.valid(*loopback(0, 100))
        sites = (
            Site([f"0.0.0.0:{http}"]),
            Site([f"0.0.0.0:{https}"], certificate=certificate),
        )
        stack.enter_context(Nginx(folder / "nginx", *sites))
        stack.enter_context(ManyVsftpd(folder / "vsftpd", loopback(0, 1000), ftp))
        yardstick = compile_program(folder, "yardstick")
        ipvsadm = compile_program(_made(folder / "ipvs"), "ipvsadm")
        yield World(
            folder,
            installation,
            http,
            https,
            ftp,
            authority.cacert,
            silent,
            yardstick,
            ipvsadm,
            {name: stack.enter_context(serve()) for name, serve in _WORDS.items()},
            *(
                stack.enter_context(
                    Resident(_made(folder / name), python=str(installation.bin / "python"))
                )
                for name in ("resident", "watching")
            ),
        )


def _greeting(words: bytes, *replies: bytes) -> Callable[[], AbstractContextManager[int]]:
    """Return a server that greets, and gives each line of a client the next reply."""

    def talk(client: Client) -> None:
        client.send(words)
        for reply in replies:
            client.line()
            client.send(reply)

    @contextmanager
    def serve() -> Iterator[int]:
        with Misbehaving(talk, "0.0.0.0") as server:
            yield server.port

    return serve


def _datagrams(answer: Callable[[bytes], bytes]) -> Callable[[], AbstractContextManager[int]]:
    @contextmanager
    def serve() -> Iterator[int]:
        with answering(lambda question, _: [answer(question)], loopback(0, 1000)) as places:
            yield split(places[0])[1]

    return serve


# The further protocols of the sweep, each with a server on all addresses.
_WORDS = {
    "smtp.monitor": _greeting(b"220 ready\r\n", b"250 hello\r\n", b"221 bye\r\n"),
    "imap.monitor": _greeting(b"* OK ready\r\n"),
    "pop3.monitor": _greeting(b"+OK ready\r\n"),
    "nntp.monitor": _greeting(b"200 ready\r\n"),
    "telnet.monitor": _greeting(b"login: "),
    "dns.monitor": _datagrams(answer_dns),
    "sip.monitor": _datagrams(answer_sip),
}


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def stock(name: str) -> list[str]:
    """Return the command of one of the monitors in mon's package."""
    return [f"/usr/lib/mon/mon.d/{name}"]


def check_http() -> str | None:
    """Return the path of monitoring-plugins' check_http, None where it is not installed."""
    return shutil.which("check_http", path="/usr/lib/nagios/plugins")
