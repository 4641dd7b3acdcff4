"""Signals, without what the signal module of Python puts around them.

That module makes enumerations of all signals when it is imported, and looks each up in them when
its handler is set, which is an eightieth of an alert's start. Below it lies the same in C, in
CPython as in PyPy. Names of signals need the module itself.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signal import *  # noqa: F403 - as it is
else:
    from _signal import *  # noqa: F403 - as it is
