"""Named tuples as typing has them, without what typing does with the types of their fields.

It compiles each of them, in a run that never looks at one: a twentieth of an alert's start. To a
type checker this is typing's own.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

__all__ = ("NamedTuple",)

if TYPE_CHECKING:
    from typing import NamedTuple
else:

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
