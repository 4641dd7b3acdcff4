"""Scenario 1: the document's first solution, one watch for each real server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.lab.configuration import example

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.topology import Topology

WEB = "-A -t 10.0.0.3:80 -s rr"
WEB1 = "-a -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w 5"
WEB2 = "-a -t 10.0.0.3:80 -r 192.168.0.2:80 -g -w 5"
FTP = "-A -t 10.0.0.3:21 -s wlc -p 300"
FTP1 = "-a -t 10.0.0.3:21 -r 192.168.0.1:21 -g -w 5"
FTP2 = "-a -t 10.0.0.3:21 -r 192.168.0.2:21 -g -w 5"


def test_a_web_server_dies_and_comes_back(lab: Topology, folder: Path) -> None:
    """Web server 1 dies and its entry goes; no request fails after that; it comes back."""
    director, client = lab.director1, lab.client
    first, second = lab.real_servers[:2]
    for server in (first, second):
        server.web.start()
        server.ftp.start()
    director.lay(WEB, WEB1, WEB2, FTP, FTP1, FTP2)

    with director.mon(folder, example("mon.cf", interval=5)), client.asking("10.0.0.3:80") as web:
        web.wait_for_server("real1", "real2")

        first.web.kill()
        director.wait_for_table(FTP, FTP1, FTP2, WEB, WEB2)
        gone = time.monotonic()
        web.wait_for(10)
        assert web.servers_since(gone) == {"real2"}

        first.web.start()
        director.wait_for_table(FTP, FTP1, FTP2, WEB, WEB1, WEB2)
        web.wait_for_server("real1", "real2")
        assert web.failures_since(gone) == []


def test_an_ftp_server_dies_and_comes_back(lab: Topology, folder: Path) -> None:
    """An FTP server's death takes its own entry and leaves that of the same host's web server."""
    director = lab.director1
    first, second = lab.real_servers[:2]
    for server in (first, second):
        server.web.start()
        server.ftp.start()
    director.lay(WEB, WEB1, WEB2, FTP, FTP1, FTP2)

    with director.mon(folder, example("mon.cf", interval=5)):
        first.ftp.kill()
        director.wait_for_table(FTP, FTP2, WEB, WEB1, WEB2)
        first.ftp.start()
        director.wait_for_table(FTP, FTP1, FTP2, WEB, WEB1, WEB2)
