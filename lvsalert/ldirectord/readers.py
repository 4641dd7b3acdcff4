"""How the text behind a directive's ``=`` is read.

A reader gets the text and a list for its notes, and returns the value; UsageError says what is
wrong. ldirectord(8) looks for a number or a word anywhere in the text and drops the rest; so do the
readers, and note it.
"""

from __future__ import annotations

import re
from typing import Callable

from lvsalert.errors import UsageError
from lvsalert.ldirectord import perl_regex
from lvsalert.ldirectord.servers import note_dropped, whole_number, with_slash
from lvsalert.model import is_host_name, parse_scheduler

Reader = Callable[[str, list[str]], object]

SERVICE_PORTS = {
    "ftp": 21,
    "smtp": 25,
    "dns": 53,
    "http": 80,
    "pop": 110,
    "nntp": 119,
    "imap": 143,
    "ldap": 389,
    "https": 443,
    "submission": 587,
    "ldaps": 636,
    "imaps": 993,
    "pops": 995,
    "oracle": 1521,
    "radius": 1812,
    "http_proxy": 3128,
    "mysql": 3306,
    "sip": 5060,
    "pgsql": 5432,
}
"""The services that a check can talk to, each at its own port; ldirectord's defaults both ways."""

EMAIL_STATES = ("starting", "running", "stopping", "reloading")
"""The states of a director in which mail may be sent."""


SERVICES = (*SERVICE_PORTS, "simpletcp", "none")
"""All that a check can speak; ``none`` succeeds always."""

_CHECK_TYPES = ("connect", "negotiate", "ping", "off", "on", "external", "external-perl")
_MAX_NUMBER = 999_999_999

_DIGITS = re.compile(r"[0-9]+")
# A name or an address, with or without a port, as it stands in a Host field (RFC 9110, 7.2).
_HOST = re.compile(r"(?:[a-zA-Z0-9_.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?")
_WORD = re.compile(r"\w+", re.ASCII)
_CHECK_WORD = re.compile(r"[\w-]+", re.ASCII)
_SCHEDULER = re.compile(r"[a-z]+")
_NO_BLANKS = re.compile(r"\S+", re.ASCII)
_MAIL_HOST = re.compile(r"[0-9A-Za-z._+-]+")
_QUOTED = re.compile(r'"(.*)"')
_REMARK = re.compile(r"\s#")


def _searched(pattern: re.Pattern[str], text: str, notes: list[str]) -> str | None:
    """Return what ``pattern`` finds in ``text``, and note what is around it."""
    match = pattern.search(text)
    if match is None:
        return None
    note_dropped(text, text[: match.start()], notes)
    note_dropped(text, text[match.end() :], notes)
    return match.group()


def number(least: int, most: int = _MAX_NUMBER) -> Callable[[str, list[str]], int]:
    """Return a reader that takes a whole number from ``least`` to ``most``."""

    def read(text: str, notes: list[str]) -> int:
        digits = _searched(_DIGITS, text, notes)
        found = None if digits is None else whole_number(digits, most)
        if found is None or found < least:
            raise UsageError(f"{text!r} is not a whole number from {least} to {most}")
        return found

    return read


def one_of(words: tuple[str, ...]) -> Callable[[str, list[str]], str]:
    """Return a reader that takes one of ``words``."""

    def read(text: str, notes: list[str]) -> str:
        word = _searched(_WORD, text, notes)
        if word not in words:
            raise UsageError(f"{text!r} is not {_or(words)}")
        return word

    return read


