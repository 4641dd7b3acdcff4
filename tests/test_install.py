"""lvs-director install and uninstall: what they write, what they refuse, what they leave."""

from __future__ import annotations

import configparser
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert import access, install, plugins
from lvsalert.commands import lvs_director
from lvsalert.plugins import File, read_mark, search_lines, searched, signed
from tests.harness.copied import Copied
from tests.harness.places import is_root, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lvsalert.commands.entry import Outcome

NAMES = ("mon.d/fping.monitor", "mon.d/ftp.monitor", "mon.d/http.monitor", "alert.d/lvs.alert")
SYSTEM = ("etc/systemd/system/mon.service.d/lvsalert.conf", "etc/modules-load.d/lvsalert.conf")

as_mon = pytest.mark.skipif(not is_root(), reason="needs root, to become the user mon")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An almost empty system for --root."""
    root = tmp_path / "root"
    (root / "var" / "lib").mkdir(parents=True)
    return root


@pytest.fixture(scope="module")
def copied() -> Iterator[Copied]:
    """An installation where the user mon can get at it."""
    with open_folder() as folder:
        yield Copied(folder / "venv")


def director(*argv: str) -> Outcome:
    """Run lvs-director in this process."""
    return lvs_director.run(argv, {}, str)


def put_in(tree: Path, *argv: str) -> Outcome:
    """Install into `tree` for a mon that runs as root, wherever the tests' interpreter lies."""
    return director("install", "--root", str(tree), "--mon-user", "root", *argv)


def take_out(tree: Path, *argv: str) -> Outcome:
    """Uninstall from `tree`."""
    return director("uninstall", "--root", str(tree), *argv)


def looks(tree: Path) -> dict[str, tuple[int, bytes]]:
    """Return each path of a tree with its mode and content."""
    return {
        str(path.relative_to(tree)): (
            path.lstat().st_mode,
            os.fsencode(path.readlink())
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else b"",
        )
        for path in tree.rglob("*")
    }


def plugin(tree: Path, name: str = NAMES[2]) -> Path:
    """Return where a plugin lies in a tree."""
    return tree / "usr/local/lib/mon" / name


def _unchecked(_user: access.Account) -> None:
    pass


def test_install_writes_the_four_plugins(tree: Path) -> None:
    """The four plugins, executable by all, and nothing else are written and told."""
    before = set(looks(tree))
    done = put_in(tree)
    assert done == (
        0,
        "".join(f"wrote         {plugin(tree, name)}\n" for name in NAMES)
        + "\nThese lines of /etc/mon/mon.cf let mon find them first:\n"
        "mondir = /usr/local/lib/mon/mon.d:/usr/lib/mon/mon.d\n"
        "alertdir = /usr/local/lib/mon/alert.d:/usr/lib/mon/alert.d\n",
        "",
    )
    files = {name for name in set(looks(tree)) - before if (tree / name).is_file()}
    assert files == {f"usr/local/lib/mon/{name}" for name in NAMES}
    assert {plugin(tree, name).stat().st_mode & 0o7777 for name in NAMES} == {0o755}


def test_a_plugin_is_under_ten_lines(tree: Path) -> None:
    """A plugin starts this interpreter, apart from the environment, and has under ten lines."""
    put_in(tree)
    lines = plugin(tree).read_text().splitlines()
    assert lines[0] == f"#!{sys.executable} -IS"
    assert lines[-1] == "http_monitor()"
    assert len(lines) < 10


def test_installing_again_changes_nothing(tree: Path) -> None:
    """A second run leaves the very same files and says so."""
    put_in(tree, "--systemd")
    inodes = {path: path.stat().st_ino for path in tree.rglob("*")}
    done = put_in(tree, "--systemd")
    assert done.stdout.count("unchanged     ") == len(NAMES) + len(SYSTEM)
    assert "wrote" not in done.stdout
    assert {path: path.stat().st_ino for path in tree.rglob("*")} == inodes


