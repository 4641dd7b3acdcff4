#!/bin/sh
# node.sh FOLDER NAME: the first process of a director that heartbeat runs on. It has namespaces of
# its own and a root of its own, an overlay over the guest's, and ends when the director does.
set -e
folder=$1
hostname "$2"
root=$folder/root
mkdir -p "$root" "$folder/upper" "$folder/work"
mount --make-rprivate /
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" root "$root"
while read -r tree; do
    mount --bind "$tree" "$root$tree"
done </run/trees
mount -t proc proc "$root/proc"
mount -t sysfs sys "$root/sys"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=755 dev "$root/dev"
mkdir -p "$root/lib/modules"
mount --bind /lib/modules "$root/lib/modules"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/run/lock"
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    IFS=:
    # shellcheck disable=SC2086 # a name and two numbers
    set -- $device
    unset IFS
    mknod -m 666 "$root/dev/$1" c "$2" "$3"
done
install -d -m 750 -o hacluster -g haclient "$root/run/heartbeat" "$root/run/heartbeat/ccm" \
    "$root/run/heartbeat/crm" "$root/run/heartbeat/dopd"
cd "$root"
# sh waits for every orphan, which is what a first process has to do.
exec chroot . /bin/sh -c '
    busybox syslogd -n -O /var/log/syslog &
    touch /run/booted
    while :; do wait; sleep 1; done'
