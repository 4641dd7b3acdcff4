#!/bin/sh
# mon with its two capabilities, and the resident process beside it.
#
# mon [MON.CF] start|stop|status|resident
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset LC_ALL
if [ -r /etc/default/lvs-director ]; then
    set -a
    . /etc/default/lvs-director
    set +a
fi
# The resident process goes where its caller is, and mon may not enter heartbeat's own folder.
cd / || exit 1
if [ $# -gt 1 ]; then
    argument=$1
    shift
else
    argument=/etc/mon/mon.cf
fi

keeper="^/bin/sh -c .* mon-of-heartbeat "
keep='while :; do /usr/sbin/mon -c "$1"; sleep 2; done'
# It ends with 1 where another one serves already.
keep_resident='while "$@" serve; [ $? -ne 1 ]; do sleep 2; done'
: "${LVSALERT_SOCKET=/run/lvsalert/socket}"
export LVSALERT_SOCKET

session() {
    pgrep -o -u mon -f "$keeper"
}

# keep_as_mon PROGRAM NAME WORD...: what sh is to keep running, in a session of its own.
keep_as_mon() {
    setsid setpriv --reuid mon --regid mon --init-groups \
        --inh-caps=-all,+net_admin,+net_raw --ambient-caps=-all,+net_admin,+net_raw \
        /bin/sh -c "$@" </dev/null >/dev/null 2>&1 &
}

# Whatever the umask of who calls: keepalived's would let nobody enter a new folder.
make_folders() {
    install -d -o mon -g mon /run/mon /run/lvsalert
}

# The process that runs mon's plug-ins and `lvs`, unless systemd's socket or a keeper has it. It
# stays when mon is stopped: who waits for the next start waits for no interpreter.
do_resident() {
    if [ -z "$LVSALERT_SOCKET" ] || grep -qs -- " 00010000 .* $LVSALERT_SOCKET\$" /proc/net/unix ||
        pgrep -u mon -f '^/bin/sh -c .* resident-of-heartbeat ' >/dev/null; then
        return
    fi
    make_folders && keep_as_mon "$keep_resident" resident-of-heartbeat @lvs_director
}

mon_answers() {
    pgrep -s "$1" -x mon >/dev/null && [ -s /run/mon/mon.pid ]
}

do_start() {
    if session >/dev/null; then
        return
    fi
    make_folders && rm -f /run/mon/mon.pid || exit 1
    do_resident
    keep_as_mon "$keep" mon-of-heartbeat "$argument"
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

case ${1:-} in
    start | stop | status | resident) "do_$1" ;;
    *)
        echo "usage: mon [MON.CF] start|stop|status|resident" >&2
        exit 2
        ;;
esac
