"""
From a snapshot to a live tree: only what differs is written.

Nothing here follows a link in the tree, and names have been checked before: no entry is made outside the root.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator

from flocker_agent.storage.directory_files import (
    IS_ROOT,
    below,
    copy_range,
    open_folder,
    punch,
    remove_below,
    sync_file_system,
)
from flocker_agent.storage.directory_manifest import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    LINK,
    SOCKET,
    SYMLINK,
    Entries,
    Entry,
    Piece,
    clipped,
    delta,
    pieces,
    same,
)
from flocker_agent.storage.directory_packs import PackReader
from flocker_agent.storage.directory_scan import fingerprint, times_tell, xattrs

_FORMATS = {
    FIFO: stat.S_IFIFO,
    SOCKET: stat.S_IFSOCK,
    CHARACTER_DEVICE: stat.S_IFCHR,
    BLOCK_DEVICE: stat.S_IFBLK,
}
# From so many changed entries on, one sync of the whole file system is cheaper than one of each.
_MANY_ENTRIES = 200


class Restoration:
    """
    Brings a live tree that nobody uses from one state to another. Doing it again after it was interrupted, to the same
    state, is how it is finished.

    :param root: descriptor of the tree's root.
    :param before: what the tree is, or was when this was interrupted.
    :param after: what it shall be.
    """

    def __init__(self, root: int, before: Entries, after: Entries, packs: PackReader) -> None:
        self._root = root
        self._before = before
        self._after = after
        self._packs = packs
        self._touched: set[bytes] = set()
        self._regrouped = _regrouped(before, after)
        self._remade: set[bytes] = set()

    def run(self) -> dict[bytes, Entry]:
        """
        Do it, durably.

        :returns: the entries of ``after``, with the fingerprints of the tree as it then is.
        """
        way = delta(self._before, self._after)
        many = len(way.changed) + len(way.removed) >= _MANY_ENTRIES
        for path in way.removed:
            self._remove(path)
        changed = {entry.path for entry in way.changed}
        for path, entry in self._after.items():
            if path in changed or path in self._regrouped or (entry.kind == LINK and entry.target in self._remade):
                self._put(entry, sync=not many)
                changed.add(path)
        folders = {path for path in changed if self._after[path].kind == DIRECTORY} | self._touched
        for path in sorted(folders & self._after.keys(), reverse=True):
            self._finish_folder(self._after[path], sync=not many)
        if many:
            sync_file_system(self._root)
        return self._marked(changed | folders)

    def _remove(self, path: bytes) -> None:
        parent, _, name = path.rpartition(b"/")
        try:
            folder = self._opened(parent)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            remove_below(folder, name)
        finally:
            os.close(folder)

    def _opened(self, path: bytes) -> int:
        self._touched.add(path)
        folder = open_folder(self._root, path, make_way=not IS_ROOT)
        if not IS_ROOT:
            os.fchmod(folder, 0o700)
        return folder

    def _put(self, entry: Entry, *, sync: bool) -> None:
        if not entry.path:
            return
        parent, _, name = entry.path.rpartition(b"/")
        folder = self._opened(parent)
        try:
            match entry.kind:
                case "d":
                    self._make_folder(folder, name)
                case "f":
                    self._write_file(folder, name, entry, sync=sync)
                case "h":
                    self._link(folder, name, entry)
                case "l":
                    remove_below(folder, name)
                    os.symlink(entry.target, name, dir_fd=folder)
                    _describe(folder, name, entry)
                case _:
                    remove_below(folder, name)
                    os.mknod(name, 0o600 | _FORMATS[entry.kind], entry.device, dir_fd=folder)
                    _describe(folder, name, entry)
        finally:
            os.close(folder)

    @staticmethod
    def _make_folder(folder: int, name: bytes) -> None:
        try:
            if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                return
            remove_below(folder, name)
        except FileNotFoundError:
            pass
        os.mkdir(name, 0o700, dir_fd=folder)

    def _link(self, folder: int, name: bytes, entry: Entry) -> None:
        remove_below(folder, name)
        parent, _, first = entry.target.rpartition(b"/")
        other = self._opened(parent)
        try:
            os.link(first, name, src_dir_fd=other, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(other)

    def _write_file(self, folder: int, name: bytes, entry: Entry, *, sync: bool) -> None:
        before = self._before.get(entry.path)
        target = None
        if before is not None and before.kind == FILE and entry.path not in self._regrouped:
            target = _opened_file(folder, name)
        if target is None:
            before = None
            self._remade.add(entry.path)
            remove_below(folder, name)
            target = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        try:
            self._fill(target, entry, before)
            _describe(folder, name, entry)
            if sync:
                os.fsync(target)
        finally:
            os.close(target)

    def _fill(self, target: int, entry: Entry, before: Entry | None) -> None:
        os.ftruncate(target, entry.size)
        parts = pieces(before, entry)
        if before is not None:
            for start, end in _gaps(parts, entry.size):
                for segment in clipped(before.segments, start, end - start):
                    punch(target, segment.offset, segment.length)
        for piece in parts:
            if piece.source is not None:
                source = self._packs.descriptor(piece.source.pack)
                copied = copy_range(source, piece.source.pack_offset, target, piece.offset, piece.length)
                if copied < piece.length:
                    raise OSError(errno.EIO, f"pack {piece.source.pack} ends too early")

    def _finish_folder(self, entry: Entry, *, sync: bool) -> None:
        if entry.kind != DIRECTORY:
            return
        parent, _, name = entry.path.rpartition(b"/")
        folder = open_folder(self._root, parent, make_way=not IS_ROOT)
        try:
            if sync:
                inner = open_folder(folder, name, make_way=not IS_ROOT)
                try:
                    os.fsync(inner)
                finally:
                    os.close(inner)
            _describe(folder, name or b".", entry)
        finally:
            os.close(folder)

    def _marked(self, changed: set[bytes]) -> dict[bytes, Entry]:
        result = dict(self._after)
        # Fingerprints of another host's or another time's files say nothing of these.
        for path, entry in self._after.items():
            before = self._before.get(path)
            if before is entry:
                continue
            result[path] = entry._replace(print=before.print if before is not None and same(before, entry) else None)
        if not times_tell(self._root):
            return result
        for path in changed & result.keys():
            parent, _, name = path.rpartition(b"/")
            try:
                folder = open_folder(self._root, parent)
            except PermissionError:
                # Closed to its owner, who is no root: its content will tell.
                continue
            try:
                status = os.lstat(name or b".", dir_fd=folder)
            finally:
                os.close(folder)
            result[path] = result[path]._replace(print=fingerprint(status, None))
        return result


def _gaps(parts: Iterable[Piece], size: int) -> Iterator[tuple[int, int]]:
    position = 0
    for part in parts:
        if position < part.offset:
            yield position, part.offset
        position = part.offset + part.length
    if position < size:
        yield position, size


def _opened_file(folder: int, name: bytes) -> int | None:
    try:
        target = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        # Not there, no file, or closed to us: it is made anew.
        return None
    if stat.S_ISREG(os.fstat(target).st_mode):
        return target
    os.close(target)
    return None


def _describe(folder: int, name: bytes, entry: Entry) -> None:
    path = below(folder, name)
    if IS_ROOT:
        os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
    if entry.kind != SYMLINK:
        # After chown, which takes the set-user-id bit away.
        os.chmod(path, entry.mode)
    present, wanted = dict(xattrs(folder, name)), dict(entry.xattrs)
    for attribute in present.keys() - wanted.keys():
        os.removexattr(path, attribute, follow_symlinks=False)
    for attribute, content in wanted.items():
        if present.get(attribute) == content:
            continue
        if not IS_ROOT and attribute.startswith(("trusted.", "security.")):
            # Only root may give them; who sends them to an ordinary user's pool goes without.
            continue
        os.setxattr(path, attribute, content, follow_symlinks=False)
    os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=folder, follow_symlinks=False)


def _regrouped(before: Entries, after: Entries) -> set[bytes]:
    """
    The files of which not the same names are one file as before.
    """

    def groups(entries: Entries) -> dict[bytes, set[bytes]]:
        found: dict[bytes, set[bytes]] = {}
        for path, entry in entries.items():
            if entry.kind == LINK:
                found.setdefault(entry.target, set()).add(path)
        return found

    old, new = groups(before), groups(after)
    return {
        path
        for path in old.keys() | new.keys()
        if old.get(path) != new.get(path) and path in after and after[path].kind == FILE
    }
