"""A round of checks for many virtual services, beside the real ldirectord with the same file."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lvsalert.ldirectord.file import OPTION, load
from lvsalert.ldirectord.watches import shared_watches
from tests.bench.measuring import Comparison, Side, compile_program
from tests.bench.world import World
from tests.harness.places import loopback
from tests.harness.standin import StandIn

LDIRECTORD = Path("/usr/sbin/ldirectord")
_ASK = Path(__file__).parents[1] / "data" / "www_cf" / "ldirectord.pl"
_SERVICE = """\
virtual = 10.0.{high}.{low}:80
    real = {first}:{port} masq 5
    real = {second}:{port} masq 5
    service = http
    request = "/"
    receive = "test page"
    scheduler = wlc
"""
# So many rounds of ldirectord's, in which its start is lost.
_ROUNDS = 50
_REPEATS = 5
# So many checks the resident makes for one of mon's.
_BETWEEN = 30


def rounds(world: World) -> list[Comparison]:
    """Return the comparisons: each service with the same two web servers, all of them well."""
    found = []
    interpreter = [str(world.installation.bin / "python"), "-IS", "-c", "pass"]
    for count in (1, 68, 475):
        ours, theirs = _sides(world, count)
        work = f"a round of {count} services over the same two web servers"
        names = ("lvsalert, monitor and alert", "ldirectord")
        found.append(Comparison(work, names, ours, theirs, {}, _REPEATS, (1, _ROUNDS)))
        if count > 1:
            found.append(
                Comparison(
                    f"{work}, by the resident",
                    names,
                    ours._replace(resident=world.resident),
                    theirs,
                    {"cpu": 2},
                    _REPEATS,
                    (1, _ROUNDS),
                )
            )
            # What is left of a round without them is our own.
            found.append(
                Comparison(
                    f"two starts of Python, beside a round of {count} services",
                    ("python -IS", "ldirectord"),
                    Side([interpreter, interpreter]),
                    theirs,
                    {},
                    _REPEATS,
                    (1, _ROUNDS),
                )
            )
            found.append(
                Comparison(
                    f"{work}, {_BETWEEN} between two of mon's",
                    names,
                    _between(ours, world),
                    theirs,
                    {"cpu": 2},
                    _REPEATS,
                    (_BETWEEN, _ROUNDS),
                )
            )
    return found


def _between(ours: Side, world: World) -> Side:
    """Return a round of mon's with those that the resident makes until mon's next one.

    That is a minute of checks every 2 s, made ten times as fast.
    """
    commands = [
        [command[0], "MON_GROUP=www", "MON_SERVICE=http", "LVSALERT_BETWEEN=0.2", *command[1:]]
        for command in ours.commands
    ]
    wait = ["/bin/sleep", f"{_BETWEEN * 0.2:g}"]
    return ours._replace(commands=[*commands, wait], resident=world.watching)


def _sides(world: World, count: int) -> tuple[Side, Side]:
    first, second = loopback(0, 2)
    folder = world.folder / f"services-{count}"
    standin = StandIn(folder, world.installation.bin / "python")
    file = folder / "www.cf"
    services = (
        _SERVICE.format(
            high=number // 250, low=number % 250 + 1, first=first, second=second, port=world.http
        )
        for number in range(count)
    )
    file.write_text("".join(services))
    start = [str(world.installation.bin / "lvs-director"), "start", "--unchecked", str(file)]
    subprocess.run(start, env=dict(standin.environment), capture_output=True, check=True)
    fast = folder / "fast"
    fast.mkdir()
    program = compile_program(fast, "ipvsadm")
    (fast / "rules").write_text(standin.run("-Sn"))
    (fast / "thresholds").write_text(standin.run("-Ln", "--thresholds"))
    theirs = ["/usr/bin/perl", str(_ASK), str(LDIRECTORD), "--rounds", str(_ROUNDS)]
    return (
        Side(_commands(world, file, {**standin.environment, "LVSALERT_IPVSADM": str(program)})),
        Side([theirs], stdin=f"{file}\n"),
    )


def _commands(world: World, file: Path, environment: dict[str, str]) -> list[list[str]]:
    """Return what mon runs in a round: the monitor of each watch, and the alert for it."""
    watches = shared_watches(load(str(file), lambda _names, _family: {}).services)
    virtuals: dict[str, list[str]] = {}
    for virtual, (watch,) in watches.items():
        virtuals.setdefault(watch.group, []).append(virtual.words()[1])
    found = []
    for group, watch in {watch.group: watch for (watch,) in watches.values()}.items():
        variables = {**watch.variables, **environment, OPTION: str(file)}
        variables |= {"LVSALERT_VIRTUAL_SERVICE": " ".join(virtuals[group])}
        told = ["/usr/bin/env", *(f"{name}={value}" for name, value in variables.items())]
        monitor, *words = watch.monitor
        hosts = list(watch.hosts)
        found.append([*told, world.plugin(monitor), *words, *hosts])
        called = ["-s", watch.service, "-g", group, "-h", " ".join(hosts), "-u"]
        found.append([*told, "MON_ALERTTYPE=up", world.plugin("lvs.alert"), *called])
    return found
