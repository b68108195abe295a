#!/bin/bash
# The first process of a User Mode Linux guest. / is the host's root, read-only over hostfs: lay a tmpfs over it, pivot into
# that, and hand over to guest.py. The FLOCKER_ZFS_ variables come from the kernel's command line.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
fail() { echo "GUEST-INIT-FAILED: $*"; sleep 1; exit 1; }
mount -t proc proc /proc || fail "no /proc"
insmod "$FLOCKER_ZFS_OVERLAY" || fail "no overlay file system"
mount -t tmpfs -o size=90%,mode=755 tmpfs /mnt && mkdir /mnt/upper /mnt/work /mnt/root || fail "no tmpfs"
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root || fail "no overlay on the host's root"
cd /mnt/root || fail "no overlay root"
# pivot_root, not chroot: ZFS opens the files of a pool from kernel threads, which keep the old root.
mkdir -p mnt/old && pivot_root . mnt/old || fail "pivot_root"
cd / && mount -t proc proc /proc && umount -l /mnt/old
exec /usr/bin/python3 -I -S "$FLOCKER_ZFS_GUEST"
