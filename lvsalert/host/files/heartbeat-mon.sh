#!/bin/sh
# mon with its two capabilities.
#
# mon [MON.CF] start|stop|status
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
    argument=/etc/mon/mon.cf
fi

keeper="^/bin/sh -c .* mon-of-heartbeat "
# What runs mon's plug-ins ends with 1 where another one does already, by systemd for one.
keep='mon_cf=$1
    shift
    while "$@" serve; [ $? -ne 1 ]; do sleep 2; done &
    while :; do /usr/sbin/mon -c "$mon_cf"; sleep 2; done'

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
    mkdir -p /run/mon /run/lvsalert && chown mon: /run/mon /run/lvsalert && rm -f /run/mon/mon.pid || exit 1
    setsid setpriv --reuid mon --regid mon --init-groups \
        --inh-caps=-all,+net_admin,+net_raw --ambient-caps=-all,+net_admin,+net_raw \
        /bin/sh -c "$keep" mon-of-heartbeat "$argument" @lvs_director </dev/null >/dev/null 2>&1 &
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
    start | stop | status) "do_$1" ;;
    *)
        echo "usage: mon [MON.CF] start|stop|status" >&2
        exit 2
        ;;
esac
