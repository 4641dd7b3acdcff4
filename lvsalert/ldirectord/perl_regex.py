"""Regular expressions of Perl (perlre(1)) in the words of Python's, for a match that is the same.

ldirectord matches what came as bytes, so that is what counts here: letters are those of ASCII, and
what Unicode knows of bytes beyond is what it knows of Latin-1.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable

from lvsalert.errors import UsageError

_ALL = range(256)
_POSIX = {
    "alpha": str.isalpha,
    "digit": str.isdigit,
    "alnum": str.isalnum,
    "upper": str.isupper,
    "lower": str.islower,
    "space": str.isspace,
    "blank": " \t".__contains__,
    "cntrl": lambda each: unicodedata.category(each) == "Cc",
    "graph": lambda each: each.isprintable() and each != " ",
    "print": str.isprintable,
    "punct": lambda each: each.isprintable() and not each.isalnum() and each != " ",
    "xdigit": "0123456789abcdefABCDEF".__contains__,
    "word": lambda each: each.isalnum() or each == "_",
    "ascii": str.isascii,
}
# Properties by other names than those of a general category (perluniprops(1)).
_PROPERTIES = {
    "alphabetic": str.isalpha,
    "alpha": str.isalpha,
    "digit": str.isdecimal,
    "uppercase": str.isupper,
    "upper": str.isupper,
    "lowercase": str.islower,
    "lower": str.islower,
    "any": lambda _: True,
    "ascii": str.isascii,
}
_CATEGORIES = {
    "letter": "L",
    "mark": "M",
    "number": "N",
    "punctuation": "P",
    "punct": "P",
    "symbol": "S",
    "separator": "Z",
    "other": "C",
}
_HORIZONTAL, _VERTICAL = r"\t \xa0", r"\n\x0b\f\r\x85"
_OUTSIDE = {
    "h": f"[{_HORIZONTAL}]",
    "H": f"[^{_HORIZONTAL}]",
    "v": f"[{_VERTICAL}]",
    "V": f"[^{_VERTICAL}]",
    "N": r"[^\n]",
    # As one piece, which no backtracking takes apart.
    "R": rf"(?:\r\n|(?!\r\n)[{_VERTICAL}])",
    "Z": r"(?=\n?\Z)",
    "z": r"\Z",
    # The first match begins where the text does.
    "G": r"\A",
    # What was matched before it is of no interest.
    "K": "",
    "e": r"\x1b",
}
_SAME = frozenset("AbBdDsSwWaft nr")
_HEX = re.compile(r"x(?:\{\s*([0-9a-fA-F]*)\s*\}|([0-9a-fA-F]{0,2}))")
_OCTAL = re.compile(r"o\{\s*([0-7]+)\s*\}")
_PROPERTY = re.compile(r"[pP](?:\{\s*(\^?)\s*(\w+)\s*\}|(\w))")
_BACK = re.compile(r"g(?:\{(-?\d+|\w+)\}|(-?\d+))|k(?:<(\w+)>|'(\w+)'|\{(\w+)\})")
_DIGITS = re.compile(r"\d+")
_CLASS = re.compile(r"\[:(\^?)(\w+):\]")
_NAMED = re.compile(r"\(\?(?:<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')")
_IF_NAMED = re.compile(r"\(\?\((?:<(\w+)>|'(\w+)')\)")
_FLAGS = re.compile(r"\(\?([imsaudlp]*)(?:-([ims]+))?([:)])")
_REFUSED = re.compile(r"\(\?(?:\?|\{|\||R|[+-]?\d|&|P>|\^|[a-z]*[nx])|\(\*|\(\?\((?:\?|R|DEFINE)")
# What opens a group that captures, and what only looks like it.
_GROUP = re.compile(
    r"\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]"
    r"|\((?!\?|\*)|\(\?P?<(?![=!])|\(\?'",
    re.DOTALL,
)


def check(pattern: str) -> str:
    """Return a pattern as it is; UsageError where it cannot be translated."""
    translate(pattern)
    return pattern


@functools.lru_cache(256)
def translate(pattern: str) -> str:
    """Return the expression of Python that matches what ``pattern`` matches in Perl.

    UsageError where there is none.
    """
    try:
        found = _Translation(pattern).run()
        re.compile(found.encode("utf-8", "surrogateescape"))
    except (re.error, OverflowError) as error:
        raise UsageError(f"{pattern!r} cannot be matched as Perl does: {error}") from None
    return found


class _Translation:
    """One pattern on its way: what comes out, and the flags that reach to the end of each group."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._out: list[str] = []
        self._opened: list[list[str]] = [[]]
        self._count = 0
        self._groups = sum(each[0][0] == "(" for each in _GROUP.finditer(pattern))

    def run(self) -> str:
        while self._at < len(self._text):
            self._next()
        return "".join(self._out) + ")" * len(self._opened[0])

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _next(self) -> None:
        each = self._text[self._at]
        if each == "\\":
            self._at += 1
            self._out.append(self._escape())
        elif each == "[":
            self._out.append(self._bracket())
        elif each == "(":
            self._open()
        elif each in "|)":
            self._at += 1
            self._part(each)
        else:
            self._at += 1
            self._out.append(each)

    def _open(self) -> None:
        """Take what opens a group, or sets flags for the rest of one."""
        refused = _REFUSED.match(self._text, self._at)
        if refused is not None:
            raise re.error(f"{refused[0]}... has no like")
        if (named := self._take(_NAMED)) is not None:
            self._out.append(f"(?P<{named[1] or named[2]}>")
            self._count += 1
        elif (tested := self._take(_IF_NAMED)) is not None:
            self._out.append(f"(?({tested[1] or tested[2]})")
        elif (flags := self._take(_FLAGS)) is not None:
            self._flags(flags)
            return
        else:
            self._at += 1
            self._count += self._text[self._at : self._at + 1] != "?"
            self._out.append("(")
        self._opened.append([])

    def _flags(self, found: re.Match[str]) -> None:
        on = "".join(flag for flag in "ims" if flag in found[1])
        group = f"(?{on}{'-' + found[2] if found[2] else ''}:"
        self._out.append(group)
        if found[3] == ":":
            self._opened.append([])
        else:
            self._opened[-1].append(group)

    def _part(self, each: str) -> None:
        """End an alternative or a group: flags end with it, and begin anew behind the bar."""
        flags = self._opened[-1]
        self._out.append(")" * len(flags) + each)
        if each == "|":
            self._out += flags
        elif len(self._opened) > 1:
            self._opened.pop()

    def _escape(self) -> str:
        """Return what stands behind a backslash outside a class."""
        each = self._text[self._at : self._at + 1]
        if each and each in "pP" and (found := self._take(_PROPERTY)) is not None:
            return f"[{_ranges(_property(found, each))}]"
        if each and each in "gk" and (found := self._take(_BACK)) is not None:
            return self._back(next(filter(None, found.groups())))
        if each.isdigit():
            return self._numbered()
        code = self._code()
        if code is not None:
            return f"\\x{code:02x}" if code < 256 else "(?!)"
        self._at += 1
        if each in ("X", "C") or (
            each in ("b", "B") and self._text[self._at : self._at + 1] == "{"
        ):
            raise re.error(f"\\{each} has no like")
        if each in _OUTSIDE:
            return _OUTSIDE[each]
        return _escaped(each)

    def _back(self, name: str) -> str:
        if not name.lstrip("-").isdigit():
            return f"(?P={name})"
        number = int(name)
        return f"(?:\\{number if number > 0 else self._count + 1 + number})"

    def _numbered(self) -> str:
        """Return a reference to a group, or a character by its octal number."""
        found = self._take(_DIGITS)
        assert found is not None  # noqa: S101 - looked at by who calls
        digits = found[0]
        if digits[0] != "0" and (int(digits) < 10 or int(digits) <= self._groups):
            return f"(?:\\{int(digits)})"
        octal = re.match("[0-7]{1,3}", digits)
        if octal is None:
            raise re.error(f"\\{digits} is no group")
        self._at += octal.end() - len(digits)
        return f"\\x{int(octal[0], 8) & 255:02x}"

    def _code(self) -> int | None:
        """Take a character by its number; None where none stands there."""
        if (found := self._take(_HEX)) is not None:
            return int(found[1] or found[2] or "0", 16)
        if (found := self._take(_OCTAL)) is not None:
            return int(found[1], 8)
        if self._text[self._at : self._at + 1] == "c" and self._at + 1 < len(self._text):
            self._at += 2
            return ord(self._text[self._at - 1].upper()) ^ 64
        return None

    def _bracket(self) -> str:
        """Return a class."""
        self._at += 1
        out = "["
        if self._text[self._at : self._at + 1] == "^":
            self._at, out = self._at + 1, "[^"
        first = self._at
        while self._at < len(self._text):
            each = self._text[self._at]
            if each == "]" and self._at > first:
                self._at += 1
                # A class of characters that are no bytes holds none of them.
                return (
                    out + "]" if out not in ("[", "[^") else ("(?!)" if out == "[" else r"[\s\S]")
                )
            if (named := self._take(_CLASS)) is not None:
                out += _ranges(_posix(named))
            elif each == "\\":
                self._at += 1
                out += self._in_class()
            else:
                self._at += 1
                # Python means to give a doubled one a meaning.
                out += f"\\{each}" if each in "[]&~|" else each
        raise re.error("unterminated character set")

    def _in_class(self) -> str:
        """Return what stands behind a backslash in a class."""
        each = self._text[self._at : self._at + 1]
        if each and each in "pP" and (found := self._take(_PROPERTY)) is not None:
            return _ranges(_property(found, each))
        if each and each in "01234567":
            found = re.compile("[0-7]{1,3}").match(self._text, self._at)
            if found is not None:
                self._at = found.end()
                return f"\\x{int(found[0], 8) & 255:02x}"
        code = self._code()
        if code is not None:
            return f"\\x{code:02x}" if code < 256 else ""
        self._at += 1
        if each in "hv":
            return _HORIZONTAL if each == "h" else _VERTICAL
        if each in "HV":
            white = "\t \xa0" if each == "H" else "\n\x0b\f\r\x85"
            return _ranges(code for code in _ALL if chr(code) not in white)
        if each in "RXNB":
            raise re.error(f"\\{each} in a class has no like")
        return r"\x1b" if each == "e" else _escaped(each)


