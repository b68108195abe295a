"""
What a snapshot of the directory backend says of a file tree. Pure.

A manifest names every entry of the tree. The content of files lies in packs, numbered files of the dataset that are
written once; a file is a list of segments, each so many bytes from somewhere in a pack, and holes between them.
Snapshots share segments: what has not changed since the one before is not stored again, and what two manifests have in
common is seen by comparing numbers, without reading a byte of content.
"""

from __future__ import annotations

import bisect
import json
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from flocker_py.storage import StorageError

DIRECTORY, FILE, LINK, SYMLINK = "d", "f", "h", "l"
FIFO, SOCKET, CHARACTER_DEVICE, BLOCK_DEVICE = "p", "s", "c", "b"
_VERSION = 1
# One encoder for all lines: json.dumps with options makes a new one for each.
_encoded = json.JSONEncoder(separators=(",", ":")).encode
_offset_of = operator.itemgetter(0)


class Segment(NamedTuple):
    """
    Bytes of a file from ``offset`` on, in a pack from ``pack_offset`` on.
    """

    offset: int
    length: int
    pack: int
    pack_offset: int


class Fingerprint(NamedTuple):
    """
    By which a file in the live tree is known not to have changed, together with its size and time of modification.
    """

    inode: int
    ctime_ns: int


class Entry(NamedTuple):
    """
    One name in a tree; the root's is empty.

    :param kind: one letter, as above. A LINK is a further name of a FILE that comes before it.
    :param target: of a SYMLINK, or the first name of a LINK.
    :param print: None: whether the live entry has changed can only be told by looking into it. No part of what an
        entry is, and never sent.
    """

    path: bytes
    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    segments: tuple[Segment, ...] = ()
    target: bytes = b""
    device: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()
    print: Fingerprint | None = None


Entries = dict[bytes, Entry]
"""By path, every folder before what is in it."""


class ManifestUnreadable(StorageError):
    """
    The record of a snapshot is damaged or of a newer version. Send the dataset anew from another copy, or upgrade.
    """


def same(one: Entry | None, other: Entry | None) -> bool:
    """
    Whether two entries are the same, content included, wherever they were seen.
    """
    return (None if one is None else one._replace(print=None)) == (
        None if other is None else other._replace(print=None)
    )


def text(name: bytes) -> str:
    """
    A name as JSON can hold it; any bytes can be told from any others.
    """
    return name.decode("utf-8", "surrogateescape")


def name_of(string: str) -> bytes:
    """
    The name that was written as text.

    :raises UnicodeEncodeError: it is nothing that ``text`` makes.
    """
    return string.encode("utf-8", "surrogateescape")


def metadata_row(entry: Entry) -> list[object]:
    """
    All of an entry but its segments and fingerprint, as JSON holds it.
    """
    return [
        text(entry.path),
        entry.kind,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.mtime_ns,
        entry.size,
        text(entry.target),
        entry.device,
        [[name, content.hex()] for name, content in entry.xattrs],
    ]


def entry_of_row(row: list[Any]) -> Entry:
    """
    An entry without segments and fingerprint.

    :raises ValueError: the row is none.
    :raises TypeError: the row is none.
    """
    path, kind, mode, uid, gid, mtime_ns, size, target, device, xattrs = row
    if not (type(path) is type(kind) is type(target) is str and type(xattrs) is list):
        raise TypeError("a name, kind, target or list of attributes is something else")
    if not type(mode) is type(uid) is type(gid) is type(mtime_ns) is type(size) is type(device) is int:
        raise TypeError("a number is something else")
    attributes = tuple((str(name), bytes.fromhex(content)) for name, content in xattrs)
    return Entry(name_of(path), kind, mode, uid, gid, mtime_ns, size, (), name_of(target), device, attributes)


def manifest_bytes(entries: Iterable[Entry]) -> bytes:
    """
    A manifest as it is kept: a line for each entry, and a last one that says how many there are.
    """
    lines = [_encoded([metadata_row(entry), entry.segments, entry.print]) for entry in entries]
    lines.append(json.dumps({"version": _VERSION, "entries": len(lines)}))
    return "\n".join(lines).encode()


