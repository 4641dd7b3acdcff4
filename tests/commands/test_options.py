"""Options are read as click reads them, though short ones are spelled out beforehand."""

from __future__ import annotations

from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvsalert.commands import http_monitor, lvs_alert, options
from lvsalert.commands.options import Surroundings

HTTP = http_monitor._http_monitor
ALERT = lvs_alert._lvs_alert

WORDS = {
    HTTP.name: (
        "-p -p80 --port --port=80 -p=80 80 -o -6 -o6 -6o -op80 -m -u / --tls --no"
        " -x - -- --help -t 5"
    ),
    ALERT.name: (
        "-s -g www -h -hweb1 -u -uD -D -V 10.0.0.3:80 -W -W5 5 -n -nn -P tcp -- --group=www"
    ),
}


def read(command: click.Command, argv: list[str]) -> object:
    """Return what the arguments come to: the values, or the complaint."""
    context = click.Context(command, obj=Surroundings({}, str, {}), allow_interspersed_args=False)
    try:
        rest = command.parse_args(context, list(argv))
    except click.ClickException as error:
        return type(error), error.format_message()
    except options._Printed as text:
        return str(text)
    params: dict[str, Any] = context.params
    return rest, {name: str(value) for name, value in params.items()}


def read_by_click(command: click.Command, argv: list[str]) -> object:
    """Return what click alone makes of the arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options._Command, "_spelled_out", lambda _self, args: args)
        return read(command, argv)


@pytest.mark.parametrize("command", [HTTP, ALERT], ids=lambda command: command.name)
@settings(deadline=None)
@given(data=st.data())
def test_options_mean_what_click_says(command: click.Command, data: st.DataObject) -> None:
    """Whatever stands on the command line, values and complaints are those of click."""
    words = WORDS[str(command.name)].split()
    argv = data.draw(st.lists(st.sampled_from(words), max_size=6))
    assert read(command, argv) == read_by_click(command, argv)


def test_short_options_take_no_guessing(monkeypatch: pytest.MonkeyPatch) -> None:
    """mon's own short options, given apart from their values, never become an error on the way."""

    def guess(*_: object, **__: object) -> None:
        raise AssertionError("click was asked for a long option of one letter")

    monkeypatch.setattr(click.NoSuchOption, "__init__", guess)
    argv = ["-s", "http", "-g", "www", "-h", "web1 web2", "-t", "1700000000", "-u", "-V", "7"]
    assert isinstance(read(ALERT, argv), tuple)
