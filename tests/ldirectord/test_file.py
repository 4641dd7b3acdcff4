"""The director's file: found, read, and its names looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lvsalert.errors import LvsalertError, NotDoneError, ResolveError, UsageError
from lvsalert.ldirectord import file
from lvsalert.ldirectord.file import find, load, load_service, read
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
        (WEB.replace("web1", "lost"), ResolveError, "{path}:2: lost: no address found"),
        (WEB.replace("www", "lost"), ResolveError, "{path}:1: lost: no address found"),
        ("nonsense\n", UsageError, "{path}:1: 'nonsense' has no = behind it"),
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


def test_one_service_needs_no_names_of_the_others(tmp_path: Path) -> None:
    """A lost name elsewhere, or of one real server, does not keep the service from being read."""
    others = "virtual = lost:81\n    real = lost:80 gate\n"
    path = written(tmp_path, others + WEB + "    real = lost:80 gate\n")
    text = read(path)
    found = load_service(path, text, lookup, tcp("192.0.2.10", 80))
    assert found is not None
    (service,) = found.services
    assert service.endpoints == [("192.0.2.1", 80), ("192.0.2.3", 8080)]
    assert load_service(path, text, lookup, tcp("192.0.2.99", 80)) is None


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
