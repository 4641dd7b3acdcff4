#!/bin/busybox sh
# The initramfs's init: puts the machine's own files, read-only, under an overlay in memory and
# goes on there. The words after "--" on the kernel's command line name what goes on.
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /host /root
mount -t proc proc /proc
mount -t devtmpfs dev /dev
# The archive holds no device node, so the kernel could open no console for us.
exec </dev/console >/dev/console 2>&1
while read -r module; do
    insmod "/modules/$module" || echo "lab: $module does not load"
done </modules/order

options=trans=virtio,version=9p2000.L,msize=524288
mount -t 9p -o "$options,cache=loose,ro" host /host || exec poweroff -f
mount -t overlay -o lowerdir=/host,upperdir=/upper,workdir=/work root /root
# The overlay would ask the share for the rest of each folder.
while read -r tree; do
    mount --bind "/upper$tree" "/root$tree"
done </trees
mount -t tmpfs -o mode=755 run /root/run
# Directors with a root of their own do the same.
cp /trees /root/run/trees
mkdir -p /root/run/lab /root/lib/modules /root/sys /root/proc /root/dev
mount -t 9p -o "$options,cache=none" lab /root/run/lab || exec poweroff -f
mount -t sysfs sys /root/sys
mount --move /dev /root/dev
mount --move /proc /root/proc
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# As switch_root(8) does it, but this file system holds what the overlay is made of, and stays.
cd /root || exit
mount --move . /
exec chroot . "$@"
