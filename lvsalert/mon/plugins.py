"""Our plugins by name, and where mon looks for its plugins.

mon's own source tells: mondir and alertdir of mon.cf are lists parted by colons, and the first
folder with an executable of the right name wins.
"""

from __future__ import annotations

import re

LOCAL_PREFIX = "/usr/local/lib/mon"
"""Where mon looks by itself, and ``install`` writes."""
PACKAGE_PREFIX = "/usr/lib/lvsalert"
"""Where Debian's package has the plug-ins."""
PACKAGE_FOLDER = "/usr/lib/python3/dist-packages"
"""Where Debian's packages have their modules."""
DEFAULT_PREFIX = PACKAGE_PREFIX if __file__.startswith(f"{PACKAGE_FOLDER}/") else LOCAL_PREFIX
MON_CF = "/etc/mon/mon.cf"
_MONITORS = (
    "dns.monitor",
    "external.monitor",
    "fping.monitor",
    "ftp.monitor",
    "http.monitor",
    "imap.monitor",
    "ldap.monitor",
    "mysql.monitor",
    "nntp.monitor",
    "pgsql.monitor",
    "pop3.monitor",
    "radius.monitor",
    "sip.monitor",
    "smtp.monitor",
    "tcp.monitor",
    "telnet.monitor",
)
_ALERTS = ("lvs.alert",)
PLUGINS = {"mondir": _MONITORS, "alertdir": _ALERTS}
"""The plugins by the keyword of mon.cf that says where mon looks for them."""

# The module, the library and the extra of ours that has it.
_LIBRARIES = {
    "dns.monitor": ("dns", "dnspython", "dns"),
    "ldap.monitor": ("ldap3", "ldap3", "ldap"),
    "mysql.monitor": ("pymysql", "PyMySQL", "sql"),
    "pgsql.monitor": ("pg8000", "pg8000", "sql"),
    "radius.monitor": ("pyrad", "pyrad", "radius"),
}
FOLDERS = {"mondir": "mon.d", "alertdir": "alert.d"}
# mon's basedir, from which a relative folder counts, and what it searches by default.
_MON_BASE = "/usr/lib/mon"


def searched(mon_cf: str) -> dict[str, list[str]]:
    """Return the folders that mon searches, by keyword, for the text of a mon.cf."""
    given = _given(mon_cf)
    return {
        keyword: given.get(keyword, [f"{base}/{folder}" for base in (LOCAL_PREFIX, _MON_BASE)])
        for keyword, folder in FOLDERS.items()
    }


def search_given(mon_cf: str) -> list[str]:
    """Return the folders that the text of a mon.cf names for plugins, each with a slash behind."""
    return [f"{folder}/" for folders in _given(mon_cf).values() for folder in folders]


def search_lines(prefix: str, mon_cf: str) -> list[str]:
    """Return the two lines for mon.cf that let mon find the plugins under ``prefix`` first.

    What the text of the standing mon.cf has it search stays behind them.
    """
    given = _given(mon_cf)
    lines = []
    for keyword, folder in FOLDERS.items():
        own = f"{prefix}/{folder}"
        rest = [each for each in given.get(keyword, [f"{_MON_BASE}/{folder}"]) if each != own]
        lines.append(f"{keyword} = {':'.join([own, *rest])}")
    return lines


def _given(mon_cf: str) -> dict[str, list[str]]:
    """Return what a mon.cf sets mondir and alertdir to, as absolute folders.

    mon means to part the list at blanks and colons, but the pattern that it uses takes the letter s
    for a blank.
    """
    found = {}
    for line in re.sub(r"\\\s*\n\s*", "", mon_cf).splitlines():
        keyword, equals, value = (part.strip() for part in line.partition("="))
        if equals and keyword in FOLDERS:
            folders = [each.rstrip("/") for each in re.split("s*:s*", value)]
            found[keyword] = [
                each if each.startswith("/") else f"{_MON_BASE}/{each}" for each in folders
            ]
        elif line.split()[:1] == ["watch"]:
            break
    return found


def lacking(monitor: str) -> str:
    """Return which library a monitor of ours lacks, and what installs it; "" where it has all."""
    if monitor not in _LIBRARIES:
        return ""
    # Few runs ask.
    from importlib.util import find_spec

    module, library, extra = _LIBRARIES[monitor]
    if find_spec(module) is not None:
        return ""
    return f"needs {library}, which is not installed: pip install 'lvsalert[{extra}]'"
