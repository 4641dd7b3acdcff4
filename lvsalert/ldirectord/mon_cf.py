"""The mon.cf for the director's file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from lvsalert.errors import UsageError
from lvsalert.ldirectord.file import OPTION, DirectorFile, FileService
from lvsalert.ldirectord.watches import (
    Watch,
    agreeing,
    shared_watches,
    watches_of,
    why_not_by_way,
)
from lvsalert.model import VirtualService
from lvsalert.mon.plugins import DEFAULT_PREFIX, PLUGINS
from lvsalert.templates import filled

BETWEEN = "LVSALERT_BETWEEN"
"""The variable by which the resident process goes on checking between mon's checks."""
DAMP = "LVSALERT_DAMP"
"""The variable by which lvs.alert damps real servers that come and go."""

_PLAIN = re.compile(r"[\w.:/=,+@%*-]+", re.ASCII)
_ADDRESS = re.compile(r"\w[\w.+-]*@[\w.-]+", re.ASCII)
# An end that mon takes for blanks to drop, or for a line that goes on.
_IS_CUT = re.compile(r"[\s\\]\Z")
_AND = " and "
# A failure that goes on is told once; when others have failed, or fewer, mon tells all the same
# (do_alert in mon 1.3.6 and 1.4.1), which it would not with numalerts.
_NEVER_AGAIN = "36500d"
_FIRST_LINE = re.compile(r"# mon\.cf, written by lvs-director mon-config from (.*)\.\n")
_COMPARISON = re.compile(r"^ +(LVSALERT_(?:AGREE(?:_ON|_WITHIN)?|STALE))=(.*)$", re.MULTILINE)
_PATTERNS = frozenset(("LVSALERT_MATCH", "LVSALERT_RECEIVE"))


def text_of(
    files: Sequence[DirectorFile],
    prefix: str = DEFAULT_PREFIX,
    more: Mapping[str, str] = MappingProxyType({}),
    compared: Mapping[str, str] = MappingProxyType({}),
    *,
    via: bool = False,
) -> str:
    """Return the mon.cf that watches every service of ``files``, with our plugins in ``prefix``.

    ``more`` are variables for every service, such as BETWEEN and DAMP; ``compared`` those by which
    web servers' answers are compared. With ``via`` real servers are asked by way of their virtual
    address, where that can be. UsageError for a value that cannot stand in a mon.cf, and for a
    service that two files have.
    """
    _check_apart(files)
    shared = (each for file in files for each in _shared(file, via=via))
    watches = [each._replace(watch=agreeing(each.watch, compared)) for each in shared]
    folders = {
        keyword: f"{prefix}/{folder}:/usr/lib/mon/{folder}"
        for keyword, folder in zip(PLUGINS, ("mon.d", "alert.d"))
    }
    processes = str(max(20, 2 * len(watches)))
    paths = _AND.join(file.path for file in files)
    # The first checks are spread over an interval, and so are all that follow.
    spread = str(min((each.watch.interval for each in watches), default=1))
    head = filled("mon.cf.head", paths=paths, processes=processes, spread=spread, **folders)
    groups = "".join(
        f"\nhostgroup {each.watch.group} {' '.join(each.watch.hosts)}\n" for each in watches
    )
    return (
        head
        + groups
        + "".join("\n" + "".join(f"{line}\n" for line in _watch(each, more)) for each in watches)
    )


class _Shared(NamedTuple):
    """A watch with the services that it is for, the first of which has it from the file."""

    file: DirectorFile
    watch: Watch
    services: list[FileService]


def _shared(file: DirectorFile, *, via: bool) -> Iterable[_Shared]:
    """Return each watch with its services."""
    found: dict[str, _Shared] = {}
    watches = shared_watches(file.services, via=via)
    for service in file.services:
        for watch in watches[service.virtual]:
            found.setdefault(watch.group, _Shared(file, watch, [])).services.append(service)
    return found.values()


