#!/bin/sh
# The table of the director's file.
#
# lvs [FILE] start|stop|status
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset LC_ALL
if [ -r /etc/default/lvs-director ]; then
    set -a
    . /etc/default/lvs-director
    set +a
fi
here=$(cd "${0%/*}" && pwd)
# The resident process goes where its caller is, and mon may not enter heartbeat's own folder.
cd / || exit 1
if [ $# -gt 1 ]; then
    argument=$1
    shift
else
    argument=www
fi

# The resident process runs it, where that is there; otherwise it runs by itself.
: "${LVSALERT_SOCKET=/run/lvsalert/socket}"
export LVSALERT_SOCKET

lvs_director() {
    @lvs_director "$@"
}

# The next change of directors finds the resident. Nobody waits for that, nor is it needed.
have_resident() {
    "$here/mon" resident </dev/null >/dev/null 2>&1 &
}
# A start that could not set up all of it, for want of a name's address, is one all the same: with
# a failed one heartbeat would give up the addresses too.
do_start() {
    lvs_director start "$argument" || [ "$(do_status)" = running ]
    status=$?
    have_resident
    return $status
}

do_stop() {
    lvs_director stop "$argument"
    status=$?
    have_resident
    return $status
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

case ${1:-} in
    start | stop | status) "do_$1" ;;
    *)
        echo "usage: lvs [FILE] start|stop|status" >&2
        exit 2
        ;;
esac
