"""
When a dataset may be mounted and when it counts as unmounted.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

from flocker_agent.storage import zfs_command, zfs_mounts
from flocker_agent.storage.mount_namespaces import mounts
from flocker_agent.storage.zfs_listing import DatasetEntry
from flocker_py.storage import (
    BackendUnavailable,
    DatasetBusy,
    DatasetMissing,
    KeyUnavailable,
    Role,
    StorageError,
)


def check_unmounted(entry: DatasetEntry) -> None:
    """
    :raises DatasetBusy: the dataset is mounted, wherever.
    """
    mounted = zfs_mounts.mounts_of(entry.name)
    if mounted:
        raise DatasetBusy(f"{entry.name} is mounted at {', '.join(mounted)}")


def mount_owned(entry: DatasetEntry, path: Path) -> None:
    """
    Mount an OWNER's dataset, writable. Doing it twice is harmless.

    :raises DatasetBusy: it isn't an OWNER's, is mounted elsewhere, or the path is taken.
    :raises KeyUnavailable: it is encrypted and its key is not loaded.
    """
    if entry.role is not Role.OWNER:
        raise DatasetBusy(f"{entry.name} is {entry.role.value} here, not owner")
    _mount_once(entry, path, read_only=False)


def mount_readable(entry: DatasetEntry, path: Path) -> None:
    """
    Mount what was put aside, so that nobody can write it. Doing it twice is harmless.

    :raises DatasetBusy: it is mounted elsewhere, or the path is taken.
    :raises KeyUnavailable: it is encrypted and its key is not loaded.
    """
    _mount_once(entry, path, read_only=True)


def _mount_once(entry: DatasetEntry, path: Path, *, read_only: bool) -> None:
    mounted = mounts()
    for found in mounted:
        if found.kind == "zfs" and found.source == entry.name:
            if found.path == _real(path):
                return
            raise DatasetBusy(f"{entry.name} is mounted at {found.path}: unmount it there")
    if not entry.key_loaded:
        raise KeyUnavailable(f"{entry.name}: zfs load-key -L LOCATION {entry.name}")
    if entry.read_only is not read_only:
        # Role and readonly were not written in one go, or it comes from a stash, or somebody changed it by hand.
        zfs_command.set_properties(entry.name, {"readonly": "on" if read_only else "off"})
    _make_mount_point(path, [found.path for found in mounted])
    try:
        _mount(entry.name, path)
    except StorageError:
        _remove_mount_point(path)
        raise


def unmount(entry: DatasetEntry, path: Path) -> None:
    """
    Unmount a dataset, and remove the folder that it was mounted on. Doing it twice is harmless.

    :raises DatasetBusy: something uses it, or it is mounted elsewhere too, in whatever mount namespace; it stays
        mounted.
    """
    own = _real(path)
    mounted = zfs_mounts.mounts_of(entry.name)
    elsewhere = [found for found in mounted if found != own]
    if elsewhere:
        raise DatasetBusy(f"{entry.name} is also mounted at {', '.join(elsewhere)}: unmount it there")
    if mounted:
        try:
            zfs_mounts.unmount(own)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise DatasetBusy(f"{own} is used by {zfs_mounts.users_of(own)}") from error
            raise StorageError(f"{own} can't be unmounted: {error}") from error
        holders = zfs_mounts.holders_elsewhere(entry.name)
        if holders is not None:
            _mount(entry.name, path)
            raise DatasetBusy(f"{own} is mounted in another mount namespace too, by {holders}")
    _remove_mount_point(path)


def _real(path: Path) -> str:
    """
    The path as mountinfo has it: links in the folders above resolved.
    """
    return str(path.parent.resolve() / path.name)


def _make_mount_point(path: Path, mounted: Iterable[str]) -> None:
    if _real(path) in mounted:
        raise DatasetBusy(f"something else is mounted at {path}")
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        # Left over from a crash, if it is an empty folder.
        if path.is_symlink() or not path.is_dir() or any(path.iterdir()):
            raise DatasetBusy(f"{path} is taken: move away what is there") from None
    except OSError as error:
        raise StorageError(f"{path} can't be made: {error}") from error


def _remove_mount_point(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        # Not there, or somebody put something in it after the unmount: nothing of the dataset's either way.
        pass


def _mount(name: str, path: Path) -> None:
    try:
        zfs_mounts.mount(name, path)
    except OSError as error:
        doing = f"{name} can't be mounted at {path}: {error}"
        match error.errno:
            case errno.EBUSY:
                raise DatasetBusy(doing) from error
            case errno.ENOENT:
                raise DatasetMissing(doing) from error
            case errno.EPERM | errno.ENODEV:
                raise BackendUnavailable(doing) from error
            case _:
                raise StorageError(doing) from error
