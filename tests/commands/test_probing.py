"""The director's own checks before a start: each monitor a process, with a bound of its own."""

from __future__ import annotations

import itertools
import math
import os
import threading
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import probing
from lvsalert.commands.probing import probe
from lvsalert.ldirectord.file import load
from lvsalert.ldirectord.watches import Watch, watches_of
from tests.harness.misbehaving import Client, Misbehaving, refusing, replies
from tests.harness.waiting import patience

if TYPE_CHECKING:
    from pathlib import Path

    from lvsalert.director.setup import FirstCheck

_STARTS = 40
GOOD = b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 64 + b"!"


def watches(folder: Path, *services: str) -> list[Watch]:
    """Return what watches services of a file, each told by its real server and its directives."""
    text = "".join(
        f"virtual = 10.0.0.3:{80 + number}\n    real = {service}\n"
        for number, service in enumerate(services)
    )
    path = folder / "www.cf"
    # An answer has to come in it, on a machine that is busy with guests.
    seconds = math.ceil(patience(_STARTS))
    path.write_text(f"negotiatetimeout = {seconds}\nchecktimeout = {seconds}\n{text}")
    found = load(str(path), lambda _names, _family: {})
    return [watch for service in found.services for watch in watches_of(service)]


def told(checked: FirstCheck) -> list[str]:
    """Return the reasons of the failed real servers, or why there is no verdict."""
    return list(checked.failed.values()) if checked.is_told else [checked.remark]


def checked(watches: list[Watch]) -> list[FirstCheck]:
    """Return what the checks of watches, of one host each, find of each."""
    found = dict(itertools.chain(*probe(watches)))
    return [found[number] for number in range(len(watches))]


def test_an_expression_that_explodes_delays_one_watch(tmp_path: Path) -> None:
    """It is broken off after its time, and the other watches have their verdicts."""
    explosive = '    request = "x"\n    receive = "(a+)+$"'
    with Misbehaving(replies(GOOD), "127.0.0.1") as web, refusing("127.0.0.2") as dead:
        asked = watches(
            tmp_path,
            f"{web.place} masq\n{explosive}\n    service = http",
            f"{dead} masq\n    checktype = connect",
            f"{web.place} masq\n{explosive}\n    service = simpletcp",
            f'{web.place} masq\n    request = "x"\n    receive = "!$"\n    service = http',
        )
        found = checked(asked)
    assert [each.watch for each in found] == asked
    assert [told(each) for each in found] == [
        ["http.monitor: ended by SIGALRM"],
        ["Connection refused"],
        ["tcp.monitor: ended by SIGALRM"],
        [],
    ]


def test_a_redirect_is_followed_before_a_start(tmp_path: Path) -> None:
    """A real server that redirects is judged by the page that it names."""

    def moves(client: Client) -> None:
        is_first = client.line().startswith(b"GET / ")
        client.request()
        client.send(b"HTTP/1.1 301 Moved\r\nLocation: /a\r\n\r\n" if is_first else GOOD)

    with Misbehaving(moves, "127.0.0.1") as web:
        service = f"{web.place} masq\n    service = http\n    receive ="
        found = checked(watches(tmp_path, f'{service} "a!"', f'{service} "b!"'))
    assert [told(each) for each in found] == [
        [],
        [f"redirected to http://{web.place}/a: no match for 'b!'"],
    ]


def test_a_silent_host_holds_up_no_other_of_its_watch(tmp_path: Path) -> None:
    """The hosts of one watch are told in batches, as their verdicts come."""
    over = threading.Event()

    def silent(client: Client) -> None:
        over.wait(patience())
        client.send(GOOD)

    with Misbehaving(silent, "127.0.0.1") as mute, refusing("127.0.0.2") as dead:
        service = f"{mute.place} masq\n    real = {dead} masq\n    service = http"
        batches = iter(probe(watches(tmp_path, service)))
        first = next(batches)
        over.set()
        rest = list(itertools.chain(*batches))
    assert [(number, told(each)) for number, each in first] == [(0, ["Connection refused"])]
    assert [(number, told(each)) for number, each in rest] == [(0, [])]


def test_a_silent_host_holds_up_none_of_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more hosts than processes, those of a late one are asked one by one, and told once."""
    monkeypatch.setattr(probing, "_AT_ONCE", 2)
    before = os.listdir("/proc/self/fd")
    over = threading.Event()

    def silent(client: Client) -> None:
        over.wait(patience())
        client.send(GOOD)

    with (
        Misbehaving(silent, "127.0.0.1") as mute,
        refusing("127.0.0.2") as dead,
        refusing("127.0.0.3") as another,
        refusing("127.0.0.4") as last,
    ):
        more = "".join(f"\n    real = {place} masq" for place in (dead, another, last))
        batches = iter(probe(watches(tmp_path, f"{mute.place} masq{more}\n    service = http")))
        early: list[FirstCheck] = []
        while sum(len(each.failed) for each in early) < 3:
            early += [check for _, check in next(batches)]
        over.set()
        rest = [check for _, check in itertools.chain(*batches)]
    assert sum(len(each.watch.hosts) for each in early) == 3
    assert [(list(each.watch.hosts), told(each)) for each in rest] == [([mute.place], [])]
    assert os.listdir("/proc/self/fd") == before


def test_more_watches_than_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is run in its turn, and no descriptor is left open."""
    monkeypatch.setattr(probing, "_AT_ONCE", 2)
    before = os.listdir("/proc/self/fd")
    with refusing("127.0.0.1") as dead:
        asked = watches(tmp_path, *[f"{dead} masq\n    checktype = connect"] * 5)
        found = checked(asked)
    assert [told(each) for each in found] == [["Connection refused"]] * 5
    assert os.listdir("/proc/self/fd") == before
