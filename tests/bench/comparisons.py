"""What is compared with what, and which ratio is aimed at."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from tests.bench.measuring import Comparison, Side
from tests.bench.services import LDIRECTORD, rounds
from tests.bench.world import World, check_http, stock
from tests.harness.places import loopback
from tests.lab.document import read

STOCK = ("lvsalert", "mon's own")
OFTEN, SELDOM, ONCE = 15, 3, 1
_ALERT = ("-P", "tcp", "-V", "10.0.0.3:80", "-W", "5", "-F", "dr")


def all_of(world: World, document: Path | None) -> tuple[list[Comparison], list[str]]:
    """Return every comparison that can be made here, and what has to be left out, and why."""
    left_out = []
    found = [*_http(world), *_ftp(world), *_fping(world), *_words(world), *_growth(world)]
    found += _resident(world)
    if world.silent:
        found += _silent(world)
    else:
        left_out.append("silent hosts: they take a network namespace, which takes root")
    if LDIRECTORD.exists():
        found += rounds(world)
    else:
        left_out.append("ldirectord: it is not installed")
    program = check_http()
    if program is not None:
        found.append(_https(world, program))
    else:
        left_out.append("check_http: monitoring-plugins-basic is not installed")
    if document is not None:
        found += _alerts(world, document)
    else:
        left_out.append("the Perl lvs.alert: --document names no file to take it from")
    return found, left_out


def _side(world: World, monitor: str, port: int | None, hosts: Sequence[str], *more: str) -> Side:
    options = ["-p", str(port)] if port is not None else []
    return Side([[world.plugin(monitor), *more, *options, *hosts]])


def _stock(monitor: str, port: int | None, hosts: Sequence[str], *more: str) -> Side:
    options = ["-p", str(port)] if port is not None else []
    return Side([[*stock(monitor), *more, *options, *hosts]])


def _http(world: World) -> list[Comparison]:
    hosts, name, port = loopback(0, 1000), "http.monitor", world.http
    ours = _side(world, name, port, hosts)
    yardstick = Side([[str(world.yardstick), "http", str(port), *hosts]])
    watches = Side([_stock(name, port, [host]).commands[0] for host in hosts])
    return [
        Comparison(
            "http.monitor, 1,000 servers, one run",
            STOCK,
            ours,
            _stock(name, port, hosts),
            {"cpu": 1.1, "wall": 1.1},
            OFTEN,
        ),
        Comparison(
            "the same, against the bare system calls in C",
            ("lvsalert", "C"),
            ours,
            yardstick,
            {},
            OFTEN,
        ),
        Comparison(
            "http, 1,000 servers: one watch, and a watch for each",
            ("lvsalert, one run", "mon's own, 1,000 runs"),
            ours,
            watches,
            {"cpu": 0.01},
            ONCE,
        ),
        Comparison(
            "http.monitor, one host",
            STOCK,
            _side(world, name, port, hosts[:1]),
            _stock(name, port, hosts[:1]),
            {"cpu": 3.8},
            OFTEN,
        ),
    ]


def _resident(world: World) -> list[Comparison]:
    """Return what one host costs with the resident process, whose work counts."""
    host = loopback(0, 1)
    return [
        Comparison(
            f"{name}, one host, by the resident",
            STOCK,
            _side(world, name, port, host)._replace(resident=world.resident),
            _stock(name, port, host),
            {"cpu": aim},
            OFTEN,
        )
        for name, port, aim in (
            ("http.monitor", world.http, 0.8),
            ("ftp.monitor", world.ftp, 1.0),
            ("fping.monitor", None, 2.0),
        )
    ]


def _ftp(world: World) -> list[Comparison]:
    hosts, name, port = loopback(0, 1000), "ftp.monitor", world.ftp
    yardstick = Side([[str(world.yardstick), "ftp", str(port), *hosts]])
    return [
        Comparison(
            "ftp.monitor, 1,000 servers, one run",
            STOCK,
            _side(world, name, port, hosts),
            _stock(name, port, hosts),
            {"cpu": 1.5, "wall": 1.0},
            SELDOM,
        ),
        Comparison(
            "the same, against the bare system calls in C",
            ("lvsalert", "C"),
            _side(world, name, port, hosts),
            yardstick,
            {},
            SELDOM,
        ),
        Comparison(
            "ftp.monitor, one host",
            STOCK,
            _side(world, name, port, hosts[:1]),
            _stock(name, port, hosts[:1]),
            {"cpu": 5},
            OFTEN,
        ),
    ]


def _fping(world: World) -> list[Comparison]:
    hosts, name = loopback(0, 1000), "fping.monitor"
    return [
        Comparison(
            "fping.monitor, 1,000 hosts, one run",
            STOCK,
            _side(world, name, None, hosts),
            _stock(name, None, hosts),
            {"cpu": 1.8, "wall": 0.03},
            SELDOM,
        ),
        Comparison(
            "fping.monitor, one host",
            STOCK,
            _side(world, name, None, hosts[:1]),
            _stock(name, None, hosts[:1]),
            {"cpu": 18},
            OFTEN,
        ),
    ]


def _words(world: World) -> list[Comparison]:
    """Return the other protocols of the sweep, each beside a run of http.monitor's."""
    hosts = loopback(0, 1000)
    http = _side(world, "http.monitor", world.http, hosts)
    options = {"dns.monitor": ["--query", "www.example.com"], "telnet.monitor": ["-l", "/login/"]}
    return [
        Comparison(
            f"{name}, 1,000 servers, one run",
            (name, "http.monitor"),
            _side(world, name, port, hosts, *options.get(name, [])),
            http,
            {"cpu": 4},
            SELDOM,
        )
        for name, port in world.words.items()
    ]


