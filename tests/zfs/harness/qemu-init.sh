#!/bin/sh
# The first process of a QEMU guest, in its initramfs (busybox): load what the root needs, lay a tmpfs over the host's root,
# which comes read-only over 9p, and hand over to guest.py. FLOCKER_ZFS_ variables come from the kernel's command line.
export PATH=/bin HOME=/root LC_ALL=C
fail() { echo "GUEST-INIT-FAILED: $*"; sleep 1; poweroff -f; }
mount -t proc proc /proc && mount -t devtmpfs devtmpfs /dev || fail "no /proc and /dev"
while read -r module; do insmod "/modules/$module" || fail "module $module"; done < /modules/order
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose host /host || fail "no root of the host"
mount -t tmpfs -o size=90%,mode=755 tmpfs /laid && mkdir /laid/upper /laid/work /laid/root || fail "no tmpfs"
mount -t overlay overlay -o lowerdir=/host,upperdir=/laid/upper,workdir=/laid/work /laid/root || fail "no overlay"
umount /dev
mount -t proc proc /laid/root/proc || fail "no /proc"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec /bin/switch_root /laid/root /usr/bin/python3 -I -S "$FLOCKER_ZFS_GUEST"
