"""The real dovecot (IMAP, POP3), exim (SMTP), leafnode (NNTP) and telnetd, on loopback ports.

All need root: they change their users. leafnode and telnetd are started for each connection, as
inetd starts them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.places import answers, split
from tests.harness.processes import Program
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness.certificates import Certificate

USER = "ann"
PASSWORD = 'open "sesame"'  # noqa: S105 - of no other server than this one

_DOVECOT = """\
base_dir = {folder}/run
log_path = {folder}/log
ssl = {ssl}
ssl_cert = <{chain}
ssl_key = <{key}
disable_plaintext_auth = no
protocols = imap pop3
mail_location = maildir:{folder}/mail/%u
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={folder}/mail
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = {address}
    port = {imap}
  }}
  inet_listener imaps {{
    address = {address}
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    address = {address}
    port = {pop3}
  }}
  inet_listener pop3s {{
    address = {address}
    port = {pop3s}
    ssl = yes
  }}
}}
service stats {{
  client_limit = 200
}}
"""
_EXIM = """\
exim_path = /usr/sbin/exim4
spool_directory = {folder}/spool
log_file_path = {folder}/log-%s
primary_hostname = mail.example.com
daemon_smtp_ports = {port}
local_interfaces = <; {address}
tls_advertise_hosts = *
tls_certificate = {chain}
tls_privatekey = {key}
pid_file_path = {folder}/pid
acl_smtp_rcpt = deny
keep_environment =
never_users =
"""
# Accepts, and hands each connection to the command as its standard streams.
_INETD = """
import os, socket, subprocess, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family) as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((sys.argv[1], int(sys.argv[2])))
    listener.listen(64)
    running = []
    while True:
        client, _ = listener.accept()
        with client:
            running.append(subprocess.Popen(sys.argv[3:], stdin=client, stdout=client))
        running = [each for each in running if each.poll() is None]
"""


# It has one file and one host, which stay as they are outside.
_WITH_OWN_NEWS = """
hostname news.lvsalert.lan
mount --bind "$1/config" /etc/news/leafnode/config
shift
exec "$@"
"""


class _Server(Program):
    """A program that is up once all its places accept connections."""

    def __init__(self, argv: Sequence[str], folder: Path, places: Sequence[str]) -> None:
        self._places = places
        super().__init__(argv, folder / "output", {**os.environ, "LANG": "C"})

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        super().start()
        wait_until(self._is_up, lambda: f"{self.argv[0]} answers; it wrote: {self.output}")

    def _is_up(self) -> bool:
        assert self.runs, f"{self.argv[0]} ended: {self.output}"
        return all(map(answers, self._places))


class Dovecot(_Server):
    """IMAP and POP3 with and without TLS, where USER has PASSWORD."""

    def __init__(
        self, folder: Path, address: str, ports: Sequence[int], certificate: Certificate
    ) -> None:
        """Write the configuration into `folder`; `ports` are those of imap, imaps, pop3, pop3s."""
        imap, imaps, pop3, pop3s = ports
        (folder / "mail").mkdir(mode=0o777)
        (folder / "mail").chmod(0o777)
        (folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        conf = folder / "dovecot.conf"
        conf.write_text(
            _DOVECOT.format(
                folder=folder,
                ssl="yes",
                chain=certificate.chain,
                key=certificate.key,
                address=address,
                imap=imap,
                imaps=imaps,
                pop3=pop3,
                pop3s=pop3s,
            )
        )
        places = [f"{address}:{port}" for port in ports]
        self.imap, self.imaps, self.pop3, self.pop3s = places
        super().__init__(["/usr/sbin/dovecot", "-F", "-c", str(conf)], folder, places)


class Exim(_Server):
    """SMTP, with STARTTLS."""

    def __init__(self, folder: Path, place: str, certificate: Certificate) -> None:
        """Write the configuration into `folder`, one that every user may enter."""
        self.place = place
        address, port = split(place)
        # It reads them as a user of its own.
        chain, key = folder / "chain.pem", folder / "key.pem"
        chain.write_bytes(certificate.chain.read_bytes())
        key.write_bytes(certificate.key.read_bytes())
        conf = folder / "exim.conf"
        conf.write_text(
            _EXIM.format(
                folder=folder,
                address=address,
                port=port,
                chain=chain,
                key=key,
            )
        )
        folder.chmod(0o777)
        super().__init__(["/usr/sbin/exim4", "-C", str(conf), "-bdf"], folder, [place])


class Inetd(_Server):
    """A program that is started for each connection to `place`."""

    def __init__(self, folder: Path, place: str, argv: Sequence[str]) -> None:
        """Keep what to run."""
        self.place = place
        address, port = split(place)
        command = [sys.executable, "-c", _INETD, address, str(port), *argv]
        super().__init__(command, folder, [place])


def leafnode(folder: Path, place: str) -> Inetd:
    """Return a news server with the group junk."""
    conf = folder / "config"
    conf.write_text("server = news.lvsalert.lan\nexpire = 20\nhostname = news.lvsalert.lan\n")
    words = ["unshare", "--mount", "--uts", "sh", "-ec", _WITH_OWN_NEWS, "sh", str(folder)]
    return Inetd(folder, place, [*words, "/usr/sbin/leafnode"])


def telnetd(folder: Path, place: str) -> Inetd:
    """Return a telnet server that asks for a log-in."""
    return Inetd(folder, place, ["/usr/sbin/telnetd", "-U", "-h"])