def test_installing_with_another_interpreter_updates(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that were written by an earlier installation follow the one that is run now."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/opt/older/bin/python3")
        patch.setattr(install, "check_interpreter", _unchecked)
        put_in(tree)
    assert plugin(tree).read_text().startswith("#!/opt/older/bin/python3 ")
    assert put_in(tree).status == 0
    assert plugin(tree).read_text().startswith(f"#!{sys.executable} ")
    take_out(tree)
    assert not plugin(tree).parents[2].exists()


def test_a_lost_mode_is_repaired(tree: Path) -> None:
    """A plugin that mon could not execute any more is written again."""
    put_in(tree)
    plugin(tree).chmod(0o644)
    assert f"wrote         {plugin(tree)}\n" in put_in(tree).stdout
    assert plugin(tree).stat().st_mode & 0o7777 == 0o755


def test_folders_are_open_whatever_the_umask_is(tree: Path) -> None:
    """mon's user can read what a root with a strict umask installs."""
    previous = os.umask(0o077)
    try:
        put_in(tree, "--systemd")
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(previous)
    for path in (plugin(tree), tree / SYSTEM[0]):
        assert path.parent.stat().st_mode & 0o777 == 0o755


def test_dry_run_writes_nothing(tree: Path) -> None:
    """A dry run names what it would write and remove, and touches nothing."""
    before = looks(tree)
    told = put_in(tree, "--systemd", "--dry-run").stdout
    assert looks(tree) == before
    assert told.count("would write   ") == len(NAMES) + len(SYSTEM)
    put_in(tree, "--systemd")
    before = looks(tree)
    told = take_out(tree, "--dry-run").stdout
    assert looks(tree) == before
    assert told.replace("would remove", "removed     ") == take_out(tree).stdout


def _foreign(path: Path) -> None:
    path.write_text("#!/bin/sh\nexit 0\n")


def _edited(path: Path) -> None:
    path.write_text(path.read_text().replace("import sys", "import sys  # mine"))


def _link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("../mine")


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


CONFLICTS = [
    (_foreign, "was not written by lvs-director"),
    (_edited, "was edited since lvs-director wrote it"),
    (_link, "was not written by lvs-director"),
    (_folder, "was not written by lvs-director"),
    (_empty, "was not written by lvs-director"),
]


@pytest.mark.parametrize(("spoil", "words"), CONFLICTS)
def test_another_hand_is_respected(tree: Path, spoil: Callable[[Path], None], words: str) -> None:
    """A file of somebody else, or with an edit, stops the whole installation."""
    put_in(tree)
    spoil(plugin(tree))
    plugin(tree, NAMES[0]).unlink()
    before = looks(tree)
    message = (
        f"lvs-director: {plugin(tree)} {words}\n"
        "lvs-director: nothing was written: move these files away, or choose another --prefix\n"
    )
    assert put_in(tree) == (1, "", message)
    assert looks(tree) == before


def test_all_conflicts_are_listed(tree: Path) -> None:
    """One run names every file that stands in the way."""
    put_in(tree, "--systemd")
    _foreign(plugin(tree, NAMES[3]))
    _edited(plugin(tree))
    _foreign(tree / SYSTEM[1])
    told = put_in(tree, "--systemd").stderr.splitlines()
    assert [line.split()[1] for line in told[:-1]] == [
        str(each) for each in (plugin(tree), plugin(tree, NAMES[3]), tree / SYSTEM[1])
    ]


@pytest.mark.parametrize(("spoil", "words"), CONFLICTS)
def test_uninstall_leaves_another_hand(
    tree: Path, spoil: Callable[[Path], None], words: str
) -> None:
    """Uninstall removes its own, leaves the rest with its folder, and names what was edited."""
    put_in(tree)
    spoil(plugin(tree))
    done = take_out(tree)
    assert done.status == 0
    assert (f"left          {plugin(tree)} {words}\n" in done.stdout) == (spoil is _edited)
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