def written_from(text: str) -> list[str]:
    """Return the files from which a mon.cf was written, none where we did not write it."""
    found = _FIRST_LINE.match(text)
    return found[1].split(_AND) if found else []


def has_via(text: str) -> bool:
    """Return whether a mon.cf that we wrote asks by way of virtual addresses."""
    return re.search(r"^ +monitor .* --via ", text, re.MULTILINE) is not None


def comparison_in(text: str) -> dict[str, str]:
    """Return the variables by which a mon.cf of ours has web servers' answers compared."""
    return dict(_COMPARISON.findall(text))


def _check_apart(files: Sequence[DirectorFile]) -> None:
    seen: dict[VirtualService, str] = {}
    for file in files:
        for service in file.services:
            other = seen.setdefault(service.virtual, file.path)
            if other != file.path:
                line = service.configured.line
                raise UsageError(f"{file.path}:{line}: {service.virtual}: is in {other} too")


def _watch(shared: _Shared, more: Mapping[str, str]) -> Iterator[str]:
    file, watch, services = shared
    virtuals = " ".join(service.virtual.words()[1] for service in services)
    variables = {**watch.variables, "LVSALERT_VIRTUAL_SERVICE": virtuals, OPTION: file.path, **more}
    yield f"watch {watch.group}"
    yield f"    service {watch.service}"
    yield f"        interval {watch.interval}s"
    yield f"        monitor {' '.join(map(_word, watch.monitor))}"
    for name, value in variables.items():
        yield f"        {name}={_value(name, value)}"
    yield "        redistribute lvs.alert"
    email = services[0].configured.email
    # ldirectord is running all the while that mon checks.
    if email.addresses and "running" in email.states:
        sender = f"-f {email.sender} " if _is_plain(email.sender) else ""
        yield "        period wd {Sun-Sat}"
        yield f"            alertevery {f'{email.every}s' if email.every else _NEVER_AGAIN}"
        for address in email.addresses:
            yield f"            alert mail.alert {sender}{address}"
            yield f"            upalert mail.alert {sender}{address}"


def _is_plain(sender: str | None) -> bool:
    """Return whether there is a sender that can be handed to mail.alert, which runs a shell."""
    return sender is not None and _ADDRESS.fullmatch(sender) is not None


def shortfalls(file: DirectorFile, *, via: bool = False) -> list[str]:
    """Return what of the file the mon.cf leaves out, and with ``via`` what is asked without it."""
    senders = {service.configured.email.sender for service in file.services} - {None}
    found = [
        f"{file.path}: emailalertfrom: {sender!r} is no bare address, so it is left out"
        for sender in senders
        if not _is_plain(sender)
    ]
    for service in file.services if via else ():
        reasons = dict.fromkeys(why_not_by_way(service, watch) for watch in watches_of(service))
        about = f"{file.path}:{service.configured.line}: {service.virtual}: "
        found += [
            f"{about}the real servers are asked themselves: {reason}"
            for reason in reasons
            if reason
        ]
    return found


def _value(name: str, value: str) -> str:
    """Return a value as it stands behind ``NAME=``; mon takes the rest of the line.

    A regular expression whose end mon would not take gets one that matches nothing. UsageError for
    what cannot stand there.
    """
    backslashes = len(value) - len(value.rstrip("\\"))
    if name in _PATTERNS and backslashes % 2 == 0 and _IS_CUT.search(value):
        value += "(?:)"
    if not value.replace("\t", " ").isprintable() or _IS_CUT.search(value):
        raise UsageError(f"{name}: {value!r} cannot stand in a mon.cf")
    return value


def _word(word: str) -> str:
    """Return a word of a monitor's line, quoted for mon's quotewords where it has to be."""
    if _PLAIN.fullmatch(word):
        return word
    if not word.isprintable():
        raise UsageError(f"{word!r} cannot stand in a mon.cf")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
