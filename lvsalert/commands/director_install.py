"""lvs-director install, uninstall and check: getting the plugins onto a machine."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lvsalert.commands.entry import Outcome
from lvsalert.commands.manual import completions, pages
from lvsalert.commands.options import HOW, WHERE, command, number, option
from lvsalert.errors import NotDoneError
from lvsalert.host import access, check, install, systemd
from lvsalert.host.plugins import VIA_FILE, File, modules
from lvsalert.ipvs.defaults import DEFAULT_PROGRAM, DEFAULT_STATE_DIR
from lvsalert.mon.plugins import DEFAULT_PREFIX, MON_CF, search_given, search_lines
from lvsalert.mon.report import printable

# For ipvsadm, and for another run that has the table for itself.
_SECONDS = 5.0
_NO_MON = "there is no user mon here yet"
_GET_MON = "install mon (apt-get install mon)"
_RELOADED = ("systemctl daemon-reload", "systemctl restart mon")
_SET = re.compile(r"^(net/\S+)=1$", re.MULTILINE)
_PAGE = re.compile(r"/man/man\d/[^/]+\.\d$")
_prefix = option(
    "--prefix",
    default=DEFAULT_PREFIX,
    show_default=True,
    metavar="FOLDER",
    help="The folder with mon.d and alert.d.",
    section=WHERE,
)
_root = option(
    "--root",
    default="/",
    metavar="FOLDER",
    help="Work on the tree of another system below this folder.",
    section=WHERE,
)
_dry_run = option(
    "-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing.", section=HOW
)
_mon_user = option(
    "--mon-user",
    metavar="NAME",
    help="The user that mon runs as.  [default: mon, or nobody where there is no mon]",
    section=HOW,
)


@command("install")
@_prefix
@_root
@_mon_user
@option(
    "--systemd",
    is_flag=True,
    help="Give mon.service what it needs, have IPVS loaded at boot, and plugins run by a process"
    " that stays.",
)
@option(
    "--heartbeat",
    is_flag=True,
    help="Put the resource scripts lvs, mon and ldirectord into heartbeat's folder.",
)
@option(
    "--via",
    multiple=True,
    metavar="INTERFACE",
    help="Have the kernel take the answers to checks by way of a virtual address (--via of the"
    " monitors) on this interface, which faces the real servers; may be repeated."
    "  [variable: LVSALERT_VIA_INTERFACE]",
    variable="LVSALERT_VIA_INTERFACE",
)
@_dry_run
def install_command(**given: Any) -> Outcome:
    """Write mon's plugins so that they run with this interpreter and its packages.

    A file that was written or edited by somebody else is not touched, and then nothing is written.
    --systemd and --heartbeat need mon's user, so mon has to be installed before.
    """
    user = access.account(given["mon_user"])
    lacks_mon = given["mon_user"] is None and user.name == access.NOBODY
    destination = _destination(given["prefix"], given["root"])
    with_units, heartbeat, dry_run = given["systemd"], given["heartbeat"], given["dry_run"]
    via = tuple(dict.fromkeys(given["via"]))
    if lacks_mon and (with_units or heartbeat):
        raise NotDoneError(f"{_NO_MON}: {_GET_MON}, then run this again, or name it by --mon-user")
    trouble = install.interpreter_trouble(user)
    if trouble is not None:
        raise NotDoneError(f"{trouble}: {install.interpreter_advice(user)}")
    steps = install.survey(
        destination, user, _shared(destination), systemd=with_units, heartbeat=heartbeat, via=via
    )
    conflicts = install.conflicts(steps)
    if conflicts:
        conflicts.append("nothing was written: move these files away, or choose another --prefix")
        return Outcome(1, stderr="".join(f"lvs-director: {line}\n" for line in conflicts))
    lines = _listed((_verb(step, dry_run=dry_run), step.path) for step in steps)
    if not dry_run:
        install.write(steps)
        install.compile_package()
        done = install.make_state_dir(destination, user) if with_units or heartbeat else None
        lines += [_line(*done)] if done is not None else []
    lines += ["", f"These lines of {MON_CF} let mon find them first:"]
    lines += search_lines(destination.prefix, _text(destination.on_disk(MON_CF)))
    if lacks_mon:
        lines += ["", f"{_NO_MON}: {_GET_MON}, then lvs-director check says what is left to do"]
    settings = [f"sysctl -p {VIA_FILE}"] if via else []
    starts_mon = with_units and not heartbeat
    return Outcome(
        0, _joined([*lines, *_commands(settings, systemd=with_units, starts_mon=starts_mon)])
    )


def _destination(prefix: str, root: str) -> install.Destination:
    return install.Destination(str(Path(prefix).absolute()), str(Path(root).absolute()).rstrip("/"))


def _shared(destination: install.Destination) -> list[File]:
    """Return the manual, and what completes words; an installation elsewhere leaves them alone."""
    return [*pages(), *completions()] if destination.prefix == DEFAULT_PREFIX else []


def _listed(files: Iterable[tuple[str, Path]]) -> list[str]:
    """Return a line for each file and what is done about it; pages of the manual are counted."""
    lines = []
    counts: dict[str, int] = {}
    for verb, path in files:
        if _PAGE.search(str(path)):
            counts[verb] = counts.get(verb, 0) + 1
        else:
            lines.append(_line(verb, path))
    return lines + [_line(verb, f"{count} pages of the manual") for verb, count in counts.items()]


def _verb(step: install.Step, *, dry_run: bool) -> str:
    if step.standing is install.FileState.SAME:
        return "unchanged"
    return "would write" if dry_run else "wrote"


def _line(verb: str, what: object) -> str:
    return f"{verb:<14}{what}"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _commands(settings: Sequence[str], *, systemd: bool, starts_mon: bool) -> list[str]:
    """Return what is to be run after an installation; with heartbeat mon is not started at boot."""
    if not systemd:
        return ["", "After that, run:", *settings] if settings else []
    return [
        "",
        "After that, run:",
        *settings,
        f"modprobe --all {' '.join(modules())}",
        "systemctl daemon-reload",
        "systemctl enable --now lvsalert.socket",
        "systemctl try-restart lvsalert",
        *(["systemctl enable mon"] if starts_mon else []),
        "systemctl restart mon",
    ]


@command("uninstall")
@_prefix
@_root
@_dry_run
def uninstall_command(*, prefix: str, root: str, dry_run: bool) -> Outcome:
    """Remove what install wrote for this prefix, and nothing else.

    A file that was edited since stays, and is named. The resident process is stopped first.
    """
    destination = _destination(prefix, root)
    settings = _settings(_text(destination.on_disk(VIA_FILE)))
    removed, left, troubles = _remove(destination, dry_run=dry_run)
    units, is_here = _units(removed), _has_systemd(destination)
    verb = "would remove" if dry_run else "removed"
    lines = _listed((verb, path) for path in removed) + [_line("left", line) for line in left]
    if not lines:
        return Outcome(0, "nothing to remove\n")
    if units and is_here:
        lines.insert(0, _line("would stop" if dry_run else "stopped", " and ".join(units)))
    if not destination.root:
        lines += _without_marks(dry_run=dry_run)
    lines += _left_beside(destination, removed)
    commands = settings if destination.on_disk(VIA_FILE) in removed else []
    if units:
        commands += ["systemctl restart mon"] if is_here else _RELOADED
    if commands:
        lines += ["", "After that, run:", *commands]
    errors = "".join(f"lvs-director: {printable(each)}\n" for each in troubles)
    return Outcome(int(bool(errors)), _joined(lines), errors)


def _remove(
    destination: install.Destination, *, dry_run: bool
) -> tuple[list[Path], list[str], list[str]]:
    """Remove the files, where systemd is at work here with their units stopped first.

    Return what is removed, a line for each file that is left, and what systemd did not do.
    """
    pages = _shared(destination)
    removed, left = install.remove(destination, pages, dry_run=True)
    if dry_run:
        return removed, left, []
    units = _units(removed) if _has_systemd(destination) else []
    troubles = [systemd.systemctl("disable", "--now", *units)] if units else []
    install.remove(destination, pages, dry_run=False)
    troubles += [systemd.systemctl("daemon-reload")] if units else []
    return removed, left, [each for each in troubles if each]


def _units(paths: Iterable[Path]) -> list[str]:
    return [path.name for path in paths if path.suffix in (".service", ".socket")]


def _has_systemd(destination: install.Destination) -> bool:
    return not destination.root and systemd.is_booted()


def _left_beside(destination: install.Destination, removed: Sequence[Path]) -> list[str]:
    """Return a line for each thing that install did not write, or mon has written since."""
    lines = []
    state_dir = destination.on_disk(DEFAULT_STATE_DIR)
    if state_dir.exists() and state_dir not in removed:
        lines.append(_line("left", f"{state_dir} with the journal and the causes"))
    mon_cf = destination.on_disk(MON_CF)
    if any(each.startswith(f"{destination.prefix}/") for each in search_given(_text(mon_cf))):
        lines.append(_line("left", f"{mon_cf}: its mondir and alertdir name {destination.prefix}"))
    return lines


def _without_marks(*, dry_run: bool) -> list[str]:
    """Remove the marks of checks by way of a virtual address from the kernel's table."""
    from lvsalert.director.marks import remove_marks
    from lvsalert.director.reconcile import Director
    from lvsalert.ipvs.ipvsadm import Ipvsadm
    from lvsalert.ledger.reader import ask_ledger

    known, _ = ask_ledger(DEFAULT_STATE_DIR, lambda ledger: len(ledger.marks.all()))
    if not known:
        return []
    what = "firewall marks of checks in the kernel's table"
    if dry_run:
        return [_line("would remove", f"{known} {what}")]
    door = Ipvsadm(DEFAULT_PROGRAM, _SECONDS)
    try:
        count = remove_marks(Director(door, DEFAULT_STATE_DIR, _SECONDS, math.inf))
    except NotDoneError as error:
        return [_line("left", f"{known} {what}: {error}")]
    return [_line("removed", f"{count} {what}")]