def test_systemd_gives_the_service_what_it_needs(tree: Path) -> None:
    """systemd takes the drop-in without a complaint, and it carries both capabilities."""
    told = put_in(tree, "--systemd").stdout
    read = configparser.ConfigParser()
    read.optionxform = str  # type: ignore[assignment,method-assign] # systemd's words have capitals
    read.read(tree / SYSTEM[0])
    assert {name: dict(read[name]) for name in read.sections()} == {
        "Service": {
            "AmbientCapabilities": "CAP_NET_ADMIN CAP_NET_RAW",
            "StateDirectory": "lvsalert",
            "StateDirectoryMode": "0770",
        }
    }
    unit = tree / "etc/systemd/system/mon.service"
    unit.write_text("[Service]\nUser=root\nExecStart=/bin/true\n")
    if shutil.which("systemd-analyze") is not None:
        argv = ["systemd-analyze", "verify", "--man=no", str(unit)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert str(tree) not in done.stderr
    assert told.endswith("\nsystemctl daemon-reload\nsystemctl restart mon\n")
    assert (tree / "var/lib/lvsalert").stat().st_mode & 0o7777 == 0o770


def test_modules_are_listed_one_a_line(tree: Path) -> None:
    """modules-load.d(5) gets IPVS and the usual schedulers, and a comment."""
    put_in(tree, "--systemd")
    comment, *names = (tree / SYSTEM[1]).read_text().splitlines()
    assert comment.startswith("# ")
    assert {"ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_lc", "ip_vs_wlc", "ip_vs_sh"} <= set(names)
    assert all(name.replace("_", "").isalpha() for name in names)


@as_mon
def test_the_state_directory_is_mons(tree: Path) -> None:
    """It belongs to mon's user and group, as systemd would have it for the service."""
    director("install", "--root", str(tree), "--systemd", "--mon-user", "root")
    assert (tree / "var/lib/lvsalert").stat().st_uid == 0
    user = access.account("nobody")
    (tree / "var/lib/lvsalert").rmdir()
    install.make_state_dir(install.Place("/usr/local/lib/mon", str(tree)), user)
    status = (tree / "var/lib/lvsalert").stat()
    assert (status.st_uid, status.st_gid) == (user.uid, user.gid)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--prefix", "/opt/my mon"),
            "'/opt/my mon' cannot be a prefix: mon.cf takes no blank or colon in it",
        ),
        (
            ("--prefix", "/opt/a:b"),
            "'/opt/a:b' cannot be a prefix: mon.cf takes no blank or colon in it",
        ),
        (
            ("--prefix", "/opt/a\nb"),
            r"'/opt/a\nb' cannot be a prefix: mon.cf takes no blank or colon in it",
        ),
        (("--mon-user", "no-such-user"), "there is no user no-such-user"),
        (("/usr",), "Got unexpected extra argument (/usr)"),
    ],
)
def test_a_bad_option_is_named(tree: Path, options: tuple[str, ...], message: str) -> None:
    """What cannot be understood ends with status 3, one line, and nothing written."""
    before = looks(tree)
    assert put_in(tree, *options) == (3, "", f"lvs-director: {message}\n")
    assert looks(tree) == before


@pytest.mark.parametrize(
    ("interpreter", "message"),
    [
        (
            "/opt/my python/bin/python3",
            "'/opt/my python/bin/python3' cannot be a script's interpreter: it has a blank in it",
        ),
        (
            f"/opt/{'x' * 118}",
            (
                f"'/opt/{'x' * 118}' cannot be a script's interpreter: its path is too long"
                " (127 bytes with '#!' and '-IS')"
            ),
        ),
    ],
)
def test_an_interpreter_that_no_script_can_name(
    tree: Path, monkeypatch: pytest.MonkeyPatch, interpreter: str, message: str
) -> None:
    """execve(2) takes neither blanks nor long paths after #!, so nothing is written."""
    monkeypatch.setattr(sys, "executable", interpreter)
    monkeypatch.setattr(install, "check_interpreter", _unchecked)
    before = looks(tree)
    assert put_in(tree) == (3, "", f"lvs-director: {message}\n")
    assert looks(tree) == before


def test_the_longest_interpreter_is_taken() -> None:
    """A first line of 127 bytes is whole for every kernel."""
    interpreter = f"/opt/{'x' * 115}"
    first = plugins.plugin_files("/opt/mon", interpreter, ())[0].first
    assert len(first) <= 127
    assert first == f"#!{interpreter} -IS\n"


