"""What spares a start: named tuples as typing makes them, and modules that are put off."""

from __future__ import annotations

import copy
import subprocess
import sys
import typing

import pytest

from lvsalert.startup import NamedTuple
from tests.harness.places import CHECKOUT
from tests.harness.waiting import patience


class Ours(NamedTuple):
    """A pair."""

    left: int
    right: str = "r"

    @property
    def both(self) -> str:
        """Return both."""
        return f"{self.left}{self.right}"

    def __str__(self) -> str:
        """Return both, in words."""
        return f"{self.left} and {self.right}"


class Typings(typing.NamedTuple):
    """A pair."""

    left: int
    right: str = "r"

    @property
    def both(self) -> str:
        """Return both."""
        return f"{self.left}{self.right}"

    def __str__(self) -> str:
        """Return both, in words."""
        return f"{self.left} and {self.right}"


def told(kind: type[Ours | Typings]) -> list[object]:
    """Return what there is to see of a named tuple."""
    one = kind(1)
    name = kind.__name__
    shape = (kind._fields, kind._field_defaults, kind.__doc__, kind.__module__, kind.__mro__[1:])
    values = (one, one._replace(right="x"), kind._make((2, "y")), one._asdict(), one == (1, "r"))
    words = (str(one), repr(one).removeprefix(name), one.both, kind.__qualname__ == name)
    return [*shape, *values, *words, type(copy.copy(one)) is kind, list(kind.__annotations__)]


def test_named_tuple_is_as_typings() -> None:
    """Fields, defaults, documentation, methods, and how it is shown and stored."""
    assert told(Ours) == told(Typings)


@pytest.mark.parametrize("kind", [Ours, Typings])
def test_field_that_is_missing_or_unknown_is_told(kind: typing.Callable[..., object]) -> None:
    """As of any function."""
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'left'"):
        kind()
    with pytest.raises(TypeError, match="unexpected keyword argument 'middle'"):
        kind(1, middle=2)


def test_module_is_put_off_until_more_of_it_is_used_than_is_known() -> None:
    """What is known is answered without it; for all else it is loaded, and stays."""
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n"
        "from lvsalert.startup import _put_off\n"
        "_put_off('platform', system=lambda: 'known')\n"
        "import platform\n"
        "print(platform.system(), '__file__' in vars(sys.modules['platform']))\n"
        "print(platform.machine() == platform.uname().machine)\n"
        "import platform\n"
        "print(platform.system() == platform.uname().system, platform.__file__[-11:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        timeout=patience(),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == ["known False", "True", "True platform.py", ""]
