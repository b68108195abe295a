"""
File trees as values, to be built on a real file system and read back for comparison.
"""

from __future__ import annotations

import enum
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from pyrsistent import PMap, pmap

from flocker_py.records import Record, mapping, value

_NONE = type(None)
_HOLE_BYTES = 64 * 1024
# Below this a file's holes depend on the file system's block size, and say nothing.
_SPARSE_FROM_BYTES = 1024 * 1024


class EntryKind(enum.Enum):
    """
    What a name in a tree stands for. A LINK is a further name of a FILE that has its first name elsewhere in the tree.
    """

    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"
    SYMLINK = "symlink"
    FIFO = "fifo"
    SOCKET = "socket"
    CHARACTER_DEVICE = "character-device"
    BLOCK_DEVICE = "block-device"


# Set by security modules of the host, not by whoever wrote the file; and other names that XFS shows for access lists.
_FOREIGN_XATTRS = ("security.", "trusted.SGI_ACL_")

_KIND_OF_FORMAT = {
    stat.S_IFDIR: EntryKind.DIRECTORY,
    stat.S_IFREG: EntryKind.FILE,
    stat.S_IFLNK: EntryKind.SYMLINK,
    stat.S_IFIFO: EntryKind.FIFO,
    stat.S_IFSOCK: EntryKind.SOCKET,
    stat.S_IFCHR: EntryKind.CHARACTER_DEVICE,
    stat.S_IFBLK: EntryKind.BLOCK_DEVICE,
}
_FORMAT_OF_KIND = {kind: file_format for file_format, kind in _KIND_OF_FORMAT.items()}


class TreeEntry(Record):
    """
    One name in a tree and what it stands for.

    :param mode: permission bits, without the type; of a symlink always 0o777.
    :param uid: and ``gid``: the owner; None: whoever makes the entry.
    :param mtime_ns: since the epoch of Unix; None: not looked at.
    :param content: of a FILE, holes as zeros.
    :param sparse: at least half of a FILE of a megabyte or more takes no room.
    :param target: of a SYMLINK, or the first name of a LINK.
    :param device: of a device, as ``os.makedev`` gives it.
    """

    kind: EntryKind = value(EntryKind)
    mode: int = value(int, default=0o644)
    uid: int | None = value((int, _NONE), default=None)
    gid: int | None = value((int, _NONE), default=None)
    mtime_ns: int | None = value((int, _NONE), default=None)
    content: bytes = value(bytes, default=b"")
    sparse: bool = value(bool, default=False)
    target: bytes = value(bytes, default=b"")
    device: int = value(int, default=0)
    xattrs: PMap[str, bytes] = mapping(str, bytes, default={})


Tree = Mapping[bytes, TreeEntry]
"""Path from the root of the tree, without a leading slash, to what is there; the root itself is not in it."""


def file(content: bytes = b"", *, mode: int = 0o644, mtime_ns: int | None = None) -> TreeEntry:
    """
    A plain file.
    """
    return TreeEntry(kind=EntryKind.FILE, mode=mode, content=content, mtime_ns=mtime_ns)


def write_tree(root: Path, tree: Tree) -> None:
    """
    Make the entries of a tree below a folder, each replacing whatever has its name; other names stay.

    :raises OSError: the file system can't hold one of them.
    """
    base = os.fsencode(root)
    for path in sorted(tree):
        _make(base, path, tree[path])
    # A folder's time changes with what is put in it, and its mode may forbid that: last, and the deepest first.
    for path in sorted(tree, reverse=True):
        if tree[path].kind is EntryKind.DIRECTORY:
            _set_metadata(os.path.join(base, path), tree[path])


def read_tree(root: Path) -> dict[bytes, TreeEntry]:
    """
    Everything below a folder.
    """
    base = os.fsencode(root)
    first_names: dict[tuple[int, int], bytes] = {}
    tree: dict[bytes, TreeEntry] = {}
    for folder, folder_names, names in os.walk(base):
        # The order decides which of several names of a file is its first.
        folder_names.sort()
        for name in folder_names + sorted(names):
            full_path = os.path.join(folder, name)
            path = os.path.relpath(full_path, base)
            tree[path] = _read(full_path)
    for path in sorted(tree):
        status = os.lstat(os.path.join(base, path))
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            first = first_names.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                tree[path] = TreeEntry(kind=EntryKind.LINK, target=first)
    return tree