def parsed_manifest(content: bytes) -> dict[bytes, Entry]:
    """
    The entries of a manifest.

    :raises ManifestUnreadable: it is damaged or newer.
    """
    *lines, last = content.split(b"\n")
    try:
        closing = json.loads(last)
        if closing != {"version": _VERSION, "entries": len(lines)}:
            raise ManifestUnreadable(f"A manifest of {len(lines)} entries ends with {last[:100]!r}")
        entries = {}
        # One call for all lines is three times as fast as one for each.
        for row, segments, fingerprint in json.loads(b"[" + b",".join(lines) + b"]"):
            entry = entry_of_row(row)
            entries[entry.path] = entry._replace(
                segments=tuple(Segment(*segment) for segment in segments),
                print=None if fingerprint is None else Fingerprint(*fingerprint),
            )
    except (ValueError, TypeError) as error:
        raise ManifestUnreadable("A manifest makes no sense") from error
    return entries


def joined(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """
    The same segments, those that follow one another made one.
    """
    result: list[Segment] = []
    for segment in segments:
        last = result[-1] if result else None
        if (
            last is not None
            and last.pack == segment.pack
            and last.offset + last.length == segment.offset
            and last.pack_offset + last.length == segment.pack_offset
        ):
            result[-1] = last._replace(length=last.length + segment.length)
        else:
            result.append(segment)
    return tuple(result)


def clipped(segments: Sequence[Segment], offset: int, length: int) -> Iterator[Segment]:
    """
    The parts of segments that lie in a range of the file.
    """
    end = offset + length
    first_index = max(bisect.bisect_right(segments, offset, key=_offset_of) - 1, 0)
    for index in range(first_index, len(segments)):
        segment = segments[index]
        if segment.offset >= end:
            return
        first, last = max(segment.offset, offset), min(segment.offset + segment.length, end)
        if first < last:
            yield Segment(first, last - first, segment.pack, segment.pack_offset + first - segment.offset)


class Piece(NamedTuple):
    """
    A range of a file that is as it was in another snapshot, or is new.

    :param source: where the new bytes are; None: they are as they were.
    """

    offset: int
    length: int
    source: Segment | None


def pieces(before: Entry | None, after: Entry) -> list[Piece]:
    """
    How a file is made from what it was; holes are what no piece covers.
    """
    old = [] if before is None or before.kind != FILE else list(before.segments)
    result: list[Piece] = []
    position = 0
    for segment in after.segments:
        while position < len(old) and old[position].offset + old[position].length <= segment.offset:
            position += 1
        result += _pieces_of(segment, old, position)
    return result


def _pieces_of(segment: Segment, old: list[Segment], position: int) -> Iterator[Piece]:
    offset, end = segment.offset, segment.offset + segment.length
    for index in range(position, len(old)):
        other = old[index]
        if offset >= end or other.offset >= end:
            break
        first, last = max(other.offset, offset), min(other.offset + other.length, end)
        there = (other.pack, other.pack_offset - other.offset)
        if first < last and there == (segment.pack, segment.pack_offset - segment.offset):
            yield from _new(segment, offset, first)
            yield Piece(first, last - first, None)
            offset = last
    yield from _new(segment, offset, end)


def _new(segment: Segment, offset: int, end: int) -> Iterator[Piece]:
    if offset < end:
        source = Segment(offset, end - offset, segment.pack, segment.pack_offset + offset - segment.offset)
        yield Piece(offset, end - offset, source)


class Delta(NamedTuple):
    """
    The way from one tree to another.

    :param removed: paths, every folder after what is in it.
    :param changed: new and changed entries, every folder before what is in it.
    """

    removed: list[bytes]
    changed: list[Entry]


def delta(before: Entries, after: Entries) -> Delta:
    """
    What is different in another tree.
    """
    return Delta(
        removed=[path for path in reversed(before) if path not in after],
        changed=[entry for path, entry in after.items() if not same(entry, before.get(path))],
    )


def packs_of(entries: Entries) -> set[int]:
    """
    The packs that a tree's content lies in.
    """
    return {segment.pack for entry in entries.values() for segment in entry.segments}


def tree_order(path: bytes) -> tuple[bytes, ...]:
    """
    What to sort paths by so that a folder comes right before all that is in it.
    """
    return tuple(path.split(b"/")) if path else ()


def ordered(entries: Iterable[Entry]) -> dict[bytes, Entry]:
    """
    Entries by path, in the order of a tree.
    """
    return {entry.path: entry for entry in sorted(entries, key=lambda entry: tree_order(entry.path))}


def content_bytes(entries: Entries) -> int:
    """
    How much the files of a tree hold, holes left out.
    """
    return sum(segment.length for entry in entries.values() for segment in entry.segments)
