#!/bin/bash
# The first process of a User Mode Linux guest. / is the host's root, read-only over hostfs: lay a tmpfs over it, pivot into
# that, and hand over to guest.py. FLOCKER_ZFS_RUN and FLOCKER_ZFS_MODULES come from the kernel's command line.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
fail() { echo "GUEST-INIT-FAILED: $*"; sleep 1; exit 1; }
mount -t proc proc /proc || fail "no /proc"
insmod "$FLOCKER_ZFS_MODULES"/kernel/fs/overlayfs/overlay.ko || fail "no overlay file system"
mount -t tmpfs -o size=90%,mode=755 tmpfs /mnt && mkdir /mnt/u /mnt/w /mnt/r || fail "no tmpfs"
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r || fail "cannot lay a tmpfs over the host's root"
cd /mnt/r || fail "no overlay root"
mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t devtmpfs devtmpfs dev
mkdir -p dev/pts dev/shm; mount -t devpts devpts dev/pts; mount -t tmpfs -o mode=1777 tmpfs dev/shm
# A checkout beneath /tmp must stay visible; the overlay keeps it writable too.
[ "$FLOCKER_ZFS_KEEP_TMP" = 1 ] || mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/lock run/flocker-zfs/control
# Writable, and before the pivot: the guest's own /dev/shm would hide it.
mount -t hostfs none -o "$FLOCKER_ZFS_RUN/control" run/flocker-zfs/control || fail "no control folder"
# pivot_root, not chroot: ZFS opens the files of a pool from kernel threads, which keep the old root.
mkdir -p mnt/old && pivot_root . mnt/old || fail "pivot_root"
cd / && umount -l /mnt/old
exec /usr/bin/python3 -I -S /run/flocker-zfs/control/guest.py
