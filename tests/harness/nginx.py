"""The real nginx on loopback, with a configuration, folders and a process of its own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.harness.places import answers, is_root
from tests.harness.processes import Program
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.certificates import Certificate

PAGE = 'location / { default_type text/plain; return 200 "test page\\n"; }'


@dataclass(frozen=True)
class Site:
    """One server block: where it listens (`address:port`, `[v6]:port`), what it holds, its TLS."""

    listen: Sequence[str]
    body: str = PAGE
    certificate: Certificate | None = None

    def block(self) -> str:
        """Return the block in nginx's words."""
        tls = self.certificate is not None
        lines = [f"listen {place}{' ssl' if tls else ''};" for place in self.listen]
        if self.certificate is not None:
            lines.append(f"ssl_certificate {self.certificate.chain};")
            lines.append(f"ssl_certificate_key {self.certificate.key};")
        return "server {\n" + "\n".join([*lines, self.body]) + "\n}\n"


class Nginx(Program):
    """An nginx that serves the given sites; `folder` has to be one that every user may enter.

    Start returns when it accepts connections. `kill` takes master and workers away at once: from
    then on its ports refuse.
    """

    def __init__(self, folder: Path, *sites: Site) -> None:
        """Write the configuration into `folder`; as root the workers run as www-data."""
        self.sites = sites
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        assert program is not None, "nginx is not installed"
        folder.mkdir(exist_ok=True)
        conf = folder / "nginx.conf"
        conf.write_text(_configuration(folder, sites))
        super().__init__(
            [program, "-p", str(folder), "-c", str(conf), "-e", "stderr"], folder / "output"
        )

    def start(self) -> None:
        """Start it, and wait until every site answers."""
        super().start()
        wait_until(self._is_up, lambda: f"nginx answers; it wrote: {self.output}")

    def _is_up(self) -> bool:
        assert self.runs, f"nginx ended: {self.output}"
        return all(answers(place) for site in self.sites for place in site.listen)


def _configuration(folder: Path, sites: Sequence[Site]) -> str:
    temporary = "".join(
        f"{kind}_temp_path {folder / kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    return (
        "daemon off;\n"
        f"{'user www-data;' if is_root() else ''}\n"
        "worker_processes 1;\n"
        "worker_rlimit_nofile 8192;\n"
        f"pid {folder / 'pid'};\n"
        "error_log stderr warn;\n"
        "events { worker_connections 4096; }\n"
        "http {\n"
        "access_log off;\n"
        f"{temporary}"
        f"{''.join(site.block() for site in sites)}"
        "}\n"
    )


def serving(folder: Path, *places: str) -> Nginx:
    """Return an nginx that answers 200 and `test page` at each `address:port`."""
    return Nginx(folder, Site(places))
