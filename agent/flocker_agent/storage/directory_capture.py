"""
From a live tree to a snapshot: what has changed since the one before is stored, the rest is shared with it.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator

from flocker_agent.storage.directory_files import copy_range, open_folder, sync_file_system
from flocker_agent.storage.directory_manifest import FILE, LINK, Entries, Entry, Fingerprint, Segment, clipped, joined
from flocker_agent.storage.directory_packs import PackReader, PackWriter
from flocker_agent.storage.directory_scan import Found, described, fingerprint, scan, times_tell, unchanged

_CHUNK_BYTES = 1024 * 1024
BLOCK_BYTES = 64 * 1024
# From so many changed files on, one sync of the whole file system is cheaper than one of each.
_MANY_FILES = 200


class Capture:
    """
    Takes one snapshot of a live tree.

    :param root: descriptor of the tree's root.
    :param before: the newest snapshot's entries.
    :param packs: where its content is.
    :param pack: where new content goes.
    :param still: nobody can write to the tree before the clock has ticked.
    """

    def __init__(self, root: int, before: Entries, packs: PackReader, pack: PackWriter, *, still: bool) -> None:
        self._root = root
        self._before = before
        self._packs = packs
        self._pack = pack
        self._still = still
        self._times_tell = times_tell(root)

    def entries(self) -> dict[bytes, Entry]:
        """
        The snapshot's entries, their new content stored. A file that is written to meanwhile is taken as it comes; one
        that vanishes is left out.
        """
        found = list(scan(self._root))
        candidates = sum(1 for each in found if each.kind == FILE and not self._same(each))
        # Pages that were written through a mapping are clean after this: the next write faults, and shows in the times.
        if self._times_tell and candidates >= _MANY_FILES:
            sync_file_system(self._root)
        result: dict[bytes, Entry] = {}
        for each in found:
            if self._same(each):
                result[each.path] = self._before[each.path]
                continue
            try:
                entry = self._file(each, sync=candidates < _MANY_FILES) if each.kind == FILE else self._other(each)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                # A link, a fifo or a folder has taken the file's name since: the next snapshot has it.
                if error.errno not in {errno.ELOOP, errno.ENXIO, errno.ENODEV}:
                    raise
                continue
            if entry is not None:
                result[each.path] = entry
        return _whole(result)

    def _same(self, found: Found) -> bool:
        return self._times_tell and unchanged(found, self._before.get(found.path))

    def _seen_ns(self) -> int | None:
        return None if self._still else time.time_ns()

    def _other(self, found: Found) -> Entry:
        seen_ns = self._seen_ns()
        return described(self._root, found)._replace(print=fingerprint(found.status, seen_ns))

    def _file(self, found: Found, *, sync: bool) -> Entry | None:
        parent, _, name = found.path.rpartition(b"/")
        folder = open_folder(self._root, parent)
        try:
            # O_NONBLOCK: should a fifo have taken its place, opening it must not wait for a writer.
            source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                return None
            if sync and self._times_tell:
                os.fsync(source)
            seen_ns, status = self._seen_ns(), os.fstat(source)
            entry = described(self._root, found, status)
            before = self._before.get(found.path)
            segments = joined(self._segments(source, status.st_size, before))
            after = os.fstat(source)
            calm = (status.st_ctime_ns, status.st_mtime_ns, status.st_size) == (
                after.st_ctime_ns,
                after.st_mtime_ns,
                after.st_size,
            )
            mark: Fingerprint | None = fingerprint(status, seen_ns) if calm and self._times_tell else None
            return entry._replace(segments=segments, print=mark)
        finally:
            os.close(source)

    def _segments(self, source: int, size: int, before: Entry | None) -> Iterator[Segment]:
        old = before.segments if before is not None and before.kind == FILE else ()
        for offset, length in _extents(source, size):
            if old:
                yield from self._compared(source, offset, length, old)
            else:
                yield from self._copied(source, offset, length)

    def _copied(self, source: int, offset: int, length: int) -> Iterator[Segment]:
        segment = self._pack.place(offset, length)
        copied = copy_range(source, offset, self._pack.descriptor, segment.pack_offset, length)
        if copied:
            yield segment._replace(length=copied)

    def _compared(self, source: int, offset: int, length: int, old: tuple[Segment, ...]) -> Iterator[Segment]:
        end = offset + length
        last_new = -1
        while offset < end:
            # Chunks begin at the same places every time, whatever the extents.
            room = min(end, (offset // _CHUNK_BYTES + 1) * _CHUNK_BYTES) - offset
            new = os.pread(source, room, offset)
            if not new:
                return
            known = self._packs.content(old, offset, len(new))
            if new == known:
                yield from clipped(old, offset, len(new))
                offset += len(new)
                continue
            for start in range(0, len(new), BLOCK_BYTES):
                block = new[start : start + BLOCK_BYTES]
                place = offset + start
                if block == known[start : start + BLOCK_BYTES]:
                    yield from clipped(old, place, len(block))
                else:
                    yield self._pack.add(place, block, continues=last_new == place)
                    last_new = place + len(block)
            offset += len(new)


def _extents(source: int, size: int) -> Iterator[tuple[int, int]]:
    offset = 0
    while offset < size:
        try:
            start = os.lseek(source, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        end = min(os.lseek(source, start, os.SEEK_HOLE), size)
        if end <= start:
            return
        yield start, end - start
        offset = end


def _whole(entries: Entries) -> dict[bytes, Entry]:
    # What vanished while we looked takes with it what was in it, and further names of it.
    result: dict[bytes, Entry] = {}
    for path, entry in entries.items():
        if (path and path.rpartition(b"/")[0] not in result) or (entry.kind == LINK and entry.target not in result):
            continue
        result[path] = entry
    return result


def written(root: int, before: Entries, packs: PackReader) -> bool:
    """
    Whether a live tree may differ from its newest snapshot.

    :param before: the snapshot's entries.
    """
    tell = times_tell(root)
    seen = 0
    for found in scan(root):
        seen += 1
        old = before.get(found.path)
        if tell and unchanged(found, old):
            continue
        if old is None or described(root, found)[:7] != old[:7] or _metadata(described(root, found)) != _metadata(old):
            return True
        if found.kind == FILE and _content_differs(root, found, old, packs):
            return True
    return seen != len(before)


def _metadata(entry: Entry) -> tuple[object, ...]:
    return (entry.target, entry.device, entry.xattrs)


def _content_differs(root: int, found: Found, old: Entry, packs: PackReader) -> bool:
    parent, _, name = found.path.rpartition(b"/")
    folder = open_folder(root, parent)
    try:
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        return any(
            os.pread(source, _CHUNK_BYTES, offset)
            != packs.content(old.segments, offset, min(_CHUNK_BYTES, old.size - offset))
            for offset in range(0, old.size, _CHUNK_BYTES)
        )
    finally:
        os.close(source)
