"""The house: imports point one way between packages, and libraries stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lvsalert

PACKAGE = Path(lvsalert.__file__).parent
# What the modules of each package may import of the others; the words at the top ("") all may.
HOUSE = {
    "": set(),
    "ipvs": set(),
    "mon": set(),
    "ldirectord": {"ipvs", "mon"},
    "checks": {"mon"},
    "ledger": {"ipvs"},
    "director": {"ipvs", "mon", "ldirectord", "checks", "ledger"},
    "resident": {"mon"},
    "host": {"ipvs", "mon", "checks"},
    "commands": {"ipvs", "mon", "ldirectord", "checks", "ledger", "director", "resident", "host"},
}
STAND_IN = "standin"
ALLOWED = {
    "click": {"commands"},
    "requests": {"checks.http_requests"},
    "urllib3": {"checks.http_requests"},
    "icmplib": {"checks.icmp_socket", "checks.traceroute"},
}
# Packages of text and values, and the modules in them that are their doors to the outside.
PURE = {"ipvs": {"ipvsadm", "process", "proc"}, "mon": {"client"}, "ldirectord": {"file"}}
OUTSIDE = {"subprocess", "sqlite3", "fcntl", "shutil", "select", "tempfile", "os", "pathlib", "io"}


def _modules() -> dict[str, ast.Module]:
    """Return the syntax trees of all modules, by their names below the package."""
    trees = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        trees[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return trees


MODULES = _modules()


def _imports(name: str) -> set[str]:
    """Return the full names of all that a module imports, wherever in the file it does."""
    found = set()
    is_package = (PACKAGE / name.replace(".", "/") / "__init__.py").exists()
    here = ["lvsalert", *name.split(".")] if name else ["lvsalert"]
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level + is_package] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def _own(imported: str) -> str | None:
    """Return the module of the package that an imported name belongs to, None for another's."""
    first, *rest = imported.split(".")
    if first != "lvsalert":
        return None
    while rest and ".".join(rest) not in MODULES:
        rest.pop()
    return ".".join(rest)


def _package(module: str) -> str:
    """Return the package that a module lies in, "" for those at the top."""
    name = module.partition(".")[0]
    return name if (PACKAGE / name).is_dir() else ""


def test_every_package_has_its_place() -> None:
    """A package that no rule is named for is not overlooked by the tests here."""
    packages = {_package(name) for name in MODULES}
    assert packages == {*HOUSE, STAND_IN}


@pytest.mark.parametrize("package", HOUSE)
def test_package_says_what_lives_there(package: str) -> None:
    """A package opens with what lives there, and imports nothing."""
    tree = MODULES[package]
    assert ast.get_docstring(tree)
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]


@pytest.mark.parametrize("name", [each for each in MODULES if not each.startswith(STAND_IN)])
def test_imports_point_one_way(name: str) -> None:
    """A module imports its own package and those that it may, and never the stand-in."""
    own = {each for each in map(_own, _imports(name)) if each is not None}
    may = {"", _package(name)} | HOUSE[_package(name)]
    assert {each for each in own if _package(each) not in may} == set()


@pytest.mark.parametrize("name", [each for each in MODULES if each.startswith(STAND_IN)])
def test_stand_in_shares_no_code(name: str) -> None:
    """The stand-in for ipvsadm imports nothing of the package, which it is there to check."""
    own = {each for each in map(_own, _imports(name)) if each is not None}
    assert {each for each in own if not each.startswith(STAND_IN)} == set()


@pytest.mark.parametrize("library", ALLOWED)
def test_library_is_imported_where_it_belongs(library: str) -> None:
    """click stays at the edge, and each network library in the probes that need it."""
    users = {
        name for name in MODULES if any(each.split(".")[0] == library for each in _imports(name))
    }
    assert {name for name in users if not {name, name.split(".")[0]} & ALLOWED[library]} == set()


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in MODULES
        if name.partition(".")[2] not in PURE.get(_package(name), {name.partition(".")[2]})
    ],
)
def test_values_touch_nothing_outside(name: str) -> None:
    """What is text and values alone runs no process and opens no file."""
    assert {each.split(".")[0] for each in _imports(name)} & OUTSIDE == set()
    called = {
        node.func.id
        for node in ast.walk(MODULES[name])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called & {"open", "print", "input", "exec", "eval"} == set()


@pytest.mark.parametrize("name", MODULES)
def test_nothing_goes_through_a_shell(name: str) -> None:
    """No call asks for a shell, by argument or by a function that is one."""
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.keyword) and node.arg == "shell":
            raise AssertionError(f"{name}:{node.value.lineno} asks for a shell")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            called = f"{node.value.id}.{node.attr}"
            assert called not in {"os.system", "os.popen", "subprocess.getoutput"}, name


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("commands")])
def test_commands_keep_no_state(name: str) -> None:
    """A command can be run many times in one process: nothing is kept in its module."""
    tree = MODULES[name]
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.Global, ast.Nonlocal))]
    kept = {
        target.id
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    changed = {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, (ast.Subscript, ast.Attribute))
        and isinstance(node.ctx, (ast.Store, ast.Del))
        and isinstance(node.value, ast.Name)
    }
    grown = {
        node.func.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.attr in {"append", "extend", "add", "update", "pop", "clear", "setdefault"}
    }
    assert kept & (changed | grown) == set()


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        (
            "lvsalert.commands.lvs_alert",
            {"requests", "icmplib", "ssl", "subprocess", "http.client", "asyncio", "json"},
        ),
        ("lvsalert.commands.http_monitor", {"requests", "icmplib", "ssl", "subprocess", "sqlite3"}),
        ("lvsalert.checks.http_tls", {"requests", "urllib3", "http.client", "subprocess"}),
        ("lvsalert.checks.http_follow", {"requests", "urllib3", "http.client", "ssl"}),
        ("lvsalert.commands.ftp_monitor", {"requests", "icmplib", "ssl", "ftplib", "subprocess"}),
        ("lvsalert.commands.fping_monitor", {"requests", "ssl", "subprocess", "sqlite3"}),
        ("lvsalert.commands.tcp_monitor", {"requests", "icmplib", "ssl", "subprocess", "sqlite3"}),
        ("lvsalert.commands.external_monitor", {"requests", "icmplib", "ssl", "sqlite3"}),
    ],
)
def test_start_up_draws_in_no_more_than_needed(module: str, absent: set[str]) -> None:
    """What a plain run does not need is not imported with the command."""
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import sys; sys.path[:0] = sys.argv[1:]; " + script]
        + [path for path in sys.path if path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert absent & set(done.stdout.split()) == set()
