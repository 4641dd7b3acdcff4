"""What goes into the guest's memory before it boots."""

from __future__ import annotations

import importlib.util
import stat
import sys
from pathlib import Path

import pytest

from lvsalert import model
from tests.lab.hot import Entry, entries


@pytest.fixture(scope="module")
def found() -> dict[str, Entry]:
    """All of it."""
    return entries()


def test_a_folder_comes_before_what_it_holds(found: dict[str, Entry]) -> None:
    """The kernel unpacks an archive in its order."""
    seen = {"."}
    for name, entry in found.items():
        assert str(Path(name).parent) in seen, name
        if stat.S_ISDIR(entry.mode):
            seen.add(name)


def test_byte_code_counts_in_the_guest(found: dict[str, Entry]) -> None:
    """A module is there with its byte code, which holds the module's time and size."""
    source = found[model.__file__[1:]]
    code = found[importlib.util.cache_from_source(model.__file__)[1:]]
    assert int.from_bytes(code.data[8:12], "little") == source.changed
    assert int.from_bytes(code.data[12:16], "little") == len(source.data)


def test_a_link_comes_with_what_it_leads_to(found: dict[str, Entry]) -> None:
    """The interpreter of a virtual environment is a link, of a link often."""
    path = Path(sys.executable)
    while True:
        path = path.parent.resolve() / path.name
        entry = found[str(path)[1:]]
        if not stat.S_ISLNK(entry.mode):
            break
        path = path.parent / entry.data.decode()
    assert path == Path(sys.executable).resolve()
    assert stat.S_ISREG(entry.mode)
