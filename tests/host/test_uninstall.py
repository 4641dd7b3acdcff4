"""lvs-director uninstall: what it removes, and what it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

from tests.harness.tree import (
    CONFLICTS,
    SYSTEM,
    edited,
    looks,
    plugin,
    put_in,
    take_out,
)

if TYPE_CHECKING:
    pass


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An almost empty system for --root."""
    root = tmp_path / "root"
    (root / "var" / "lib").mkdir(parents=True)
    return root


@pytest.mark.parametrize(("spoil", "words"), CONFLICTS)
def test_uninstall_leaves_another_hand(
    tree: Path, spoil: Callable[[Path], None], words: str
) -> None:
    """Uninstall removes its own, leaves the rest with its folder, and names what was edited."""
    put_in(tree)
    spoil(plugin(tree))
    done = take_out(tree)
    assert done.status == 0
    assert (f"left          {plugin(tree)} {words}\n" in done.stdout) == (spoil is edited)
    left = {name for name in looks(plugin(tree).parents[1]) if not name.startswith("mine")}
    assert left == {"mon.d", "mon.d/http.monitor"}


def _nothing(_tree: Path) -> None:
    pass


def _prefix_stands(tree: Path) -> None:
    plugin(tree).parents[1].mkdir(parents=True)


def _plugins_stand(tree: Path) -> None:
    for name in ("mon.d/mine.monitor", "alert.d/mine.alert"):
        plugin(tree, name).parent.mkdir(parents=True)
        plugin(tree, name).write_text("mine\n")


def _system_stands(tree: Path) -> None:
    (tree / "etc/systemd/system").mkdir(parents=True)
    (tree / "etc/modules-load.d").mkdir()
    (tree / "etc/modules-load.d/mine.conf").write_text("loop\n")


def _folders_stand(tree: Path) -> None:
    (tree / SYSTEM[0]).parent.mkdir(parents=True)
    plugin(tree).parent.mkdir(parents=True)


@pytest.mark.parametrize(
    "stands", [_nothing, _prefix_stands, _plugins_stand, _system_stands, _folders_stand]
)
@pytest.mark.parametrize("options", [(), ("--systemd",), ("--prefix", "/opt/a/b/c")])
def test_uninstall_leaves_the_tree_as_it_was(
    tree: Path, stands: Callable[[Path], None], options: tuple[str, ...]
) -> None:
    """After install and uninstall every folder and file is as before, empty folders too."""
    stands(tree)
    before = looks(tree)
    put_in(tree, *options)
    put_in(tree, *options)
    assert looks(tree) != before
    take_out(tree, *(options if "--prefix" in options else ()))
    assert looks(tree) == before
    assert take_out(tree).stdout == "nothing to remove\n"


def test_uninstall_is_for_one_prefix(tree: Path) -> None:
    """Another prefix's installation, with the service's drop-in that it wrote, stays."""
    put_in(tree, "--systemd")
    before = looks(tree)
    put_in(tree, "--prefix", "/opt/trial")
    take_out(tree, "--prefix", "/opt/trial")
    assert looks(tree) == before


def test_a_used_state_directory_stays(tree: Path) -> None:
    """Uninstall removes the state directory only where nothing is in it."""
    put_in(tree, "--systemd")
    (tree / "var/lib/lvsalert/lock").touch()
    take_out(tree)
    assert [path.name for path in (tree / "var/lib/lvsalert").iterdir()] == ["lock"]


def test_uninstall_says_what_it_leaves(tree: Path) -> None:
    """The journal, mon.cf's lines, and what systemd has to be told."""
    put_in(tree, "--systemd")
    state, mon_cf = tree / "var/lib/lvsalert", tree / "etc/mon/mon.cf"
    (state / "ledger.db").write_text("")
    mon_cf.parent.mkdir(parents=True)
    mon_cf.write_text("mondir = /usr/local/lib/mon/mon.d:/usr/lib/mon/mon.d\n")
    said = take_out(tree).stdout
    prefix = "/usr/local/lib/mon"
    assert f"left          {state} with the journal and the causes\n" in said
    assert f"left          {mon_cf}: its mondir and alertdir name {prefix}\n" in said
    assert said.endswith("\nAfter that, run:\nsystemctl daemon-reload\nsystemctl restart mon\n")
    assert take_out(tree).stdout == "nothing to remove\n"
