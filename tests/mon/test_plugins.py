"""What is written for mon, the mark in it, and where mon looks for it."""

from __future__ import annotations

import configparser
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.host import plugins
from lvsalert.host.plugins import File, read_mark, signed
from lvsalert.mon.plugins import PLUGINS, search_lines, searched
from tests.harness.places import CHECKOUT


def test_the_longest_interpreter_is_taken() -> None:
    """A first line of 127 bytes is whole for every kernel."""
    interpreter = f"/opt/{'x' * 115}"
    first = plugins.plugin_files("/opt/mon", interpreter, ())[0].first
    assert len(first) <= 127
    assert first == f"#!{interpreter} -IS\n"


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


@pytest.mark.parametrize("name", PLUGINS["mondir"])
def test_every_monitor_is_named_wherever_it_has_to_be(name: str) -> None:
    """A monitor has its command, a script for a checkout, and a program of the package."""
    function = name.replace(".", "_")
    script = (CHECKOUT / "mon.d" / name).read_text(encoding="utf-8")
    assert script.endswith(f'\nrun("{name}")\n')
    declared = configparser.ConfigParser()
    declared.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    programs = declared["options.entry_points"]["console_scripts"].split("\n")
    assert f"{name} = lvsalert.commands.entry:{function}" in programs
    assert callable(import_module(f"lvsalert.commands.{function}").run)


def test_no_monitor_is_left_out() -> None:
    """What lies in mon.d, and no more, is what install writes."""
    assert sorted(PLUGINS["mondir"]) == sorted(each.name for each in (CHECKOUT / "mon.d").iterdir())
