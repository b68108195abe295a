"""
The packs of the directory backend: numbered files that are written once, and hold the content of snapshots.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from flocker_agent.storage.directory_files import release, write_all
from flocker_agent.storage.directory_manifest import Segment, clipped
from flocker_agent.storage.directory_steps import ALIGNMENT_BYTES, placed

_OPEN_LIMIT = 32


class PackReader:
    """
    Reads content out of a dataset's packs.

    :param directory: where the packs are.
    :param elsewhere: paths of packs that are not there yet.
    """

    def __init__(self, directory: Path, elsewhere: Mapping[int, Path] | None = None) -> None:
        self._directory = directory
        self._elsewhere = elsewhere or {}
        self._open: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def descriptor(self, pack: int) -> int:
        """
        A descriptor to read a pack by; good until another is asked for, and not the caller's to close.
        """
        if pack not in self._open:
            if len(self._open) >= _OPEN_LIMIT:
                os.close(self._open.pop(next(iter(self._open))))
            self._open[pack] = os.open(self._elsewhere.get(pack, self._directory / str(pack)), os.O_RDONLY)
        return self._open[pack]

    def content(self, segments: Sequence[Segment], offset: int, length: int) -> bytes:
        """
        A range of a file; holes are zeros.
        """
        parts = list(clipped(segments, offset, length))
        if len(parts) == 1 and parts[0].length == length:
            return os.pread(self.descriptor(parts[0].pack), length, parts[0].pack_offset)
        result = bytearray(length)
        view = memoryview(result)
        for part in parts:
            start = part.offset - offset
            self.fill(view[start : start + part.length], part.pack, part.pack_offset)
        return bytes(result)

    def fill(self, buffer: memoryview, pack: int, pack_offset: int) -> None:
        """
        Fill a buffer from a place in a pack.

        :raises OSError: the pack ends before.
        """
        while buffer:
            count = os.preadv(self.descriptor(pack), [buffer], pack_offset)
            if count == 0:
                raise OSError(f"pack {pack} ends at {pack_offset}")
            buffer = buffer[count:]
            pack_offset += count


class PackWriter:
    """
    Writes one pack.

    :param path: of the file, which must not be there.
    """

    def __init__(self, path: Path, number: int) -> None:
        self.number = number
        self.end = 0
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def add(self, offset: int, content: bytes | memoryview, *, continues: bool) -> Segment:
        """
        Store bytes of a file.

        :param offset: where in the file they are.
        :param continues: they follow those added last, in the same file.
        """
        segment = self.place(offset, len(content), continues=continues)
        write_all(self.descriptor, content, segment.pack_offset)
        return segment

    def place(self, offset: int, length: int, *, continues: bool = False) -> Segment:
        """
        Make room for bytes of a file that the caller will write.
        """
        pack_offset = self.end if continues else placed(self.end, length)
        self.end = pack_offset + length
        return Segment(offset, length, self.number, pack_offset)


def data_parts(segments: Iterable[Segment], skip_bytes: int, limit_bytes: int) -> Iterator[list[Segment]]:
    """
    The data of a stream in parts of a size.

    :param segments: all of it.
    :param skip_bytes: leave out so much at the beginning.
    """
    part: list[Segment] = []
    room = limit_bytes
    for segment in segments:
        rest = segment
        if skip_bytes >= rest.length:
            skip_bytes -= rest.length
            continue
        rest, skip_bytes = _tail(rest, skip_bytes), 0
        while rest.length > room:
            yield [*part, rest._replace(length=room)]
            rest, part, room = _tail(rest, room), [], limit_bytes
        part.append(rest)
        room -= rest.length
        if room == 0:
            yield part
            part, room = [], limit_bytes
    if part:
        yield part


def release_unused(directory: Path, used: Mapping[int, list[tuple[int, int]]]) -> None:
    """
    Give back the room in packs that no snapshot needs any more.

    :param used: by pack, the ranges still needed, as offset and length, in any order.
    """
    for pack, ranges in used.items():
        descriptor = os.open(directory / str(pack), os.O_RDWR)
        try:
            size_bytes = os.fstat(descriptor).st_size
            position = 0
            for offset, length in [*sorted(ranges), (size_bytes, 0)]:
                # Blocks are released whole: those that are needed in part are left alone.
                start = -(-position // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
                release(descriptor, start, offset // ALIGNMENT_BYTES * ALIGNMENT_BYTES - start)
                position = max(position, offset + length)
        finally:
            os.close(descriptor)


def _tail(segment: Segment, count: int) -> Segment:
    return Segment(segment.offset + count, segment.length - count, segment.pack, segment.pack_offset + count)
