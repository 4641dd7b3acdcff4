"""What makes directors of two machines: our example files, or the document's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tests.lab.addresses import GATEWAY, VIP
from tests.lab.configuration import EXAMPLES, LVS_DIRECTOR
from tests.lab.document import Document
from tests.lab.managers import Heartbeat, Manager, Pacemaker, Vrrp

SLOW_PORT = 8081
"""Where the slow downloads are."""


class File(NamedTuple):
    """A file's text and mode."""

    text: str
    mode: int = 0o644


class Pieces(NamedTuple):
    """The files on a director's disk, by their paths below /, and whether they are ours."""

    files: dict[str, File]
    manager: Manager
    is_ours: bool = True


def heartbeats(servers: Sequence[str]) -> Pieces:
    """Return the example files for heartbeat."""
    examples = {name: (EXAMPLES / "ha.d" / name).read_text() for name in ("ha.cf", "haresources")}
    authkeys = (EXAMPLES / "ha.d" / "authkeys").read_text()
    # The gateway of what is masqueraded moves with the virtual address.
    haresources = examples["haresources"].replace(f" {VIP} mon\n", f" {VIP} {GATEWAY} mon\n")
    assert haresources.count(GATEWAY) == 1
    files = {
        "etc/ha.d/ha.cf": File(examples["ha.cf"]),
        "etc/ha.d/haresources": File(haresources),
        "etc/ha.d/authkeys": File(authkeys, 0o600),
    }
    return Pieces(files | _directors(servers), Heartbeat())


def vrrps(servers: Sequence[str]) -> Pieces:
    """Return the example files for keepalived, with what masquerading needs."""
    examples = {
        name: (EXAMPLES / "keepalived" / name).read_text()
        for name in ("keepalived.conf", "lvs-director", "director.nft")
    }
    address = f"        {VIP}/32 dev eth0\n"
    assert address in examples["keepalived.conf"]
    conf = examples["keepalived.conf"].replace(address, address + address.replace(VIP, GATEWAY))
    rules = examples["director.nft"].replace("#ip saddr", "ip saddr")
    assert rules != examples["director.nft"]
    files = {
        "etc/keepalived/keepalived.conf": File(conf),
        "etc/keepalived/lvs-director": File(examples["lvs-director"], 0o755),
        "etc/keepalived/director.nft": File(rules),
    }
    return Pieces(files | _directors(servers), Vrrp())


def pacemakers(servers: Sequence[str]) -> Pieces:
    """Return the example files for Pacemaker, with the gateway of what is masqueraded."""
    examples = {
        name: (EXAMPLES / "pacemaker" / name).read_text()
        for name in ("lvs", "mon", "lvs.crm", "corosync.conf")
    }
    crm = examples["lvs.crm"]
    (address,) = re.findall(r"^primitive address(?:.*\\\n)+.*\n", crm, re.MULTILINE)
    gateway = address.replace("primitive address", "primitive gateway").replace(VIP, GATEWAY)
    crm = crm.replace(address, address + gateway)
    crm = crm.replace("group director table address", "group director table address gateway")
    assert crm.count("gateway") == 2
    agents = "usr/lib/ocf/resource.d/lvsalert"
    files = {
        "etc/lvs.crm": File(crm),
        # With a real-time priority it waits for its own threads in a loop that leaves them none of
        # the only processor.
        "etc/corosync/corosync.conf": File(
            examples["corosync.conf"] + "system {\n    sched_rr: no\n    priority: 0\n}\n"
        ),
        # As long as corosync-keygen makes it.
        "etc/corosync/authkey": File("0123456789abcdef" * 16, 0o400),
        f"{agents}/lvs": File(examples["lvs"], 0o755),
        f"{agents}/mon": File(examples["mon"], 0o755),
        "opt/lvsalert/bin/lvs-director": File(f'#!/bin/sh\nexec {LVS_DIRECTOR} "$@"\n', 0o755),
    }
    return Pieces(files | _directors(servers), Pacemaker())


def _directors(servers: Sequence[str]) -> dict[str, File]:
    """Return the files that are the same whatever moves the address; connections are synced."""
    default = (EXAMPLES / "ha.d" / "lvs-director").read_text()
    return {
        "etc/ha.d/www.cf": File(_www_cf(servers)),
        "etc/default/lvs-director": File(default.replace("#LVSALERT_SYNC_I", "LVSALERT_SYNC_I")),
    }


def _www_cf(servers: Sequence[str]) -> str:
    """Return the example's www.cf for two servers, with the slow downloads.

    These are by direct routing from the first one, and masqueraded from the second. The scheduler
    is rr: wlc would hide a dead server from the clients.
    """
    text = (EXAMPLES / "ha.d" / "www.cf").read_text()
    for old, new in {
        "wlc": "rr",
        "/.testpage": "/",
        "test page": "real",
    }.items():
        assert old in text
        text = text.replace(old, new)
    text += f"\nvirtual = {VIP}:{SLOW_PORT}\n    checktype = connect\n    scheduler = rr\n"
    return text + "".join(
        f"    real = {each}:{SLOW_PORT} {method}\n"
        for each, method in zip(servers, ("gate", "masq"))
    )


def documents(document: Document, servers: Sequence[str]) -> Pieces:
    """Return the document's files, changed where the programs of today would not take them.

    ha.conf is called ha.cf, `udp` is `bcast`, and mon runs as root, as it did then: as Debian's
    user mon the kernel would refuse its lvs.alert. The scheduler is rr, mon's first check comes as
    soon as with ours, and the slow download has its lines in the lvs script.
    """
    ha_cf = re.sub(r"^udp\s+eth0$", "bcast eth0", document.ha_cf, flags=re.MULTILINE)
    lines = re.findall(rf"^.*{VIP}:80.*\n", document.lvs, re.MULTILINE)
    lines[0] = lines[0].replace(f"{VIP}:80", f"{VIP}:80 -s rr")
    slow = [line.replace(f"{VIP}:80", f"{VIP}:{SLOW_PORT}") for line in lines]
    lvs = document.lvs.replace(f"{VIP}:80\n", f"{VIP}:80 -s rr\n")
    lvs = lvs.replace(lines[-1], lines[-1] + "".join(slow))
    mon_cf = document.mon_cf.replace("randstart = 30s", "randstart = 1s")
    names = "".join(f"{each} www{place}.domain.com\n" for place, each in enumerate(servers, 1))
    authkeys = (EXAMPLES / "ha.d" / "authkeys").read_text()
    files = {
        "etc/ha.d/ha.cf": File(f"{ha_cf}auto_failback on\n"),
        "etc/ha.d/haresources": File(document.haresources),
        "etc/ha.d/authkeys": File(authkeys, 0o600),
        "etc/ha.d/resource.d/lvs": File(lvs, 0o755),
        "etc/mon/mon.cf": File(mon_cf),
        "etc/default/mon": File("ENABLED=yes\nDAEMON_OPTS=-f\nDAEMONUSER=root\n"),
        "etc/hosts": File(f"127.0.0.1 localhost\n{names}"),
        "usr/lib/mon/alert.d/lvs.alert": File(document.alert, 0o755),
    }
    return Pieces(files, Heartbeat(), is_ours=False)
