"""Scenario 1: the document's first solution, one watch for each real server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.lab.configuration import example

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.topology import Topology

VIP_WEB = "10.0.0.3:80"
WEB = "-A -t 10.0.0.3:80 -s rr"
WEB1 = "-a -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w 5"
WEB2 = "-a -t 10.0.0.3:80 -r 192.168.0.2:80 -g -w 5"
FTP = "-A -t 10.0.0.3:21 -s wlc -p 300"
FTP1 = "-a -t 10.0.0.3:21 -r 192.168.0.1:21 -g -w 5"
FTP2 = "-a -t 10.0.0.3:21 -r 192.168.0.2:21 -g -w 5"


def test_servers_die_and_come_back(lab: Topology, folder: Path) -> None:
    """Web server 1 and FTP server 2 die, their entries go, no request fails after that.

    Then they come back, with the weight that the example gives them. A test alert before all that
    changes nothing. There is no resident process.
    """
    director, client = lab.director1, lab.client
    first, second = lab.real_servers[:2]
    for server in (first, second):
        server.web.start()
        server.ftp.start()
    director.lay(WEB, WEB1, WEB2, FTP, FTP1, FTP2)

    alone = director.mon(folder, example("mon.cf", interval=5), has_resident=False)
    with alone as mon, client.asking(VIP_WEB) as web:
        web.wait_for_server("real1", "real2")

        mon.command("test alert www1 http 1 table")
        mon.syslog.wait_for(r"lvs\.alert.*test alert")
        assert director.table == [FTP, FTP1, FTP2, WEB, WEB1, WEB2]

        first.web.kill()
        second.ftp.kill()
        director.wait_for_table(FTP, FTP1, WEB, WEB2)
        gone = time.monotonic()
        web.wait_for(10)
        assert web.servers_since(gone) == {"real2"}

        first.web.start()
        second.ftp.start()
        director.wait_for_table(FTP, FTP1, FTP2, WEB, WEB1, WEB2)
        web.wait_for_server("real1", "real2")
        assert web.failures_since(gone) == []
