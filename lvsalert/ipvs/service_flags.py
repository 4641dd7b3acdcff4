"""The flags of a virtual service, in the words of ipvsadm(8)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lvsalert.errors import UsageError
from lvsalert.model import canonical_address

MAX_PERSISTENCE = 31 * 86400
"""The longest persistence that ipvsadm takes, in seconds."""

_FLAG_NAMES = {"sh": ("sh-fallback", "sh-port"), "mh": ("mh-fallback", "mh-port")}
_ANY_FLAG_NAMES = ("flag-1", "flag-2", "flag-3")
_NAME = re.compile(r"[a-z0-9_-]{1,15}", re.ASCII)
_FLAGS = re.compile(r"[a-z0-9-]+(,[a-z0-9-]+)*", re.ASCII)
# In the order in which ipvsadm prints them.
_WORDS = ("-p", "-M", "--pe", "-o", "-b")
_WHOLE_ADDRESS = ("255.255.255.255", "128")


def parse_service_flags(text: str, scheduler: str) -> tuple[str, ...]:
    """Return flags such as ``-p 300 -M 255.255.255.0`` as ipvsadm prints them.

    UsageError for what is none, and for what goes together in no service.
    """
    words, found = text.split(), dict[str, tuple[str, ...]]()
    while words:
        word = words.pop(0)
        if word not in _WORDS or word in found:
            raise UsageError(
                f"{text!r}: {word!r}: not -p SECONDS, -M MASK, -o, -b FLAGS or --pe NAME"
            )
        found[word] = (word,) if word == "-o" else (word, words.pop(0) if words else "")
    wrong = _wrong(found)
    if wrong:
        raise UsageError(f"{text!r}: {wrong}")
    if found.get("-M", ("", ""))[1] in _WHOLE_ADDRESS:
        # The kernel's own, which ipvsadm does not print.
        del found["-M"]
    if "-b" in found:
        found["-b"] = ("-b", flag_names(found["-b"][1], scheduler))
    return tuple(part for word in _WORDS for part in found.get(word, ()))


def _wrong(found: Mapping[str, Sequence[str]]) -> str:
    """Return what is wrong with flags, an empty string where nothing is."""
    value = {word: parts[-1] for word, parts in found.items()}
    seconds = value.get("-p", "1")
    if not re.fullmatch(r"[1-9]\d{0,6}", seconds, re.ASCII) or int(seconds) > MAX_PERSISTENCE:
        return f"-p {seconds}: not seconds from 1 to {MAX_PERSISTENCE}"
    if "-p" not in found and not found.keys().isdisjoint({"-M", "--pe"}):
        return f"{'-M' if '-M' in found else '--pe'} goes with -p"
    if "-M" in found and not _is_mask(value["-M"]):
        return f"-M {value['-M']}: not a netmask, nor a prefix length of IPv6"
    if "-b" in found and not _FLAGS.fullmatch(value["-b"]):
        return f"-b {value['-b']}: not names with commas in between"
    if "--pe" in found and not _NAME.fullmatch(value["--pe"]):
        return f"--pe {value['--pe']}: not the name of a persistence engine"
    return ""


def _is_mask(text: str) -> bool:
    if text.isascii() and text.isdigit():
        return len(text) < 4 and text == str(int(text)) and 1 <= int(text) <= 128
    if canonical_address(text) != text or ":" in text:
        return False
    bits = "".join(f"{int(part):08b}" for part in text.split("."))
    return "01" not in bits and bits[0] == "1"


def flag_names(text: str, scheduler: str) -> str:
    """Return scheduler flags by the names and in the order in which ipvsadm prints them.

    One that it does not know is left for it to refuse.
    """
    named = _FLAG_NAMES.get(scheduler, ())
    printed = dict(zip(_ANY_FLAG_NAMES, (*named, *_ANY_FLAG_NAMES[len(named) :])))
    words = [printed.get(word, word) for word in text.split(",") if word]
    known = [word for word in printed.values() if word in words]
    return ",".join([*known, *(word for word in words if word not in known)])