def _settings(text: str) -> list[str]:
    """Return the commands that take back the settings of a file of sysctl.d(5)."""
    return [f"sysctl -w {each}=0" for each in _SET.findall(text)]


@command("check")
@option(
    "--ipvsadm", default=DEFAULT_PROGRAM, metavar="PATH", help="The ipvsadm to run.", section=WHERE
)
@option(
    "--ipvsadm-timeout",
    type=number("a time-out in seconds", 0.001),
    default=5.0,
    show_default=True,
    help="Seconds after which an ipvsadm that hangs is ended.",
    section=WHERE,
)
@option(
    "--state-dir",
    default=DEFAULT_STATE_DIR,
    show_default=True,
    metavar="FOLDER",
    help="Where the lock is kept.",
    section=WHERE,
)
@option(
    "--mon-cf",
    default=MON_CF,
    show_default=True,
    metavar="PATH",
    help="mon's configuration.",
    section=WHERE,
)
@option(
    "--via",
    is_flag=True,
    variable="LVSALERT_CHECK_VIA",
    help="Try checks by way of each virtual address of the table.  [variable: LVSALERT_CHECK_VIA]",
)
@_mon_user
def check_command(**given: Any) -> Outcome:
    """Say what works for the current user, and how to mend what does not."""
    from lvsalert.commands.via import kernel_of

    via = kernel_of(given) if given["via"] else None
    findings = check.run(check.Subject(**{**given, "via": via}))
    lines = []
    for each in findings:
        lines.append(f"{'ok' if each.todo is None else 'failed':<8}{each.name:<13}{each.found}")
        if each.todo is not None:
            lines.append(f"{'':<21}{each.todo}")
    return Outcome(int(any(each.todo is not None for each in findings)), _joined(lines))


def _joined(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
