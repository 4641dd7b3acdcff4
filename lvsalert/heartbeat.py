"""heartbeat's resource scripts, and the drop-in for its unit, as values: text, no files.

heartbeat calls ``/etc/ha.d/resource.d/NAME [argument] start|stop|status``. It takes ``running`` on
stdout for an answer to status, and reboots the machine where a stop goes on failing.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from lvsalert.plugins import File

FOLDER = "/etc/ha.d/resource.d"
LDIRECTORD = f"{FOLDER}/ldirectord"
"""The one script that another package may have put there."""

_SHEBANG = "#!/bin/sh\n"

# `set -a` makes variables of the environment of what the file sets.
_HEAD = """\
# {what}
#
# {name} [{argument}] start|stop|status
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset LC_ALL
if [ -r /etc/default/lvs-director ]; then
    set -a
    . /etc/default/lvs-director
    set +a
fi
if [ $# -gt 1 ]; then
    argument=$1
    shift
else
    argument={default}
fi
"""

_DIRECTOR = """\
lvs_director() {{
    {command} "$@"
}}
"""

_TAIL = """\
case ${{1:-}} in
    start | stop | status) "do_$1" ;;
    *)
        echo "usage: {name} [{argument}] start|stop|status" >&2
        exit 2
        ;;
esac
"""

_LVS = """\
do_start() {
    lvs_director start "$argument"
}

do_stop() {
    lvs_director stop "$argument"
}

# heartbeat asks before each start: an empty table is an answer that takes no interpreter.
do_status() {
    if [ -n "$("${LVSALERT_IPVSADM:-ipvsadm}" -Sn 2>/dev/null)" ] &&
        [ "$(lvs_director status "$argument" 2>/dev/null)" = running ]; then
        echo running
    else
        echo stopped
        exit 3
    fi
}
"""

# One sh leads the session in which mon, its monitors and its alerts run: it starts mon again when
# that ends, as Debian's unit does, and whoever ends the session ends them all. It is found by its
# arguments and not by a pid file, which a crash would leave behind.
_MON = r"""
keeper="^/bin/sh -c .* mon-of-heartbeat "
keep='while :; do /usr/sbin/mon -c "$1"; sleep 2; done'

session() {
    pgrep -o -u mon -f "$keeper"
}

mon_answers() {
    pgrep -s "$1" -x mon >/dev/null && [ -s /run/mon/mon.pid ]
}

do_start() {
    if session >/dev/null; then
        return
    fi
    mkdir -p /run/mon && chown mon: /run/mon && rm -f /run/mon/mon.pid || exit 1
    setsid setpriv --reuid mon --regid mon --init-groups \
        --inh-caps=-all,+net_admin,+net_raw --ambient-caps=-all,+net_admin,+net_raw \
        /bin/sh -c "$keep" mon-of-heartbeat "$argument" </dev/null >/dev/null 2>&1 &
    for _ in $(seq 100); do
        if mon_answers $!; then
            return
        fi
        sleep 0.1
    done
    echo "mon does not start with $argument: see what it said to syslog" >&2
    do_stop
    exit 1
}

do_stop() {
    signal=TERM
    for turn in $(seq 100); do
        sessions=$(pgrep -d , -u mon -f "$keeper") || return 0
        [ "$turn" -lt 30 ] || signal=KILL
        pkill "-$signal" -s "$sessions"
        sleep 0.1
    done
    echo "mon does not end" >&2
    exit 1
}

do_status() {
    if session >/dev/null; then
        echo running
    else
        echo stopped
        exit 3
    fi
}
"""

# mon.cf may hold a password of a check.
_LDIRECTORD = """\
here=${0%/*}
name=${argument##*/}
mon_cf=/run/lvsalert/${name%.cf}.mon.cf

do_start() {
    mkdir -p /run/lvsalert || exit 1
    (umask 027 && lvs_director mon-config "$argument" >"$mon_cf.new") &&
        chgrp mon "$mon_cf.new" && mv "$mon_cf.new" "$mon_cf" || exit 1
    "$here/lvs" "$argument" start && "$here/mon" "$mon_cf" start
}

do_stop() {
    "$here/mon" "$mon_cf" stop && "$here/lvs" "$argument" stop
}

do_status() {
    if "$here/mon" "$mon_cf" status >/dev/null; then
        "$here/lvs" "$argument" status
    else
        echo stopped
        exit 3
    fi
}
"""

# A standby that has never been active is told here that it is one, so that it listens for the
# other's connections, and has no table that heartbeat would take for its own.
_DROP_IN = f"""\
[Service]
ExecStartPre=-{FOLDER}/lvs stop
"""


def resource_files(interpreter: str, folders: Sequence[str]) -> list[File]:
    """Return the resource scripts lvs, mon and ldirectord, and the drop-in for heartbeat.service.

    The scripts run lvs-director with ``interpreter``, which looks for modules in its standard
    library and then in ``folders``.
    """
    code = (
        f"import sys; sys.path += {list(folders)!a};"
        " from lvsalert.commands.entry import lvs_director; lvs_director()"
    )
    director = _DIRECTOR.format(command=shlex.join([interpreter, "-IS", "-c", code]))
    www = ("FILE", "www")
    return [
        _script("lvs", "The table of the director's file.", www, director + _LVS),
        _script("mon", "mon with its two capabilities.", ("MON.CF", "/etc/mon/mon.cf"), _MON),
        _script(
            "ldirectord", "The table, and mon with the mon.cf for it.", www, director + _LDIRECTORD
        ),
        File("/etc/systemd/system/heartbeat.service.d/lvsalert.conf", 0o644, "", _DROP_IN),
    ]


def _script(name: str, what: str, takes: tuple[str, str], body: str) -> File:
    argument, default = takes
    words = {"name": name, "argument": argument, "what": what, "default": default}
    text = _HEAD.format(**words) + "\n" + body.lstrip("\n") + "\n" + _TAIL.format(**words)
    return File(f"{FOLDER}/{name}", 0o755, _SHEBANG, text)