def remove_entry(full_path: bytes) -> None:
    """
    Remove whatever has a name, a folder with all that is in it; nothing having it is harmless.
    """
    if os.path.isdir(full_path) and not os.path.islink(full_path):
        shutil.rmtree(full_path)
    elif os.path.lexists(full_path):
        os.unlink(full_path)


def difference(expected: Tree, actual: Tree) -> list[str]:
    """
    How a tree differs from what was expected, one line each; what an expected entry leaves open is not compared.
    """
    lines = [f"{path!r} is missing" for path in sorted(expected.keys() - actual.keys())]
    lines += [f"{path!r} is too much" for path in sorted(actual.keys() - expected.keys())]
    for path in sorted(expected.keys() & actual.keys()):
        wanted, found = expected[path], actual[path]
        for name in ("kind", "mode", "uid", "gid", "mtime_ns", "sparse", "target", "device", "xattrs"):
            if wanted.kind is EntryKind.LINK and name not in {"kind", "target"}:
                continue
            one, other = getattr(wanted, name), getattr(found, name)
            if one is not None and one != other:
                lines.append(f"{path!r}: {name} is {other!r}, not {one!r}")
        if wanted.kind is EntryKind.FILE and wanted.content != found.content:
            lines.append(f"{path!r}: content differs ({len(found.content)} bytes, expected {len(wanted.content)})")
    return lines


def _make(base: bytes, path: bytes, entry: TreeEntry) -> None:
    full_path = os.path.join(base, path)
    if entry.kind is EntryKind.DIRECTORY and os.path.isdir(full_path) and not os.path.islink(full_path):
        return
    remove_entry(full_path)
    match entry.kind:
        case EntryKind.DIRECTORY:
            os.mkdir(full_path, 0o700)
            return
        case EntryKind.FILE:
            _write_file(full_path, entry)
        case EntryKind.LINK:
            os.link(os.path.join(base, entry.target), full_path, follow_symlinks=False)
            return
        case EntryKind.SYMLINK:
            os.symlink(entry.target, full_path)
        case _:
            os.mknod(full_path, 0o600 | _FORMAT_OF_KIND[entry.kind], entry.device)
    _set_metadata(full_path, entry)


def _write_file(full_path: bytes, entry: TreeEntry) -> None:
    with open(full_path, "xb") as stream:
        if not entry.sparse:
            stream.write(entry.content)
            return
        for offset in range(0, len(entry.content), _HOLE_BYTES):
            block = entry.content[offset : offset + _HOLE_BYTES]
            if block.strip(b"\0"):
                stream.seek(offset)
                stream.write(block)
        stream.truncate(len(entry.content))


def _set_metadata(full_path: bytes, entry: TreeEntry) -> None:
    if entry.uid is not None or entry.gid is not None:
        uid, gid = (-1 if owner is None else owner for owner in (entry.uid, entry.gid))
        os.chown(full_path, uid, gid, follow_symlinks=False)
    # A folder that was there stays, with what it had.
    for name in set(os.listxattr(full_path, follow_symlinks=False)) - set(entry.xattrs):
        if not name.startswith("security."):
            os.removexattr(full_path, name, follow_symlinks=False)
    if entry.kind is not EntryKind.SYMLINK:
        os.chmod(full_path, entry.mode)
    for name in os.listxattr(full_path, follow_symlinks=False):
        if not name.startswith(_FOREIGN_XATTRS) and name not in entry.xattrs:
            os.removexattr(full_path, name, follow_symlinks=False)
    for name, content in entry.xattrs.items():
        os.setxattr(full_path, name, content, follow_symlinks=False)
    if entry.mtime_ns is not None:
        os.utime(full_path, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)


def _read(full_path: bytes) -> TreeEntry:
    status = os.lstat(full_path)
    kind = _KIND_OF_FORMAT[stat.S_IFMT(status.st_mode)]
    content, sparse = b"", False
    if kind is EntryKind.FILE:
        with open(full_path, "rb") as stream:
            content = stream.read()
        sparse = status.st_size >= _SPARSE_FROM_BYTES and status.st_blocks * 512 <= status.st_size // 2
    return TreeEntry(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        content=content,
        sparse=sparse,
        target=os.readlink(full_path) if kind is EntryKind.SYMLINK else b"",
        device=status.st_rdev,
        xattrs=pmap(
            {
                name: os.getxattr(full_path, name, follow_symlinks=False)
                for name in os.listxattr(full_path, follow_symlinks=False)
                if not name.startswith(_FOREIGN_XATTRS)
            }
        ),
    )
