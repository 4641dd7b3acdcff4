"""What spares a plug-in a part of its start, which mon makes anew for each call.

Named tuples as typing has them without what typing does with the types of their fields (it compiles
each of them, in a run that never looks at one), and signals and sockets without what Python's
modules put around them (enumerations of hundreds of constants). To a type checker all three are
Python's own; below ``signal`` and ``socket`` lies the same in C, in CPython as in PyPy. Names of
signals, and names of hosts, need the modules themselves.
"""

from __future__ import annotations

import _socket as sockets
import os
import sys
from collections import namedtuple
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal as signals
    from typing import NamedTuple
else:
    import _signal as signals

    class _Maker(type):
        """Makes a named tuple of what stands in the body of a class."""

        def __new__(cls, name, _bases, body):
            fields = body.pop("__annotations__", {})
            defaults = [body.pop(each) for each in fields if each in body]
            module = body.pop("__module__")
            # What typing's is made of.
            made = namedtuple(name, fields, defaults=defaults, module=module)  # noqa: PYI024
            made.__annotations__ = fields
            for attribute, value in body.items():
                setattr(made, attribute, value)
            return made

    NamedTuple = type.__new__(_Maker, "NamedTuple", (), {})

__all__ = ("NamedTuple", "imported", "put_off_what_few_need", "signals", "sockets")


def imported(name: str) -> Any:
    """Import a module and return it, as importlib does, which draws in more than this module."""
    __import__(name)
    return sys.modules[name]


def put_off_what_few_need() -> None:
    """Put off what click imports, and all that this draws in: a ninth of an alert's start."""
    # Taken to show help, and the other one, through uuid, for this word.
    _put_off("inspect")
    _put_off("platform", system=lambda: os.uname().sysname)


def _put_off(name: str, **known: Any) -> None:
    """Have a module that others import loaded only when something is used that is not ``known``.

    A module may have a function that finds its attributes (PEP 562).
    """
    if name in sys.modules:
        return
    late = ModuleType(name)
    late.__dict__.update(known)

    def take(attribute: str) -> Any:
        if sys.modules.get(name) is late:
            del sys.modules[name]
        return getattr(imported(name), attribute)

    late.__getattr__ = take  # type: ignore[method-assign]
    sys.modules[name] = late
