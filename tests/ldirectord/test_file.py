"""The director's file: found, read, and its names looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lvsalert.errors import LvsalertError, NotDoneError, UsageError
from lvsalert.ldirectord import file
from lvsalert.ldirectord.file import as_accepted, find, load, load_services, read
from tests.harness.table_file import tcp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAMES = {"www": ["192.0.2.10"], "web1": ["192.0.2.2", "192.0.2.1"]}
WEB = "virtual = www:80\n    real = web1 gate 5\n    real = 192.0.2.3:8080 masq 2\n"


def lookup(names: Iterable[str], _family: int) -> dict[str, list[str]]:
    """Know a few names."""
    return {name: NAMES.get(name, []) for name in names}


def written(folder: Path, text: str) -> str:
    """Write a file, and return its path."""
    path = folder / "www.cf"
    path.write_bytes(text.encode())
    return str(path)


def test_names_have_the_lowest_address(tmp_path: Path) -> None:
    """Only masquerading maps ports, and a name stands for one address."""
    (service,) = load(written(tmp_path, WEB), lookup).services
    assert service.virtual == tcp("192.0.2.10", 80)
    assert [(each.endpoint, each.real.weight) for each in service.servers] == [
        (("192.0.2.1", 80), 5),
        (("192.0.2.3", 8080), 2),
    ]


def test_the_folders_are_searched_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """heartbeat's folders come first, the name without .cf first, and all paths are absolute."""
    first, second = tmp_path / "ha.d", tmp_path / "conf"
    for folder in (first, second):
        folder.mkdir()
    monkeypatch.setattr(file, "FOLDERS", (str(first), str(second)))
    monkeypatch.chdir(tmp_path)
    places = [first / "www", first / "www.cf", second / "www", second / "www.cf"]
    places += [tmp_path / "www", tmp_path / "www.cf"]
    for place in reversed(places):
        place.touch()
        assert find("www") == str(place)


def test_a_folder_that_is_gone_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who stands in a removed folder is told that there is no file."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(NotDoneError, match=r"no such file: tried .*, no-such, no-such\.cf$"):
        find("no-such")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("nonsense\n", UsageError, "{path}:1: 'nonsense' has no = behind it"),
        (
            WEB.replace("web1", "192.0.2.9->web1"),
            UsageError,
            "{path}:2: real: 192.0.2.9->192.0.2.1 is not a range of up to 65536 addresses",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(
    tmp_path: Path, text: str, kind: type[LvsalertError], message: str
) -> None:
    """One line: file, line, what."""
    path = written(tmp_path, text)
    with pytest.raises(kind) as caught:
        load(path, lookup)
    assert str(caught.value) == message.format(path=path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """What cannot be a file is not found."""
    with pytest.raises(NotDoneError, match=r"no such file: tried "):
        find(str(tmp_path))


@pytest.mark.parametrize(
    ("lost", "left", "line"),
    [
        ("web1", [("192.0.2.3", 8080)], 2),
        ("192.0.2.1->lost", [("192.0.2.3", 8080)], 2),
        ("www", None, 1),
    ],
)
def test_a_name_without_an_address_leaves_out_what_it_names(
    tmp_path: Path, lost: str, left: list[tuple[str, int]] | None, line: int
) -> None:
    """A real server, a range or a whole service; all else is there, and the name is told."""
    text = WEB if lost in WEB else WEB.replace("web1", lost)
    path = written(tmp_path, text.replace(lost, lost.replace("w", "lost-w")))
    name = lost.rpartition(">")[2].replace("w", "lost-w")
    found = load(path, lookup)
    assert [each.endpoints for each in found.services] == ([] if left is None else [left])
    assert {key: str(error) for key, error in found.unresolved.items()} == {
        f"4 {name}": f"{path}:{line}: {name}: no address found"
    }
    assert found.left_out == (2 if left is None else 1)


@pytest.mark.parametrize(
    ("before", "now", "after", "told"),
    [
        ("192.0.2.2", ["192.0.2.1", "192.0.2.2"], "192.0.2.2", ()),
        ("192.0.2.9", ["192.0.2.1", "192.0.2.2"], "192.0.2.1", ()),
        (
            "192.0.2.9",
            [],
            "192.0.2.9",
            ("{path}:2: web1: no address found: it stays 192.0.2.9",),
        ),
    ],
    ids=["still its own", "moved", "gone"],
)
def test_a_name_keeps_its_address_as_long_as_it_may(
    tmp_path: Path, before: str, now: list[str], after: str, told: tuple[str, ...]
) -> None:
    """Of several addresses it keeps the one that it had; a dead name server moves nobody."""
    path = written(tmp_path, WEB)
    known = {"4 www": "192.0.2.10", "4 web1": before}
    names = {"www": ["192.0.2.10"], "web1": now}
    found = load(path, lambda asked, _: {name: names[name] for name in asked}, known)
    assert found.services[0].endpoints[0] == (after, 80)
    assert found.names == {**known, "4 web1": after}
    assert found.remembered == tuple(each.format(path=path) for each in told)
    assert not found.unresolved


def test_what_was_accepted_needs_no_look_up(tmp_path: Path) -> None:
    """It is what it was, and a name that had no address has none."""
    path = written(tmp_path, WEB + "    real = lost:80 gate\n")
    text, names = read(path), load(path, lookup).names
    found = as_accepted(path, text, names)
    assert found.services == load(path, lookup).services
    assert list(found.unresolved) == ["4 lost"]


def test_one_service_needs_no_names_of_the_others(tmp_path: Path) -> None:
    """A lost name elsewhere, or of one real server, does not keep the service from being read."""
    others = "virtual = lost:81\n    real = lost:80 gate\n"
    path = written(tmp_path, others + WEB + "    real = lost:80 gate\n")
    text = read(path)
    found = load_services(path, text, lookup, [tcp("192.0.2.10", 80)])
    (service,) = found.services
    assert service.endpoints == [("192.0.2.1", 80), ("192.0.2.3", 8080)]
    assert not load_services(path, text, lookup, [tcp("192.0.2.99", 80)]).services


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("*.example.com", "'*.example.com' is not a host name: write www.example.com"),
        ("http://x/", "'http://x/' is not a host name: write www.example.com"),
        ("bücher.example", "'bücher.example' is not a host name: write www.example.com"),
        ("www..example.com", "'www..example.com' is not a host name: write www.example.com"),
        ("a b", "'a b' is not a host name: write www.example.com"),
    ],
)
def test_what_no_server_can_be_asked_for_is_refused(tmp_path: Path, value: str, said: str) -> None:
    """A virtualhost that would leave the real servers unchecked is told with its place."""
    path = written(tmp_path, f"{WEB}    real = 192.0.2.1 gate\n    virtualhost = {value}\n")
    with pytest.raises(UsageError) as caught:
        load(path, lookup)
    assert str(caught.value) == f"{path}:5: virtualhost: {said}"


@pytest.mark.parametrize("value", ["www.example.com ", '"www.example.com "'])
def test_blanks_around_a_virtualhost_are_left_out(tmp_path: Path, value: str) -> None:
    """A trailing blank is a slip that nobody sees; the server is asked for the name."""
    path = written(tmp_path, f"{WEB}    real = 192.0.2.1 gate\n    virtualhost = {value}\n")
    found = load(path, lookup)
    assert found.services[0].configured.check.virtual_host == "www.example.com"
    assert found.config.warnings == (
        f"{path}:5: virtualhost: the blanks around 'www.example.com' are left out",
    )
