"""
What is in a live tree, by looking at names and their metadata alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from flocker_agent.storage.directory_files import FOLDER_FLAGS, IS_ROOT, below, open_folder
from flocker_agent.storage.directory_manifest import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    LINK,
    SOCKET,
    SYMLINK,
    Entry,
    Fingerprint,
)

_KINDS = {
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFREG: FILE,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFIFO: FIFO,
    stat.S_IFSOCK: SOCKET,
    stat.S_IFCHR: CHARACTER_DEVICE,
    stat.S_IFBLK: BLOCK_DEVICE,
}
# Kept by security modules of this host; and other names under which XFS shows root the access lists.
_FOREIGN_XATTRS = (
    "trusted.SGI_ACL_",
    "security.selinux",
    "security.ima",
    "security.evm",
    "security.SMACK",
    "security.apparmor",
)
_ROOTS_XATTRS = ("trusted.", "security.")

# Superblock numbers (statfs(2)) of ext, xfs, btrfs, f2fs and ZFS: there every change of content, also through a
# mapping, is seen in the times of the file. On others, tmpfs among them, only the content tells.
_TRUSTED_FILE_SYSTEMS = {0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x2FC12FC1}
# Two changes within one tick of the kernel's coarse clock leave the same time: 10 ms at 100 Hz.
TICK_NS = 20_000_000
_SECOND_NS = 1_000_000_000
_libc = ctypes.CDLL(None, use_errno=True)


class Found(NamedTuple):
    """
    A name in a live tree.

    :param first_name: of a file with several names, the one that comes first; else its path.
    """

    path: bytes
    status: os.stat_result
    first_name: bytes

    @property
    def kind(self) -> str:
        """
        As in a manifest.
        """
        return LINK if self.first_name != self.path else _KINDS[stat.S_IFMT(self.status.st_mode)]


def scan(root: int) -> Iterator[Found]:
    """
    Everything in a tree, the root included, in a manifest's order; what vanishes meanwhile is left out. Other file
    systems mounted in the tree are seen as empty folders.

    :param root: descriptor of its root.
    """
    first_names: dict[int, bytes] = {}
    top = os.fstat(root)
    stack = [(b"", top)]
    while stack:
        path, status = stack.pop()
        first_name = path
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            first_name = first_names.setdefault(status.st_ino, path)
        yield Found(path, status, first_name)
        if stat.S_ISDIR(status.st_mode) and status.st_dev == top.st_dev:
            stack += reversed(_names(root, path))


def held_bytes(tree: Path) -> int:
    """
    How much room the files of a tree take.
    """
    root = os.open(tree, FOLDER_FLAGS)
    try:
        return sum(found.status.st_blocks * 512 for found in scan(root) if found.kind == FILE)
    finally:
        os.close(root)


def _names(root: int, path: bytes) -> list[tuple[bytes, os.stat_result]]:
    found = []
    try:
        folder = open_folder(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        with os.scandir(folder) as names:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    inner = os.fsencode(name.name)
                    found.append((path + b"/" + inner if path else inner, name.stat(follow_symlinks=False)))
    finally:
        os.close(folder)
    return sorted(found)


def unchanged(found: Found, before: Entry | None) -> bool:
    """
    Whether an entry is certainly what it was, content included.

    :param before: as it was recorded.
    """
    status = found.status
    return (
        before is not None
        and before.print is not None
        and before.kind == found.kind
        and before.print == Fingerprint(status.st_ino, status.st_ctime_ns)
        and (before.size == status.st_size or before.kind != FILE)
        and before.mtime_ns == status.st_mtime_ns
    )


def described(root: int, found: Found, status: os.stat_result | None = None) -> Entry:
    """
    All of an entry but its content and fingerprint.

    :param status: if it was looked at again.
    :raises FileNotFoundError: it has vanished.
    """
    status = found.status if status is None else status
    path, kind = found.path, found.kind
    if kind == LINK:
        return Entry(path, LINK, target=found.first_name)
    parent, _, name = path.rpartition(b"/")
    folder = open_folder(root, parent)
    try:
        return Entry(
            path=path,
            kind=kind,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            mtime_ns=status.st_mtime_ns,
            size=status.st_size if kind == FILE else 0,
            target=os.readlink(name, dir_fd=folder) if kind == SYMLINK else b"",
            device=status.st_rdev if kind in {CHARACTER_DEVICE, BLOCK_DEVICE} else 0,
            xattrs=xattrs(folder, name or b"."),
        )
    finally:
        os.close(folder)


def xattrs(folder: int, name: bytes) -> tuple[tuple[str, bytes], ...]:
    """
    The extended attributes of a name in a folder that belong to the data, access lists among them.
    """
    path = below(folder, name)
    result = []
    try:
        for attribute in sorted(os.listxattr(path, follow_symlinks=False)):
            if not attribute.startswith(_FOREIGN_XATTRS) and (IS_ROOT or not attribute.startswith(_ROOTS_XATTRS)):
                result.append((attribute, os.getxattr(path, attribute, follow_symlinks=False)))
    except OSError as error:
        # A file system without attributes has none; one may vanish while we look.
        if error.errno not in {errno.ENOTSUP, errno.ENODATA}:
            raise
    return tuple(result)


def times_tell(descriptor: int) -> bool:
    """
    Whether on the file system of a descriptor every change shows in the times of the file.
    """
    # statfs(2): the structure begins with the type, a long; 256 bytes are more than all of it.
    buffer = (ctypes.c_long * 32)()
    if _libc.fstatfs(descriptor, ctypes.byref(buffer)) != 0:
        return False
    return buffer[0] in _TRUSTED_FILE_SYSTEMS


def fingerprint(status: os.stat_result, seen_ns: int | None) -> Fingerprint | None:
    """
    A fingerprint, if every later change will differ from it.

    :param seen_ns: when the content was read, by the clock of the host; None: nobody can write before the clock has
        ticked.
    """
    if seen_ns is not None and seen_ns - status.st_ctime_ns < TICK_NS:
        return None
    # A file system that keeps whole seconds can't tell two changes within one.
    return Fingerprint(status.st_ino, status.st_ctime_ns) if status.st_ctime_ns % _SECOND_NS else None
