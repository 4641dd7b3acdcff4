"""Real servers of databases, directories and telephony on loopback, each with data of its own.

All need root: each runs as the user that Debian gave it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.places import answers, split
from tests.harness.processes import Program
from tests.harness.waiting import patience, wait_until

if TYPE_CHECKING:
    from tests.harness.certificates import Certificate

USER = "ann"
PASSWORD = "open sesame"  # noqa: S105 - of no other server than these
SECRET = "between us"  # noqa: S105 - of no other server than these
BASE = "dc=example,dc=com"

_SLAPD = """\
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/chain.pem
TLSCertificateKeyFile {folder}/key.pem
database mdb
maxsize 10485760
suffix "{base}"
rootdn "cn={user},{base}"
rootpw {password}
directory {folder}/data
"""
_LDIF = f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n"
_RADIUS = """\
prefix = /usr
name = lvsalert
localstatedir = {folder}
logdir = {folder}
run_dir = {folder}
libdir = /usr/lib/freeradius
max_requests = 64
security {{
  allow_core_dumps = no
}}
listen {{
  type = auth
  ipaddr = {address}
  port = {port}
  virtual_server = default
}}
client tests {{
  ipaddr = {clients}
  secret = "{secret}"
}}
modules {{
  pap {{
  }}
  files {{
    usersfile = {folder}/users
  }}
}}
server default {{
  authorize {{
    files
    pap
  }}
  authenticate {{
    Auth-Type PAP {{
      pap
    }}
  }}
}}
"""
_KAMAILIO = """\
#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=1
tcp_children=1
{listen}
loadmodule "sl.so"
request_route {{
    if (method == "OPTIONS") {{
        sl_send_reply("200", "OK");
        exit;
    }}
    sl_send_reply("404", "Not here");
}}
"""


def _program(name: str) -> str:
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert path is not None, f"{name} is not installed"
    return path


def _owned(folder: Path, user: str) -> None:
    folder.mkdir(exist_ok=True)
    shutil.chown(folder, user, user)


class _Server(Program):
    """A server that is up once `is_up` says so."""

    def __init__(self, argv: Sequence[str], folder: Path, place: str) -> None:
        self.place = place
        super().__init__(argv, folder / "output", {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    def start(self) -> None:
        """Start it, and wait until it answers."""
        super().start()
        wait_until(self._is_up, lambda: f"{self.argv[0]} answers; it wrote: {self.output}")

    def _is_up(self) -> bool:
        assert self.runs, f"{self.argv[0]} ended: {self.output}"
        return self.is_up()

    def is_up(self) -> bool:
        """Tell whether it accepts connections."""
        return answers(self.place)


class Mariadb(_Server):
    """A MariaDB where USER has PASSWORD, and a table in the database shop has one row."""

    def __init__(self, folder: Path, place: str) -> None:
        """Make the data in `folder`, one that every user may enter."""
        data, (address, port) = folder / "data", split(place)
        _owned(data, "mysql")
        init = folder / "init.sql"
        init.write_text(
            f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n"
            "CREATE DATABASE shop;\nCREATE TABLE shop.goods (name TEXT);\n"
            "INSERT INTO shop.goods VALUES ('tea');\n"
            f"GRANT SELECT ON shop.* TO '{USER}'@'%';\n"
        )
        words = ["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}"]
        subprocess.run(
            [*words, "--skip-test-db"], capture_output=True, check=True, timeout=patience()
        )
        super().__init__(
            [
                *(_program("mariadbd"), "--no-defaults", "--user=mysql", f"--datadir={data}"),
                *(f"--socket={data}/socket", f"--bind-address={address}", f"--port={port}"),
                *(f"--init-file={init}", "--pid-file=pid", "--skip-name-resolve"),
            ],
            folder,
            place,
        )


class Postgresql(_Server):
    """A PostgreSQL where USER has PASSWORD and a database of the same name with one row."""

    # At TERM it waits for its clients (postgres(1)).
    ends_on = signal.SIGINT

    def __init__(self, folder: Path, place: str) -> None:
        """Make the data in `folder`, one that every user may enter."""
        (self._bin,) = Path("/usr/lib/postgresql").glob("*/bin")
        self._data, (address, port) = folder / "data", split(place)
        self._folder = folder
        _owned(folder, "postgres")
        self._as_user(
            f"{self._bin}/initdb",
            "-D",
            str(self._data),
            "--no-sync",
            "-A",
            "scram-sha-256",
            "-U",
            USER,
            "--pwfile",
            str(self._password_file()),
        )
        options = [
            f"listen_addresses={address}",
            f"port={port}",
            f"unix_socket_directories={folder}",
            "fsync=off",
        ]
        words = [word for option in options for word in ("-c", option)]
        super().__init__(
            [*_AS_POSTGRES, f"{self._bin}/postgres", "-D", str(self._data), *words], folder, place
        )

    def _password_file(self) -> Path:
        path = self._folder / "password"
        path.write_text(PASSWORD)
        path.chmod(0o644)
        return path

    def _as_user(self, *words: str) -> None:
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PGPASSWORD": PASSWORD}
        subprocess.run(
            [*_AS_POSTGRES, *words],
            env=environment,
            cwd=self._folder,
            capture_output=True,
            check=True,
            timeout=patience(),
        )

    def start(self) -> None:
        """Start it, and make the database with its row."""
        super().start()
        address, port = split(self.place)
        at = ("-h", address, "-p", str(port), "-U", USER)
        wait_until(lambda: self._is_ready(at), lambda: f"postgres is ready: {self.output}")
        made = (
            f"SELECT 'CREATE DATABASE {USER}' WHERE NOT EXISTS"  # noqa: S608 - ours
            f" (SELECT FROM pg_database WHERE datname = '{USER}')\\gexec\n"
            f"\\c {USER}\nCREATE TABLE IF NOT EXISTS goods AS SELECT 'tea' AS name;\n"
        )
        (self._folder / "init.sql").write_text(made)
        self._as_user("psql", *at, "-d", "postgres", "-f", str(self._folder / "init.sql"))

    def _is_ready(self, at: Sequence[str]) -> bool:
        done = subprocess.run([f"{self._bin}/pg_isready", *at], capture_output=True, check=False)
        return done.returncode == 0


_AS_POSTGRES = ("setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups")


class Slapd(_Server):
    """An LDAP server with the entry BASE, whose administrator is cn=USER; also over TLS."""

    def __init__(
        self, folder: Path, place: str, over_tls: str, certificate: Certificate, ca: Path
    ) -> None:
        """Make the data in `folder`, one that every user may enter."""
        self.over_tls = over_tls
        for name, source in (("chain", certificate.chain), ("key", certificate.key), ("ca", ca)):
            (folder / f"{name}.pem").write_bytes(source.read_bytes())
        (folder / "data").mkdir()
        conf, ldif = folder / "slapd.conf", folder / "data.ldif"
        conf.write_text(
            _SLAPD.format(folder=folder, base=BASE, user=USER, password=f'"{PASSWORD}"')
        )
        ldif.write_text(_LDIF)
        subprocess.run(
            [_program("slapadd"), "-f", str(conf), "-l", str(ldif)], check=True, capture_output=True
        )
        urls = f"ldap://{place} ldaps://{over_tls}"
        super().__init__([_program("slapd"), "-d", "0", "-f", str(conf), "-h", urls], folder, place)

    def is_up(self) -> bool:
        """Tell whether it accepts connections at both places."""
        return answers(self.place) and answers(self.over_tls)


class Freeradius(_Server):
    """A RADIUS server with the SECRET, where USER has PASSWORD."""

    def __init__(self, folder: Path, place: str, clients: str = "127.0.0.0/8") -> None:
        """Write the configuration into `folder`; it answers those of the network `clients`."""
        address, port = split(place)
        (folder / "users").write_text(f'{USER} Cleartext-Password := "{PASSWORD}"\n')
        conf = folder / "radiusd.conf"
        places = {"address": address, "port": port, "clients": clients}
        conf.write_text(_RADIUS.format(folder=folder, secret=SECRET, **places))
        for path in (folder / "users", conf):
            path.chmod(0o640)
        super().__init__(
            [_program("freeradius"), "-f", "-l", "stdout", "-d", str(folder), "-n", "radiusd"],
            folder,
            place,
        )

    def is_up(self) -> bool:
        """Tell whether it is ready."""
        return "Ready to process requests" in self.output


class Kamailio(_Server):
    """A SIP server that answers OPTIONS, over UDP and TCP."""

    def __init__(self, folder: Path, place: str, *more: str) -> None:
        """Write the configuration into `folder`; `more` are further places."""
        conf = folder / "kamailio.cfg"
        listen = "\n".join(f"listen={p}:{at}" for at in (place, *more) for p in ("udp", "tcp"))
        conf.write_text(_KAMAILIO.format(listen=listen))
        words = ["-DD", "-E", "-f", str(conf), "-Y", str(folder), "-m", "16", "-M", "4"]
        super().__init__([_program("kamailio"), *words], folder, place)


class Dnsmasq(_Server):
    """A DNS server that knows www.example.com as 192.0.2.1, over UDP and TCP.

    It has more text about long.example.com than a datagram holds.
    """

    def __init__(self, folder: Path, place: str, *more: str) -> None:
        """Keep how to run it; `more` are addresses beside the place's, at the same port."""
        address, port = split(place)
        words = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]
        words += [
            "--listen-address=" + ",".join((address, *more)),
            f"--port={port}",
            "--bind-interfaces",
            "--user=root",
        ]
        words += [
            "--local=/example.com/",
            "--host-record=www.example.com,192.0.2.1",
            *(f"--txt-record=long.example.com,{number}{'x' * 200}" for number in range(4)),
            "--pid-file=",
            "--log-facility=-",
        ]
        super().__init__([_program("dnsmasq"), *words], folder, place)