def _or(words: tuple[str, ...]) -> str:
    """Return words as a sentence offers them."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def yes_or_no(text: str, _notes: list[str]) -> bool:
    """Return whether it is ``yes``; not even a blank may follow."""
    if text not in ("yes", "no"):
        raise UsageError(f"{text!r} is not yes or no")
    return text == "yes"


def quoted(text: str, notes: list[str]) -> str:
    """Return what stands in quotes. Passwords come this way, so no message quotes it."""
    match = _QUOTED.match(text)
    if match is None or not match.group(1):
        raise UsageError('write it in quotes, "like this"; a # begins a comment even there')
    if text[match.end() :].strip():
        notes.append("what follows the quotes is ignored, as by ldirectord")
    return match.group(1)


def receive(text: str, notes: list[str]) -> str:
    """Return what stands in quotes, a regular expression of Perl that can be matched here."""
    return perl_regex.check(quoted(text, notes))


def quoted_or_empty(text: str, notes: list[str]) -> str:
    """Return what stands in quotes, if only there are any."""
    return "" if text.startswith('""') else quoted(text, notes)


def some_text(text: str, notes: list[str]) -> str:
    """Return any text but none; what looks like a remark in it belongs to it, and is noted."""
    if not text:
        raise UsageError("nothing stands behind it")
    if _REMARK.search(text):
        notes.append(f"{text!r} is taken with its #; a remark needs a line of its own")
    return text


def quoted_or_bare(text: str, notes: list[str]) -> str:
    """Return what stands in quotes, or the text where none are."""
    return quoted(text, notes) if _QUOTED.match(text) else some_text(text, notes)


def any_text(text: str, _notes: list[str]) -> str:
    """Return the text, whatever it is."""
    return text


def request(text: str, notes: list[str]) -> str:
    """Return what stands in quotes, with a slash in front."""
    return with_slash(quoted(text, notes))


def load(text: str, notes: list[str]) -> str:
    """Return the first word in quotes."""
    word = _searched(_WORD, quoted(text, notes), notes)
    if word is None:
        raise UsageError(f"{text!r} has no word in it")
    return word


def virtual_host(text: str, notes: list[str]) -> str:
    """Return the text up to a quote; one may stand in front of it.

    UsageError for what no web server can be asked for: the real servers would go unchecked.
    """
    host, _, rest = text.removeprefix('"').partition('"')
    note_dropped(text, rest, notes)
    if host.strip() != host:
        notes.append(f"the blanks around {host.strip()!r} are left out")
        host = host.strip()
    name = host.partition(":")[0]
    if host and not (_HOST.fullmatch(host) and (host.startswith("[") or is_host_name(name))):
        raise UsageError(f"{host!r} is not a host name: write www.example.com")
    return host


def check_type(text: str, notes: list[str]) -> tuple[str, int]:
    """Return the type and, for a number, ``combined`` and how many connects go before a request."""
    if _DIGITS.search(text):
        return "combined", number(0)(text, notes)
    word = _searched(_CHECK_WORD, text, notes)
    if word not in _CHECK_TYPES:
        raise UsageError(f"{text!r} is not {_or((*_CHECK_TYPES, 'a number'))}")
    return word, 0


def scheduler(text: str, notes: list[str]) -> str:
    """Return the first run of small letters, in which ldirectord sees the scheduler."""
    word = _searched(_SCHEDULER, text, notes)
    if word is None:
        raise UsageError(f"{text!r} is not a scheduler: a name such as wlc or rr")
    return parse_scheduler(word)


def scheduler_flags(text: str, notes: list[str]) -> str:
    """Return the first word, for ipvsadm(8) to judge."""
    word = _searched(_NO_BLANKS, text, notes)
    if word is None:
        raise UsageError("nothing stands behind it")
    return word


def http_method(text: str, notes: list[str]) -> str:
    """Return GET or HEAD, written in any case."""
    word = _searched(_WORD, text, notes)
    if word is None or word.upper() not in ("GET", "HEAD"):
        raise UsageError(f"{text!r} is not GET or HEAD")
    return word.upper()


def mail_host(text: str, notes: list[str]) -> str:
    """Return the name or address that the text begins with."""
    match = _MAIL_HOST.match(text)
    if match is None:
        raise UsageError(f"{text!r} is not a host name or address")
    note_dropped(text, text[match.end() :], notes)
    return match.group()


def email(text: str, notes: list[str]) -> str:
    """Return mail addresses, with or without quotes around all of them."""
    match = re.fullmatch(r'"([^"]*)"', text)
    return some_text(match.group(1) if match else text, notes)


def email_every(text: str, notes: list[str]) -> int:
    """Return the number of seconds that the text begins with."""
    if not _DIGITS.match(text):
        raise UsageError(f"{text!r} is not a whole number from 0 to {_MAX_NUMBER}")
    return number(0)(text, notes)


def email_states(text: str, _notes: list[str]) -> frozenset[str]:
    """Return the states that a list with commas names; ``all`` and ``none`` are words for it."""
    words = re.split(r"\s*,\s*", text, flags=re.ASCII) if text else []
    while words and not words[-1]:
        words.pop()
    states: set[str] = set()
    for word in words:
        if word not in ("none", "all", *EMAIL_STATES):
            raise UsageError(f"{word!r} is not {_or(('none', 'all', *EMAIL_STATES))}")
        if word != "none" and "none" in words:
            raise UsageError(f"{word!r} cannot stand beside none")
        states |= {"none": set(), "all": set(EMAIL_STATES)}.get(word, {word})
    return frozenset(states)


def superseded(_text: str, _notes: list[str]) -> object:
    """Refuse what was a directive once."""
    raise UsageError("ldirectord knows it no longer: write checktimeout or negotiatetimeout")
