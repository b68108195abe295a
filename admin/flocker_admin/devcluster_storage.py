"""
What a local cluster keeps its volumes on: which backend this host can do, and ZFS pools on plain files.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from flocker_admin.devcluster_layout import AUTO, DIRECTORY, ZFS
from flocker_py.errors import FlockerError

BACKENDS = (AUTO, DIRECTORY, ZFS)
SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
"""Where programs are looked for: ZFS's are often not on the PATH of a shell."""
_LIBZFS_CORE = Path("/usr/lib/python3/dist-packages/libzfs_core")
_DEVICE = Path("/dev/zfs")
_MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


class ZfsMissing(FlockerError):
    """
    ZFS can't be used here. Take --backend directory, which needs nothing; or provide what the message names.
    """

    lasting = True


class PoolRefused(FlockerError):
    """
    ZFS refused; its own words are in the message. Correct the cause, then try again.
    """


class UnmountRefused(FlockerError):
    """
    A volume could not be unmounted; what the system says is in the message. End what uses it, then try again.
    """


def zfs_missing() -> str | None:
    """
    Why a cluster here can't be on ZFS, or None if it can.
    """
    if os.geteuid() != 0:
        return "making and mounting ZFS datasets needs root"
    if not _DEVICE.exists():
        return f"there is no {_DEVICE}: the kernel module zfs is not loaded"
    missing = [program for program in ("zpool", "zfs") if shutil.which(program, path=SEARCH_PATH) is None]
    if missing:
        return f"there is no program {missing[0]}: install zfsutils-linux"
    if not _LIBZFS_CORE.exists() and importlib.util.find_spec("libzfs_core") is None:
        return "there is no libzfs_core: install python3-pyzfs"
    return None


def chosen_backend(wanted: str) -> tuple[str, str]:
    """
    The backend to take, and why.

    :param wanted: one of ``BACKENDS``.
    :raises ZfsMissing: ZFS is wanted by name, and this host can't do it.
    """
    if wanted == DIRECTORY:
        return DIRECTORY, "as asked"
    missing = zfs_missing()
    if missing is None:
        return ZFS, "as asked" if wanted == ZFS else "this machine has ZFS"
    if wanted == ZFS:
        raise ZfsMissing(missing)
    return DIRECTORY, f"no ZFS: {missing}"


def pool_exists(name: str) -> bool:
    """
    Whether a pool of this name is imported.
    """
    return _zpool(("list", "-H", "-o", "name", name)).returncode == 0


def make_pool(name: str, image: Path, size_bytes: int) -> None:
    """
    A new, empty pool on a new sparse file. Without an entry in the host's cache of pools: it is not imported at boot.

    :raises PoolRefused: ZFS refuses, or the file is there; nothing is left.
    """
    try:
        with image.open("xb") as disk:
            disk.truncate(size_bytes)
    except FileExistsError:
        raise PoolRefused(f"{image} is there already") from None
    try:
        # Trimmed, the file gives back to the host what the pool doesn't use any more.
        _checked(("create", "-o", "cachefile=none", "-o", "autotrim=on", "-O", "mountpoint=none", name, str(image)))
    except PoolRefused:
        image.unlink()
        raise


def import_pool(name: str, image: Path) -> None:
    """
    Import the pool on a file. Harmless if it is imported.

    :raises PoolRefused: there is none on it, or it is damaged.
    """
    if not pool_exists(name):
        # -f: after a power cut it still counts as in use.
        _checked(("import", "-f", "-o", "cachefile=none", "-d", str(image), name))


def export_pool(name: str) -> None:
    """
    Unmount all that is on a pool and write everything to its file. Harmless if it is not imported.

    :raises PoolRefused: something still uses it.
    """
    if pool_exists(name):
        _checked(("export", name))


def destroy_pool(name: str) -> None:
    """
    Destroy a pool with all that is on it. Harmless if it is not imported.

    :raises PoolRefused: something still uses it.
    """
    if pool_exists(name):
        _checked(("destroy", "-f", name))


def unmount_below(folder: Path) -> None:
    """
    Unmount what is mounted below a folder, the innermost first.

    :raises UnmountRefused: something still uses it.
    """
    for path in reversed(_mounted_below(_MOUNTINFO.read_text(errors="surrogateescape"), folder)):
        done = _run("umount", (path,))
        if done.returncode != 0:
            raise UnmountRefused(done.stderr.strip() or path)


def _mounted_below(mountinfo: str, folder: Path) -> list[str]:
    """
    Mount points in the order of mounting, from mountinfo (proc(5)), where spaces and the like are in octal.
    """
    points = [_OCTAL.sub(lambda found: chr(int(found[1], 8)), line.split(" ")[4]) for line in mountinfo.splitlines()]
    return [point for point in points if point.startswith(f"{folder}/")]


def _checked(arguments: Sequence[str]) -> None:
    done = _zpool(arguments)
    if done.returncode != 0:
        raise PoolRefused(f"zpool {' '.join(arguments)}: {done.stderr.strip() or f'exit status {done.returncode}'}")


def _zpool(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return _run("zpool", arguments)


def _run(program: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which(program, path=SEARCH_PATH) or program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