def test_a_prefix_that_cannot_be_written_is_named(tree: Path) -> None:
    """An error of the file system names the file, with status 1."""
    done = director("install", "--mon-user", "root", "--prefix", "/proc/lvsalert")
    assert done == (
        1,
        "",
        "lvs-director: /proc/lvsalert/mon.d/fping.monitor: No such file or directory\n",
    )


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["/opt/mon/mon.d:/usr/lib/mon/mon.d", "/opt/mon/alert.d:/usr/lib/mon/alert.d"]),
        (
            "mondir\t= /usr/lib/mon/mon.d:/usr/lib/mon/mon-local.d\nalertdir=/usr/lib/mon/alert.d",
            [
                "/opt/mon/mon.d:/usr/lib/mon/mon.d:/usr/lib/mon/mon-local.d",
                "/opt/mon/alert.d:/usr/lib/mon/alert.d",
            ],
        ),
        (
            "mondir = /usr/lib/mon/mon.d:/opt/mon/mon.d/\nalertdir = alert.d:\\\n  /a\n",
            ["/opt/mon/mon.d:/usr/lib/mon/mon.d", "/opt/mon/alert.d:/usr/lib/mon/alert.d:/a"],
        ),
        (
            "# mondir = /a\nwatch web\n  service http\nmondir = /b\n",
            ["/opt/mon/mon.d:/usr/lib/mon/mon.d", "/opt/mon/alert.d:/usr/lib/mon/alert.d"],
        ),
    ],
)
def test_lines_for_mon_cf_keep_what_it_searches(text: str, lines: list[str]) -> None:
    """Our folder comes first and once; what stood in mon.cf stays behind it."""
    assert search_lines("/opt/mon", text) == [
        f"mondir = {lines[0]}",
        f"alertdir = {lines[1]}",
    ]


def test_mon_searches_as_its_source_says() -> None:
    """mon's default comes first to us, and its pattern for a blank eats the letter s."""
    assert searched("")["mondir"] == ["/usr/local/lib/mon/mon.d", "/usr/lib/mon/mon.d"]
    assert searched("mondir = /a/monitors:/srv/b")["mondir"] == ["/a/monitor", "/srv/b"]


_TEXT = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]))


@given(_TEXT, st.sampled_from(["/usr/local/lib/mon", "/ä"]), st.integers(0, 99))
def test_a_mark_tells_prefix_and_folders(rest: str, prefix: str, made: int) -> None:
    """What was signed is read back, and is intact."""
    data = signed(File("/f", 0o755, "#!/x -IS\n", rest), prefix, made)
    assert read_mark(data) == (prefix, made, True)


@given(st.data())
def test_an_edit_breaks_the_mark(data: st.DataObject) -> None:
    """No byte can be changed, added or removed without being noticed."""
    written = signed(File("/f", 0o755, "#!/x -IS\n", "import sys\n"), "/opt/mon", 2)
    at = data.draw(st.integers(0, len(written) - 1))
    put = data.draw(st.binary(max_size=2).filter(lambda new: new != written[at : at + 1]))
    mark = read_mark(written[:at] + put + written[at + 1 :])
    assert mark is None or not mark.intact


