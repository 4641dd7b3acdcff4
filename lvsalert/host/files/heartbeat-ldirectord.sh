#!/bin/sh
# The table, and mon with the mon.cf for it.
#
# ldirectord [FILE] start|stop|status, where FILE is ldirectord.cf if it is not named
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
    argument=ldirectord
fi

lvs_director() {
    @lvs_director "$@"
}
here=${0%/*}
folder=/run/lvsalert
mon_cf=$folder/mon.cf
# What is started, a file a line: one mon looks after all of them.
started=$folder/started

is_started() {
    [ -e "$started" ] && grep -qxF -- "$argument" "$started"
}

# Write the mon.cf for all that is started. mon's alerts do so too, where a file is to be taken by
# itself.
write_mon_cf() {
    chown mon: "$folder"
    set --
    while read -r each; do
        set -- "$@" "$each"
    done <"$started"
    lvs_director mon-config "$@" --accepted --output "$mon_cf" >/dev/null && chown mon: "$mon_cf"
}

mon_reads_it() {
    if "$here/mon" "$mon_cf" status >/dev/null; then
        kill -HUP "$(cat /run/mon/mon.pid)"
    else
        "$here/mon" "$mon_cf" start
    fi
}

do_start() {
    mkdir -p "$folder" || exit 1
    "$here/lvs" "$argument" start || exit 1
    is_started || printf '%s\n' "$argument" >>"$started"
    if ! write_mon_cf; then
        forget_it
        exit 1
    fi
    mon_reads_it
}

forget_it() {
    [ -e "$started" ] || return 0
    grep -vxF -- "$argument" "$started" >"$started.new"
    mv "$started.new" "$started"
}

do_stop() {
    forget_it
    if [ -s "$started" ]; then
        # What is stopped is not set up again, whoever still watches it.
        write_mon_cf && mon_reads_it
    else
        "$here/mon" "$mon_cf" stop || exit 1
    fi
    "$here/lvs" "$argument" stop
}

do_status() {
    if is_started && "$here/mon" "$mon_cf" status >/dev/null; then
        "$here/lvs" "$argument" status
    else
        echo stopped
        exit 3
    fi
}

case ${1:-} in
    start | stop | status) "do_$1" ;;
    *)
        echo "usage: ldirectord [FILE] start|stop|status" >&2
        exit 2
        ;;
esac
