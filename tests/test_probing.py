"""The director's own checks before a start: each monitor a process, with a bound of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import probing
from lvsalert.commands.probing import probe
from lvsalert.watches import Watch, watches_of
from lvsalert.www_cf import load
from tests.harness.misbehaving import Client, Misbehaving, refusing, replies

if TYPE_CHECKING:
    from pathlib import Path

    from lvsalert.director import Checked

GOOD = b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 64 + b"!"


def watches(folder: Path, *services: str) -> list[Watch]:
    """Return what watches services of a file, each told by its real server and its directives."""
    text = "".join(
        f"virtual = 10.0.0.3:{80 + number}\n    real = {service}\n"
        for number, service in enumerate(services)
    )
    path = folder / "www.cf"
    path.write_text(f"negotiatetimeout = 1\nchecktimeout = 1\n{text}")
    found = load(str(path), lambda _names, _family: {})
    return [watch for service in found.services for watch in watches_of(service)]


def told(checked: Checked) -> list[str]:
    """Return the reasons of the failed real servers, or why there is no verdict."""
    return list(checked.failed.values()) if checked.is_told else [checked.remark]


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
        found = probe(asked)
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
        found = probe(watches(tmp_path, f'{service} "a!"', f'{service} "b!"'))
    assert [told(each) for each in found] == [
        [],
        [f"redirected to http://{web.place}/a: no match for 'b!'"],
    ]


def foreign(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str, hosts: tuple[str, ...] = ("h1",)
) -> Checked:
    """Return what a monitor that is not ours finds, a shell script of these lines."""
    monkeypatch.setattr(probing, "_FOLDERS", (str(folder / "none"), str(folder)))
    program = folder / "some.monitor"
    program.write_text("\n".join(["#!/bin/sh", *lines]))
    program.chmod(0o755)
    watch = Watch(
        "g", "s", {host: [] for host in hosts}, 10, ("some.monitor", "-p", "1"), {"LVSALERT_A": "b"}
    )
    (found,) = probe([watch])
    return found


@pytest.mark.parametrize(
    ("line", "is_told", "remark"),
    [
        ("exit 0", True, ""),
        ("echo h1; exit 1", True, ""),
        ("echo h2; echo none of them; exit 1", False, "none of them"),
        ("echo; echo cannot; exit 3", False, "cannot"),
        ("echo h1; kill -9 $$", False, "some.monitor: killed by signal 9"),
        ("sleep 100 & wait", False, "some.monitor: did not end in 0.5 s"),
        ("sleep 1 & exit 0", True, ""),
        ("exec >&-; sleep 0.1; exit 0", True, ""),
    ],
    ids=[
        *("success", "failure", "others", "cannot tell", "killed", "late", "left behind"),
        "silent",
    ],
)
def test_a_monitor_that_is_not_ours_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, is_told: bool, remark: str
) -> None:
    """Its status and its summary are its verdict; death by a signal and lateness are none."""
    monkeypatch.setattr(probing, "_FOREIGN_SECONDS", 0.5)
    found = foreign(tmp_path, monkeypatch, line)
    assert (found.is_told, found.remark) == (is_told, remark)


def test_a_monitor_gets_what_mon_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words, the hosts and the service's variables, and none that are the director's."""
    monkeypatch.setenv("LVSALERT_STATE_DIR", "/nowhere")
    said = 'echo; echo "$@ $LVSALERT_A $LVSALERT_STATE_DIR." $(cat); exit 3'
    found = foreign(tmp_path, monkeypatch, said, hosts=("h1", "h2"))
    assert found.remark == "-p 1 h1 h2 b ."


def test_a_monitor_may_say_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a pipe holds is read while it runs."""
    hosts = tuple(f"host-with-a-long-name-{number}" for number in range(9000))
    found = foreign(tmp_path, monkeypatch, 'shift 2; echo "$@"; exit 1', hosts=hosts)
    assert found.is_told


def test_a_monitor_that_is_not_there_cannot_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is told."""
    monkeypatch.setattr(probing, "_FOLDERS", (str(tmp_path),))
    (found,) = probe([Watch("g", "s", {"h1": []}, 10, ("lost.monitor",), {})])
    assert (found.is_told, found.remark) == (False, "lost.monitor: not found")


def test_more_watches_than_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is run in its turn, and no descriptor is left open."""
    monkeypatch.setattr(probing, "_AT_ONCE", 2)
    before = os.listdir("/proc/self/fd")
    with refusing("127.0.0.1") as dead:
        asked = watches(tmp_path, *[f"{dead} masq\n    checktype = connect"] * 5)
        found = probe(asked)
    assert [told(each) for each in found] == [["Connection refused"]] * 5
    assert os.listdir("/proc/self/fd") == before
