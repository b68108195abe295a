"""
What a stream of the directory backend says before its data: the steps from one tree to another. Pure.

The steps are lines of JSON: ``["-", path]`` for what is gone; ``["+", metadata, pieces]`` for what is new or changed,
where each piece is ``[offset, length, 0]`` for bytes that are as they were and ``[offset, length, 1]`` for new ones.
The stream's data is the bytes of all new pieces, one after another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

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
    Segment,
    clipped,
    delta,
    entry_of_row,
    joined,
    metadata_row,
    name_of,
    ordered,
    pieces,
    text,
    tree_order,
)
from flocker_py.storage import StreamCorrupt

_KINDS = {DIRECTORY, FILE, LINK, SYMLINK, FIFO, SOCKET, CHARACTER_DEVICE, BLOCK_DEVICE}
_LARGEST = (1 << 63) - 1
ALIGNED_FROM_BYTES = 64 * 1024
ALIGNMENT_BYTES = 4096


def placed(end: int, length: int) -> int:
    """
    Where in a pack something of a length goes: long things on a boundary of blocks, where file systems can share them.

    :param end: how long the pack is.
    """
    return -(-end // ALIGNMENT_BYTES) * ALIGNMENT_BYTES if length >= ALIGNED_FROM_BYTES else end


def steps(before: Entries, after: Entries) -> tuple[bytes, list[Segment]]:
    """
    The steps from one tree to another, and where the stream's data lies.
    """
    way = delta(before, after)
    lines = [json.dumps(["-", text(path)]) for path in way.removed]
    data: list[Segment] = []
    for entry in way.changed:
        parts = pieces(before.get(entry.path), entry)
        data += [part.source for part in parts if part.source is not None]
        ranges = [[part.offset, part.length, int(part.source is not None)] for part in parts]
        lines.append(json.dumps(["+", metadata_row(entry), ranges], separators=(",", ":")))
    return "\n".join(lines).encode(), data


def taken(before: Entries, content: bytes, data_bytes: int, pack: int) -> tuple[dict[bytes, Entry], list[Segment]]:
    """
    The tree that steps lead to, and where the stream's data goes.

    :param pack: the number of the pack that the data goes to.
    :param data_bytes: how much data the stream says to have.
    :raises StreamCorrupt: the steps make no sense, or no tree that can be: then nothing of them may be used.
    """
    entries = dict(before)
    data: list[Segment] = []
    end = 0
    try:
        for line in content.split(b"\n") if content else []:
            match json.loads(line):
                case ["-", str(path)]:
                    del entries[name_of(path)]
                case ["+", list(row), list(ranges)]:
                    entry = entry_of_row(row)
                    segments: list[Segment] = []
                    old = before.get(entry.path)
                    for offset, length, is_new in _ranges(ranges, entry.size):
                        if is_new:
                            segment = Segment(offset, length, pack, placed(end, length))
                            end = segment.pack_offset + length
                            data.append(segment)
                            segments.append(segment)
                        else:
                            segments += _kept(old, offset, length)
                    entries[entry.path] = entry._replace(segments=joined(segments))
                case _:
                    raise StreamCorrupt("A step of the stream is none that this version knows")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StreamCorrupt("The stream's checksums are right, but its steps make no sense") from error
    if sum(segment.length for segment in data) != data_bytes:
        raise StreamCorrupt("The stream's steps don't fit its data")
    tree = ordered(entries.values())
    for complaint in complaints(tree):
        raise StreamCorrupt(complaint)
    return tree, data


def complaints(entries: Entries) -> Iterator[str]:
    """
    Why entries are no tree that may be made below a folder: names that lead out of it, or through something that is no
    folder.
    """
    if b"" not in entries:
        yield "The tree has no root"
    for path, entry in entries.items():
        parts = path.split(b"/") if path else []
        parent = b"/".join(parts[:-1])
        if any(part in {b"", b".", b".."} or b"\0" in part for part in parts):
            yield f"{path!r} is no path"
        elif entry.kind not in _KINDS or (not parts and entry.kind != DIRECTORY):
            yield f"{path!r} can't be of kind {entry.kind!r}"
        elif parts and (parent not in entries or entries[parent].kind != DIRECTORY):
            yield f"{path!r} is in no folder"
        elif entry.kind == LINK and (
            entry.target not in entries
            or entries[entry.target].kind != FILE
            or tree_order(entry.target) > tree_order(path)
        ):
            yield f"{path!r} is a further name of {entry.target!r}, which is no file before it"
        elif entry.kind == SYMLINK and (not entry.target or b"\0" in entry.target):
            yield f"{path!r} leads nowhere"
        elif not (0 <= entry.mode <= 0o7777 and 0 <= entry.uid < 1 << 32 and 0 <= entry.gid < 1 << 32):
            yield f"{path!r} has a mode or owner that can't be"
        elif not (0 <= entry.size <= _LARGEST and abs(entry.mtime_ns) <= _LARGEST and 0 <= entry.device <= _LARGEST):
            yield f"{path!r} has a size, time or device that can't be"
        elif any("\0" in name or not name for name, _ in entry.xattrs):
            yield f"{path!r} has an attribute that can't be"


def _ranges(ranges: list[object], size: int) -> Iterator[tuple[int, int, bool]]:
    position = 0
    for part in ranges:
        match part:
            case [int(offset), int(length), 0 | 1 as is_new] if position <= offset and 0 < length <= size - offset:
                position = offset + length
                yield offset, length, is_new == 1
            case _:
                raise StreamCorrupt("A piece of a file is out of its place")


def _kept(old: Entry | None, offset: int, length: int) -> list[Segment]:
    segments = [] if old is None else list(clipped(old.segments, offset, length))
    if sum(segment.length for segment in segments) != length:
        raise StreamCorrupt("The stream builds on bytes that the base has not")
    return segments