@as_mon
@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_runs_for_mon(copied: Copied, tree: Path, name: str) -> None:
    """The user mon runs it from /, whatever its environment is."""
    with open_folder() as folder:
        prefix = folder / "mon"
        done = copied.director("install", "--prefix", str(prefix))
        assert (done.returncode, done.stderr) == (0, "")
        trap = folder / "trap"
        trap.mkdir()
        for module in ("lvsalert", "click", "sitecustomize"):
            (trap / f"{module}.py").write_text("raise SystemExit('from the environment')\n")
        user = access.account()
        for environment in ({}, {"PATH": "", "PYTHONHOME": "/x", "PYTHONPATH": str(trap)}):
            ran = subprocess.run(
                [str(prefix / name), "--version"],
                cwd=trap,
                env=environment,
                user=user.uid,
                group=user.gid,
                extra_groups=[],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            assert (ran.returncode, ran.stdout, ran.stderr) == (
                0,
                f"lvsalert {copied.version}\n",
                "",
            )


def test_installing_compiles_the_package(copied: Copied, tmp_path: Path) -> None:
    """mon's user finds byte code, which it may not write itself."""
    cache = copied.packages / "lvsalert" / "__pycache__"
    shutil.rmtree(cache, ignore_errors=True)
    prefix = str(tmp_path / "mon")
    assert copied.director("install", "--mon-user", "root", "--prefix", prefix).returncode == 0
    assert list(cache.glob("alert.*.pyc"))


def _refusal(closed: Path, path: Path, name: str) -> str:
    return (
        f"lvs-director: {closed} is closed to the user {name}, who has to get at {path} through it:"
        f" install from a virtual environment that {name} may read (umask 022,"
        " /usr/bin/python3 -m venv /opt/lvsalert), or name the user that mon runs as by"
        " --mon-user\n"
    )


@as_mon
@pytest.mark.parametrize(
    ("closed", "path", "mode"),
    [
        ("interpreters", "venv/bin/python3", 0o700),
        ("venv/bin", "venv/bin/python3", 0o700),
        ("venv", "venv/bin/python3", 0o750),
        ("{packages}", "{packages}", 0o711),
        ("{packages}/click", "{packages}/click", 0o700),
        ("{packages}/lvsalert", "{packages}/lvsalert", 0o750),
    ],
)
def test_what_is_closed_to_mon_is_refused(
    folder: Path, copied: Copied, closed: str, path: str, mode: int
) -> None:
    """Nothing is written where mon could not run it, and the closed folder is named."""
    own = folder / "venv"
    shutil.copytree(copied.folder, own, symlinks=True)
    packages = own / copied.packages.relative_to(copied.folder)
    interpreters = folder / "interpreters"
    interpreters.mkdir()
    (interpreters / "python3").symlink_to("/usr/bin/python3")
    python = own / "bin" / "python3"
    python.unlink()
    python.symlink_to("../../interpreters/python3")
    at, on_the_way = (
        folder / each.format(packages=packages.relative_to(folder)) for each in (closed, path)
    )
    at.chmod(mode)
    code = "from lvsalert.commands.entry import lvs_director; lvs_director()"
    done = subprocess.run(
        [str(python), "-I", "-c", code, "install", "--prefix", str(folder / "mon")],
        env={},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    name = access.account().name
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == _refusal(at, on_the_way, name)
    assert not (folder / "mon").exists()


OTHER = access.Account("other", 12345, 12345, frozenset({12345}))


@pytest.mark.parametrize(
    ("closed", "mode", "user"),
    [
        ("a", 0o700, OTHER),
        ("b", 0o700, OTHER),
        ("b/target", 0o640, OTHER),
        (None, 0o755, OTHER),
        (None, 0o000, access.Account("root", 0, 0, frozenset({0}))),
        (None, 0o711, OTHER._replace(uid=os.getuid())),
        (None, 0o070, OTHER._replace(groups=frozenset({os.getgid()}))),
    ],
)
def test_every_folder_on_the_way_is_judged(
    folder: Path, closed: str | None, mode: int, user: access.Account
) -> None:
    """The owner's, the group's or the others' bits count, on both sides of a symbolic link."""
    for name in ("a", "b"):
        (folder / name).mkdir()
    target = folder / "b" / "target"
    target.write_text("")
    target.chmod(0o644)
    (folder / "a" / "link").symlink_to("../b/target")
    if closed is None:
        target.chmod(mode if user.uid == 0 else 0o444)
        (folder / "b").chmod(mode)
    else:
        (folder / closed).chmod(mode)
    link = folder / "a" / "link"
    try:
        found = access.first_closed(user, link, access.READ)
        assert found == (None if closed is None else folder / closed)
    finally:
        (folder / "b").chmod(0o755)


def test_nobody_stands_for_a_missing_mon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where mon is not installed yet, what is open to nobody is open to it."""
    real = pwd.getpwnam

    def without_mon(name: str) -> pwd.struct_passwd:
        if name == "mon":
            raise KeyError(name)
        return real(name)

    monkeypatch.setattr(pwd, "getpwnam", without_mon)
    assert access.account().name == "nobody"