def _silent(world: World) -> list[Comparison]:
    hosts, found = [*loopback(0, 990), *world.silent], []
    limits = ("-t", "2")
    for name, port, target in (("http.monitor", world.http, 0.12), ("ftp.monitor", world.ftp, 0.2)):
        found.append(
            Comparison(
                f"{name}, 1,000 servers, 10 of them silent, -t 2",
                STOCK,
                _side(world, name, port, hosts, *limits)._replace(statuses=(1,)),
                _stock(name, port, hosts, *limits)._replace(statuses=(1,)),
                {"wall": target},
                ONCE,
            )
        )
    return found


def _https(world: World, program: str) -> Comparison:
    hosts, port = loopback(0, 100), str(world.https)
    options = ["--tls", "--cacert", str(world.cacert), "-p", port]
    ours = Side([[world.plugin("http.monitor"), *options, *hosts]])
    other = Side([[program, "-S", "-p", port, "-I", host] for host in hosts])
    names = ("lvsalert, verified", "check_http -S, 100 runs, not verified")
    return Comparison("https, 100 servers", names, ours, other, {"cpu": 0.5}, SELDOM)


def write_perl_alert(document: Path, path: Path, ipvsadm: Path) -> None:
    """Write the document's lvs.alert to `path`, with `ipvsadm` in the place of /sbin/ipvsadm.

    AssertionError where the document has none.
    """
    pieces = read(document)
    assert pieces is not None, f"{document}: holds no Perl lvs.alert"
    script = pieces.alert.replace("#!/usr/bin/perl ", "#!/usr/bin/perl", 1)
    assert script.count('"/sbin/ipvsadm"') == 1
    path.write_text(script.replace('"/sbin/ipvsadm"', f'"{ipvsadm}"'))
    path.chmod(0o755)


def alerts(
    ours: Sequence[str], perl: str, fill: Callable[[int, int], None], servers: int
) -> list[Comparison]:
    """Return the comparisons of alerts, half of `servers` being lost in the second.

    `ours` and `perl` are the programs; `fill` gets how many servers the table is to have, and how
    many of them are about to be lost.
    """
    hosts, half = loopback(0, servers), servers // 2
    by_mon = [*ours, "-s", "http", "-g", "www"]
    one = [*_ALERT, "-R", hosts[0]]
    all_of_them = [*by_mon, "-h", " ".join(hosts), *_ALERT]

    def begin() -> None:
        """Let every server be in, and known to be well."""
        fill(servers, half)
        up = [*all_of_them, "-u"]
        done = subprocess.run(up, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        assert done.stdout == b"", "not every server was in, or one failed in this very second"

    lost = Side([all_of_them], stdin=f"{' '.join(hosts[:half])}\n", before=begin)
    return [
        Comparison(
            "lvs.alert, nothing to do",
            ("lvsalert", "the Perl lvs.alert"),
            Side([[*by_mon, "-h", "web1", "-u", *one]], before=lambda: fill(2, 0)),
            Side([[perl, "-u", *one]]),
            {"cpu": 7},
            OFTEN,
        ),
        Comparison(
            f"{half} of {servers:,} servers lost at once, table right",
            ("lvsalert, one alert", f"the Perl lvs.alert, {half} runs"),
            lost,
            Side(
                [[perl, *_ALERT, "-R", host] for host in hosts[:half]],
                before=lambda: fill(servers, half),
            ),
            {"wall": 0.02},
            SELDOM,
        ),
    ]


def _alerts(world: World, document: Path) -> list[Comparison]:
    perl = world.folder / "perl.alert"
    write_perl_alert(document, perl, world.ipvsadm)
    state = world.folder / "state"
    state.mkdir()
    ours = [world.plugin("lvs.alert"), "--ipvsadm", str(world.ipvsadm), "--state-dir", str(state)]
    found = alerts(ours, str(perl), world.write_table, 1000)
    types, aims = ("up", "failure"), ({"cpu": 1.5}, {"wall": 0.01})
    return found + [
        each._replace(
            work=f"{each.work}, by the resident",
            ours=each.ours._replace(resident=world.resident, alert=kind),
            targets=aim,
        )
        for each, kind, aim in zip(found, types, aims)
    ]


def _growth(world: World) -> list[Comparison]:
    thousand, many = loopback(0, 1000), loopback(0, 10000)
    name, port = "http.monitor", world.http
    found = []
    for name, port in (("http.monitor", world.http), ("fping.monitor", None)):
        found += [
            Comparison(
                f"{name}: CPU a host, 10,000 hosts against 1,000",
                ("10,000 hosts", "1,000 hosts"),
                _side(world, name, port, many),
                _side(world, name, port, thousand),
                {"cpu": 1.1},
                SELDOM,
                per=(10000, 1000),
            ),
            Comparison(
                f"{name}: peak memory, 10,000 hosts against one",
                ("10,000 hosts", "one host"),
                _side(world, name, port, many),
                _side(world, name, port, many[:1]),
                {"memory": 3},
                SELDOM,
            ),
        ]
    return found
