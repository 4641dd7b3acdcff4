"""The real vsftpd on loopback: anonymous access and, as root, one local user with a password."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.places import answers, is_root, split
from tests.harness.processes import Program
from tests.harness.waiting import wait_until

USER = "webmaster"
PASSWORD = "open sesame"  # noqa: S105 - of no other server than this one
FILE = "testpage.txt"
CONTENT = "test page\n"

if TYPE_CHECKING:
    from tests.harness.certificates import Certificate

_HASH = (  # openssl passwd -6
    "$6$lvsalert$x9Jo0hCrXydVrNXD4XP5aJ6P9Y32UMbK"
    "J8nhPIDUY2jAJqRSAhavz6D.znAYhNaARbLdm9e/O9Dn0iykmsDhg/"
)
# Leads them all, so that they end with it.
_ONE_FOR_EACH = """
program=$1 conf=$2; shift 2; for at; do "$program" "$conf" "-olisten_address=$at" & done; wait
"""
_WITH_OWN_USERS = """
mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/shadow && shift 2 && exec "$@"
"""


class Vsftpd(Program):
    """A vsftpd at `place` (`address:port`, `[v6]:port`) that serves the file FILE to everyone.

    As root it also lets the local user USER in with PASSWORD: it sees a passwd and a shadow file of
    its own, in a mount namespace of its own, so that the machine's stay as they are.
    """

    def __init__(
        self,
        folder: Path,
        place: str,
        banner: str = "ready",
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Write the configuration into `folder`, one that every user may enter.

        `options` are lines of vsftpd.conf beside ours.
        """
        self.place = place
        argv = _set_up(folder, place, banner, options or {})
        if is_root():
            argv = ["unshare", "--mount", "sh", "-c", _WITH_OWN_USERS, "sh", *_users(folder), *argv]
        super().__init__(argv, folder / "output")

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        super().start()
        wait_until(self._is_up, lambda: f"vsftpd answers; it wrote: {self.output}")

    def _is_up(self) -> bool:
        assert self.runs, f"vsftpd ended: {self.output}"
        return answers(self.place)


def over_tls(certificate: Certificate) -> dict[str, str]:
    """Return the lines of vsftpd.conf with which it talks to nobody but over TLS."""
    return {
        "ssl_enable": "YES",
        "allow_anon_ssl": "YES",
        "force_local_logins_ssl": "YES",
        "force_anon_logins_ssl": "YES",
        "force_anon_data_ssl": "YES",
        "force_local_data_ssl": "YES",
        "require_ssl_reuse": "YES",
        "rsa_cert_file": str(certificate.chain),
        "rsa_private_key_file": str(certificate.key),
    }


class ManyVsftpd(Program):
    """A vsftpd for each of `addresses`, at one port: a single one cannot take hundreds at once."""

    def __init__(self, folder: Path, addresses: Sequence[str], port: int) -> None:
        """Write the configuration that they share into `folder`, one that every user may enter."""
        self.places = [f"{address}:{port}" for address in addresses]
        argv = _set_up(folder, f"{addresses[0]}:{port}", "ready", {})
        super().__init__(["sh", "-c", _ONE_FOR_EACH, "sh", *argv, *addresses], folder / "output")

    def start(self) -> None:
        """Start them, and wait until all accept connections."""
        super().start()
        wait_until(lambda: all(answers(place) for place in self.places), "all vsftpd answer")


def _set_up(folder: Path, place: str, banner: str, more: Mapping[str, str]) -> list[str]:
    """Write the configuration and the files that are served, and return the command."""
    program = shutil.which("vsftpd", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert program is not None, "vsftpd is not installed"
    files = folder / "files"
    for made in (folder, files, folder / "empty"):
        made.mkdir(exist_ok=True)
    (files / FILE).write_text(CONTENT)
    conf = folder / "vsftpd.conf"
    conf.write_text(_configuration(folder, place, banner, more))
    return [program, str(conf)]


def _configuration(folder: Path, place: str, banner: str, more: Mapping[str, str]) -> str:
    address, port = split(place)
    listen = (
        {"listen": "NO", "listen_ipv6": "YES", "listen_address6": address}
        if ":" in address
        else {"listen": "YES", "listen_ipv6": "NO", "listen_address": address}
    )
    options = {
        **listen,
        "listen_port": str(port),
        "background": "NO",
        "ftpd_banner": banner,
        "anonymous_enable": "YES",
        "no_anon_password": "NO",
        "anon_root": str(folder / "files"),
        "secure_chroot_dir": str(folder / "empty"),
        "seccomp_sandbox": "NO",
        "xferlog_enable": "NO",
        "max_clients": "2000",
        "max_per_ip": "2000",
    }
    if is_root():
        options |= {
            "local_enable": "YES",
            "pam_service_name": "vsftpd",
        }
    else:
        options |= {"run_as_launching_user": "YES"}
    return "".join(f"{name}={value}\n" for name, value in {**options, **more}.items())


def _users(folder: Path) -> list[str]:
    passwd = folder / "passwd"
    shadow = folder / "shadow"
    everybody = Path("/etc/passwd").read_text()
    passwd.write_text(f"{everybody}{USER}:x:65534:65534::{folder / 'files'}:/bin/sh\n")
    shadow.write_text(f"{USER}:{_HASH}:19000:0:99999:7:::\n")
    return [str(passwd), str(shadow)]
