"""
The frames that the streams of the embedded backends are made of.

A frame is a header of 28 bytes, all numbers big-endian, and its payload:

======  ==============================================================
bytes   meaning
======  ==============================================================
4       ``FLKs``
1       kind: 1 opening, 2 entries, 3 data, 4 end
3       zero
8       where the payload begins among all payloads of its kind, bytes
4       length of the payload, at most 1 MiB
4       CRC-32 of the payload
4       CRC-32 of the 24 bytes before
======  ==============================================================
"""

from __future__ import annotations

import enum
import os
import struct
import zlib

from flocker_py.records import Record, value
from flocker_py.storage import StreamCorrupt, StreamCut

PAYLOAD_LIMIT_BYTES = 1024 * 1024
HEADER_BYTES = 28
_MAGIC = b"FLKs"
_FIELDS = struct.Struct(">4sB3xQII")
_CHECKSUM = struct.Struct(">I")


class FrameKind(enum.IntEnum):
    """
    What a frame carries.
    """

    OPENING = 1
    ENTRIES = 2
    DATA = 3
    END = 4


class FrameHeader(Record):
    """
    The header of a frame.
    """

    kind: FrameKind = value(FrameKind)
    position: int = value(int)
    length_bytes: int = value(int)
    checksum: int = value(int)


def header_bytes(kind: FrameKind, position: int, payload: bytes | memoryview) -> bytes:
    """
    The header for a payload.
    """
    fields = _FIELDS.pack(_MAGIC, kind, position, len(payload), zlib.crc32(payload))
    return fields + _CHECKSUM.pack(zlib.crc32(fields))


def parsed_header(header: bytes | memoryview) -> FrameHeader:
    """
    The header in 28 bytes.

    :raises StreamCorrupt: there is none in them.
    """
    (checksum,) = _CHECKSUM.unpack_from(header, _FIELDS.size)
    magic, kind, position, length_bytes, payload_checksum = _FIELDS.unpack_from(header)
    if magic != _MAGIC:
        raise StreamCorrupt("No frame begins where one should")
    if checksum != zlib.crc32(header[: _FIELDS.size]):
        raise StreamCorrupt("The header of a frame is damaged")
    if length_bytes > PAYLOAD_LIMIT_BYTES or kind not in FrameKind.__members__.values():
        raise StreamCorrupt(f"A frame of kind {kind} and {length_bytes} bytes: this version knows none such")
    return FrameHeader(kind=FrameKind(kind), position=position, length_bytes=length_bytes, checksum=payload_checksum)


class FrameWriter:
    """
    Writes frames.

    :param stream: descriptor of the writing end of a pipe; stays the caller's to close.
    """

    def __init__(self, stream: int) -> None:
        self._stream = stream

    def write(self, kind: FrameKind, payload: bytes | memoryview = b"", *, position: int = 0) -> None:
        """
        Write one frame. Blocks until it is in the pipe.

        :raises StreamCut: the reading end is closed.
        """
        parts = [memoryview(header_bytes(kind, position, payload)), memoryview(payload)]
        try:
            while parts:
                written = os.writev(self._stream, parts)
                while parts and written >= len(parts[0]):
                    written -= len(parts.pop(0))
                if parts:
                    parts[0] = parts[0][written:]
        except BrokenPipeError as error:
            raise StreamCut("The reading end of the stream was closed") from error


class FrameReader:
    """
    Reads frames, and not a byte more.

    :param stream: descriptor of the reading end of a pipe; stays the caller's to close.
    """

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self._buffer = memoryview(bytearray(PAYLOAD_LIMIT_BYTES))

    def read(self) -> tuple[FrameHeader, memoryview]:
        """
        The next frame; its payload is good until the next call.

        :raises StreamCut: the stream ended first.
        :raises StreamCorrupt: what came is no frame, or damaged.
        """
        header = parsed_header(self._filled(HEADER_BYTES))
        payload = self._filled(header.length_bytes)
        if zlib.crc32(payload) != header.checksum:
            raise StreamCorrupt(f"The {header.kind.name.lower()} at {header.position} is damaged")
        return header, payload

    def _filled(self, length_bytes: int) -> memoryview:
        wanted = self._buffer[:length_bytes]
        filled = 0
        while filled < length_bytes:
            count = os.readv(self._stream, [wanted[filled:]])
            if count == 0:
                raise StreamCut("The stream ended before its end")
            filled += count
        return wanted