def _escaped(each: str) -> str:
    """Return an escape that both know; a letter that neither does stands for itself."""
    if not each:
        raise re.error("a backslash at the end")
    if each.isascii() and each.isalpha() and each not in _SAME:
        return each
    return f"\\{each}" if each.isascii() else each


def _posix(found: re.Match[str]) -> Iterable[int]:
    test = _POSIX.get(found[2])
    if test is None:
        raise re.error(f"{found[0]} is no class")
    return [code for code in _ALL if (code < 128 and test(chr(code))) != bool(found[1])]


def _property(found: re.Match[str], letter: str) -> Iterable[int]:
    name = found[2] or found[3]
    key = name.lower().removeprefix("is").replace("_", "")
    test = _PROPERTIES.get(key)
    category = _CATEGORIES.get(key, name if len(name) < 3 else "")
    if test is None and key in _POSIX and key not in ("punct", "space"):
        test = _POSIX[key]
    if test is None and key in ("space", "xposixspace", "spaceperl"):
        test = str.isspace
    if test is None and not re.fullmatch("[LMNPSZC][a-z&]?", category):
        raise re.error(f"the property {name} is not known here")
    is_not = (letter == "P") != bool(found[1])
    return [
        code
        for code in _ALL
        if (
            test(chr(code))
            if test is not None
            else unicodedata.category(chr(code)).startswith(category)
        )
        != is_not
    ]


def _ranges(codes: Iterable[int]) -> str:
    """Return bytes as they stand in a class."""
    out, wanted = "", sorted(codes)
    start = 0
    for at, code in enumerate(wanted):
        if at + 1 == len(wanted) or wanted[at + 1] != code + 1:
            first = wanted[start]
            out += f"\\x{first:02x}" + (f"-\\x{code:02x}" if code > first else "")
            start = at + 1
    return out
