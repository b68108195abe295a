"""
Mounting of ZFS file systems by the system calls themselves: no process is started on the way.

A dataset of ours has ``mountpoint=legacy`` from its parent, so that neither `zfs mount -a`, nor the boot, nor an import
mounts it; the kernel mounts it for whoever asks.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from flocker_agent.storage.mount_namespaces import Views, is_below, mounts, processes, unescaped

_UMOUNT_NOFOLLOW = 8
# As many as fit a line that somebody reads.
_NAMED_PROCESSES = 10

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)


def mounts_of(dataset: str) -> list[str]:
    """
    The paths at which a dataset is mounted, as this process sees it.
    """
    return [mounted.path for mounted in mounts() if mounted.kind == "zfs" and mounted.source == dataset]


def mount(dataset: str, path: Path) -> None:
    """
    Mount a dataset on an empty folder.

    :raises OSError: what the kernel said.
    """
    # What mount.zfs says too: the kernel mounts .zfs/snapshot/NAME by it. A comma would begin another option.
    options = b"" if "," in str(path) else b"mntpoint=" + os.fsencode(path)
    if _libc.mount(dataset.encode(), os.fsencode(path), b"zfs", 0, options) != 0:
        _raise_errno(path)


def unmount(path: Path | str) -> None:
    """
    Unmount what is mounted at a path, with all its data safely in the pool.

    :raises OSError: what the kernel said; EBUSY: something uses it.
    """
    if _libc.umount2(os.fsencode(path), _UMOUNT_NOFOLLOW) != 0:
        _raise_errno(path)


def users_of(path: Path | str) -> str:
    """
    Who uses something below a path, for people to read: processes that have it open, mapped, or as their working or
    root folder, and file systems mounted below it.
    """
    below = [mounted.path for mounted in mounts() if mounted.path.startswith(f"{path}/")]
    users = [_named(process) for process in processes() if any(is_below(used, str(path)) for used in _used_by(process))]
    return _listed([*users, *(f"a file system mounted at {found}" for found in below)]) or "something in the kernel"


def holders_elsewhere(dataset: str) -> str | None:
    """
    Who keeps a dataset mounted in another mount namespace, as a container does that was not told of our unmounting; for
    people to read. None: nobody.
    """
    views = Views()
    users = []
    for process in processes():
        view = views.of(process)
        if view is not None and any(mounted.kind == "zfs" and mounted.source == dataset for mounted in view.mounted):
            users.append(_named(process))
    return _listed(users) or None


def _used_by(process: Path) -> Iterable[str]:
    links = [process / "cwd", process / "root", process / "exe"]
    try:
        links += (process / "fd").iterdir()
        for line in (process / "maps").read_text(errors="surrogateescape").splitlines():
            # Address, permissions, offset, device, inode, and where there is one, the path; newlines in it are escaped.
            fields = line.split(maxsplit=5)
            if len(fields) == 6:
                yield unescaped(fields[5])
    except OSError:
        pass
    for link in links:
        try:
            # Not stat: that would ask the file system, and wait for ever for one on a server that is gone.
            yield str(link.readlink())
        except OSError:
            # It ended, or closed it.
            continue


def _named(process: Path) -> str:
    try:
        return f"process {process.name} ({(process / 'comm').read_text(errors='replace').strip()})"
    except OSError:
        return f"process {process.name}"


def _listed(users: list[str]) -> str:
    more = len(users) - _NAMED_PROCESSES
    return ", ".join(users[:_NAMED_PROCESSES]) + (f" and {more} more" if more > 0 else "")


def _raise_errno(path: Path | str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), str(path))
